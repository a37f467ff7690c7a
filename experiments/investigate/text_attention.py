"""Where a head looks from each token of a text, and what removing it costs there."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import changed_losses, rerun, substitutes
from ablations.changes import Change
from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from experiments.heldout.affected_tokens import Context
from experiments.investigate import own_text
from experiments.investigate.attention_grid import TextAttention
from experiments.investigate.own_text import encoded
from experiments.investigate.snapshot import Snapshot

SHOWN = 32  # tokens of held-out text; a text of the user's own is shown whole


def on_text(snapshot: Snapshot, head: str, text: str) -> TextAttention:
    """A text of one's own, as much of it as the context holds; raises ValueError as `encoded` does."""
    own = encoded(snapshot.cells.run.tokenizer, text, snapshot.cells.inputs.n_ctx)
    return _look(snapshot, head, own.row, slice(0, len(own.row)), own.source)


def where_it_matters(snapshot: Snapshot, head: str, contexts: Sequence[Context]) -> TextAttention:
    """Held-out text that ends with one of the head's most affected tokens: the first for which it looks at a token that
    is shown, or the first of all. Raises NotMeasurable without any.
    """
    if not contexts:
        raise NotMeasurable("there is no token that it matters for")
    near = [context for context in contexts if len(context.before) - int(np.argmax(context.attention)) < SHOWN]
    context = (near or list(contexts))[0]
    row = snapshot.cells.inputs.free_text.batch([context.row])[0]
    first = max(0, context.pos - SHOWN)
    source = f"document {context.document} of the held-out text, up to an affected token"
    return _look(snapshot, head, row[: context.pos + 1], slice(first, context.pos), source)


def _look(snapshot: Snapshot, head: str, row: Int64[Tensor, " pos"], shown: slice, source: str) -> TextAttention:
    layer, number = parse_head(head)
    with torch.no_grad():
        clean = rerun.clean_run(snapshot.weights, snapshot.cfg, row[None])
        pattern = rerun.patterns(snapshot.weights, snapshot.cfg, clean, layer)[0, number].double().numpy()
    words = own_text.words(snapshot.cells.run.tokenizer, row)
    effect = np.append(_effects(snapshot, head, row), np.nan)  # nothing follows the last token
    return TextAttention(
        head=head,
        tokens=words[shown],
        following=[*words[1:], ""][shown],
        attention=pattern[shown, shown],
        earlier=pattern[shown, : shown.start].sum(1),
        effect=effect[shown],
        source=source,
    )


def _effects(snapshot: Snapshot, head: str, row: Int64[Tensor, " pos"]) -> Float[np.ndarray, " predicted"]:
    """NaN where there is no text to take the head's mean of."""
    try:
        means = substitutes.fixed(snapshot.mean_z)
    except NotMeasurable:
        return np.full(len(row) - 1, np.nan)
    (block,) = changed_losses.blocks(
        snapshot.weights, snapshot.cfg, row[None], [Change(heads=(parse_head(head),))], means
    )
    return block.effect[0, 0].double().numpy()
