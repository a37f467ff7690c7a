"""The tokenizer in the page gives the numbers of the run's own, and others are refused."""

import json

import pytest
from tokenizers import Tokenizer

from ablations.not_measurable import NotMeasurable
from experiments import runs
from experiments.explorer import vocabulary
from tests.experiments.explorer.in_node import called
from tests.experiments.explorer.programs import needs_node

BODY = """
    const tokenizer = makeTokenizer(given.data);
    return given.texts.map((text) => {
        const tokens = tokenizer.encode(text);
        return { tokens, words: tokens.map(tokenizer.decode) };
    });
"""
TEXTS = (
    "",
    " ",
    "def f(x):\n    return [x, 'it''s']\n\n\n",
    "I'll don't WE'RE 'tis  two  spaces   \t\ttabs\r\nend   ",
    "naïve Über 東京 \U0001f600 e\u0301 \u00a0nbsp\u2003em\u200bzero",
    "\x00\x1c\x1d\x85\ufeff\u2028 controls",
    "12345 ½ ²³ Ⅷ x1y2 __init__ ...---!?",
    "a<|endoftext|>b <|endoftext|><|endoftext|>",
    "((([[[{{{\"\"\"'''```",
    "the " * 40,
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return runs.open_run("mini-seed0").tokenizer


@needs_node
def test_texts_have_the_numbers_of_the_runs_tokenizer(tokenizer: Tokenizer) -> None:
    answers = called(("tokenizer",), BODY, {"data": vocabulary.of_tokenizer(tokenizer), "texts": TEXTS})
    for text, answer in zip(TEXTS, answers, strict=True):
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        assert answer["tokens"] == expected, text
        assert answer["words"] == [tokenizer.decode([token], skip_special_tokens=False) for token in expected], text
    assert len(answers[2]["tokens"]) < len(TEXTS[2])  # the control: letters did merge


@needs_node
def test_another_order_of_merges_is_seen(tokenizer: Tokenizer) -> None:
    data = vocabulary.of_tokenizer(tokenizer)
    swapped = data | {"merges": data["merges"][::-1]}
    (answer,) = called(("tokenizer",), BODY, {"data": swapped, "texts": TEXTS[2:3]})
    assert answer["tokens"] != tokenizer.encode(TEXTS[2], add_special_tokens=False).ids


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}, "a model of type WordLevel"),
        ({"normalizer": {"type": "Lowercase"}}, "a normalizer"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "another pre-tokenizer than ByteLevel"),
    ],
)
def test_other_tokenizers_are_refused_in_one_line(tokenizer: Tokenizer, change: dict, reason: str) -> None:
    other = Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str()) | change))
    with pytest.raises(NotMeasurable, match=reason) as raised:
        vocabulary.of_tokenizer(other)
    assert "\n" not in str(raised.value)
