"""Where a head looks from each token of a short text, and what removing it costs there."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from tokenizers import Tokenizer
from torch import Tensor

from ablations import changed_losses, rerun, substitutes
from ablations.changes import Change
from ablations.names import parse_head
from ablations.not_measurable import NotMeasurable
from experiments import corpora
from experiments.heldout.affected_tokens import Context
from experiments.investigate.attention_grid import TextAttention
from experiments.investigate.snapshot import Snapshot

SHOWN = 32  # tokens


def on_text(snapshot: Snapshot, head: str, text: str) -> TextAttention:
    """The beginning of a text of one's own; raises ValueError where the run's tokenizer cannot encode it."""
    tokenizer = snapshot.cells.run.tokenizer
    try:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
    except Exception as error:  # tokenizers raises a bare Exception
        raise ValueError(f"the run's tokenizer cannot encode this text ({error}): use another") from None
    if not ids:
        raise ValueError("the text has no token: give some to look at")
    row = [corpora.bos(tokenizer), *ids][: min(SHOWN, snapshot.cells.run.config["preset"]["n_ctx"])]
    of_all = "" if len(row) == len(ids) + 1 else f", the first {len(row) - 1} of {len(ids)} tokens"
    return _look(snapshot, head, torch.tensor(row), slice(0, len(row)), f"a text of your own{of_all}")


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
    words = _words(snapshot.cells.run.tokenizer, row)
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
        means = substitutes.means(snapshot.weights, snapshot.cfg, snapshot.cells.inputs.reference)
    except NotMeasurable:
        return np.full(len(row) - 1, np.nan)
    (block,) = changed_losses.blocks(
        snapshot.weights, snapshot.cfg, row[None], [Change(heads=(parse_head(head),))], means
    )
    return block.effect[0, 0].double().numpy()


def _words(tokenizer: Tokenizer, row: Int64[Tensor, " pos"]) -> list[str]:
    return [tokenizer.decode([token], skip_special_tokens=False) for token in row.tolist()]
