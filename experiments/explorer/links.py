"""Where the explorer leads to: the pages of the same results folder that are there when it is written."""

from ablations.names import all_heads, head_name
from experiments.pages.layout.run_links import INDEX
from experiments.results.cells import Cells
from experiments.results.file_names import variant


def of_folder(cells: Cells) -> dict[str, dict[str, str]]:
    """pages: addresses by title; cards: addresses of the heads' cards at the last checkpoint, by head. Relative to the
    page, so that the folder can be moved or sent.
    """
    own, last = variant(cells.run, cells.plan), cells.run.steps[-1]
    names = {
        "Report": f"report{own}.html",
        "Circuit": f"circuit_induction_{last}{own}.html",
    }
    cards = {name: f"heads/{name}{own}.html" for name in map(head_name, all_heads(cells.run.model_config()))}
    return {
        # the index is written with the explorer
        "pages": {"All results": INDEX}
        | {title: name for title, name in names.items() if (cells.folder / name).is_file()},
        "cards": {head: name for head, name in cards.items() if (cells.folder / name).is_file()},
    }
