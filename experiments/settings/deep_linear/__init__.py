"""Deep linear networks in training: from saddle to saddle, one rank at a time (arXiv:2106.15933)."""
