"""What `adopt` needs of a source, found where it can be; all that is lacking is said at once."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from tokenizers import Tokenizer

from ablations.models import Model
from experiments import corpora
from experiments.corpora import documents
from experiments.corpora.tokenizer import check_fits, padded, plain, pretrained
from experiments.runs import hub, positions
from experiments.runs.hub import Checkpoints

ROWS = 64  # of held-out text, at most, on which ways of reading positions are compared
POSITIONS = "positional_embedding_type"


T = TypeVar("T")


class Source(NamedTuple):
    """Checkpoints with all that making a run of them takes."""

    checkpoints: Checkpoints
    tokenizer: Tokenizer
    tokens_per_step: int
    note: str  # what was found out rather than said; may be empty


def prepare(
    source: str | Path, corpus: str, *, tokenizer: str | None, tokens_per_step: int | None, bos: str | None
) -> Source:
    """Checkpoints, tokenizer and tokens per step, as given, as they stand beside the checkpoints, or as the loss tells.

    Raises ValueError for a source that there is not, and one that names all that is missing.
    """
    available = hub.checkpoints(source)
    lacking: list[str] = []
    own = _had(lambda: plain(pretrained(tokenizer) if tokenizer else available.tokenizer(), bos), lacking)
    _had(lambda: documents.check_name(corpus), lacking)
    seen, note = _had(available.seen, lacking) or hub.Seen([], None), ""
    if own is not None and (d_vocab := seen.d_vocab) is not None:
        _had(lambda: check_fits(padded(plain(own), d_vocab), d_vocab), lacking)
    if seen.untold and seen.untold != [POSITIONS]:
        _had(lambda: available.model(available.steps[-1]), lacking)  # which says what to do about it
    tokens = tokens_per_step or available.tokens_per_step
    if tokens is None:
        lacking.append(
            f"how many tokens {available.name} saw in a step is not known, and figures' axes are tokens: "
            "give --tokens-per-step (batch size times context), or batch_size and n_ctx in a config.json beside them"
        )
    if lacking or own is None or tokens is None:
        raise ValueError("; and ".join(lacking))
    if seen.untold:  # only what all else is there for: the loss of a wrong tokenizer tells nothing
        found, note = _positions(source, own, corpus)
        available = hub.checkpoints(source, {POSITIONS: found})
    return Source(available, own, tokens, note)


def _had(get: Callable[[], T], lacking: list[str]) -> T | None:
    """What this gives; where it cannot, its reason joins what is lacking."""
    try:
        return get()
    except ValueError as error:
        lacking.append(str(error).rstrip("."))
        return None


def _positions(source: str | Path, tokenizer: Tokenizer, corpus: str) -> tuple[str, str]:
    """How positions work, by the loss of the last checkpoint on held-out text, and a sentence that says so."""

    def build(kind: str) -> Model:
        kinds = hub.checkpoints(source, {POSITIONS: kind})
        return kinds.model(kinds.steps[-1])

    cfg = build(positions.LEARNED[0]).cfg
    text = corpora.load(corpus, tokenizer=padded(tokenizer, cfg.d_vocab), n_ctx=cfg.n_ctx, split="test")
    return positions.likelier(build, text.batch(slice(0, min(ROWS, len(text)))))
