"""The tokens that a head expresses and suppresses, on its card."""

from pathlib import Path

import numpy as np
import pytest

from ablations.not_measurable import NotMeasurable
from experiments.investigate.investigation import Investigation
from experiments.measurements.susceptibilities import SUSCEPTIBILITIES

pytestmark = pytest.mark.usefixtures("small")


def test_they_are_shown_once_they_are_measured(
    small: None, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.measurements.susceptibilities.TOKENS", 630)
    run = trained / "runs/tiny-seed0"
    before = Investigation(run, out=tmp_path, tokens=1500)["L1H2"]
    with pytest.raises(NotMeasurable, match="figure susceptibilities --run tiny-seed0 measures them"):
        _ = before.expressed
    cells, step = before.snapshot.cells, before.snapshot.step
    found = cells.get(SUSCEPTIBILITIES, step, restriction="L1H2")
    card = Investigation(run, out=tmp_path, tokens=1500)["L1H2"]
    frame, value, half = card.expressed, found["value"].values, found["half_width"].values
    assert (abs(frame["value"]) > frame.half_width).all() and len(frame) <= 10
    negative, positive = frame["value"][frame["value"] < 0], frame["value"][frame["value"] > 0]
    assert len(negative) == min(5, int((-value > half).sum())) and len(positive) == min(5, int((value > half).sum()))
    assert float(negative.iloc[0]) == value[-value > half].min()
    row, place = np.unravel_index(np.where(-value > half, value, 0).argmin(), value.shape)
    rows = cells.inputs.free_text
    assert frame.target[0] == rows.tokenizer.decode([int(rows.tokens[row, place + 1])])
    assert frame.context[0].endswith(rows.tokenizer.decode(rows.tokens[row, : place + 1].tolist())[-3:])
    page = card._repr_html_()
    assert f"{1e3 * float(negative.iloc[0]):.2f} ± " in page and "The tokens it expresses and suppresses" in page
