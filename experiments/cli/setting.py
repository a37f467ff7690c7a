"""One of the small settings where theory has an answer; without a name, the list of them."""

import argparse
from pathlib import Path

HELP = "a small model where theory has an answer (superposition, deep linear networks, ...): its table and figure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from experiments.settings import SETTINGS

    parser.add_argument("name", metavar="NAME", nargs="?", help=f"{', '.join(SETTINGS)}; without it, the list of them")
    parser.add_argument("--train", action="store_true", help="train and measure anew, and go on where that stopped")
    parser.add_argument(
        "--out", type=Path, help="folder for table, figure and measurements (default: results/settings)"
    )
    parser.add_argument("--device", default="cpu", help="where to train: cpu, cuda, cuda:1 (default: %(default)s)")


def run(arguments: argparse.Namespace) -> None:
    from experiments.settings import MEASURED, SETTINGS, check

    if arguments.name is None:
        width = max(map(len, SETTINGS), default=0)
        print("\n".join(f"{name.ljust(width)}  {entry.line}" for name, entry in SETTINGS.items()))
        return
    check(arguments.name)
    from experiments.jobs import device
    from experiments.runs import places
    from experiments.settings import files, get, parts
    from experiments.storage.files import read_json

    out = arguments.out or places.results_of("settings")
    setting = get(arguments.name)
    if arguments.train:
        measured = parts.measure(arguments.name, setting.parts(), out, device.checked(arguments.device, "--device "))
    else:
        measured = read_json(MEASURED / f"{arguments.name}.json")
    table, paths = files.write(arguments.name, setting, measured, out)
    print(f"{table}\n\n{setting.CAPTION}\n")
    for path in paths:
        print(f"wrote {path}")
