"""What is told of a circuit's stability, and how it is drawn."""

import numpy as np
import xarray as xr

from experiments.pages import circuit_files


def said(frequency: list[float], found: list[bool]) -> str:
    paths = [f"L0H{number}->output" for number in range(len(found))]
    again = xr.Dataset(
        {"frequency": ("path", np.array(frequency)), "jaccard": ((), 0.834)}, {"path": paths}, {"draws": 50}
    )
    return circuit_files.as_stable(again, xr.DataArray(found, dims="path"))


def test_the_sentence_counts_what_is_found_again() -> None:
    text = said([1.0, 0.8, 0.5, 0.9, 0.1], [True, True, True, False, False])
    assert text.startswith("On 50 resamples of the prompts 2 of the 3 are found in at least 80%, and 1 others")
    assert "two such circuits share 83% of their paths" in text
    assert "others" not in said([1.0, 0.2], [True, False])
    assert said([0.3, 0.2], [False, False]) == "On 50 resamples of the prompts no path is found in 80% of them either"
