"""The explorer of the bundled run in headless Chromium: its size, its first paint, scrubbing, and the model in it.

    python benchmarks/explorer.py [--page explore.html]

takes two minutes on an idle machine where the page is there (without --page it is written anew, with what must be
measured for it), needs Chromium, and writes benchmarks/results/explorer.json.

A frame while scrubbing: from the moment the browser begins it to the end of its painting on the main thread, after the
slider was moved by one checkpoint, back and forth through training with a path chosen and two heads pinned. A forward
pass: 64 tokens of held-out text at the last checkpoint, as it is, with a head ablated and with a path cut. What a
reader waits for: from the click that cuts the path until the page has painted all that changes.
"""

import argparse
import os
import platform
import statistics
import tempfile
from pathlib import Path

from browser import Browser, Page, running

from experiments.explorer import page as explorer_page
from experiments.investigate.investigation import Investigation
from experiments.storage.files import write_json

OUT = Path(__file__).parent / "results" / "explorer.json"
LOADS, ROUNDS, RUNS, WARM = 7, 4, 30, 5
LIVE = ("weights", "algebra", "model", "losses", "live")
VIEW = "#chosen=L0H5-%3EL1H4.k&pins=L0H5%2CL1H4&at=10"

SCRUB = """(async () => {
  const [range, times] = [document.getElementById("checkpoint"), []];
  const [last, rounds] = [Number(range.max), ROUNDS];
  const painted = () => new Promise((done) => requestAnimationFrame((began) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => done(performance.now() - began);
    channel.port2.postMessage(0);
  }));
  const steps = [...Array(last).keys()];
  for (let round = 0; round < rounds; round++) {
    for (const to of [...steps.map((at) => last - 1 - at), ...steps.map((at) => at + 1)]) {
      range.value = to;
      range.dispatchEvent(new Event("input", { bubbles: true }));
      times.push(await painted());
    }
  }
  return times;
})()"""

FORWARD = """(() => {
  LIVE
  const data = JSON.parse(document.getElementById("data").textContent).live;
  const model = makeLive(data);
  const [tokens, step] = [data.texts[0], model.steps.at(-1)];
  const times = {};
  for (const [name, removed] of [["whole", []], ["ablated", ["L0H5"]], ["cut", ["L0H5->L1H4.k"]]]) {
    times[name] = [];
    for (let turn = 0; turn < RUNS; turn++) {
      const start = performance.now();
      model.run(step, tokens, removed, "mean");
      times[name].push(performance.now() - start);
    }
  }
  return { tokens: tokens.length, times };
})()"""

CLICK = """(async () => {
  const buttons = [...document.querySelectorAll("#details button")];
  const button = buttons.find((one) => one.textContent.startsWith("Cut this"));
  const start = performance.now();
  button.click();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))));
  return performance.now() - start;
})()"""


def first_paint(browser: Browser, address: str) -> tuple[float, float]:
    """Milliseconds from the navigation until something is painted, and until all of the page's code has run."""
    page = browser.open(address)
    paint = page.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return paint, page.run("performance.getEntriesByType('navigation')[0].loadEventEnd")


def scrubbed(page: Page) -> list[float]:
    """Milliseconds of every frame; the first round, in which code is compiled, is left out."""
    times = page.run(SCRUB.replace("ROUNDS", str(ROUNDS + 1)))
    return times[len(times) // (ROUNDS + 1) :]


def forward_times(page: Page) -> tuple[int, dict[str, list[float]]]:
    """Tokens, and milliseconds of every pass but the first few."""
    script = FORWARD.replace("LIVE", explorer_page.joined(LIVE)).replace("RUNS", str(RUNS + WARM))
    found = page.run(script)
    return found["tokens"], {name: times[WARM:] for name, times in found["times"].items()}


def row(name: str, times: list[float], target: float) -> dict:
    """Median and worst, and whether the worst meets the target."""
    return {
        "what": name,
        "median": statistics.median(times),
        "worst": max(times),
        "measured": len(times),
        "target": target,
        "met": max(times) <= target,
    }


def measured(path: Path) -> list[dict]:
    """All rows, of a page."""
    address = f"file://{path.resolve()}"
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "profile") as browser:
        loads = [first_paint(browser, address) for _ in range(LOADS)]
        page = browser.open(address + VIEW)
        page.run("new Promise((done) => setTimeout(done, 6000))")  # tokens of the chosen path are looked for meanwhile
        frames = scrubbed(page)
        clicks = [page.run(CLICK) for _ in range(RUNS)]
        length, passes = forward_times(page)
        complaints = [*page.complaints(), *page.requests()]
    if complaints:
        raise SystemExit(f"the page complains: {complaints[0]}")
    size = path.stat().st_size / 1e6
    return [
        {"what": "size of the file, MB", "value": size, "target": 12, "met": size <= 12},
        row("first paint, ms", [paint for paint, _ in loads], 1000),
        row("until all code of the page has run, ms", [ready for _, ready in loads], 2000),
        row("frame while scrubbing, ms", frames, 50),
        *(row(f"forward pass of {length} tokens, {name}, ms", times, 200) for name, times in passes.items()),
        row("from the click on a cut until all is painted, ms", clicks, 200),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="the explorer of the bundled run (default: it is written anew)")
    parser.add_argument("--out", type=Path, default=OUT, help="where the numbers are written (default: %(default)s)")
    arguments = parser.parse_args()
    path = arguments.page or Investigation("mini-seed0").explore()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "profile") as browser:
        version = browser.call("Browser.getVersion")["product"]
    rows = measured(path)
    for one in rows:
        print(one, flush=True)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {version}"
    record = {"name": "explorer", "command": "python benchmarks/explorer.py", "machine": machine, "rows": rows}
    write_json(arguments.out, record)


if __name__ == "__main__":
    main()
