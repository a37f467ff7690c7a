"""Brackets and quotes: exact cases, generated expressions whose structure is known, and tokens of several kinds."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from circuits import brackets, closers, tasks
from circuits.brackets import KINDS, OPENERS, Closer


def found(source: str) -> list[tuple[int, str, int, str, int]]:
    """Where, kind, opener, enclosing kind, depth."""
    return [(c.at, c.kind, c.opener, c.enclosing, c.depth) for c in brackets.closers(source).closers]


def test_the_docstrings_example() -> None:
    structure = brackets.closers("f([x])")
    assert structure.closers == (Closer(4, "]", 2, ")", 1, 2), Closer(5, ")", 1, "", -1, 1))
    assert [closer.nested for closer in structure.closers] == [True, False]
    assert structure.known == 6


def test_a_bracket_in_one_of_its_own_type_is_not_nested() -> None:
    inner, outer = brackets.closers("((x))").closers
    assert (inner.enclosing, inner.depth, inner.nested) == (")", 2, False)
    assert (outer.enclosing, outer.depth, outer.nested) == ("", 1, False)


@pytest.mark.parametrize(
    "source, quotes",
    [
        ("'a'", [(0, 2)]),
        ('""', [(0, 1)]),
        ("rb'a' + Rb\"c\"", [(2, 4), (10, 12)]),
        ('"""a "b" c"""', [(0, 10)]),
        ("''''''", [(0, 3)]),
        ("u'''a\nb'''", [(1, 7)]),
        ("'a\\'b'", [(0, 5)]),
        ('f\'{x[0]}\' + F"""{y!r:{z}} {d[\'k\']}"""', [(1, 8), (13, 34)]),
        ("rf'{a}' f'b'", [(2, 6), (9, 11)]),
        ("return'x'", [(6, 8)]),
        ("é = '漢' # '", [(4, 6)]),
    ],
)
def test_strings_are_closed_by_the_first_character_of_their_delimiter(source: str, quotes: list) -> None:
    assert [(opener, at) for at, kind, opener, _, _ in found(source)] == quotes
    assert all(source[at] == source[opener] == kind for at, kind, opener, _, _ in found(source))


def test_brackets_in_strings_and_comments_do_not_count() -> None:
    source = "x = [')', \"{\", f'{a[0]}(']  # (]\ny = (1)\n"
    assert [mark for _, mark, *_ in found(source) if mark in brackets.BRACKETS] == ["]", ")"]
    assert sum(character in ")]}" for character in source) == 6, "what a count of characters would find"


@pytest.mark.parametrize(
    "source, count, known",
    [
        ("(a)\nit's (b)\n", 1, "(a)\nit"),
        ("don't [a] isn't", 0, "don"),  # the lexer would read a string from one apostrophe to the other
        ("(a) + (b] + (c)", 1, "(a) + (b"),  # a mismatched closer
        ("(a))(b)", 1, "(a)"),
        ("x = [1]\n'''open (a)", 1, "x = [1]\n"),  # a string that never ends
        ("[(1)", 1, "[(1)"),
        ("if x:\n    (a)\n  (b)\n", 1, "if x:\n    (a)\n"),  # no such indentation
        ("x = 'open\n(a)", 0, "x ="),
        ("", 0, ""),
    ],
)
def test_where_python_ends_so_does_what_is_claimed(source: str, count: int, known: str) -> None:
    structure = brackets.closers(source)
    assert len(structure.closers) == count
    assert source[: structure.known].rstrip() == known.rstrip()


LEAVES = {"x": [], "12": [], "'(]'": [(3, "'", 0)], '"it\'s {"': [(7, '"', 0)], "b'''\"}'''": [(6, "'", 1)]}


def rendered(tree: object, start: int, enclosing: str, depth: int) -> tuple[str, list]:
    """Text of a tree, and its closers: by construction, not by reading it."""
    if isinstance(tree, str):
        return tree, [(start + at, kind, start + opener, enclosing, depth + 1) for at, kind, opener in LEAVES[tree]]
    opener, children = tree  # type: ignore[misc]
    text, truth = opener, []
    for child in children:
        part, inside = rendered(child, start + len(text), OPENERS[opener], depth + 1)
        text, truth = text + part + ", ", truth + inside
    return text + OPENERS[opener], [*truth, (start + len(text), OPENERS[opener], start, enclosing, depth + 1)]


