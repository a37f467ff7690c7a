"""Sparse parity, several tasks at once: how complex a network is that has learned some of them."""
