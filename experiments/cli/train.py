"""The verb `train`: models of a preset from scratch."""

import argparse
from pathlib import Path

from experiments.runs import places

HELP = "train a preset's models from scratch (two layers, and the one-layer reference); resumes what is there"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preset",
        required=True,
        help="tiny (seconds), synthetic (minutes), mini, small (about an hour each) or paper (a GPU)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of initialisation and data order (default: %(default)s)"
    )
    parser.add_argument("--layers", type=int, action="append", help="1 or 2; repeatable (default: both, 2 first)")
    parser.add_argument("--corpus", help="train on another corpus: text:PATH or hf:NAME (default: the preset's)")
    parser.add_argument(
        "--out", type=Path, default=places.project() / "runs", help="folder of runs (default: %(default)s)"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="cpu or cuda (default: cuda where there is one)")


def run(arguments: argparse.Namespace) -> None:
    from dataclasses import replace

    from experiments.runs import presets

    preset = presets.get(arguments.preset)
    for n_layers in arguments.layers or ():
        if n_layers < 1:
            raise ValueError(f"--layers {n_layers}: a model has at least one layer")

    import torch

    from experiments.runs import train

    if arguments.corpus:
        preset = replace(preset, corpus=arguments.corpus)
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    for n_layers in arguments.layers or (2, 1):
        folder = arguments.out / train.run_name(preset, arguments.seed, n_layers)
        recorded = train.recorded(folder)
        # the bits of a matrix product depend on the number of threads, so a run keeps the one it began with
        threads = recorded["threads"] if recorded else torch.get_num_threads()
        torch.set_num_threads(threads)
        finished = train.train(preset, arguments.seed, n_layers, folder, device)
        print(f"wrote {len(finished.steps)} checkpoints in {folder}")
