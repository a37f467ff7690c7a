"""The toy model of superposition with two hidden dimensions and six features (Chen et al., arXiv:2310.06301)."""
