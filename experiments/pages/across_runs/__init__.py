"""The circuits of several runs: in words, as a page, and as files."""
