"""The same weights under TransformerLens 3 and 4: one environment writes what it measures, the other compares.

    .venv/bin/python -m tests.both_majors write FOLDER
    .venv-tl4/bin/python -m tests.both_majors compare FOLDER

Logits, losses under cuts by functions and by hooks, effects of paths on a task, and learning coefficients must agree
to 1e-10 of the largest in float64 and to 1e-5 in float32. A model whose scale of attention is another is the negative
control: it must not agree.
"""

import argparse
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ablations import ablate, cut, effects, heads, models
from ablations.configuration import Configuration
from circuits import discover, planted
from experiments import open_run
from llc import QUICK, learning_coefficient, sample
from tests.conftest import GPT2, PYTHIA, make_model

SIZES = {"d_model": 32, "d_head": 8, "n_heads": 4, "n_ctx": 32, "d_vocab": 60}
CLOSE = {torch.float64: 1e-10, torch.float32: 1e-5}
FEWER = replace(QUICK, num_draws=20, num_burnin=8)


def given() -> dict[str, Any]:
    """The models whose weights both environments measure."""
    run = open_run("mini-seed0")
    return {
        "mini-seed0": run.bare_model(run.steps[-1]),
        "planted": planted.induction(noise=0.1).model,
        "gpt2": make_model(**SIZES | GPT2),
        "pythia": make_model(**SIZES | PYTHIA),
    }


def measured(model: Any, name: str) -> dict[str, torch.Tensor]:
    """What is compared of one model, by name."""
    tokens = torch.randint(min(60, model.cfg.d_vocab), (6, 12), generator=torch.Generator().manual_seed(0))
    paths = ["L0H1->L1H2.k", "L0H0->L1H2.v", "L0H3->output"]
    both = cut(model, paths[:2], layer_norm="freeze") + heads.mean(model, "L0H0", tokens)
    found = {"logits": model(tokens), "losses under cuts": effects.token_losses(model, tokens, both)}
    for way in ("functions", "hooks"):
        found[f"effects of cuts by {way}"] = ablate(model, tokens, paths, method="zero", way=way).effect
    traces = sample(model, tokens, ["L0H1", "L1H2", "L1+unembed"], settings=FEWER, seed=0)
    for restriction, trace in traces.items():
        found[f"rLLC of {restriction}"] = torch.tensor(float(learning_coefficient(trace).value))
    if name == "planted":
        task = planted.induction(noise=0.1).tasks[0]
        found["effects of paths on a task"] = torch.from_numpy(discover.path_effects(model, task).effect)
    return {name: value.detach().double().contiguous() for name, value in found.items()}


def kinds(folder: Path) -> list[tuple[str, torch.dtype, Path]]:
    """Every model in each precision, and where its results are."""
    return [(file.name, dtype, file / f"{dtype}.safetensors") for file in sorted(folder.iterdir()) for dtype in CLOSE]


def loaded(folder: Path, name: str, dtype: torch.dtype, **changed: float) -> Any:
    """The model as the class that this version makes models of."""
    kept = models.load(folder / name)
    model = models.new(kept.cfg.fields() | changed | {"dtype": dtype})
    model.load_state_dict(kept.state_dict(), strict=False)
    return model.eval()


def write(folder: Path) -> None:
    for name, model in given().items():
        models.save(model, folder / name)
    for name, dtype, file in kinds(folder):
        save_file(measured(loaded(folder, name, dtype), name), file)


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, float]:
    """The largest difference of each result, over the largest value."""
    return {name: float((one[name] - other[name]).abs().max() / one[name].abs().max()) for name in one}


def compare(folder: Path) -> None:
    print(f"TransformerLens {version('transformer-lens')} against what is in the folder")
    failed = []
    for name, dtype, file in kinds(folder):
        expected = load_file(file)
        found = apart(expected, measured(loaded(folder, name, dtype), name))
        print(name, dtype, {what: f"{value:.1e}" for what, value in found.items()})
        failed += [(name, dtype, what) for what, value in found.items() if not value < CLOSE[dtype]]
        scale = Configuration.of(loaded(folder, name, dtype).cfg).attn_scale
        control = apart(expected, measured(loaded(folder, name, dtype, attn_scale=1.1 * scale), name))
        failed += [(name, dtype, f"control: {what}") for what in ("logits",) if control[what] < 1e-3]
    if failed:
        raise SystemExit(f"not the same: {failed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=("write", "compare"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    {"write": write, "compare": compare}[arguments.action](arguments.folder)


if __name__ == "__main__":
    main()
