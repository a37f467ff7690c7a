"""Texts: documents by the name of a corpus, tokenizers, and rows of tokens that remember their documents.

Nothing is loaded before it is asked for, so that the command line can refuse a wrong name at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.corpora.corpus import Corpus, fingerprint, interleave, load
    from experiments.corpora.rows import bos

__all__ = ["Corpus", "bos", "fingerprint", "interleave", "load"]

if not TYPE_CHECKING:  # a type checker would take every name for one that is here

    def __getattr__(name: str) -> Any:
        """The name from the module that holds it."""
        if name in __all__:
            return getattr(import_module(f"experiments.corpora.{'rows' if name == 'bos' else 'corpus'}"), name)
        raise AttributeError(f"module 'experiments.corpora' has no attribute {name!r}")