TREES = st.recursive(
    st.sampled_from(sorted(LEAVES)), lambda t: st.tuples(st.sampled_from("([{"), st.lists(t, max_size=4)), max_leaves=25
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(tree=TREES, line=st.booleans())
def test_generated_expressions_have_the_structure_they_were_made_with(tree: object, line: bool) -> None:
    text, truth = rendered(tree, 0, "", 0)
    source = text + ("\n# ([{ '\n" if line else "")
    assert found(source) == truth
    assert brackets.closers(source).known == len(source)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(tree=TREES, cut=st.integers(0, 200))
def test_a_beginning_has_the_closers_of_the_whole(tree: object, cut: int) -> None:
    text, truth = rendered(tree, 0, "", 0)
    assume(not text[:cut].endswith("b''"))  # whole by itself: an empty string, not the first quotes of a longer one
    beginning = brackets.closers(text[:cut])
    assert beginning.known <= len(text[:cut])
    kept = [c for c in truth if c[0] < beginning.known]
    assert [c for c in found(text[:cut]) if c[0] < beginning.known] == kept


def offsets(tokens: list[str]) -> np.ndarray:
    ends = np.cumsum([len(token) for token in tokens])
    return np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)


def on_tokens(tokens: list[str]) -> brackets.TokenStructure:
    source = "".join(tokens)
    return brackets.on_tokens(brackets.closers(source), source, offsets(tokens))


def test_tokens_that_hold_more_than_a_bracket() -> None:
    tokens = ["f(", "[", "x,", " (", "y", ")]", " )"]
    structure = on_tokens(tokens)
    assert [KINDS[kind] if kind >= 0 else "" for kind in structure.kind] == ["", "", "", "", "", ")", ")"]
    assert structure.opener.tolist() == [-1, -1, -1, -1, -1, 3, 0]
    assert structure.outer.tolist() == [-1, -1, -1, -1, -1, 1, -1]
    assert structure.nested.tolist() == [False] * 5 + [True, False]
    assert structure.enclosing.tolist() == [-1, -1, -1, -1, -1, KINDS.index("]"), -1]
    assert structure.known.all()


def test_a_token_that_begins_with_anything_else_closes_nothing() -> None:
    assert (on_tokens(["(", "x)", "\n", "[]", '""']).kind == -1).all()


def test_tokens_of_which_only_a_part_is_known() -> None:
    structure = on_tokens(["(", "a", ")", " it", "'", "s", " (", "b", ")"])
    assert structure.known.tolist() == [True] * 4 + [False] * 5
    assert structure.kind.tolist() == [-1, -1, 0, *[-1] * 6]


def test_characters_of_several_tokens_and_no_tokens_at_all() -> None:
    source = "é=(1)"  # é as two bytes, each a token that spans it
    places = np.array([(0, 1), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5)])
    structure = brackets.on_tokens(brackets.closers(source), source, places)
    assert structure.opener.tolist() == [-1, -1, -1, -1, -1, 3]
    assert len(brackets.on_tokens(brackets.closers(""), "", np.zeros((0, 2), np.int64)).kind) == 0
    with pytest.raises(ValueError, match="not in order"):
        brackets.on_tokens(brackets.closers(source), source, places[::-1].copy())


VOCABULARY = ["(", ")", " )", "))", "):", "]", "}", "'", '"', "a)", ""]


def test_the_tokens_of_a_closer_begin_with_it() -> None:
    of_kind = closers.closer_tokens(VOCABULARY)
    assert list(of_kind) == list(KINDS)
    assert of_kind[")"].tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="no token begins with }"):
        closers.closer_tokens([string for string in VOCABULARY if string != "}"])


def test_log_odds_are_of_summed_probabilities_whatever_else_is_likely() -> None:
    of_kind = closers.closer_tokens(VOCABULARY)
    logits = torch.randn(5, len(VOCABULARY), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    right, wrong = torch.tensor([0, 0, 1, 2, 3]), torch.zeros(5, len(KINDS), dtype=torch.bool)
    for row, kinds in enumerate([[1], [1, 2], [0, 2], [0], [4]]):
        wrong[row, kinds] = True
    odds = closers.log_odds(closers.by_kind(logits, of_kind), right, wrong)
    p = logits.softmax(-1)
    of_each = torch.stack([p[:, tokens].sum(-1) for tokens in of_kind.values()], dim=-1)
    by_hand = [(of_each[i, right[i]] / of_each[i, wrong[i]].sum()).log() for i in range(5)]
    torch.testing.assert_close(odds, torch.stack(by_hand))
    logits[:, [0, 9, 10]] += 5  # tokens that are no closers
    torch.testing.assert_close(odds, closers.log_odds(closers.by_kind(logits, of_kind), right, wrong))
    with pytest.raises(ValueError, match="needs a wrong kind"):
        closers.log_odds(torch.zeros(5, 5), right, torch.zeros_like(wrong))


def test_the_tasks_openers_must_be_of_two_types() -> None:
    windows = torch.tensor([[9, 1, 5], [9, 5, 2]])
    at, right, wrong = torch.tensor([1, 2]), torch.tensor([3, 4]), torch.tensor([4, 3])
    task = tasks.replaced("brackets", windows, at, torch.tensor([2, 1]), right, wrong)
    assert task.corrupted.tolist() == [[9, 2, 5], [9, 5, 1]]
    with pytest.raises(ValueError, match="of the same"):
        tasks.replaced("brackets", windows, at, torch.tensor([1, 1]), right, wrong)
