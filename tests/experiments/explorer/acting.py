"""What a reader does in the explorer, and what can be asked of the page, as the tests in a browser do it."""

import base64
import csv
import io
import json

from benchmarks.browser import Page

# What the page would hand to the reader is kept, by name, with its content.
KEEP_FILES = """(() => {
  const files = (window.files = {});
  let last = null;
  URL.createObjectURL = (blob) => ((last = blob), "data:,");
  HTMLAnchorElement.prototype.click = function () {
    const reader = new FileReader();
    reader.onload = () => (files[this.download] = reader.result.split(",")[1]);
    reader.readAsDataURL(last);
  };
})()"""
UNNAMED = """[...document.querySelectorAll("button, input, select, textarea, svg[role], canvas, [tabindex]")]
  .filter((part) => part.getAttribute("display") !== "none")
  .filter((part) => !(part.textContent.trim() || part.ariaLabel || part.labels?.length))
  .map((part) => part.outerHTML)"""
OVER = """[...document.querySelectorAll("main *, header *")]
  .filter((part) => !part.closest(".scroll") && part.getBoundingClientRect().right > innerWidth + 1).length"""
SHOWN = '[...document.querySelectorAll(".path")].filter((path) => path.getAttribute("display") !== "none").length'
SUMMARY = 'document.querySelector(".summary").textContent'


def text(page: Page, selector: str) -> str:
    return page.run(f"document.querySelector({json.dumps(selector)}).textContent")


def change(page: Page, selector: str, value: object, event: str = "input") -> None:
    """A reader's change of a control."""
    page.run(
        f"{{ const part = document.querySelector({json.dumps(selector)}); part.value = {json.dumps(value)}; "
        f"part.dispatchEvent(new Event({json.dumps(event)}, {{ bubbles: true }})); }}"
    )
    page.settle()


def click(page: Page, selector: str, words: str = "") -> None:
    """A click on the first part that says so."""
    page.run(
        f"[...document.querySelectorAll({json.dumps(selector)})].find((part) => "
        f"part.textContent.startsWith({json.dumps(words)})).dispatchEvent(new MouseEvent('click', {{ bubbles: true }}))"
    )
    page.settle()


def wait_for(page: Page, condition: str) -> None:
    page.run(
        "new Promise((done, fail) => { const end = Date.now() + 20000; const look = () => { "
        f"if ({condition}) done(); else if (Date.now() > end) fail(new Error({json.dumps(condition)})); "
        "else setTimeout(look, 20); }; look(); })"
    )


def saved(page: Page, selector: str, label: str, name: str) -> bytes:
    """The content of the file that a button hands to the reader."""
    click(page, selector, label)
    wait_for(page, f"files[{json.dumps(name)}]")
    return base64.b64decode(page.run(f"files[{json.dumps(name)}]"))


def rows(content: bytes) -> list[dict]:
    return list(csv.DictReader(io.StringIO(content.decode())))
