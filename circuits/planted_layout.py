"""What all planted models share: their vocabulary, the features of their residual stream, and how hard heads attend.

Features are orthonormal directions of the residual stream; the slices say which of them stand for a token, for the
token before, for what a head says, for what nothing reads, for the inside of quotes (`FLAG`), and for a position.
"""

import torch
from jaxtyping import Int64
from torch import Tensor

VOCABULARY, CONTEXT, HEADS, D_HEAD = 20, 12, 4, 24
BOS, ROUND, SQUARE, ROUND_END, SQUARE_END, QUOTE, QUOTE_END = range(7)  # brackets and quotes are those of `brackets`
HARD = 40.0  # score by which the right key beats all others
RECENT = 5.0  # score that a key gains by being one position later; over the context less than OPENER, and than 2 SAME
OPENER, SAME = 75.0, 40.0
ANSWER = 8.0  # logit of what a head says

TOKEN, PREVIOUS, SAID, UNREAD = (slice(k * VOCABULARY, (k + 1) * VOCABULARY) for k in range(4))
FLAG = 4 * VOCABULARY
PLACE = slice(FLAG + 1, FLAG + 1 + CONTEXT)
D_MODEL = PLACE.stop + 1
EVERY = torch.eye(VOCABULARY)


def triples() -> list[tuple[int, int, int]]:
    """Eight triples of tokens (a, b, c): the skip-trigram head says c after "a ... b"."""
    return [(1 + t, 9 + t, 1 + (t * 5 + 3) % (VOCABULARY - 1)) for t in range(8)]


def followers() -> Int64[Tensor, " vocab"]:
    """What `planted_heads.after_previous` says after each token but one: another, none twice."""
    return torch.cat([torch.tensor([BOS]), torch.arange(1, VOCABULARY).roll(7)])
