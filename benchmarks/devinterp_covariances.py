"""Do ours and devinterp 2.0.1 estimate the same susceptibilities and Bayesian influences, each by chains of its own?

    python benchmarks/devinterp_covariances.py

needs the `peers` extra; takes some ten minutes on two cores, resumes from results/devinterp_covariances.json, and
writes benchmarks/results/devinterp_covariances.json. The model is mini-seed0 at its last checkpoint, a head of each
layer, the papers' nbeta and localization; the text that is sampled on, and that phi is of, are 16 rows of 64 tokens,
the probes 16 held-out ones. Each samples with six seeds, four chains of 25 evaluated draws each, and errors are those
of the mean over seeds. devinterp's numbers are those of its `susceptibilities()` and `bif()`, from one run of its
`sample()` for both. Compared are susceptibilities averaged over the tokens of a class, and covariances between the
losses of rows, by z-scores. The control is the other head of devinterp, which must be told apart.
"""

import json
import os
import platform
import shutil
import tempfile
from concurrent.futures import as_completed
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from datasets import Dataset
from devinterp.slt.bif import compute_bif
from devinterp.slt.sampling import sample as sample_by_devinterp
from devinterp.slt.susceptibilities import compute_susceptibilities
from devinterp.slt.weight_restrictions import create_param_masks
from scipy import stats
from tqdm import tqdm

from circuits import token_classes
from experiments import open_run
from experiments.jobs.executors import pool
from experiments.storage.files import write_json
from llc import Probes, Settings, sample
from llc.influence import loss_kernel
from llc.susceptibility import two_chains

OUT = Path(__file__).parent / "results" / "devinterp_covariances.json"
KEPT = Path("results/devinterp_covariances.json")
RUN, HEADS, SEEDS, ROWS, LENGTH = "mini-seed0", ("L0H5", "L1H4"), range(6), 16, 64
LR, NBETA, LOCALIZATION, CHAINS, BURNIN, EVALUATED, EVERY = 2e-3, 30.0, 200.0, 4, 15, 25, 4
LEVEL = 0.01  # at which any of the numbers of a comparison may differ, each with its share
Case = tuple[str, str, int]  # whose, restriction, seed


@cache
def _model() -> tuple[Any, torch.Tensor, torch.Tensor]:
    run = open_run(RUN)
    own, held_out = (run.corpus(split).batch(slice(0, ROWS))[:, :LENGTH] for split in ("train", "test"))
    return run.model(run.steps[-1]), own, held_out


def by_devinterp(restriction: str, seed: int) -> xr.DataTree:
    """Its samples, with the losses of both texts."""
    model, own, held_out = _model()
    data = {
        name: Dataset.from_dict({"input_ids": rows.tolist()}).with_format("torch")
        for name, rows in (("text", own), ("probes", held_out))
    }
    folder = Path(tempfile.mkdtemp())
    whole = {name: None for name, _ in model.named_parameters()}
    found = sample_by_devinterp(
        model.requires_grad_(True),
        data["text"],
        observables={name: (rows, 1) for name, rows in data.items()},
        param_masks=whole if restriction == "full" else create_param_masks(model, restriction.lower()),
        lr=LR,
        n_beta=NBETA,
        localization=LOCALIZATION,
        batch_size=ROWS,
        num_chains=CHAINS,
        num_burnin_steps=BURNIN,
        num_draws=EVALUATED,
        num_steps_bw_draws=EVERY,
        num_init_loss_batches=1,
        init_seed=1000 * (seed + 1),
        device="cpu",
        output_path=folder / "samples.zarr",
    ).load()
    shutil.rmtree(folder)
    return found


def ours(restrictions: list[str], seed: int) -> dict[str, xr.Dataset]:
    """The traces of heads of one layer, or of the whole model, with the losses of both texts."""
    model, own, held_out = _model()
    weights = torch.ones(2 * ROWS, LENGTH - 1)
    weights[ROWS:] = 0
    draws = BURNIN + EVERY * EVALUATED
    settings = Settings("devinterp", LR, NBETA, LOCALIZATION, ROWS, CHAINS, draws, BURNIN)
    probes = Probes(torch.cat([own, held_out]), EVERY, weights)
    return sample(model, own, restrictions, settings=settings, seed=seed, probes=probes)


