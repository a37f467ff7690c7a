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
        help="a run's folder, its name in runs/, or the name of a bundled run (default: %(default)s)",
    )
    _add_place_arguments(parser)


def _add_place_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--corpus",
        help="python, python:code, python:prose, cpp, synthetic or text:PATH (default: what the run was trained on)",
    )
    parser.add_argument("--out", type=Path, help="results folder (default: results/RUN)")
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of measurements and sampling (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes (default: one per core, %(default)s)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="work on the Dask cluster of this scheduler (host:port) instead"
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="device of chains, ablations and discovery; cuda: one process for each GPU (default: %(default)s)",
    )


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """--run (repeatable) and the flags of a place: of runs that are looked at together."""
    parser.add_argument(
        "--run",
        action="append",
        help="a run's folder, its name in runs/, or the name of a bundled run; repeatable (default: the bundled seeds)",
    )
    _add_place_arguments(parser)


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """--settings, --reference, --gauge."""
    from llc.settings import NAMED

    parser.add_argument(
        "--settings",
        choices=NAMED,
        default="QUICK",
        help="settings of the chains of rLLCs; MINI samples with shared noise (default: %(default)s)",
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
        help="gauge that rLLCs are sampled in: the weights as trained, or weights of the same function that do not "
        "depend on how training left their scales (default: %(default)s)",
    )


def add_heads_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """--heads: that of what a verb measures for all heads, some are asked for."""
    parser.add_argument("--heads", metavar="HEAD", nargs="+", default=(), help=f"{what} (default: all heads)")


def add_pass_arguments(parser: argparse.ArgumentParser, tokens: int) -> None:
    """--step, --tokens, --layer-norm."""
    parser.add_argument("--step", type=int, help="checkpoint (default: the last)")
    parser.add_argument(
        "--tokens",
        type=int,
        help=f"tokens of held-out text to measure on (default: {tokens}, or all where there are fewer)",
    )
    parser.set_defaults(default_tokens=tokens)
    parser.add_argument(
        "--layer-norm",
        choices=("recompute", "freeze"),
        default="recompute",
        help="layer norm of a cut path's target: recompute it (exact), or freeze its scale (default: %(default)s)",
    )
