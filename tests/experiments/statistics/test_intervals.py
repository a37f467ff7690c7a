"""How far 95% intervals reach, with the degrees of freedom that a table keeps, and without."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from experiments.statistics import intervals


def table(degrees: float | None) -> xr.Dataset:
    data = {"effect": ("head", [0.5, 0.2]), "effect_se": ("head", [0.1, 0.2])}
    return xr.Dataset(data if degrees is None else data | {"effect_degrees": ("head", [degrees, 2 * degrees])})


def test_reach_is_of_student_where_degrees_are_known() -> None:
    assert intervals.reach() == intervals.TWO_SIDED == 1.96
    assert intervals.reach(4.0) == pytest.approx(stats.t.ppf(0.975, 4))
    assert intervals.reach(np.array([4.0, np.inf, np.nan])) == pytest.approx([2.776445, 1.96, 1.96])


def test_margins_of_a_table_know_its_degrees_and_stay_where_it_has_none() -> None:
    assert intervals.margin(table(4.0), "effect").values == pytest.approx([0.2776445, 0.4612008])
    assert intervals.margin(table(None), "effect").values == pytest.approx([0.196, 0.392])


def test_one_number_is_written_from_datasets_rows_and_dicts_alike() -> None:
    at = table(4.0).isel(head=0)
    row = pd.Series({name: float(at[name]) for name in at.data_vars})
    assert {intervals.written(each, "effect") for each in (at, row, row.to_dict())} == {"0.500 ± 0.278"}
    assert intervals.written(table(None).isel(head=0), "effect") == "0.500 ± 0.196"
    assert intervals.bracketed(0.5, 0.1, degrees=4.0) == "0.50 [0.22, 0.78]"


def test_caution_is_said_below_twenty_documents_alone() -> None:
    assert "as much as 5 documents" in intervals.caution(table(4.0), "effect")
    assert intervals.caution(table(19.0), "effect") == ""
    assert intervals.caution(table(math.inf), "effect") == intervals.caution(table(None), "effect") == ""