def measured(who: str, head: str, seed: int) -> dict:
    """By class of token the mean susceptibility, and the influences of rows, with errors where there are some."""
    torch.set_num_threads(1)
    classes = _classes()
    if who == "devinterp":
        part, full = (by_devinterp(one, seed) for one in (head, "full"))
        values = compute_susceptibilities({"part": part, "full": full}, "text")["susceptibilities"]
        order = part.dataset.input_ids_probes.values
        _, _, held_out = _model()
        place = [int((order == row.numpy()).all(1).argmax()) for row in held_out]
        chi = values.dataset.to_dataarray().values.reshape(ROWS, LENGTH - 1)[place]
        options: dict = {"correlation_method": "sequence", "compute_covariance": True, "device": "cpu"}
        kernel = compute_bif(part, **options, loss_keys=["probes"]).influences.values[np.ix_(place, place)]
    else:
        part, full = ours([head], seed)[head], ours(["full"], seed)["full"]
        chi = two_chains(part, full).value.values[ROWS:]
        kernel = loss_kernel(part).value.values[ROWS:, ROWS:]
    by_class = {name: float(chi[classes == name].mean()) for name in token_classes.CLASSES}
    return {"chi": by_class, "kernel": kernel.tolist()}


@cache
def _classes() -> np.ndarray:
    run = open_run(RUN)
    tokenizer, held_out = run.corpus("test").tokenizer, _model()[2]
    vocabulary = [tokenizer.decode([token]) for token in range(run.model_config().d_vocab)]
    return np.array(token_classes.CLASSES)[token_classes.of_tokens(held_out.numpy(), vocabulary)[:, 1:]]


def z_scores(one: list[np.ndarray], other: list[np.ndarray]) -> np.ndarray:
    """Difference of the means over seeds in joint standard errors, from the spread over seeds."""
    a, b = np.stack(one), np.stack(other)
    return (a.mean(0) - b.mean(0)) / np.sqrt(a.var(0, ddof=1) / len(a) + b.var(0, ddof=1) / len(b))


def compared(kept: dict[Case, dict]) -> list[dict]:
    """Each head's numbers, ours against devinterp's, and against devinterp's of the other head."""
    upper = np.triu_indices(ROWS)
    rows = []
    for name in ("chi", "kernel"):
        found = {
            (who, head): [
                np.array(list(kept[who, head, seed]["chi"].values()))
                if name == "chi"
                else np.array(kept[who, head, seed]["kernel"])[upper]
                for seed in SEEDS
            ]
            for who in ("ours", "devinterp")
            for head in HEADS
        }
        for head, other in (HEADS, HEADS[::-1]):
            z, control = (z_scores(found["ours", head], found["devinterp", one]) for one in (head, other))
            means = [np.mean(found[who, head], axis=0) for who in ("ours", "devinterp")]
            largest = float(stats.t.ppf(1 - LEVEL / 2 / len(z), 2 * len(SEEDS) - 2))
            rows.append(
                {
                    "case": {"chi": "susceptibilities by class", "kernel": "influences between rows"}[name],
                    "head": head,
                    "numbers": len(z),
                    "mean square of z": float((z**2).mean()),
                    "largest |z|": float(np.abs(z).max()),
                    "correlation of the means": float(np.corrcoef(*means)[0, 1]),
                    "ratio of the means, by least squares": float(means[0] @ means[1] / (means[1] @ means[1])),
                    "control, the other head: largest |z|": float(np.abs(control).max()),
                    "largest |z| allowed": largest,
                    "met": bool(np.abs(z).max() < largest < np.abs(control).max()),
                }
            )
    return rows


def main() -> None:
    kept: dict[Case, dict] = {}
    if KEPT.exists():
        kept = {(who, head, seed): found for (who, head, seed), found in json.loads(KEPT.read_text())}
    cases = [(who, head, seed) for seed in SEEDS for who in ("devinterp", "ours") for head in HEADS]
    with pool(os.cpu_count() or 1) as executor:
        futures = {executor.submit(measured, *case): case for case in cases if case not in kept}
        for future in tqdm(as_completed(futures), total=len(futures)):
            kept[futures[future]] = future.result()
            write_json(KEPT, list(kept.items()))
    rows = compared(kept)
    record = {
        "name": "devinterp_covariances",
        "command": "python benchmarks/devinterp_covariances.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "target": "no |z| above what is allowed, and one with the other head",
        "met": all(row["met"] for row in rows),
        "rows": rows,
    }
    write_json(OUT, record)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
