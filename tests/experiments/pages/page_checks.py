"""What must hold of every page: well-formed, reachable by its contents, and with nothing from outside."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

VOID = {"meta", "img", "br", "link", "hr", "input"}
ADDRESSES = ("href", "src", "srcset", "action", "data")
ACTIVE = {"script", "link", "iframe", "object", "embed", "form", "base"}


class Faults(HTMLParser):
    """Reads a page and notes what is wrong with it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.levels: list[int] = []
        self.addresses: list[str] = []
        self.found: list[str] = []
        self.lang = ""
        self.feed(page)
        self.close()
        self.found += [f"<{tag}> is not closed" for tag in self.open]
        self.found += [f"id {name} twice" for name in {name for name in self.ids if self.ids.count(name) > 1}]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag in ACTIVE:
            self.found.append(f"<{tag}>")
        self.found += [f"{name}= in <{tag}>" for name in values if name.startswith("on")]
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.addresses += [value or "" for name, value in attrs if name in ADDRESSES]
        if tag == "img" and not values.get("alt"):
            self.found.append("an image without alt text")
        if tag == "html":
            self.lang = values.get("lang") or ""
        if tag in ("h1", "h2", "h3", "h4"):
            if int(tag[1]) > (self.levels[-1] if self.levels else 0) + 1:
                self.found.append(f"<{tag}> below h{self.levels[-1] if self.levels else 0}")
            self.levels.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.found.append(f"</{tag}> closes <{self.open[-1] if self.open else ''}>")
        else:
            self.open.pop()


def faults(page: str, folder: Path | None = None) -> list[str]:
    """What is wrong with a whole page; its links to files must resolve from its folder, where that is given."""
    read = Faults(page)
    wrong = list(read.found)
    for address in read.addresses:
        if address.startswith("#"):
            wrong += [] if address[1:] in read.ids else [f"{address} leads nowhere"]
        elif "://" in address or address.startswith("//"):
            wrong.append(f"{address} is outside")
        elif not address.startswith("data:"):
            there = folder is not None and (folder / unquote(address.partition("#")[0])).exists()
            wrong += [] if there else [f"{address} is not there"]
    wrong += [] if page.startswith("<!doctype html>") and page.count("<!doctype") == 1 else ["no single doctype"]
    wrong += [] if read.lang == "en" else ["no language"]
    wrong += [] if read.levels.count(1) == 1 else ["not one h1"]
    return wrong


def content(page: str) -> str:
    """What a page has in common with a notebook's cell: its title to its last section, without contents and ids."""
    inside = page[page.index("<h1>") : page.rindex("</section>")]
    if '<nav class="contents"' in inside:
        before, _, rest = inside.partition('<nav class="contents"')
        inside = before + rest.partition("</nav>")[2]
    for name in Faults(page).ids:
        inside = inside.replace(f' id="{name}"', "")
    return "".join(inside.split())
