"""Counts of patterns against literal loops, patterns that are found where they were put, and none in shuffled text."""

from itertools import combinations
from math import log

import numpy as np
import pytest
from scipy import stats

from ablations.effects import clustered
from circuits import mining, multigrams
from circuits.mining import Rates
from circuits.multigrams import FAMILIES, LONGEST, REACH, Patterns, Text

Context = dict[int, int]  # offset: token


def as_text(stream: np.ndarray, documents: np.ndarray, length: int, counted: np.ndarray | None = None) -> Text:
    """Rows as a corpus has them: the first column repeats the second's document and position, with a token 0."""
    count = len(stream) // (length - 1)

    def rows(values: np.ndarray) -> np.ndarray:
        cut = values[: count * (length - 1)].reshape(count, length - 1)
        return np.concatenate([cut[:, :1], cut], axis=1)

    starts = np.flatnonzero(np.diff(documents, prepend=-1))
    positions = np.arange(len(stream)) - starts[np.cumsum(np.diff(documents, prepend=-1) != 0) - 1]
    tokens = rows(stream).astype(np.uint16)
    tokens[:, 0] = 0
    every = np.ones(tokens.shape, dtype=bool) if counted is None else rows(counted)
    return Text(tokens, rows(documents), rows(positions), every)


def random_text(seed: int, vocabulary: int = 3) -> Text:
    """Short documents and rows, in an order in which a document's rows are not together; a fifth is taken out."""
    rng = np.random.default_rng(seed)
    documents = np.repeat(np.arange(40), rng.integers(1, 16, 40))
    text = as_text(rng.integers(vocabulary, size=len(documents)), documents, 8, rng.random(len(documents)) < 0.8)
    order = rng.permutation(len(text.tokens))
    return Text(*(column[order] for column in text))


def patterns_of(contexts: list[Context], targets: list[int]) -> Patterns:
    offsets, tokens = np.zeros((2, len(contexts), LONGEST), dtype=np.int64)
    for number, context in enumerate(contexts):
        for column, offset in enumerate(sorted(context)):
            offsets[number, column], tokens[number, column] = offset, context[offset]
    return Patterns(offsets, tokens, np.array(targets, dtype=np.int64))


def contexts_of(patterns: Patterns) -> list[Context]:
    pairs = zip(patterns.offsets.tolist(), patterns.tokens.tolist(), strict=True)
    return [{o: t for o, t in zip(offsets, tokens, strict=True) if o} for offsets, tokens in pairs]


def random_patterns(seed: int, count: int = 40, vocabulary: int = 3) -> Patterns:
    rng = np.random.default_rng(seed)
    drawn = [
        {int(o): int(rng.integers(vocabulary)) for o in 1 + rng.permutation(5)[: rng.integers(LONGEST + 1)]}
        for _ in range(count)
    ]
    unique = {(tuple(sorted(c.items())), int(rng.integers(vocabulary))): c for c in drawn}
    return patterns_of(list(unique.values()), [target for _, target in unique])


def places(text: Text, context: Context) -> list[tuple[int, int]]:
    """Row and column of every counted token with this context in its row and document."""
    rows, length = text.tokens.shape
    return [
        (r, j)
        for r in range(rows)
        for j in range(1, length)
        if text.counted[r, j]
        and all(
            j - o >= 1 and text.documents[r, j - o] == text.documents[r, j] and text.tokens[r, j - o] == t
            for o, t in context.items()
        )
    ]


