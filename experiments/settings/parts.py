"""What a setting trains and measures, piece by piece: each piece is kept when it is finished, and not done again."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from experiments.jobs import progress
from experiments.jobs.announcement import announce
from experiments.jobs.job import Job
from experiments.storage.files import read_json, write_json

Measured = dict[str, Any]  # by the names of parts, what each returned: JSON values


class Place(NamedTuple):
    """Where a part works."""

    folder: Path  # of the setting's own files: checkpoints of a long training, which later parts may read
    device: torch.device


class Part(NamedTuple):
    """One piece of a setting, such as one seed: trained and measured at once."""

    name: str  # unique in its setting, and the name of its file
    seconds: float  # rough cost on one core
    compute: Callable[[Place], Any]  # returns JSON values; what it returns depends on nothing but the code


def measure(name: str, parts: Sequence[Part], out: Path, device: torch.device) -> Measured:
    """Does the parts that are not there yet, in this order, and writes all together as out/NAME.json.

    One bar tells the time left. Interrupted, the same call goes on with the part that was not finished.
    """
    place = Place(out / f"{name}.parts", device)
    jobs = [Job(_kept, (place, part), part.seconds, part.name, kind=part.name) for part in parts]
    todo = [job for job in jobs if not _file(*job.arguments).is_file()]
    announce(name, todo, 1)
    with progress.stage(todo, name, 1) as stage:
        for job in todo:
            began = time.perf_counter()
            job.function(*job.arguments)
            stage.over(job, time.perf_counter() - began)
    measured = {part.name: read_json(_file(place, part)) for part in parts}
    write_json(out / f"{name}.json", measured)
    return measured


def _kept(place: Place, part: Part) -> None:
    """Does one part and writes what it returned."""
    value = part.compute(place)
    json.dumps(value)  # a value that is not JSON is told here, by its part
    write_json(_file(place, part), value)


def _file(place: Place, part: Part) -> Path:
    return place.folder / f"{part.name.replace(' ', '_')}.json"
