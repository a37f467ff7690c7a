"""Where runs and checkpoints are, and what can be read of them without PyTorch, to refuse a wrong name at once."""

import os
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from experiments.runs.step_names import numbered_files
from experiments.storage.files import is_missing_path, read_json

ZOO = Path(__file__).parents[1] / "zoo"
DIGESTS = "digests.json"  # of a run's folder


class Shape(NamedTuple):
    """What of a run's models says which heads and paths there are (`ablations.path_names.Stream`)."""

    n_layers: int
    n_heads: int  # in a layer
    attn_only: bool = False
    parallel_attn_mlp: bool = False
    positional_embedding_type: str = "standard"


def project() -> Path:
    """The folder that results/ and runs/ lie in, so that a notebook in a folder of its own finds what commands keep.

    It is the nearest project (a folder with .git or pyproject.toml) from the current folder upwards, below the home
    folder; the current one where there is none. Relative to the current folder.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if folder == Path.home():
            break
        if (folder / ".git").exists() or (folder / "pyproject.toml").is_file():
            return Path(os.path.relpath(folder, here))
    return Path()


def results_of(name: str) -> Path:
    """Where the results of a run of this name are kept unless another folder is given."""
    return project() / "results" / name


def folder_of(reference: str | Path) -> Path:
    """A run's folder by itself, by its name in runs/ or in the bundled zoo; raises ValueError when there is none."""
    for folder in (Path(reference), project() / "runs" / reference, ZOO / reference):
        if (folder / "config.json").is_file():
            return folder
    bundled = ", ".join(sorted(f.parent.name for f in ZOO.glob("*/config.json")))
    raise ValueError(
        f"no run {str(reference)!r}: give a folder with a config.json, a name in runs/, or a bundled one ({bundled})"
    )


def check_source(source: str | Path) -> None:
    """Raises ValueError for models from elsewhere that there cannot be: a folder without checkpoints, or a name that is
    neither a folder's nor any model's.
    """
    name = str(source)
    if Path(source).is_dir():
        numbered_files(Path(source).resolve().name, files_in(Path(source)))
    elif is_missing_path(name) or not (re.search(r"[\d/]", name) or _is_listed(name)):
        raise no_source(name)


def no_source(name: str) -> ValueError:
    """What is said of a name that is neither a folder's nor any model's."""
    return ValueError(
        f"no such folder, and no model {name!r}: give a folder of checkpoints, a repository OWNER/NAME on the Hugging "
        "Face hub, or a name that TransformerLens knows (attn-only-2l, pythia-70m, gpt2-small, ...)"
    )


def _is_listed(name: str) -> bool:
    """Whether TransformerLens's list of models has a name anywhere, read without importing it (and PyTorch with it)."""
    package = find_spec("transformer_lens")
    lists = [Path(folder, "supported_models.py") for folder in (package and package.submodule_search_locations) or []]
    return any(name.lower() in file.read_text(encoding="utf-8").lower() for file in lists if file.is_file())


def files_in(folder: Path) -> list[str]:
    """The files in a folder and in its folders, by their paths in it."""
    return [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]


def steps_in(folder: Path) -> list[int]:
    """The steps that have a checkpoint in a run's folder, or are known by its digest alone, in order."""
    return sorted({*files_of_steps(folder), *digests_in(folder)})


def files_of_steps(folder: Path) -> list[int]:
    """The steps whose weights are in a run's folder, in order."""
    matches = (re.fullmatch(r"step_(\d{7,})\.safetensors", file.name) for file in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def digests_in(folder: Path) -> dict[int, str]:
    """By step, the digests of checkpoints whose weights may have been left out: what was measured of them is found by
    these. Raises ValueError for a damaged list.
    """
    path = folder / DIGESTS
    if not path.is_file():
        return {}
    try:
        return {int(step): str(digest) for step, digest in read_json(path).items()}
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"{path.name} is no list of steps with their digests: restore it") from None


def check_step(name: str, steps: Sequence[int], step: int) -> None:
    """Raises ValueError when a run of this name has no checkpoint at this step."""
    if step not in steps:
        raise ValueError(f"run {name} has no checkpoint at step {step}: choose one of {', '.join(map(str, steps))}")


def shape_of(folder: Path) -> Shape | None:
    """What the configuration says of the model's heads; None where it does not: `open_run` says why."""
    try:
        model = read_json(folder / "config.json")["model"]
        shape = Shape(**{name: model[name] for name in Shape._fields if name in model})
    except (KeyError, TypeError, ValueError):
        return None
    return shape if all(isinstance(count, int) and count > 0 for count in shape[:2]) else None