def first_of_documents(text: Text, found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    seen: dict[int, tuple[int, int]] = {}
    for at in found:
        seen.setdefault(int(text.documents[at]), at)
    return list(seen.values())


def counts(text: Text, patterns: Patterns, by_document: bool = False) -> tuple[list[int], list[int]]:
    seen, hits = [], []
    for context, target in zip(contexts_of(patterns), patterns.targets.tolist(), strict=True):
        found = places(text, context)
        found = first_of_documents(text, found) if by_document else found
        seen.append(len(found))
        hits.append(sum(text.tokens[at] == target for at in found))
    return seen, hits


@pytest.mark.parametrize("by_document", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_tally_is_a_literal_count(seed: int, by_document: bool) -> None:
    text, patterns = random_text(seed), random_patterns(seed)
    count, hits = mining.tally(text, patterns, 3, by_document)
    expected = counts(text, patterns, by_document)
    assert (count.tolist(), hits.tolist()) == expected
    assert len(set(expected[0])) > 5
    assert 0 < sum(expected[1]) < sum(expected[0])


def test_a_context_crosses_no_row_and_no_document_and_leaves_the_first_token_out() -> None:
    stream, documents = np.array([1, 2, 1, 1, 2, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 1, 1, 1])
    text, bigram = as_text(stream, documents, 5), patterns_of([{1: 1}], [2])  # rows 0 1 2 1 | 1, and 0 2 1 2 2
    assert mining.tally(text, bigram, 3)[0].tolist() == [2]
    text.tokens[:, 0] = 1
    assert mining.tally(text, bigram, 3)[0].tolist() == [2]
    text.documents[:], text.positions[:] = 0, 1 + np.arange(5)
    assert mining.tally(text, bigram, 3)[0].tolist() == [3], "as one document the 1 after 1 counts"


@pytest.mark.parametrize("seed", range(3))
def test_completions_are_all_places_of_all_patterns(seed: int) -> None:
    text, patterns = random_text(seed), random_patterns(seed)
    numbers, at = mining.completions(text, patterns, 3)
    expected = {
        (number, r * text.tokens.shape[1] + j)
        for number, context in enumerate(contexts_of(patterns))
        for r, j in places(text, context)
        if text.tokens[r, j] == patterns.targets[number]
    }
    assert len(numbers) == len(expected)
    assert set(zip(numbers.tolist(), at.tolist(), strict=True)) == expected


def test_rate_and_test_are_those_of_their_definitions() -> None:
    train, held_out, patterns = random_text(7), random_text(8), random_patterns(9)
    rates = mining.rate(train, patterns, 3)
    best = []
    for context, target in zip(contexts_of(patterns), patterns.targets.tolist(), strict=True):
        parts = [dict(kept) for n in range(len(context)) for kept in combinations(context.items(), n)]
        seen, hits = counts(train, patterns_of(parts, [target] * len(parts)))
        best.append(max([hit / max(n, 1) for n, hit in zip(seen, hits, strict=True)], default=0.0))
    np.testing.assert_allclose(rates.best, best, rtol=1e-12)
    p = mining.tested(held_out, patterns, rates.best, 3)
    for number, (n, k) in enumerate(zip(*counts(held_out, patterns, by_document=True), strict=True)):
        exact = stats.binomtest(k, n, best[number], alternative="greater").pvalue if n else 1.0
        assert p[number] == pytest.approx(exact, rel=1e-9)


def test_the_log_likelihood_ratio_by_hand() -> None:
    ratio = Rates(np.array([10, 10, 10, 10, 0]), np.array([8, 2, 10, 5, 0]), np.full(5, 0.5)).log_likelihood_ratio
    away = 8 * log(1.6) + 2 * log(0.4)
    np.testing.assert_allclose(ratio, [away, -away, 10 * log(2), 0, 0], atol=1e-9)


def test_sub_patterns_are_all_proper_subsets_once() -> None:
    patterns = patterns_of([{}, {3: 1}, {1: 0, 4: 2}, {1: 2, 2: 0, 9: 1}, {1: 0, 2: 1, 3: 2, 4: 1}], [0, 1, 2, 0, 1])
    found: dict[int, list[frozenset]] = {number: [] for number in range(5)}
    for which, parts in multigrams.sub_patterns(patterns):
        assert (parts.targets == patterns.targets[which]).all()
        for number, context in zip(which.tolist(), contexts_of(parts), strict=True):
            found[number].append(frozenset(context.items()))
    for number, context in enumerate(contexts_of(patterns)):
        expected = {frozenset(kept) for n in range(len(context)) for kept in combinations(context.items(), n)}
        assert set(found[number]) == expected
        assert len(found[number]) == len(expected)


def test_contiguous_are_offsets_from_one_on() -> None:
    patterns = patterns_of([dict.fromkeys(family, 0) for family in FAMILIES], [0] * len(FAMILIES))
    expected = [family == tuple(range(1, len(family) + 1)) for family in FAMILIES]
    assert patterns.contiguous.tolist() == expected
    assert sum(expected) == LONGEST
    assert max(max(family) for family in FAMILIES) == REACH
    assert patterns.sizes.tolist() == [len(family) for family in FAMILIES]


VOCABULARY, RULE = 12, 0.9


def planted_text(seed: int, context: Context, target: int) -> Text:
    """Random tokens, in which the target follows the context nine times of ten, wherever it comes up."""
    rng = np.random.default_rng(seed)
    stream, follows = rng.integers(1, VOCABULARY, 16_000), rng.random(16_000) < RULE
    for at in range(REACH, len(stream)):
        if follows[at] and all(stream[at - offset] == token for offset, token in context.items()):
            stream[at] = target
    return as_text(stream, np.arange(len(stream)) // 32, 65)


def passing(train: Text, held_out: Text) -> tuple[set[tuple], np.ndarray]:
    """Patterns that pass the false-discovery control, and all p."""
    found, rates = mining.mine(train, VOCABULARY, 8, 300)
    p = mining.tested(held_out, found, rates.best, VOCABULARY)
    passed = found.take(np.flatnonzero(stats.false_discovery_control(p) <= multigrams.RATE))
    named = zip(contexts_of(passed), passed.targets.tolist(), strict=True)
    return {(tuple(context.items()), target) for context, target in named}, p


@pytest.mark.parametrize("context", [{1: 8}, {1: 2, 2: 1}, {5: 3}, {1: 4, 7: 6}], ids=str)
def test_planted_patterns_pass_and_what_they_explain_does_not(context: Context) -> None:
    train, held_out = (planted_text(seed, context, 9) for seed in (1, 2))
    passed, _ = passing(train, held_out)
    own = (tuple(sorted(context.items())), 9)
    assert own in passed
    mined, _ = mining.mine(train, VOCABULARY, 8, 300)
    longer = [c for c in contexts_of(mined) if context.items() < c.items()]
    explained = [c for c, target in passed if context.items() < dict(c).items() and target == 9]
    assert len(explained) <= 0.05 * max(1, len(longer))
    if len(context) == 1:
        assert len(longer) > 30, "or nothing could have been explained"
    assert len(passed) <= 6


def test_nothing_passes_in_shuffled_text() -> None:
    """The control holds a run of tests to 5%; the same p without it would pass many."""
    false, uncontrolled = 0, 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        train, held_out = (planted_text(n, {1: 2, 2: 1}, 9) for n in (2 * seed, 2 * seed + 1))
        for text in (train, held_out):
            text.tokens[:, 1:] = rng.permutation(text.tokens[:, 1:].ravel()).reshape(-1, text.tokens.shape[1] - 1)
        passed, p = passing(train, held_out)
        assert len(p) > 500
        false += bool(passed)
        uncontrolled += bool((p <= multigrams.RATE).any())
    assert false <= 2
    assert uncontrolled == 12


def test_a_text_without_patterns_gives_none() -> None:
    text = as_text(np.arange(1, 41), np.zeros(40, int), 11)
    found, rates = mining.mine(text, 41, 2, 10)
    assert len(found.targets) == len(rates.best) == 0
    assert found.offsets.shape == (0, LONGEST)
    assert mining.tested(text, found, rates.best, 41).shape == (0,)
    assert [len(column) for column in mining.completions(text, found, 41)] == [0, 0]
    with pytest.raises(ValueError, match="at most 55108 tokens can be mined"):
        mining.mine(text, 55_109, 2, 10)


def test_numbers_of_tokens_do_not_matter() -> None:
    text = random_text(3)
    spread = np.array([5, 50_000, 55_107])
    found, rates = mining.mine(text, 3, 2, 50)
    far, far_rates = mining.mine(text._replace(tokens=spread[text.tokens]), 55_108, 2, 50)
    assert len(found.targets) > 20
    assert np.array_equal(far.offsets, found.offsets) and np.array_equal(far.targets, spread[found.targets])
    assert np.array_equal(far.tokens[found.offsets > 0], spread[found.tokens[found.offsets > 0]])
    assert np.array_equal(far_rates.hits, rates.hits)
    swapped, _ = mining.mine(text._replace(tokens=spread[text.tokens[::-1]]), 55_108, 2, 50)
    assert not np.array_equal(swapped.targets, far.targets), "negative control: another text"


def test_most_is_of_each_kind_and_length() -> None:
    text = planted_text(3, {1: 8}, 9)
    few, rates = mining.mine(text, VOCABULARY, 8, 5)
    kinds = list(zip(few.sizes.tolist(), few.contiguous.tolist(), strict=True))
    enough = [(size, contiguous) for size in (1, 2, 3) for contiguous in (False, True)]
    assert [kinds.count(kind) for kind in enough] == [5] * 6
    assert max(kinds.count(kind) for kind in kinds) == 5
    assert (rates.hits >= 8).all()
    assert (rates.log_likelihood_ratio > 0).all()


def test_learned_is_the_clustered_mean_of_each_pattern() -> None:
    rng = np.random.default_rng(0)
    numbers, documents = rng.integers(6, size=300), rng.integers(9, size=300)
    numbers[numbers == 4] = np.where(np.arange((numbers == 4).sum()) < 19, 4, 0)  # too few
    documents[numbers == 2] = 5  # of one document
    effect = rng.standard_normal((3, 300)) + 0.2 * rng.standard_normal(9)[documents]
    mean, se, p = multigrams.learned(effect, numbers, documents, 7)
    for head in range(3):
        for pattern in (0, 1, 3, 5):
            at = numbers == pattern
            exact = clustered(effect[head, at], documents[at])
            assert mean[head, pattern] == pytest.approx(exact.value, rel=1e-10)
            assert se[head, pattern] == pytest.approx(exact.se, rel=1e-10)
            assert p[head, pattern] == pytest.approx(stats.t.sf(exact.value / exact.se, exact.degrees), rel=1e-9)
    for values in (mean, se, p):
        assert np.isnan(values[:, [2, 4, 6]]).all()
    nothing = np.zeros(0, dtype=np.int64)
    assert [values.shape for values in multigrams.learned(np.zeros((3, 0)), nothing, nothing, 0)] == [(3, 0)] * 3


def test_effects_of_no_spread_are_no_evidence() -> None:
    """A standard error of 0 is never a p of 0: p is 1."""
    numbers, documents = np.zeros(40, np.int64), np.arange(40) % 4
    _, se, p = multigrams.learned(np.zeros((1, 40)), numbers, documents, 1)
    assert (se.item(), p.item()) == (0, 1)


def test_effects_and_gains_that_are_no_numbers_are_refused() -> None:
    """They would pass as no effect, p of 1, and as not known."""
    numbers, documents = np.zeros(40, dtype=int), np.arange(40)
    effect = np.random.default_rng(0).normal(1, 1, (1, 40))
    assert multigrams.learned(effect, numbers, documents, 1)[2] < 1e-3
    effect[0, 3] = np.nan
    with pytest.raises(ValueError, match="an effect is not finite"):
        multigrams.learned(effect, numbers, documents, 1)
    whole, alone, part = np.full((3, 1), [[2.0], [1.9], [0.1]])
    assert multigrams.known(whole, alone, part).all()
    with pytest.raises(ValueError, match="a gain is nan"):
        multigrams.known(whole * np.nan, alone, part)


def test_learned_p_is_uniform_without_an_effect() -> None:
    """Effects share a part by document: p by document is honest, p as if completions were independent is not."""
    rng = np.random.default_rng(1)
    numbers, documents = np.repeat(np.arange(400), 40), np.tile(np.arange(40) // 4, 400)
    shared = rng.standard_normal((400, 10))[numbers, documents]
    effect = (shared + rng.standard_normal(len(numbers)))[None]
    _, _, p = multigrams.learned(effect, numbers, documents, 400)
    assert stats.kstest(p[0], "uniform").pvalue > 0.01
    _, _, naive = multigrams.learned(effect, numbers, np.tile(np.arange(40), 400), 400)
    assert (naive <= 0.05).mean() > 0.12 > 0.08 > (p <= 0.05).mean()


def test_known_needs_the_whole_context_and_nothing_else() -> None:
    whole, alone, part = np.array(
        [(2.0, 1.7, 1.5), (2.0, 1.5, 0.0), (2.0, 1.7, 1.7), (-1.0, 0.0, -2.0), (0.0, 1.0, 0.0), (2.0, 1.6, 1.59)]
    ).T
    assert multigrams.known(whole, alone, part).tolist() == [True, False, False, False, False, True]
