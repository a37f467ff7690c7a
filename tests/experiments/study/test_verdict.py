"""One word for each claim, and findings as plain JSON."""

import json
import math

import numpy as np
import pytest

from experiments.study.verdict import Claim, Control, Finding, opposite, plain, verdict


@pytest.mark.parametrize(
    ("testable", "met", "against", "fired", "word"),
    [
        (False, True, False, False, "not testable"),
        (True, True, False, False, "replicated"),
        (True, True, False, True, "inconclusive"),
        (True, False, True, True, "inconclusive"),
        (True, False, True, False, "contradicted"),
        (True, False, False, False, "inconclusive"),
    ],
)
def test_one_word_follows_from_the_rules(testable: bool, met: bool, against: bool, fired: bool, word: str) -> None:
    assert verdict(testable=testable, met=met, opposite=against, control_fired=fired) == word


def test_a_statistic_cannot_meet_and_contradict_its_claim() -> None:
    with pytest.raises(ValueError, match="at once"):
        verdict(testable=True, met=True, opposite=True, control_fired=False)
    assert opposite((-2.0, -1.0), 0.0) and opposite((1.0, 2.0), 0.0, "below")
    assert not opposite((-2.0, 1.0), 0.0) and not opposite((1.0, 2.0), 0.0) and not opposite((math.nan, -1.0), 0.0)


def test_a_finding_is_plain_json() -> None:
    control = Control("shuffled types", math.nan, 0.4, False)
    details = {"each": np.array([1.0, np.nan]), "n": np.int64(3), 2: (True, None)}
    finding = Finding(
        Claim(2, "differentiation", "s", "p", "c", "clustering"), "summed index", 1.5, (0.5, math.inf), 0.0, 0.004,
        "16 heads", "0.3", (control,), {"balanced gauge": "no"}, details, "", "replicated",
    )  # fmt: skip
    record = json.loads(json.dumps(finding.record(), allow_nan=False))
    assert (record["number"], record["figure"], record["verdict"]) == (2, "clustering", "replicated")
    assert record["interval"] == [0.5, None] and record["controls"][0]["value"] is None
    assert record["details"] == {"each": [1.0, None], "n": 3, "2": [True, None]}
    with pytest.raises(TypeError, match="set"):
        plain({1, 2})
