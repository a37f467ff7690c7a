"""What is told of a circuit's stability, and how it is drawn."""

import numpy as np
import xarray as xr

from experiments.pages import circuit_words


def said(frequency: list[float], found: list[bool]) -> str:
    paths = [f"L0H{number}->output" for number in range(len(found))]
    again = xr.Dataset(
        {"frequency": ("path", np.array(frequency)), "jaccard": ((), 0.834)}, {"path": paths}, {"draws": 50}
    )
    return circuit_words.as_stable(again, xr.DataArray(found, dims="path"))


def test_the_sentence_counts_what_is_found_again() -> None:
    text = said([1.0, 0.8, 0.5, 0.9, 0.1], [True, True, True, False, False])
    assert text.startswith("3 paths pass a false-discovery rate of 5%, 2 of them on at least 80% of 50 resamples")
    assert "what two resamples find shares 83% of its paths" in text
    assert said([0.3, 0.2], [False, False]).startswith("0 paths pass a false-discovery rate of 5%, 0 of them")
