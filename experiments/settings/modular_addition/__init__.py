"""Modular addition: a network that memorises, then generalises, and how complex it is meanwhile and afterwards."""
