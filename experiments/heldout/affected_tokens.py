"""The most affected tokens as a person reads them: in their context, with what was predicted before and after.

A list is chosen with the effects under one half of the donors, and printed with those under the other half: the largest
of many noisy numbers are too large, the same tokens' fresh numbers are not.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ablations import changes, closeup, forward
from ablations.affected import Hits
from ablations.closeup import CloseUp
from experiments.heldout import ablation_pass
from experiments.heldout.ablation_pass import AblationPass
from experiments.results.inputs import Inputs

BEFORE, AFTER = 60, 8  # tokens shown around the target; more before it where the head looks farther back
PREDICTIONS = 5


@dataclass(frozen=True)
class Context:
    """One affected token. Probabilities are means over the donors, effects are means of the loss, in nats."""

    effect: float
    effect_se: float  # over donors; NaN where what stands in is fixed
    chosen_by: float  # the effect that put it into the list
    target: str
    p_clean: float
    p_changed: float
    before: list[str]  # tokens before the target
    after: list[str]
    attention: list[float]  # of the reader, over `before`
    predicted_clean: list[tuple[str, float]]
    predicted_changed: list[tuple[str, float]]
    donors: int
    document: int
    position: int
    row: int  # of the free held-out text
    pos: int  # in the row


def contexts(inputs: Inputs, ablation: AblationPass, change: str, hits: Hits) -> list[Context]:
    """Every hit in its context, run again with fresh donors."""
    return [_context(inputs, ablation, change, hits.take(np.array([number]))) for number in range(len(hits.effect))]


def fresh(inputs: Inputs, ablation: AblationPass, change: str, row: int, pos: int) -> CloseUp:
    """A token of the free held-out text under a change, with donors that chose no list."""
    model = inputs.model(ablation.step)
    draws = ablation_pass.stand_in(inputs, ablation, slice(row, row + 1), half=1)(slice(0, 1))
    tokens = inputs.free_text.batch([row])[0]
    parsed, layer_norm = changes.parse_change(change), ablation.layer_norm
    return closeup.close_up(forward.weights_of(model), model.cfg, tokens, pos, parsed, draws, layer_norm)  # type: ignore[arg-type]


def frame(contexts_of_tokens: list[Context]) -> pd.DataFrame:
    """One row per token, in the order of the list."""
    rows = [
        {
            "rank": rank,
            "effect": context.effect,
            "effect_se": context.effect_se,
            "chosen_by": context.chosen_by,
            "target": context.target,
            "p_clean": context.p_clean,
            "p_changed": context.p_changed,
            "context": "".join(context.before),
            "predicted_clean": _predictions(context.predicted_clean),
            "predicted_changed": _predictions(context.predicted_changed),
            "most_attended": context.before[int(np.argmax(context.attention))],
            "most_attended_distance": len(context.before) - int(np.argmax(context.attention)),
            "attention": max(context.attention),
            "document": context.document,
            "position": context.position,
        }
        for rank, context in enumerate(contexts_of_tokens, start=1)
    ]
    return pd.DataFrame(rows)


def as_text(context: Context, rank: int, shown: int = 24) -> str:
    """Three lines for a terminal; line breaks of the text are shown as such."""
    se = "" if np.isnan(context.effect_se) else f" ({context.effect_se:.2f})"
    line = "".join([*context.before[-shown:], "[[", context.target, "]]"]).replace("\n", "\\n")
    looked = int(np.argmax(context.attention))
    return (
        f"{rank:3}. {context.effect:+.2f}{se} nats, p {context.p_clean:.2g} -> {context.p_changed:.2g}, "
        f"document {context.document}, position {context.position}\n"
        f"     {line}\n"
        f"     predicted {_predictions(context.predicted_clean)}; then {_predictions(context.predicted_changed)}; "
        f"looks {len(context.before) - looked} back at {context.before[looked]!r} ({context.attention[looked]:.2f})"
    )


def _context(inputs: Inputs, ablation: AblationPass, change: str, hit: Hits) -> Context:
    row, pos = int(hit.row[0]), int(hit.pos[0])
    seen = fresh(inputs, ablation, change, row, pos)
    rows = inputs.free_text
    tokens = rows.batch([row])[0].tolist()
    effects = seen.effects(tokens[pos]).double().numpy()
    start = max(0, min(pos - BEFORE, int(seen.attention.argmax()) - AFTER))
    draws, changed = len(effects), seen.changed.exp().mean(0)

    def decode(ids: list[int]) -> list[str]:
        return [rows.tokenizer.decode([token], skip_special_tokens=False) for token in ids]

    def best(probabilities: torch.Tensor) -> list[tuple[str, float]]:
        values, ids = probabilities.topk(PREDICTIONS)
        return list(zip(decode(ids.tolist()), values.tolist(), strict=True))

    return Context(
        effect=float(effects.mean()),
        effect_se=float(effects.std(ddof=1) / draws**0.5) if draws > 1 else float("nan"),
        chosen_by=float(hit.effect[0]) / 1e6,
        target=decode([tokens[pos]])[0],
        p_clean=float(seen.clean[tokens[pos]].exp()),
        p_changed=float(changed[tokens[pos]]),
        before=decode(tokens[start:pos]),
        after=decode(tokens[pos + 1 : pos + 1 + AFTER]),
        attention=seen.attention[start:].tolist(),
        predicted_clean=best(seen.clean.exp()),
        predicted_changed=best(changed),
        donors=draws,
        document=int(hit.document[0]),
        position=int(hit.position[0]),
        row=row,
        pos=pos,
    )


def _predictions(pairs: list[tuple[str, float]]) -> str:
    return ", ".join(f"{token!r} {probability:.2f}" for token, probability in pairs[:3])
