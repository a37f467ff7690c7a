"""Padded prompts have the attributions that they have alone."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ablations import padding
from ablations.padding import Padding
from ablations.paths import Path
from circuits.attributions.ceap import ceap
from circuits.attributions.magnitudes import magnitudes
from circuits.attributions.second_order import second_order
from circuits.tasks import Task
from tests.circuits.attributions.test_attributions import made

PATHS = [Path("embed", (0, 1), "k"), *(Path((0, 0), (1, 2), via) for via in "qkv"), Path((1, 1), "output")]


def second_terms(*arguments: object) -> np.ndarray:
    return second_order(*arguments).second


def effects_of(method: Callable) -> Callable[..., np.ndarray]:
    return lambda *arguments: method(*arguments).effect


@pytest.mark.parametrize("measure", [second_terms, effects_of(ceap), effects_of(magnitudes)])
def test_padded_prompts_are_measured_as_if_alone(measure: Callable[..., np.ndarray]) -> None:
    weights, cfg = made()
    marked = weights | padding.mark(Padding(0, left=True, begins=False, ends=False))
    generator = torch.Generator().manual_seed(0)
    clean, corrupted = (torch.randint(1, 50, (4, 6), generator=generator) for _ in range(2))
    right, wrong = torch.randint(50, (2, 4), generator=generator)
    alone = measure(weights, cfg, Task("alone", clean, corrupted, right, wrong), PATHS)
    pads, longer = torch.zeros(4, 2, dtype=torch.int64), torch.randint(1, 50, (4, 8), generator=generator)
    rows = (
        torch.cat([torch.cat([pads, tokens], 1), longer.roll(shift, 0)])
        for shift, tokens in enumerate((clean, corrupted))
    )
    together = Task("together", *rows, right.repeat(2), wrong.repeat(2))
    np.testing.assert_allclose(measure(marked, cfg, together, PATHS)[:, :4], alone, rtol=1e-9, atol=1e-12)
    unmarked = measure(weights, cfg, together, PATHS)[:, :4]  # the control: pads are read as text
    assert abs(unmarked - alone).max() > 1e-3
