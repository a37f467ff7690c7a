"""Types of heads: planted ones are called what they are, and each rule by itself."""

import math

import pytest
import torch

from ablations.effects import Estimate
from circuits import classify, planted, planted_evidence
from circuits.classify import Evidence, HeadType, alike, head_type
from circuits.planted import PLANTS, Plant
from experiments.figures.clustering import MARKERS

NAMES = [plant.__name__ for plant in PLANTS]


def labels(plant: Plant) -> dict:
    return {head: head_type(head, evidence).label for head, evidence in planted_evidence.evidence(plant).items()}


@pytest.mark.parametrize(
    "layer_norm, noise, seed", [(True, 0.0, 0), (False, 0.05, 1), (True, 0.05, 0), (False, 0.1, 0), (True, 0.1, 1)]
)
@pytest.mark.parametrize("make", PLANTS, ids=NAMES)
def test_planted_heads_are_called_what_they_are(make, layer_norm: bool, noise: float, seed: int) -> None:
    plant = make(layer_norm, noise, seed)
    found = labels(plant)
    assert found == {head: plant.types.get(head, "inactive") for head in found}


@pytest.mark.parametrize("layer_norm", [False, True])
def test_one_of_two_that_do_the_same_is_seen_without_the_other(layer_norm: bool) -> None:
    """Removed by itself it costs a tenth of what it does; were that nothing, it would be called inactive."""
    plant = planted.redundant(layer_norm)
    found = planted_evidence.evidence(plant)
    pair = [(0, 1), (0, 3)]
    for head in pair:
        alone, given = found[head].effect, found[head].given_alike
        assert given is not None
        assert 0 < alone.value < 0.1 * given.value
        without = found[head]._replace(effect=NOTHING)
        assert head_type(head, without).label == "previous-token"
        assert head_type(head, without._replace(given_alike=None)).label == "inactive"
    decoy = next(head for head in found if head[0] == 0 and head not in pair and found[head].offsets[1] > 0.9)
    assert found[decoy].given_alike is not None
    assert head_type(decoy, found[decoy]).label == "inactive", "attends as they do, and nothing reads it"


@pytest.mark.parametrize("make", PLANTS, ids=NAMES)
def test_without_the_plant_no_head_is_called_what_it_was(make) -> None:
    for seed in range(2):
        plant = make(True, 0.1, seed, removed=True)
        found = labels(plant)
        assert all(found[head] == "inactive" for head in plant.types)
        assert not {"previous-token", "induction", "bracket"} & set(found.values())


ACTIVE, NOTHING = Estimate(0.1, 0.01), Estimate(0.0, 0.01)
REPEATS = {"induction": 0.6, "n-gram": 0.4}


def known(effect: Estimate = ACTIVE, offsets: tuple = (0.1, 0.1, 0.1), **more) -> Evidence:
    """Evidence of a head that attends evenly, and whose direct path costs as much as the whole head."""
    usual: dict = {"kept": 0.0, "keys": 0.0, "direct": ACTIVE, "affected": REPEATS}
    return Evidence(effect, offsets, **(usual | more))


def labels_of(layer: int, evidence: Evidence) -> tuple[str, ...]:
    return head_type((layer, 0), evidence).labels


@pytest.mark.parametrize(
    "effect, all_heads, given, expected",
    [
        (Estimate(0.02, 0.01), 0.0, None, "induction"),
        (Estimate(0.0195, 0.01), 0.0, None, "inactive"),
        (Estimate(-0.02, 0.01), 0.0, None, "suppression"),
        (Estimate(-0.0195, 0.01), 0.0, None, "inactive"),
        (Estimate(0.0, 0.0), 0.0, None, "inactive"),
        (Estimate(0.05, 0.01), 3.0, None, "induction"),
        (Estimate(0.05, 0.01), 3.1, None, "inactive"),  # the interval reaches to 1% of 3.1
        (Estimate(0.05, 0.01), -3.1, None, "inactive"),
        (Estimate(-0.05, 0.01), 3.0, None, "suppression"),
        (Estimate(-0.05, 0.01), 3.1, None, "inactive"),
        (NOTHING, 0.0, Estimate(0.02, 0.01), "induction"),
        (NOTHING, 0.0, Estimate(0.0195, 0.01), "inactive"),
        (NOTHING, 0.0, Estimate(-0.02, 0.01), "suppression"),
        (ACTIVE, 0.0, NOTHING, "induction"),
        (ACTIVE, 0.0, Estimate(-0.5, 0.01), "induction"),
        (Estimate(-0.5, 0.01), 0.0, ACTIVE, "suppression"),  # its own effect decides where it tells
    ],
)
def test_a_head_is_active_when_the_interval_is_off_nothing(effect, all_heads, given, expected: str) -> None:
    assert labels_of(1, known(effect, all_heads=all_heads, given_alike=given)) == (expected,)


