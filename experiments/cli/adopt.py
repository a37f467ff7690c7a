"""The verb `adopt`: models from elsewhere become a run."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.runs import places

if TYPE_CHECKING:
    from collections.abc import Generator

    from ablations.models import Model
    from experiments.runs.hub import Checkpoints

HELP = "write a run from checkpoints trained elsewhere (a folder, or a name on the Hugging Face hub)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder of state dicts named by step, OWNER/NAME on the hub, or a name like attn-only-2l or pythia-70m",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the new run, such as runs/NAME")
    parser.add_argument(
        "--corpus",
        required=True,
        help="what it is measured on, best the text it was trained on: text:PATH (JSON lines or parquet with a field "
        "text, plain text with two blank lines between documents, or a folder of such files), hf:NAME, python, ...",
    )
    parser.add_argument("--steps", type=int, nargs="+", metavar="STEP", help="checkpoints to take (default: all)")
    parser.add_argument(
        "--tokens-per-step",
        type=int,
        help="batch size times context in training (default: what SOURCE or its config.json tells)",
    )
    parser.add_argument(
        "--code-share",
        type=float,
        default=0.3,
        help="share of code in the rows, for the corpus python (default: %(default)s)",
    )
    parser.add_argument("--n-ctx", type=int, help="a shorter context to measure in (default: the model's)")
    parser.add_argument("--bos", help="token that rows start with (default: what the tokenizer says, or <|endoftext|>)")
    parser.add_argument(
        "--tokenizer", help="a folder, a tokenizer.json, or a name on the hub (default: what comes with SOURCE)"
    )


def run(arguments: argparse.Namespace) -> None:
    places.check_source(arguments.source)
    if arguments.tokens_per_step is not None and arguments.tokens_per_step < 1:
        raise ValueError(f"tokens_per_step={arguments.tokens_per_step}: it must be at least 1")
    if not 0 < arguments.code_share < 1:
        raise ValueError(f"--code-share {arguments.code_share}: it must be above 0 and below 1")

    from contextlib import closing

    from experiments.runs import adopt, first_losses, hub
    from experiments.runs.source import prepare

    found = prepare(
        arguments.source,
        arguments.corpus,
        tokenizer=arguments.tokenizer,
        tokens_per_step=arguments.tokens_per_step,
        bos=arguments.bos,
    )
    if found.note:
        print(found.note)
    available = found.checkpoints
    steps = sorted(arguments.steps or available.steps)
    for step in steps:
        hub.check_step(available.name, available.steps, step)
    with closing(_loaded(available, steps)) as checkpoints:
        written = adopt.adopt(
            arguments.out,
            checkpoints,
            found.tokenizer,
            corpus=arguments.corpus,
            tokens_per_step=found.tokens_per_step,
            n_ctx=arguments.n_ctx,
            bos=arguments.bos,
            code_share=arguments.code_share,
        )
    print(f"wrote {len(written.steps)} checkpoints in {written.folder}")
    last = written.steps[-1]
    print(first_losses.sentence(first_losses.measure(written, last), last))


def _loaded(available: "Checkpoints", steps: list[int]) -> "Generator[tuple[int, Model], None, None]":
    """The models one by one, while a bar shows how far they are."""
    from tqdm.auto import tqdm

    with tqdm(steps, desc=available.name, unit="checkpoint") as bar:
        for step in bar:
            yield step, available.model(step)
