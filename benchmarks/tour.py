"""How long a user waits: the twelve wishes of the tour on the bundled run, --help, refusals and a warm card.

    python benchmarks/tour.py [FOLDER]

Every wish is a process of its own, as when a script is run or a notebook begins: it loads the toolkit, opens the run
and does its one to three lines. All of them share a results folder, so that the first run of each, which does not
count, measures (and samples), and the next three find it there; FOLDER keeps it for another time. Seconds are medians
of these: of the whole process, of loading the toolkit, and of the wish alone, which the limits are of; CPU seconds of
the process stand beside, since other work on the machine changes them less. The wish for a GPU is left out where
PyTorch sees none. Writes benchmarks/results/tour.json; an hour, most of it for the first runs, and some five minutes
where FOLDER has them.
"""

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

from experiments.storage.files import write_json

OUT = Path(__file__).parent / "results" / "tour.json"
ROOT = Path(__file__).parents[1]
TURNS, PATIENCE = 3, 3600  # seconds that a first run may take, which measures and samples
HELP, REFUSAL, CARD, WISH = 0.15, 1.0, 3.0, 15.0  # seconds that they may take

LOADED = "import devcircuits as dc; dc.Investigation, dc.ablate, dc.adopt"
OPENED = 'inv = dc.Investigation("mini-seed0", out="seed0")'
TEXT = r'text = "def area(width, height):\n    return width * height"'
FOLDER = """
import json, pathlib, torch
from experiments.__main__ import main
run, folder = dc.open_run("mini-seed0"), pathlib.Path("mine")
folder.mkdir(exist_ok=True)
torch.save(run.model(28000).state_dict(), folder / "step28000.pt")
(folder / "tokenizer.json").write_text(run.tokenizer.to_str())
(folder / "config.json").write_text(json.dumps({"positional_embedding_type": "shortformer"}))
"""
ADOPT = '["adopt", "mine", "--out", f"runs/{time.time_ns()}", "--corpus", "python", "--tokens-per-step", "4096"]'


class Wish(NamedTuple):
    """Some lines of Python: those before it that do not count, and the wish."""

    name: str
    before: str
    lines: str


WISHES = (
    Wish("a run and a card", "", f'{OPENED}; inv["L1H4"]._repr_html_()'),
    Wish("heads for my sentence", TEXT, f"{OPENED}; inv.on(text).heads"),
    Wish("attention on my text", TEXT, f'{OPENED}; inv.on(text).attention.sel(head="L1H4")'),
    Wish("my prompt without a head", TEXT, f'{OPENED}; inv.on(text).without("L1H4", "L0H5->L1H4.k").logits'),
    Wish(
        "a task of my own",
        "import string; letters = string.ascii_lowercase[:16]",
        f'{OPENED}; task = inv.task([f"{{a}} = 1" for a in letters], [f"{{a}} = 2" for a in letters], '
        '[" x"] * 16, [" y"] * 16); inv.circuit(task).table',
    ),
    Wish("two checkpoints", "", f"{OPENED}; inv.compare(4800, 28000).table"),
    Wish("two runs", "", f'{OPENED}; dc.compare(inv, dc.Investigation("mini-seed1", out="seed1")).table'),
    Wish("an rLLC over training", "", f'{OPENED}; inv.rllc("L0H5+L1H4", steps=[16000, 28000]).plot()'),
    Wish("my folder of checkpoints", FOLDER, f"assert main({ADOPT}) == 0"),
    Wish("save and share", "", f'{OPENED}; inv["L1H4"].save("card.html")'),
    Wish("any model", "", 'dc.ablate(dc.open_run("mini-seed0").model(28000), "a b c a b", ["L1H4"], method="zero")'),
    Wish("on a GPU", "", 'dc.Investigation("mini-seed0", out="gpu", device="cuda").rllc("L1H4", steps=[28000]).frame'),
)
COMMANDS = {
    "--help": (["--help"], 0, HELP),
    "a refusal: no such head": (["investigate", "L9H9"], 2, REFUSAL),
    "a refusal: no such run": (["types", "--run", "nowhere"], 2, REFUSAL),
    "a refusal: no such task": (["circuit", "--task", "nonsense"], 2, REFUSAL),
    "a refusal: no such corpus": (["types", "--corpus", "nonsense"], 2, REFUSAL),
}
SCRIPT = """
import json, time
begin = time.perf_counter()
{loaded}
{before}
loaded = time.perf_counter()
{lines}
print(json.dumps({{"loading": loaded - begin, "alone": time.perf_counter() - loaded}}))
"""


def main() -> None:
    rows = []
    with contextlib.ExitStack() as stack:
        scratch = sys.argv[1] if sys.argv[1:] else stack.enter_context(tempfile.TemporaryDirectory())
        for name, (arguments, code, limit) in COMMANDS.items():
            rows.append(_row(name, [sys.executable, "-m", "experiments", *arguments], Path(scratch), code, limit))
        for wish in WISHES:
            if "cuda" in wish.lines and not torch.cuda.is_available():
                continue
            script = SCRIPT.format(loaded=LOADED, before=wish.before, lines=wish.lines)
            limit = CARD if wish.name == "a run and a card" else WISH
            rows.append(_row(wish.name, [sys.executable, "-c", script], Path(scratch), 0, limit))
    record = {
        "name": "tour",
        "command": "python benchmarks/tour.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__.partition('+')[0]}",
        "rows": rows,
    }
    write_json(OUT, record)


def _row(name: str, command: list[str], folder: Path, code: int, limit: float) -> dict:
    """The medians of some runs after a first one, and whether they keep within the limit: of a wish without loading the
    toolkit, which a notebook does once.
    """
    _, *turns = [_timed(command, folder, code) for _ in range(TURNS + 1)]
    medians = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
    row: dict = {"case": name} | {key: round(value, 3) for key, value in medians.items()}
    row |= {"limit": limit, "met": medians.get("alone", medians["process"]) < limit}
    print(row, flush=True)
    return row


def _timed(command: list[str], folder: Path, code: int) -> dict[str, float]:
    """Seconds of a process and its CPU seconds, and of its parts where it tells them."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE)
    seconds, after = time.perf_counter() - start, os.times()
    if done.returncode != code:
        raise RuntimeError(f"{command[-1]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    told = json.loads(done.stdout.splitlines()[-1]) if command[1] == "-c" else {}
    return {"process": seconds, "cpu": cpu, **told}


if __name__ == "__main__":
    main()
