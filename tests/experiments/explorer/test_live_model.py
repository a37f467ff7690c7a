"""The model in the page gives Python's logits, also where heads are ablated and paths are cut."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from ablations import effects, forward, heads, paths
from ablations.changes import parse_change
from ablations.models import Model
from ablations.names import head_name
from ablations.not_measurable import NotMeasurable
from experiments.explorer import live
from tests.conftest import GPT2, make_model
from tests.experiments.explorer.in_node import LIVE, called
from tests.experiments.explorer.programs import needs_node

pytestmark = needs_node

REMOVED: tuple[list[str], ...] = (
    [],
    ["L0H1"],
    ["L1H0"],
    ["L0H1->L1H2.k"],
    ["L0H0->L1H1.q", "L0H2->L1H1.q", "L0H1->L1H1.v", "embed->L1H1.k"],
    ["embed->output", "L0H1->output", "L1H2->output"],
    ["embed->L0H2.v", "L0H0", "L0H0->L1H2.q", "L1H1", "L0H2->L1H1.v"],
)
ARCHITECTURES = {
    "shortformer": {},
    "standard positions": {"positional_embedding_type": "standard"},
    "no norms": {"normalization_type": None},
    "norms without gain": {"normalization_type": "LNPre"},
    "three layers": {"n_layers": 3},
    "three layers with rotary positions": {"n_layers": 3, "positional_embedding_type": "rotary", "rotary_dim": 4},
    "rotary positions of adjacent pairs": {
        "positional_embedding_type": "rotary", "rotary_dim": 2, "rotary_adjacent_pairs": True, "rotary_base": 100,
    },
    "RMS norms": {"normalization_type": "RMS"},
    "RMS norms without gain": {"normalization_type": "RMSPre"},
}  # fmt: skip


def rounded(model: Model) -> Model:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return model


def stand_ins(model: Model, tokens: Tensor) -> dict[str, Tensor]:
    """Means over the tokens of z of every head, and of what the embedding writes."""
    every = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    of_heads = heads.mean_z(model, every, tokens)
    embedding = forward.parameters_of(model)["embed.W_E"][tokens].mean((0, 1))
    return {"embed": embedding} | {head_name(head): value for head, value in of_heads.items()}


def in_page(model: Model, row: Tensor, means: Mapping[str, Tensor], asked: Sequence[tuple[list[str], str]]) -> list:
    """logits [pos, vocabulary] and losses of each way of removing something, as the page computes them."""
    weights = forward.parameters_of(model)
    names = sorted(weights)
    checkpoint = {
        "step": 7,
        "weights": live.packed(weights, names),
        "means": {name: live.listed(value) for name, value in means.items()},
    }
    data = {
        "config": live.config(model.cfg),
        "layout": [{"name": name, "size": weights[name].numel()} for name in names],
        "checkpoints": [checkpoint],
    }
    body = """
        const model = makeLive(given.data);
        return given.asked.map(([removed, method]) => {
            const { run, losses } = model.run(7, given.row, removed, method);
            return { logits: Array.from(run.logits), losses, pattern: Array.from(run.patterns.get("L1H1")) };
        });
    """
    return called(LIVE, body, {"data": data, "row": row.tolist(), "asked": asked})


def in_python(model: Model, row: Tensor, means: Mapping[str, Tensor], removed: list[str], method: str) -> Tensor:
    """The same logits by hooks of `ablations`."""
    change = parse_change("+".join(removed)) if removed else None
    if change is None:
        return forward.logits(forward.weights_of(model), model.cfg, row[None])[0]

    def value(source: object) -> Tensor:
        name = source if isinstance(source, str) else head_name(source)  # type: ignore[arg-type]
        return means[name] if method == "mean" else torch.zeros(1)

    of_paths = {path.source: value(path.source) for path in change.cuts}
    of_heads = {head: value(head) for head in change.heads}
    return effects.run(model, row[None], paths.cut(model, change.cuts, of_paths) + heads.replace(of_heads))[0]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_are_those_of_python_whatever_is_removed(name: str, tokens: Tensor) -> None:
    model, row = rounded(make_model(seed=3, **ARCHITECTURES[name])), tokens[0]
    means = stand_ins(model, tokens)
    asked = [(removed, method) for removed in REMOVED for method in ("zero", "mean")]
    ours = in_page(model, row, means, asked)
    clean = np.array(ours[0]["logits"])
    for (removed, method), answer in zip(asked, ours, strict=True):
        expected = in_python(model, row, means, removed, method)
        logits = np.array(answer["logits"]).reshape(expected.shape)
        assert np.abs(logits - expected.numpy()).max() < 1e-4, (removed, method)
        losses = torch.nn.functional.cross_entropy(expected[:-1], row[1:], reduction="none").numpy()
        assert answer["losses"][0] is None and np.abs(np.array(answer["losses"][1:]) - losses).max() < 1e-4
        if removed:  # the control: another cut is seen
            assert np.abs(logits.ravel() - clean).max() > 1e-2, (removed, method)


def test_attention_is_that_of_python(model: Model, tokens: Tensor) -> None:
    model = rounded(model)
    row, means = tokens[0], stand_ins(model, tokens)
    (answer,) = in_page(model, row, means, [([], "zero")])
    _, cache = model.run_with_cache(row[None])
    expected = cache["blocks.1.attn.hook_pattern"][0].numpy()
    ours = np.array(answer["pattern"]).reshape(expected[1].shape)
    assert np.abs(ours - expected[1]).max() < 1e-5 < np.abs(ours - expected[2]).max()


def test_numbers_of_16_bits_are_read_whatever_they_are() -> None:
    bits = np.concatenate([np.arange(0, 65536, 7), [1, 1023, 1024, 31743, 32768, 33791]]).astype(np.uint16)
    numbers = bits.view(np.float16).astype(np.float64)
    kept = bits[np.isfinite(numbers)]
    ours = called(LIVE, "return given.map(halfToNumber);", kept.tolist())
    assert ours == numbers[np.isfinite(numbers)].tolist()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (GPT2, "it has MLPs: the page runs attention-only models"),
        ({"positional_embedding_type": "alibi"}, "its positions are alibi"),
    ],
)
def test_what_the_page_cannot_run_is_said_in_one_line(changes: dict, reason: str) -> None:
    with pytest.raises(NotMeasurable, match=reason) as raised:
        live.check(make_model(**changes).cfg)
    assert "\n" not in str(raised.value)
    live.check(make_model().cfg)  # the control


def test_rotary_positions_are_seen_in_the_logits(tokens: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the models above that turn queries and keys: without turning, logits are others."""
    model = rounded(make_model(positional_embedding_type="rotary", rotary_dim=4))
    row, means = tokens[0], stand_ins(model, tokens)
    (turned,) = in_page(model, row, means, [([], "zero")])
    as_it_is = live.config(model.cfg)
    monkeypatch.setattr(live, "config", lambda _: as_it_is | {"rotary": None})
    (straight,) = in_page(model, row, means, [([], "zero")])
    assert np.abs(np.array(turned["logits"]) - np.array(straight["logits"])).max() > 1e-2
