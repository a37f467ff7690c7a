"""What kind of token a token is, in its context: does it repeat, close, or complete something?

    induction  the token before it and it stood one after the other earlier in the row:  ... u v ... u [v]
    bracket    it closes a bracket that the language's lexer sees:                       f(x[1] [)]
    quote      it closes a string:                                                       ("a" ["]
    n-gram     it completes a contiguous multigram (`multigrams`), and is none of the above
    skip n-gram  it completes a gapped one, and is none of induction, bracket, quote
A token may be several of these, or none.
"""

import numpy as np
from jaxtyping import Bool, Integer

KINDS = ("induction", "bracket", "quote", "n-gram", "skip n-gram")


def repeats(tokens: Integer[np.ndarray, "row pos"]) -> Bool[np.ndarray, "row pos"]:
    """Whether the token before and this one stood one after the other earlier in the row, not overlapping."""
    rows, length = tokens.shape
    vocabulary = int(tokens.max()) + 1
    pairs = tokens[:, :-1].astype(np.int64) * vocabulary + tokens[:, 1:]
    keys = (np.arange(rows)[:, None] * vocabulary**2 + pairs).ravel()
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    repeated = np.zeros((rows, length), dtype=bool)
    repeated[:, 1:] = (np.arange(len(keys)) - first[group] >= 2).reshape(rows, length - 1)
    return repeated


def with_none(kinds: Bool[np.ndarray, "kind token"]) -> Bool[np.ndarray, "column token"]:
    """The kinds of tokens, with a last row for tokens of none."""
    return np.concatenate([kinds, ~kinds.any(0, keepdims=True)])
