"""The page in a real browser: it scrubs, cuts, runs a text of one's own and exports, without an error or a request."""

import csv
import html
import io
import json
import re
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from xml.etree import ElementTree

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

EXPORT = """<script>
const files = [];
URL.createObjectURL = (blob) => (files.push(blob), "data:,");
const exported = async (label) => {
  const before = files.length;
  [...document.querySelectorAll("button")].find((button) => button.textContent === label).click();
  while (files.length === before) await new Promise((resolve) => setTimeout(resolve, 10));
  const bytes = new Uint8Array(await files.at(-1).arrayBuffer());
  return { type: files.at(-1).type, size: bytes.length, start: Array.from(bytes.slice(0, 8)),
    text: label === "PNG" ? "" : new TextDecoder().decode(bytes) };
};
addEventListener("load", async () => {
  const out = { png: await exported("PNG"), svg: await exported("SVG"), csv: await exported("CSV"), errors };
  fetch("ADDRESS", { method: "POST", mode: "no-cors", body: JSON.stringify(out) });
});
</script></body>"""


class Receiver(HTTPServer):
    """Takes what a page posts."""

    received: bytes = b""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        self.server.received = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def page(small: None, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chromium")
    written = Investigation(trained / "runs/tiny-seed0", out=folder / "out", tokens=1500).explore().read_text()
    (folder / "page.html").write_text(written)
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


def test_pictures_and_tables_are_exported(page: Path) -> None:
    """The page says what its buttons make to a server of the test, the one address that it may reach here."""
    with Receiver(("127.0.0.1", 0), Handler) as server:
        server.timeout, address = 120, f"http://127.0.0.1:{server.server_port}/"
        text = page.with_name("page.html").read_text().replace("<head>", f"<head>{LISTEN}", 1)
        text = text.replace("default-src 'none';", f"default-src 'none'; connect-src {address};", 1)
        exporting = page.with_name("exporting.html")
        exporting.write_text(text.replace("</body>", EXPORT.replace("ADDRESS", address)))
        with subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", f"--user-data-dir={page.parent / 'profile2'}",
             "--remote-debugging-port=0", f"file://{exporting}#shown=all&threshold=0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as browser:  # fmt: skip
            server.handle_request()
            browser.terminate()
    out = json.loads(server.received)
    assert out["errors"] == []
    assert out["png"]["type"] == "image/png" and bytes(out["png"]["start"]) == b"\x89PNG\r\n\x1a\n"
    assert out["png"]["size"] > 5000
    picture = ElementTree.fromstring(out["svg"]["text"])
    paths = [part for part in picture.iter("{http://www.w3.org/2000/svg}path") if part.get("class", "") == "path"]
    assert len(paths) > 20 and all(part.get("stroke", "").startswith("rgb(") for part in paths)
    assert "hit" not in {part.get("class") for part in picture.iter()}
    rows = list(csv.DictReader(io.StringIO(out["csv"]["text"])))
    assert {row["measure"] for row in rows} >= {"rllc_trained", "previous_token", "prefix_matching"}
    assert len({row["head"] for row in rows}) == 8 and all(float(row["value"]) == float(row["value"]) for row in rows)


def test_a_view_is_restored_in_a_narrow_dark_window(page: Path) -> None:
    out = looked_at(page, 500, "#theme=dark&removed=L0H1,L0H1->L1H2.k&method=zero&step=0&text=def%20f(x)%3A")
    assert out["errors"] == [] and out["over"] == 0 and out["theme"] == "dark"
    assert out["readout"].startswith("step 0,") and "→" in out["before"]
    usual = looked_at(page, 500, "#removed=L9H9,nonsense&step=12345&weights=3&look=L7H7&pins=L5H5")
    assert usual["errors"] == [] and "→" not in usual["before"] and not usual["readout"].startswith("step 0,")


def test_a_request_would_be_seen(page: Path, tmp_path: Path) -> None:
    """The negative control."""
    fetching = tmp_path / "fetching.html"
    fetching.write_text(page.read_text().replace("<main>", '<main><img src="https://example.invalid/a.png">', 1))
    assert looked_at(fetching, 1280)["errors"] == ["https://example.invalid/a.png"]
