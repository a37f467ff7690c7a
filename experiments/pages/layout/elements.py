"""What pages are put together from: tables, captions, sentences. All give HTML in which every text is escaped."""

from collections.abc import Sequence

from markupsafe import Markup

from experiments.pages.layout.environment import macros


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = (0,), kind: str = "") -> Markup:
    """A table in a box that scrolls where it is too wide for the page.

    Cells are plain text or Markup. words: the columns that hold words, which stand on the left. kind: "loose" where
    cells may break into lines, or another class of the stylesheet.
    """
    made: Markup = macros("elements").table(columns, rows, set(words), kind)
    return made


def captioned(picture: Markup, caption: str) -> Markup:
    """A picture with its caption below."""
    made: Markup = macros("elements").captioned(picture, caption)
    return made


def quiet(text: str) -> Markup:
    """A paragraph of lesser weight; the text is plain or Markup."""
    return Markup("<p class=quiet>{}</p>").format(text)


def paragraph(text: str) -> Markup:
    """A paragraph; the text is plain or Markup."""
    return Markup("<p>{}</p>").format(text)


def strong(text: str) -> Markup:
    """The text in bold."""
    return Markup("<b>{}</b>").format(text)


def code(text: str) -> Markup:
    """The text as code."""
    return Markup("<code>{}</code>").format(text)


def joined(*parts: str) -> Markup:
    """Parts one below the other, each plain or Markup; those that are empty are left out."""
    return Markup("\n").join(part for part in parts if part)


def folded(summary: str, body: Markup) -> Markup:
    """What is shown only when its summary is clicked."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, body)


def not_measured(error: Exception | str) -> Markup:
    """A paragraph that says why something was not measured."""
    return paragraph(f"Not measured: {str(error).rstrip('.')}.")


def noted(word: str, text: str) -> Markup:
    """A paragraph that begins with a word in bold, such as "Note"; nothing for no text."""
    return Markup("<p><b>{}:</b> {}.</p>").format(word, text) if text else Markup()


def sentence(text: str) -> str:
    """The text with a capital in front and a full stop at the end."""
    return text[0].upper() + text[1:].removesuffix(".") + "."
