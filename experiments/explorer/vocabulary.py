"""A run's tokenizer as the page's `tokenizer.js` reads it: byte-level byte-pair encoding, and nothing else."""

import json
import re
from typing import Any

from tokenizers import Tokenizer

from ablations.not_measurable import NotMeasurable
from experiments import corpora

_CLASS = re.compile(r"\[((?:\\[^\w\s]|[^\\\]\^\-\w\s])+)\]")  # a class of punctuation marks, one by one


def of_tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    """vocabulary (texts by number), merges (pairs, those learned first come first), special (texts that are a token
    wherever they stand), alone (characters that never merge), first (the token that a row begins with).

    Raises NotMeasurable for another kind of tokenizer, which the page cannot run.
    """
    record = json.loads(tokenizer.to_str())
    model, numbers = record["model"], tokenizer.get_vocab(with_added_tokens=True)
    if reason := _other(record):
        raise NotMeasurable(f"the run's tokenizer has {reason}: the page encodes text by byte-level BPE only")
    by_number = {number: text for text, number in numbers.items()}
    return {
        "vocabulary": [by_number[number] for number in range(len(by_number))],
        "merges": [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]],
        "special": [token["content"] for token in record["added_tokens"]],
        "alone": "".join(_alone(step) or "" for step in _steps(record)[:-1]),
        "first": corpora.bos(tokenizer),
    }


def _other(record: dict[str, Any]) -> str:
    """What of a tokenizer's record the page does not know; empty where it knows all of it."""
    model, steps = record["model"], _steps(record)
    if model["type"] != "BPE":
        return f"a model of type {model['type']}"
    odd = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback")
    if name := next((name for name in (*odd, "ignore_merges") if model.get(name)), ""):
        return f"{name}={model[name]!r}"
    if record["normalizer"] is not None:
        return f"a normalizer ({record['normalizer']['type']})"
    if not steps or steps[-1]["type"] != "ByteLevel" or steps[-1]["add_prefix_space"] or not steps[-1]["use_regex"]:
        return "another pre-tokenizer than ByteLevel without a space in front"
    if any(_alone(step) is None for step in steps[:-1]):
        return "a pre-tokenizer that does more than keep punctuation marks apart"
    strips = ("single_word", "lstrip", "rstrip", "normalized")
    if any(token[name] for token in record["added_tokens"] for name in strips):
        return "special tokens that take in what stands around them"
    return ""


def _steps(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The pre-tokenizers, one after another."""
    whole = record["pre_tokenizer"] or {"type": "Sequence", "pretokenizers": []}
    return whole["pretokenizers"] if whole["type"] == "Sequence" else [whole]


def _alone(step: dict[str, Any]) -> str | None:
    """The characters that a step isolates; None for a step that does something else."""
    pattern = step.get("pattern", {}).get("Regex", "")
    match = _CLASS.fullmatch(pattern)
    if step["type"] != "Split" or step["behavior"] != "Isolated" or step["invert"] or match is None:
        return None
    return re.sub(r"\\(.)", r"\1", match[1])
