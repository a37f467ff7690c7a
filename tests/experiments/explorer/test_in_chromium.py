"""The page in a real browser: it scrubs, cuts, runs a text of one's own and exports, without an error or a request."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from experiments.investigate.investigation import Investigation

pytestmark = [
    pytest.mark.usefixtures("small"),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed"),
]
LISTEN = """<script>
window.errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => errors.push(event.blockedURI));
</script>"""
ACT = """<script>
const by = (id) => document.getElementById(id);
const seen = (selector) => [...document.querySelectorAll(selector)];
const fire = (part, name) => part.dispatchEvent(new Event(name, { bubbles: true }));
const summary = () => document.querySelector(".summary").textContent;
const shownPaths = () => seen(".path").filter((path) => path.getAttribute("display") !== "none").length;
addEventListener("load", () => {
  const out = { theme: document.documentElement.dataset.theme, readout: by("readout").textContent, before: summary() };
  const range = by("checkpoint");
  out.strip = document.querySelector(".strip .marker").getAttribute("x1");
  range.value = 0;
  fire(range, "input");
  out.first = by("readout").textContent;
  out.moved = document.querySelector(".strip .marker").getAttribute("x1");
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
  out.second = by("readout").textContent;
  const [paths] = seen("#circuit-controls select");
  paths.value = "all";
  fire(paths, "change");
  const [threshold] = seen("#circuit-controls input[type=range]");
  threshold.value = 0;
  fire(threshold, "input");
  out.all = shownPaths();
  threshold.value = 1;
  fire(threshold, "input");
  out.largest = shownPaths();
  seen(".hit")[0].dispatchEvent(new Event("click"));
  out.details = by("details").textContent;
  const chips = seen("fieldset .chips button");
  chips[0].click();
  out.cut = summary();
  chips[0].click();
  out.restored = summary();
  seen(".strip button")[3].click();
  out.pinned = seen(".strip.is-pinned h3").map((title) => title.textContent);
  seen(".token")[2].dispatchEvent(new Event("pointerenter"));
  out.looked = seen(".token").filter((token) => /0\\.[0-9]+\\)/.test(token.style.background)).length;
  out.labels = seen("button, input, select, textarea, svg[role], [tabindex]")
    .filter((part) => !(part.textContent.trim() || part.ariaLabel || part.labels?.length)).length;
  out.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  const tooFar = (part) => !part.closest(".scroll") && part.getBoundingClientRect().right > innerWidth + 1;
  out.over = seen("main *").filter(tooFar).length;
  out.errors = errors;
  const answer = document.createElement("pre");
  answer.id = "answer";
  answer.textContent = JSON.stringify(out);
  document.body.append(answer);
});
</script></body>"""


@pytest.fixture(scope="module")
def page(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chromium")
    written = Investigation(trained / "runs/tiny-seed0", out=folder / "out", tokens=1500).explore().read_text()
    path = folder / "acted.html"
    path.write_text(written.replace("<head>", f"<head>{LISTEN}", 1).replace("</body>", ACT))
    return path


def looked_at(page: Path, width: int, address: str = "", *more: str) -> dict:
    """What the page says after it was used, in a window of this width."""
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", f"--user-data-dir={page.parent / 'profile'}", *more,
         f"--window-size={width},900", "--dump-dom", f"file://{page}{address}"],
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    answer = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
    assert answer, done.stderr[-1500:]
    return json.loads(html.unescape(answer[1]))


def test_everything_follows(page: Path) -> None:
    out = looked_at(page, 1280)
    assert out["errors"] == [] and out["requests"] == [] and out["over"] == 0 and out["labels"] == 0
    assert out["first"].startswith("step 0,") and not out["readout"].startswith("step 0,")
    assert out["second"] not in (out["first"], out["readout"]) and out["moved"] != out["strip"]
    assert out["all"] > 20 and out["largest"] <= 1
    assert "logit difference" in out["details"]
    assert "→" in out["cut"] and "→" not in out["restored"]
    assert out["pinned"] == ["L0H3"] and out["looked"] >= 1


def test_a_view_is_restored_in_a_narrow_dark_window(page: Path) -> None:
    out = looked_at(page, 500, "#theme=dark&removed=L0H1,L0H1->L1H2.k&method=zero&step=0&text=def%20f(x)%3A")
    assert out["errors"] == [] and out["over"] == 0 and out["theme"] == "dark"
    assert out["readout"].startswith("step 0,") and "→" in out["before"]
    usual = looked_at(page, 500, "#removed=L9H9,nonsense&step=12345&weights=3&look=L7H7&pins=L5H5")
    assert usual["errors"] == [] and "→" not in usual["before"] and not usual["readout"].startswith("step 0,")
