"""All head-to-head paths at once against one forward pass per path: our own hooks, and TransformerLens's path patching.

    python benchmarks/paths.py [--tl4 PYTHON]

takes ten minutes on two idle cores and writes benchmarks/results/paths.json. Times are of one thread, per path and
token, in turns on the same rows of held-out text of the bundled model; the last case is the whole table over 100,000
tokens on all cores, processes and all, as the verb `paths` does it. --tl4: a Python that has transformer-lens 4, to run
`paths_tl4.py` with. Cutting with a recomputed and with a frozen layer norm is compared on the same rows.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from transformer_lens.tools.analysis.direct_path_patching import get_act_patch_direct_path

from ablations import changed_losses, effects, forward, substitutes
from ablations.changes import Change
from ablations.paths import all_paths, cut, path_name
from experiments import runs
from experiments.heldout import ablation_pass
from experiments.heldout.ablation_pass import AblationPass
from experiments.jobs.executors import pool
from experiments.results.cells import Cells
from experiments.results.plan import default_plan
from experiments.storage.files import write_json

OUT = Path(__file__).parent / "results" / "paths.json"
ROWS, REPEATS, HOOKED = 16, 5, 8  # rows of text, turns, paths that our hooks and TransformerLens run in each turn
TOKENS = 100_000


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(works: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Times of each, all once before the next turn; a first turn does not count."""
    for work in works.values():
        work()
    turns = [{name: timed(work) for name, work in works.items()} for _ in range(REPEATS)]
    return {name: [turn[name] for turn in turns] for name in works}


def speed(model, tokens: torch.Tensor, donors: torch.Tensor) -> list[dict]:  # type: ignore[no-untyped-def]
    """One path's time: ours among all, our hooks, TransformerLens 3.9."""
    weights, cfg = forward.weights_of(model), model.cfg
    paths = all_paths(cfg)
    changes = [Change(cuts=(path,)) for path in paths]
    values = substitutes.mean_z(weights, cfg, donors)
    with torch.no_grad():
        (_, clean), (_, corrupted) = (model.run_with_cache(text) for text in (donors, tokens))

    def hooked() -> None:
        for path in paths[:: len(paths) // HOOKED]:
            effects.token_losses(model, tokens, cut(model, [path], values))

    def transformer_lens() -> None:
        with torch.no_grad():
            get_act_patch_direct_path(
                model, tokens, clean, corrupted, lambda logits: _loss(logits, tokens), 0, 5, "k", verbose=False
            )

    works: dict[str, Callable[[], object]] = {
        "ours": lambda: list(changed_losses.blocks(weights, cfg, tokens, changes, substitutes.fixed(values))),
        "hooks": hooked,
        "transformer-lens 3.9": transformer_lens,
    }
    counts = {"ours": len(paths), "hooks": len(paths[:: len(paths) // HOOKED]), "transformer-lens 3.9": cfg.n_heads}
    times = in_turns(works)
    scored = tokens[:, 1:].numel()
    each = {name: [t / counts[name] / scored * 1e6 for t in found] for name, found in times.items()}
    rows = []
    for name in ("hooks", "transformer-lens 3.9"):
        ratio = statistics.median(theirs / ours for theirs, ours in zip(each[name], each["ours"], strict=True))
        row = {"case": f"one path, against {name}", "peer": statistics.median(each[name])}
        rows.append(row | {"ours": statistics.median(each["ours"]), "ratio": ratio, "target": 10.0, "met": ratio >= 10})
    return rows


def _loss(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def layer_norms(model, tokens: torch.Tensor, donors: torch.Tensor) -> dict:  # type: ignore[no-untyped-def]
    """What freezing the target's layer norm changes in the table of mean effects."""
    weights, cfg = forward.weights_of(model), model.cfg
    paths = all_paths(cfg)
    changes = [Change(cuts=(path,)) for path in paths]
    means = substitutes.means(weights, cfg, donors)
    exact, frozen = (
        np.concatenate(
            [block.effect.mean(2) for block in changed_losses.blocks(weights, cfg, tokens, changes, means, layer_norm)],
            axis=1,
        ).mean(1)
        for layer_norm in ("recompute", "freeze")
    )
    off = np.abs(frozen - exact) / np.abs(exact)
    large = np.argsort(-np.abs(exact))[: len(exact) // 4]
    worst = large[np.argmax(off[large])]
    return {
        "case": "frozen against recomputed layer norm, mean effects of the 192 paths",
        "median difference": float(np.median(off)),
        "median difference of the quarter with the largest effects": float(np.median(off[large])),
        "worst of that quarter": {"path": path_name(paths[worst])}
        | {name: float(effect[worst]) for name, effect in (("exact", exact), ("frozen", frozen))},
        "signs that differ": int((np.sign(frozen) != np.sign(exact)).sum()),
        "Spearman": float(stats.spearmanr(frozen, exact).statistic),
    }


def whole_table(run: runs.Run, workers: int) -> dict:
    what = tuple(path_name(path) for path in all_paths(run.model_config()))
    with tempfile.TemporaryDirectory() as folder:
        cells = Cells(Path(folder), run, default_plan("python", run.config["model"]["n_ctx"]))
        asked = ablation_pass.check(AblationPass(what, run.steps[-1], TOKENS, "mean"), cells.inputs)
        seconds = timed(lambda: _survey(cells, asked, workers))
        count = ablation_pass.means(cells, asked).attrs["tokens"]
    case = f"all {len(what)} paths over {count} tokens, {workers} processes started"
    return {"case": case, "ours": seconds, "unit": "seconds", "target": 60.0, "met": seconds < 60}


def _survey(cells: Cells, asked: AblationPass, workers: int) -> None:
    with pool(workers) as executor:
        ablation_pass.compute(cells, [asked], executor)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tl4", help="a Python with transformer-lens 4")
    arguments = parser.parse_args()
    run = runs.open_run("mini-seed0")
    model, corpus = run.model(run.steps[-1]), run.corpus("test")
    torch.set_num_threads(1)
    tokens, donors = corpus.batch(slice(0, ROWS)), corpus.batch(slice(ROWS, 2 * ROWS))
    rows = speed(model, tokens, donors)
    if arguments.tl4:
        script = str(Path(__file__).with_name("paths_tl4.py"))
        answer = subprocess.run([arguments.tl4, script, str(ROWS)], capture_output=True, text=True, check=True)
        rows.append({"case": "one path, against transformer-lens 4", **json.loads(answer.stdout.splitlines()[-1])})
    rows += [whole_table(run, 2), layer_norms(model, corpus.batch(slice(0, 64)), corpus.batch(slice(64, 128)))]
    for row in rows:
        print(row)
    record = {
        "name": "paths",
        "command": "python benchmarks/paths.py --tl4 PYTHON",
        "machine": "two cores of an AMD EPYC",
        "unit": "microseconds of one path and token, one thread, unless said otherwise",
        "rows": rows,
    }
    write_json(OUT, record)


if __name__ == "__main__":
    main()
