"""What can be refused before anything heavy is loaded: from the flags, names, and the run's folder and config.json.

Each check says what the module would say that is loaded later, and raises ValueError. What only the models or the text
can tell is refused there.
"""

import argparse
from collections.abc import Sequence

from ablations.names import check_head, parse_head
from ablations.path_names import check_path, parse_path
from experiments.cli.opening import check_once, check_out
from experiments.corpora import names
from experiments.runs import places


def check_flags(arguments: argparse.Namespace) -> None:
    """Flags that several verbs have, where this verb has them: --out, --workers, --tokens, --seed, --run, --step,
    --corpus, --device.
    """
    check_out(getattr(arguments, "out", None))
    if not getattr(arguments, "scheduler", None) and (workers := getattr(arguments, "workers", 1)) < 1:
        raise ValueError(f"workers={workers}: at least one is needed")
    if (tokens := getattr(arguments, "tokens", None)) is not None and tokens < 1:
        raise ValueError(f"tokens={tokens}: at least one is needed")
    if (seed := getattr(arguments, "seed", 0)) < 0:
        raise ValueError(f"seed={seed}: it must not be negative")
    named = getattr(arguments, "run", None) or []
    named = [named] if isinstance(named, str) else named
    folders = [places.folder_of(run) for run in named]
    check_once(named)
    if (step := getattr(arguments, "step", None)) is not None:
        for folder in folders:
            places.check_step(folder.name, places.steps_in(folder), step)
    corpus = getattr(arguments, "corpus", None)
    if corpus is not None and arguments.verb != "adopt":  # which says all that it lacks at once
        names.check_form(corpus)
    if getattr(arguments, "device", None) == "cuda" and not getattr(arguments, "scheduler", None):
        from experiments.jobs import device  # PyTorch alone knows

        device.for_workers("cuda")


def check_heads(run: str, heads: Sequence[str]) -> None:
    """Heads by name, against the run's config.json."""
    shape = places.shape_of(places.folder_of(run))
    for text in heads:
        head = parse_head(text)
        if shape is not None:
            check_head(head, shape)


def check_against(run: str, other: str) -> None:
    """Another checkpoint of the run, by its step, or another run."""
    folder = places.folder_of(run if other.isdecimal() else other)
    if other.isdecimal():
        places.check_step(folder.name, places.steps_in(folder), int(other))


def check_across(run: str, others: Sequence[str], against: str | None) -> None:
    """Other runs, each once, of the run's layers and heads as their config.json has them; not beside --against."""
    if others and against:
        raise ValueError("--across with --against: both compare circuits, leave one of them out")
    folders = [places.folder_of(each) for each in (run, *others)]
    names = [folder.resolve().name for folder in folders]
    if twice := next((name for number, name in enumerate(names) if name in names[:number]), ""):
        raise ValueError(f"--across {twice}: it is there already; a run counts once, name others")
    shapes = [places.shape_of(folder) for folder in folders]
    for name, shape in zip(names, shapes, strict=True):
        if shape and shapes[0] and shape[:2] != shapes[0][:2]:
            raise ValueError(
                f"--across {name}: {names[0]} has {shapes[0].n_layers} layers of {shapes[0].n_heads} heads, {name} "
                f"{shape.n_layers} of {shape.n_heads}; circuits are compared in models of one shape, name another run"
            )


def check_changes(run: str, changes: Sequence[str]) -> None:
    """Heads, sets of heads, and paths, against the run's config.json."""
    shape = places.shape_of(places.folder_of(run))
    parts = [part.strip() for text in changes for part in text.split("+")]
    check_heads(run, [part for part in parts if "->" not in part])
    for path in (parse_path(part) for part in parts if "->" in part):
        if shape is not None:
            check_path(path, shape)
