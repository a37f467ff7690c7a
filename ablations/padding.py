"""What a padded row means, everywhere: its text alone.

Which tokens are padding, the model's tokenizer says, as in TransformerLens (`padding_of`, `is_text`):

- Tokenizers that pad on the left: the padding tokens that a row begins with. Where the same token also begins texts
  (GPT-2's) and the model is given texts that begin with it, the last of them belongs to the text. TransformerLens hides
  them from the text, whose positions count from its own first token.
- Tokenizers that pad on the right: the padding tokens that a row ends with. No token of the text sees them. Where the
  same token also begins or ends texts, the first of them belongs to the text; but a prompt whose answer comes next has
  not ended, so all of them are padding of it (`lengths`).
- A model without a tokenizer has no padding.

What follows for each way to ask:

- Tasks (`circuits.discover`, by hooks and by functions): answers are taken after a prompt's own last token. Clean and
  corrupted prompts must be padded alike. `discover.path_effects` takes either side; functions of weights alone know of
  padding on the left. A task of text says itself where its prompts end (`Task.lengths`), whatever model it is put to.
- Losses (`ablate`, `changed_losses`, `token_losses`): NaN where the token, or the one it is predicted from, is padding.
- Means (mean ablation): over the text. Rows that donate z (resample ablation) may not be padded.
- Learning coefficients, gradients and scores over rows: padded rows are refused. Weights of 0 for padding on the right
  (`llc.losses.weighted`) are the way to sample on such rows.
- Other pure functions refuse padding on the left, which they do not hide; forward.embed raises.

Rows are run with their text first and their padding after it, where causal attention does not see it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

PADDING = "padding"  # [4], int64: not a parameter, but a weight of functions (`mark`)

Rows = Int64[Tensor, "row pos"]


class Padding(NamedTuple):
    """How a tokenizer pads."""

    token: int
    left: bool  # before the text, and hidden from it; else after it
    begins: bool  # the same token begins texts
    ends: bool  # the same token may end a text: it is the tokenizer's end, or its beginning, which stands between texts


def padding_of(model: Any) -> Padding | None:
    """How the model's tokenizer pads; None for a model that has none, or one that does not pad."""
    tokenizer = model.tokenizer
    if tokenizer is None or tokenizer.pad_token_id is None:
        return None
    token, begins = int(tokenizer.pad_token_id), tokenizer.bos_token_id == tokenizer.pad_token_id
    ends = begins or tokenizer.eos_token_id == tokenizer.pad_token_id
    return Padding(token, tokenizer.padding_side == "left", begins and bool(model.cfg.default_prepend_bos), ends)


def mark(padding: Padding | None) -> dict[str, Tensor]:
    """What tells functions of weights how their tokens are padded, to stand among the weights; nothing for None."""
    return {} if padding is None else {PADDING: torch.tensor(padding, dtype=torch.int64)}


def marked(weights: Mapping[str, Tensor]) -> Padding | None:
    """What `mark` says."""
    if PADDING not in weights:
        return None
    token, left, begins, ends = weights[PADDING].tolist()
    return Padding(token, bool(left), bool(begins), bool(ends))


def is_text(padding: Padding | None, tokens: Rows) -> Bool[Tensor, "row pos"]:
    """Which tokens are no padding."""
    if padding is None:
        return torch.ones_like(tokens, dtype=torch.bool)
    pads = tokens == padding.token
    if not padding.left:
        trailing = pads.flip(1).cumprod(1).flip(1).bool()
        starts = trailing & ~torch.nn.functional.pad(trailing, (1, -1))  # the first of them
        return ~trailing | starts if padding.ends else ~trailing
    leading = pads.cumprod(1).bool()
    last = leading & ~torch.nn.functional.pad(leading, (-1, 1))
    return ~leading | last if padding.begins else ~leading


