"""Files that are written whole or not at all, with checksums: cells under their keys, tensors, JSON.

What is in them is not known here.
"""
