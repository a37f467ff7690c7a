"""Flags that several verbs have; nothing heavy is imported here, so that `--help` stays fast."""

import argparse
import os
from pathlib import Path

DEFAULT_RUN = "mini-seed0"
BUNDLED = ("mini-seed0", "mini-seed1", "mini-seed2")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """--run, --corpus, --out, --seed, --workers, --scheduler, --device."""
    parser.add_argument(
        "--run",
        default=DEFAULT_RUN,
        help="a run's folder, or its name in runs/ or in the bundled zoo (default: %(default)s)",
    )
    _add_place_arguments(parser)


def _add_place_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--corpus",
        help="python, python:code, python:prose, cpp, synthetic or text:PATH (default: what the run was trained on)",
    )
    parser.add_argument("--out", type=Path, help="results folder (default: results/RUN)")
    parser.add_argument("--seed", type=int, default=0, help="of measurements and sampling (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes (default: one per core, %(default)s)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="work on the Dask cluster of this scheduler (host:port) in their place"
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="what chains, ablations and discovery run on; cuda: one process a GPU (default: %(default)s)",
    )


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """--run (repeatable) and the flags of a place: of runs that are looked at together."""
    parser.add_argument(
        "--run",
        action="append",
        help="a run's folder, or its name in runs/ or in the bundled zoo; repeatable (default: the bundled seeds)",
    )
    _add_place_arguments(parser)


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """--settings, --reference, --gauge."""
    from llc.settings import NAMED

    parser.add_argument(
        "--settings",
        choices=NAMED,
        default="QUICK",
        help="of rLLC chains, MINI with shared noise (default: %(default)s)",
    )
    parser.add_argument(
        "--reference",
        choices=("last", "same"),
        help="refine rLLCs by the run's one-layer reference model: its last checkpoint, or the one of the same step "
        "(default: the next-token loss)",
    )
    add_gauge_argument(parser)


def add_gauge_argument(parser: argparse.ArgumentParser) -> None:
    """--gauge: in which weights of the same function rLLCs are sampled."""
    parser.add_argument(
        "--gauge",
        choices=("trained", "balanced"),
        default="trained",
        help="of rLLCs: weights as trained, or those of the same function that do not depend on training, so that the "
        "rLLC is the head's own (default: %(default)s)",
    )


def add_heads_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """--heads: that of what a verb measures for all heads, some are asked for."""
    parser.add_argument("--heads", metavar="HEAD", nargs="+", default=(), help=f"{what} (default: all heads)")


def add_pass_arguments(parser: argparse.ArgumentParser, tokens: int) -> None:
    """--step, --tokens, --layer-norm."""
    parser.add_argument("--step", type=int, help="checkpoint (default: the last)")
    parser.add_argument(
        "--tokens", type=int, help=f"of held-out text (default: {tokens}, or all where there are fewer)"
    )
    parser.set_defaults(default_tokens=tokens)
    parser.add_argument(
        "--layer-norm",
        choices=("recompute", "freeze"),
        default="recompute",
        help="of a cut path's target: recompute it (exact), or keep its scale (default: %(default)s)",
    )
