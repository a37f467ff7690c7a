"""The pass over code: heads of the last layer, at the end, on held-out text of another corpus than the run's own."""

from pathlib import Path

from experiments import runs
from experiments.results import plan
from experiments.results.cells import Cells
from experiments.study import on_code


def test_the_pass_is_of_the_last_layer_on_code_alone(tmp_path: Path) -> None:
    cells = Cells(tmp_path, runs.open_run("mini-seed0"), plan.default_plan("python", 256))
    asked = on_code.asked(cells)
    assert asked.what == tuple(f"L1H{head}" for head in range(8))
    assert (asked.step, asked.method, asked.keep) == (28000, "mean", True)
    assert asked.tokens == min(on_code.TOKENS, on_code.cells_on_code(cells).inputs.free_tokens)
    jobs = on_code.missing(cells)
    assert jobs and {job.arguments[2].corpus for job in jobs} == {"python:code"}
    assert cells.plan.corpus == "python" and not list(tmp_path.iterdir())
