"""Why the heads of a circuit look where they do: a section of its page."""

from collections.abc import Mapping

import pandas as pd

from experiments.pages.layout import elements
from experiments.pages.layout.page import Section
from experiments.statistics.intervals import give_or_take

TOP = 3  # pairs of a head
COLUMNS = ("head", "attention", "because of its queries'", "and its keys'", "contrast (95% confidence interval)", "of")
EXPLANATION = (
    "For each head that the circuit reaches through queries or keys, the places of the clean prompts at which it "
    "attends most, with their mean attention. The score of query and key is a sum over pairs of what each was written "
    "by; the contrast of a pair is how much it raises the score of the key that is attended to above the mean of the "
    "other keys, before the softmax, with its interval over prompts; beside it the whole contrast, to which all pairs "
    "sum exactly"
)


def sections(attended: Mapping[str, pd.DataFrame]) -> list[Section]:
    """The largest pairs of each head; nothing where there is no head."""
    rows = [
        [
            head if number == 0 else "",
            f"{pairs.attrs['attention']:.2f}" if number == 0 else "",
            row["query_source"],
            row["key_source"],
            give_or_take(row["contrast"], row["half_width"], 1),
            f"{pairs.attrs['total']:.1f}" if number == 0 else "",
        ]
        for head, pairs in attended.items()
        for number, row in enumerate(pairs.head(TOP).to_dict("records"))
    ]
    if not rows:
        return []
    table, note = elements.table(COLUMNS, rows, words=(0, 2, 3)), elements.quiet(elements.sentence(EXPLANATION))
    return [Section("Why its heads look there", elements.joined(table, note))]