def lengths(padding: Padding | None, prompts: Rows) -> Int64[Tensor, " row"]:
    """Tokens of each prompt, whose answer comes next; raises ValueError for one that is padding alone."""
    own = is_text(padding._replace(ends=False) if padding else None, prompts).sum(1)
    if (own == 0).any():
        raise ValueError(f"prompt {int((own == 0).int().argmax())} is padding alone: leave it out")
    return own


def ends(padding: Padding | None, prompts: Rows) -> Int64[Tensor, " row"]:
    """The column in which the last token of each prompt stands."""
    own = lengths(padding, prompts)
    return own - 1 if padding is not None and not padding.left else torch.full_like(own, prompts.shape[1] - 1)


def text_first(padding: Padding | None, tokens: Rows) -> Rows:
    """Each row with the padding before its text moved behind it; the rows themselves where there is none."""
    return moved(padding, tokens, tokens)


def moved_text(padding: Padding | None, tokens: Rows) -> Bool[Tensor, "row pos"]:
    """Which tokens are no padding in what `text_first` gives."""
    return moved(padding, tokens, is_text(padding, tokens))


def moved(padding: Padding | None, tokens: Rows, values: Shaped[Tensor, "row pos"]) -> Shaped[Tensor, "row pos"]:
    """What is known of each token of some rows, where `text_first` moves the tokens to."""
    starts = _starts(padding, is_text(padding, tokens))
    return values if starts is None else values.gather(1, _turned(starts, tokens.shape[1]))


def as_given(
    padding: Padding | None, tokens: Rows, losses: Float[Tensor, "*change row predicted"]
) -> Float[Tensor, "*change row predicted"]:
    """Losses of rows with their text first, where the tokens stand in the rows as given; NaN for padding.

    tokens: the rows as given; losses[..., row, i] is that of token i + 1, and of the change of one.
    """
    text = is_text(padding, tokens)
    if bool(text.all()):
        return losses
    starts = _starts(padding, text)
    if starts is not None:
        losses = losses.gather(-1, _turned(-starts, losses.shape[-1]).to(losses.device).expand(losses.shape))
    return hidden(text, losses)


def hidden(
    text: Bool[Tensor, "row pos"], losses: Float[Tensor, "*change row predicted"]
) -> Float[Tensor, "*change row predicted"]:
    """Losses, NaN where the token, or the one it is predicted from, is no text."""
    return losses.masked_fill(~(text[:, 1:] & text[:, :-1]).to(losses.device), float("nan"))


def check_unpadded(padding: Padding | None, tokens: Rows, what: str, remedy: str = "") -> None:
    """Raises ValueError for a padded row; what: what takes no padding, in plural; remedy: another way out."""
    padded = ~is_text(padding, tokens).all(1)
    if padding is not None and padded.any():
        row, side = int(padded.int().argmax()), "begins" if padding.left else "ends"
        raise ValueError(
            f"row {row} {side} with padding (token {padding.token}): {what} take whole rows, "
            f"cut them to one length or leave padded ones out{remedy}"
        )


def check_alike(padding: Padding | None, clean: Rows, corrupted: Rows) -> None:
    """Raises ValueError for a prompt whose corrupted one has another length."""
    one, other = lengths(padding, clean), lengths(padding, corrupted)
    if (one != other).any():
        row = int((one != other).int().argmax())
        raise ValueError(
            f"prompt {row} has {int(one[row])} tokens, its corrupted one {int(other[row])}: "
            "their positions must correspond, make both as long"
        )


def _starts(padding: Padding | None, text: Bool[Tensor, "row pos"]) -> Int64[Tensor, " row"] | None:
    """Padding tokens before the text of each row; None where there are none."""
    if padding is None or not padding.left:
        return None
    starts = (~text).sum(1)
    return starts if starts.any() else None


def _turned(starts: Int64[Tensor, " row"], length: int) -> Int64[Tensor, "row pos"]:
    """Where the tokens of each row come from when it is turned so that it begins with the one at `starts`."""
    return (torch.arange(length, device=starts.device) + starts[:, None]) % length