@pytest.mark.parametrize("loudness, expected", [(-0.5, "suppression"), (0.0, "inactive"), (0.5, "induction")])
def test_a_planted_suppressor_hurts_and_is_called_so(loudness: float, expected: str) -> None:
    """A second head attends as the induction head does and writes the same, with this factor."""
    plant = planted.induction()
    with torch.no_grad():
        attn = plant.model.blocks[1].attn
        for weight in (attn.W_Q, attn.W_K, attn.W_V):
            weight[0] = weight[2]
        attn.W_O[2] *= 0.5  # softer, so that answers are not as good as they can be without the other
        attn.W_O[0] = loudness * attn.W_O[2]
    found = planted_evidence.evidence(plant)
    kind = head_type((1, 0), found[1, 0])
    assert kind.label == expected
    assert (found[1, 0].effect.value < -1e-3) == (expected == "suppression")
    assert head_type((1, 2), found[1, 2]).label == "induction"
    if expected == "suppression":
        assert kind.why.startswith(f"removing it lowers the loss: effect {found[1, 0].effect.value:.4f} ± ")


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["effect", "se", "given_alike", "direct", "offsets", "kept", "keys", "all_heads"])
def test_evidence_that_is_no_number_is_refused(name: str, number: float) -> None:
    changed = {
        "effect": known(Estimate(number, 0.01)),
        "se": known(Estimate(0.1, number)),
        "given_alike": known(given_alike=Estimate(number, 0.01)),
        "direct": known(direct=Estimate(number, 0.01)),
        "offsets": known(offsets=(0.1, number)),
    }
    evidence = changed[name] if name in changed else known()._replace(**{name: number})
    with pytest.raises(ValueError, match=f"L1H0: .* is {number}: a type needs finite evidence") as refused:
        head_type((1, 0), evidence)
    assert "\n" not in str(refused.value)
    head_type((1, 0), known())  # negative control: finite evidence passes


def test_scores_that_are_no_numbers_are_refused() -> None:
    good, bad = {(0, 0): 0.9, (1, 0): 0.9}, {(0, 0): math.nan, (1, 0): math.nan}
    for ask in (classify.previous_token_heads, classify.induction_heads):
        assert ask(good)
        with pytest.raises(ValueError, match="H0 is nan"):
            ask(bad)
    with pytest.raises(ValueError, match="L0H0 is nan"):
        alike(good, bad)


def test_every_type_but_inactive_has_a_mark_of_its_own() -> None:
    assert set(MARKERS) == set(classify.TYPES) - {"inactive"}
    assert len(set(MARKERS.values())) == len(MARKERS)


BEFORE, ITSELF = (0.1, 0.2, 0.19), (0.5, 0.1, 0.1)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"offsets": BEFORE, "keys": 0.11}, ("previous-token", "induction")),
        ({"offsets": BEFORE, "keys": 0.1}, ("induction",)),  # no more than its direct path
        ({"offsets": (0.1, 0.199, 0.1), "keys": 0.11}, ("induction",)),
        ({"offsets": (0.1, 0.3, 0.31), "keys": 0.11}, ("induction",)),  # looks further back, too
        ({"offsets": (0.3, 0.3, 0.1), "keys": 0.11}, ("induction",)),
        ({"offsets": BEFORE, "keys": 0.11, "direct": NOTHING}, ("previous-token",)),
        ({"offsets": ITSELF, "kept": 0.8}, ("current-token", "induction")),
        ({"offsets": ITSELF, "kept": 0.79}, ("induction",)),
        ({"offsets": (0.49, 0.1, 0.1), "kept": 0.8}, ("induction",)),
        ({"offsets": ITSELF, "kept": 0.8, "direct": NOTHING}, ("current-token",)),
        ({"direct": NOTHING}, ("mixed",)),
    ],
)
def test_attention_tells_of_heads_of_the_first_layer_with_what_they_do(changes: dict, expected: tuple) -> None:
    assert labels_of(0, known(**changes)) == expected
    rest = tuple(label for label in expected if not label.endswith("token")) or ("mixed",)
    assert labels_of(1, known(**changes)) == rest


@pytest.mark.parametrize(
    "affected, expected",
    [
        ({"bracket": 0.3, "quote": 0.2}, "bracket"),
        ({"bracket": 0.3, "quote": 0.31, "none": 0.51}, "quote"),
        ({"n-gram": 0.1, "skip n-gram": 0.4, "bracket": 0.45}, "multigram"),
        ({"n-gram": 0.2, "none": 0.8}, "multigram"),
        ({"induction": 1.0}, "induction"),
        ({"induction": 0.4, "bracket": 0.4}, "mixed"),
        ({}, "mixed"),
        ({"n-gram": float("nan")}, "mixed"),
    ],
)
def test_what_the_direct_path_matters_for_tells_the_others(affected: dict, expected: str) -> None:
    for layer in (0, 1):
        assert labels_of(layer, known(affected=affected)) == (expected,)
        assert labels_of(layer, known(affected=affected, direct=NOTHING)) == ("mixed",)
        assert labels_of(layer, known(affected=affected, direct=Estimate(-0.1, 0.01))) == ("mixed",)


def test_the_reason_names_the_evidence() -> None:
    nothing = HeadType(("inactive",), "removing it costs 0.0000 ± 0.0196 nats per token")
    assert head_type((0, 0), known(NOTHING)) == nothing
    found = head_type((0, 0), known(offsets=BEFORE, keys=0.3, affected={"bracket": 0.75, "quote": 0.0}))
    assert found.why == (
        "attends 0.20 to the token before, at most 0.19 elsewhere; through keys of the next layer 0.300 nats per "
        "token, directly 0.100; its direct path matters most for: 75% bracket"
    )
    itself = head_type((0, 0), known(offsets=ITSELF, kept=0.664)).why
    assert itself.startswith("attends 0.50 to the token itself; with that alone 66% of its effect; ")


def test_alike_are_heads_of_the_first_layer_that_look_at_the_same_place() -> None:
    previous = {(0, 0): 0.9, (0, 1): 0.3, (0, 2): 0.1, (0, 3): 0.2, (1, 0): 0.9}
    current = {(0, 0): 0.0, (0, 1): 0.1, (0, 2): 0.8, (0, 3): 0.29, (1, 0): 0.9}
    both = ((0, 0), (0, 1))
    assert alike(previous, current) == {(0, 0): both, (0, 1): both, (0, 2): ((0, 2),)}
