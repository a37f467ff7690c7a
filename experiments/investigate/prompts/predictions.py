"""What logits say of a text: the loss of each token, and the most likely next tokens."""

import numpy as np
import pandas as pd
import torch.nn.functional as F
from jaxtyping import Float, Int64
from tokenizers import Tokenizer
from torch import Tensor

from experiments.investigate.own_text import OwnText, visible

TOP = 5  # predictions after each token
LINES = 40  # of a table in a terminal


def index_of(text: OwnText) -> pd.MultiIndex:
    """Position and token of all tokens, BOS first."""
    return pd.MultiIndex.from_arrays([range(len(text.words)), text.words], names=["position", "token"])


def next_token_losses(
    logits: Float[Tensor, "pos d_vocab"], row: Int64[Tensor, " pos"]
) -> Float[np.ndarray, " predicted"]:
    """The cross-entropy in nats of every token but the first; entry i is that of token i + 1."""
    return F.cross_entropy(logits[:-1].double(), row[1:].to(logits.device), reduction="none").cpu().numpy()


def most_likely(logits: Float[Tensor, "pos d_vocab"], text: OwnText, tokenizer: Tokenizer) -> pd.DataFrame:
    """prediction and probability, by position, token and rank: the `TOP` next tokens after each token."""
    probabilities, ids = logits.double().softmax(-1).topk(min(TOP, logits.shape[1]))
    ranks = range(1, ids.shape[1] + 1)
    index = pd.MultiIndex.from_tuples(
        [(*at, rank) for at in index_of(text) for rank in ranks], names=["position", "token", "rank"]
    )
    words = [tokenizer.decode([token], skip_special_tokens=False) for token in ids.flatten().tolist()]
    return pd.DataFrame({"prediction": words, "probability": probabilities.flatten().cpu().numpy()}, index=index)


def in_terminal(table: pd.DataFrame) -> str:
    """A table by position and token as lines of text, the middle left out where there are many."""
    shown = table.round(3).map(lambda value: visible(value) if isinstance(value, str) else value)
    return shown.rename(index=visible, level="token").to_string(max_rows=LINES)
