"""Patterns counted: the complexity of language models against how many patterns their text has."""
