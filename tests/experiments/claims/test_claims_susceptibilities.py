"""Claims 15a and 15b on planted maps: an axis that parts the kinds of heads, by the loss or already by noise."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from ablations.not_measurable import NotMeasurable
from experiments.claims import susceptibilities, token_maps
from experiments.claims.token_maps import Heads
from experiments.study.study import Study
from llc import token_map

RUNS = [f"seed{number}" for number in range(7)]
KINDS = np.array(["previous-token"] * 2 + ["multigram"] * 6 + ["induction"] * 2 + ["multigram"] * 6)
LAYER = np.repeat([0, 1], 8)
TOKENS = 400


def values(strength: float, seed: int, shared: np.ndarray) -> np.ndarray:
    """Heads' standardised values: one vector that all share, one that the circuit has, and noise."""
    drawn = np.random.default_rng(seed)
    circuit = np.isin(KINDS, token_maps.CIRCUIT)[:, None]
    made = shared[0] + strength * circuit * shared[1] + 0.5 * drawn.standard_normal((len(KINDS), TOKENS))
    return token_map.standardised(made)


def marks(kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which heads are of the circuit, and which are multigram heads."""
    return np.isin(kinds, token_maps.CIRCUIT), kinds == "multigram"


def study(of_loss: float, of_noise: float, kinds: np.ndarray = KINDS, agreement: float = 0.8) -> list[Heads]:
    """Seven seeds, the first of which the component is fixed on."""
    shared = np.random.default_rng(5).standard_normal((2, TOKENS))
    loadings = {
        source: token_maps.joint([values(strength, 10 * seed + offset, shared) for seed in range(len(RUNS))])
        for offset, (source, strength) in enumerate({"value": of_loss, "noise": of_noise}.items())
    }
    names = np.array([f"L{layer}H{head % 8}" for head, layer in enumerate(LAYER)])
    return [
        Heads(run, names, LAYER, *marks(kinds), {name: found[number] for name, found in loadings.items()}, agreement)
        for number, run in enumerate(RUNS)
    ]


@pytest.mark.parametrize(
    ("of_loss", "of_noise", "first", "second"),
    [
        (1.0, 0.2, "replicated", "replicated"),  # the loss parts them, noise hardly
        (1.0, 1.0, "replicated", "inconclusive"),  # noise does it as well
        (0.2, 1.0, None, "contradicted"),  # noise does it better
        (0.0, 0.0, "absent", "inconclusive"),  # nothing does
    ],
)
def test_planted_axes_are_found_for_what_they_are(
    of_loss: float, of_noise: float, first: str | None, second: str
) -> None:
    every = study(of_loss, of_noise)
    found = susceptibilities.judge_parted(every, RUNS[1:])
    beyond = susceptibilities.judge_beyond_noise(every, RUNS[1:])
    assert (found.claim.label, beyond.claim.label) == ("15a", "15b")
    assert first is None or found.verdict == first
    assert beyond.verdict == second
    assert not found.controls[0].fired and not beyond.controls[0].fired
    assert found.units == "6 seeds (" + ", ".join(RUNS[1:]) + ")"


def test_the_sign_is_that_of_the_first_seed() -> None:
    every = study(1.0, 0.2)
    turned = [
        every[0],
        *(one._replace(loadings={name: -own for name, own in one.loadings.items()}) for one in every[1:]),
    ]
    assert susceptibilities.judge_parted(turned, RUNS[1:]).verdict == "contradicted"


def test_seeds_without_both_kinds_and_halves_that_disagree_are_not_testable() -> None:
    assert susceptibilities.judge_parted(study(1.0, 0.2, agreement=0.3), RUNS[1:]).verdict == "not testable"
    every = study(1.0, 0.2)
    bare = every[1]._replace(circuit=np.zeros(16, dtype=bool))
    found = susceptibilities.judge_parted([every[0], bare, *every[2:]], RUNS[1:])
    assert found.verdict == "not testable" and "seed1 has 0 heads of the induction circuit and 12" in found.diagnosis
    assert len(found.details["by seed"]) == 5
    with pytest.raises(NotMeasurable, match="a component is fixed on two heads of both kinds"):
        susceptibilities.judge_parted([every[0]._replace(multigram=np.zeros(16, dtype=bool)), *every[1:]], RUNS[1:])
    with pytest.raises(NotMeasurable, match="seed1 has 0 heads"):
        susceptibilities.judge_parted([every[0], bare], RUNS[1:2])


def test_a_difference_below_the_smallest_one_of_interest_is_absent() -> None:
    every = study(1.0, 1.0)
    same = [one._replace(loadings=dict.fromkeys(one.loadings, one.loadings["value"])) for one in every]
    found = susceptibilities.judge_beyond_noise(same, RUNS[1:])
    assert found.verdict == "absent" and found.record()["interest"] == "0.5 d'"


def test_heads_of_several_labels_are_of_the_circuit_where_one_of_these_is() -> None:
    labels = ["previous-token, multigram", "multigram", "current-token, multigram", "multigram, induction"]
    types = xr.Dataset({"labels": ("restriction", labels)}, {"restriction": ["L0H0", "L0H1", "L0H2", "L1H0"]})
    names, circuit = types.restriction.values, [True, False, False, True]

    class Types(Study):
        def types(self, cells: object, step: int | None = None) -> xr.Dataset:
            return types.isel(restriction=[3, 2, 1, 0])  # in another order

    coords = {"restriction": names, "layer": ("restriction", [0, 0, 0, 1])}
    one = xr.Dataset({"agreement": ("restriction", np.ones(4))}, coords)
    cells = SimpleNamespace(run=SimpleNamespace(name="one"))
    found = token_maps._heads(Types(()), cells, one, {})  # type: ignore[arg-type]
    assert found.circuit.tolist() == circuit
    assert found.multigram.tolist() == [False, True, True, False]
