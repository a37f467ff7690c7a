"""Texts: documents by the name of a corpus, tokenizers, and rows of tokens that remember their documents."""

from experiments.corpora.corpus import Corpus, fingerprint, interleave, load
from experiments.corpora.rows import bos

__all__ = ["Corpus", "bos", "fingerprint", "interleave", "load"]
