"""Classes of tokens by how they look, in their context."""

import numpy as np
import pytest

from circuits import token_classes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" the", "word start"),
        ("The", "word start"),
        (" élan", "word start"),
        ("42", "numeric"),
        (" 7th", "numeric"),
        ("\n    ", "spacing"),
        ("", "spacing"),
        ("<|endoftext|>", "formatting"),
        ("():", "delimiter"),
        (' "', "delimiter"),
        ("),", "delimiter"),
        ("==", "formatting"),
        ("_", "formatting"),
        ("\n#", "formatting"),
    ],
)
def test_a_token_has_the_class_of_its_first_sign(text: str, expected: str) -> None:
    assert token_classes.of_text(text) == expected


def test_letters_continue_a_word_only_after_letters_or_digits() -> None:
    vocabulary = [" sub", "trees", "(", "x", "1", " ", ".", "_"]
    text = np.array([[0, 1, 6, 3, 4, 3], [2, 3, 7, 1, 5, 1], [1, 1, 0, 0, 2, 1]])
    expected = [
        ["word start", "word part", "delimiter", "word start", "numeric", "word part"],
        ["delimiter", "word start", "formatting", "word start", "spacing", "word start"],
        ["word start", "word part", "word start", "word start", "delimiter", "word start"],
    ]
    assert np.array(token_classes.CLASSES)[token_classes.of_tokens(text, vocabulary)].tolist() == expected
