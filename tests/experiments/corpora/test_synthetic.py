"""The synthetic language: what it says it holds is what its text holds, and tools find it there."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from circuits import brackets, mining, multigrams, token_kinds
from experiments import corpora
from experiments.corpora import bracket_rows, documents, synthetic_language, synthetic_text, synthetic_truth
from experiments.corpora import tokenizer as tokenizer_of
from experiments.corpora.synthetic_language import SIDE, Pattern, Truth
from experiments.corpora.synthetic_text import KINDS, Written
from experiments.heldout import labelled_tokens
from experiments.runs import presets

NAME = "synthetic:documents=1500,repeat_rate=0.08,repeat_length=10"
LANGUAGE = synthetic_language.parse(NAME)


def of(kind: str) -> int:
    return KINDS.index(kind)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return synthetic_language.truth(LANGUAGE)


@pytest.fixture(scope="module")
def pages(truth: Truth) -> list[Written]:
    return [synthetic_text.written(truth, number) for number in range(LANGUAGE.documents)]


@pytest.fixture(scope="module")
def joined(pages: list[Written]) -> Written:
    """All pages [document, place]."""
    return Written(*(np.stack(columns) for columns in zip(*pages, strict=True)))


@pytest.fixture
def rows() -> corpora.Corpus:
    tokenizer = tokenizer_of.new_tokenizer("train", NAME, presets.get("synthetic").d_vocab)
    return corpora.load(NAME, tokenizer=tokenizer, n_ctx=128, split="train")


def z(hits: float, count: float, rate: float) -> float:
    return float((hits - count * rate) / np.sqrt(count * rate * (1 - rate)))


# --- the same arguments, the same text ---


def test_a_document_depends_on_the_language_and_its_number_alone(truth: Truth, pages: list[Written]) -> None:
    again = synthetic_text.written(synthetic_language.truth(synthetic_language.parse(f"{NAME},seed=0")), 7)
    assert all(np.array_equal(a, b) for a, b in zip(again, pages[7], strict=True))
    others = (
        synthetic_text.written(truth, 8),
        synthetic_text.written(synthetic_language.truth(replace(LANGUAGE, seed=1)), 7),
    )
    assert all(not np.array_equal(other.tokens, pages[7].tokens) for other in others)


def test_another_number_of_patterns_leaves_words_their_roles(truth: Truth) -> None:
    fewer = synthetic_language.truth(replace(LANGUAGE, trigrams=0))
    assert np.array_equal(fewer.plain, truth.plain)
    assert np.array_equal(fewer.segment, truth.segment)
    assert not np.array_equal(synthetic_language.truth(replace(LANGUAGE, seed=1)).plain, truth.plain)


def test_rows_hold_the_documents_token_by_token(rows: corpora.Corpus, truth: Truth) -> None:
    assert len(rows) == LANGUAGE.documents * 9 // 10
    rows, bos = rows.part(slice(0, 300)), corpora.bos(rows.tokenizer)
    found = synthetic_truth.labels(rows)  # raises where a token is another
    assert np.array_equal(found.kind < 0, np.asarray(rows.tokens) == bos)
    assert (found.kind[:, [0, -1]] == -1).all()  # a document to a row
    number = synthetic_truth.number_of(int(rows.documents[0, 5]), "train")
    assert np.array_equal(rows.tokens[0, 1:-1], synthetic_text.written(truth, number).tokens)


def test_held_out_documents_are_others(rows: corpora.Corpus) -> None:
    held_out = corpora.load(NAME, tokenizer=rows.tokenizer, n_ctx=128, split="test")
    synthetic_truth.labels(held_out)
    assert len(held_out) == LANGUAGE.documents // 10
    assert not set(documents.texts(NAME, "test")) & set(documents.texts(NAME, "train"))


def test_rows_that_are_not_the_languages_are_seen(rows: corpora.Corpus) -> None:
    changed = np.array(rows.tokens[:2])
    changed[0, 5] += 1
    with pytest.raises(ValueError, match="not what the language writes"):
        synthetic_truth.labels(replace(rows.part(slice(0, 2)), tokens=changed))
    with pytest.raises(ValueError, match="is not known: give rows of 'synthetic'"):
        synthetic_truth.labels(replace(rows, name="python"))


# --- labels and rates ---


def stands(page: Written, place: int, pattern: Pattern) -> bool:
    return all(page.tokens[place - o] == t for o, t in zip(pattern.offsets, pattern.tokens, strict=True))


def test_labels_say_what_stands_there(truth: Truth, pages: list[Written]) -> None:
    plain, segment = set(truth.plain.tolist()), set(truth.segment.tolist())
    for page in pages[:300]:
        seen: list[int] = []
        segments: set[int] = set()
        for place, (token, kind, number, _) in enumerate(zip(*(column.tolist() for column in page), strict=True)):
            if KINDS[kind] in ("target", "miss"):
                assert stands(page, place, truth.patterns[number])
                assert not stands(page, place, truth.patterns[number - 1])
            if KINDS[kind] == "target":
                assert token == truth.patterns[number].target
            if KINDS[kind] in ("plain", "free", "miss"):
                assert token in plain
            if KINDS[kind] == "new":
                assert token in segment | plain
                assert token not in segments
                segments.add(token)
            if KINDS[kind] in ("first", "copy"):
                assert token in segments
            if KINDS[kind] == "first":
                assert token in segment
            if KINDS[kind] == "copy":
                assert (seen[-1], token) in pairwise(seen)
            seen.append(token)


def test_every_pattern_comes_as_often_as_it_says(truth: Truth, joined: Written) -> None:
    language, found = truth.language, joined
    for number in range(len(truth.patterns)):
        mine = found.pattern == number
        hits, due = (
            (found.kind[mine] == of("target")).sum(),
            np.isin(found.kind[mine], (of("target"), of("miss"))).sum(),
        )
        assert due > 20
        assert abs(z(hits, due, language.probability)) < 4
        assert abs(z(hits, due, language.probability / 4)) > 4  # control
    kinds = np.array([pattern.kind for pattern in truth.patterns])
    for kind in synthetic_language.CONTEXTS:
        counts = np.bincount(found.pattern[found.pattern >= 0], minlength=len(kinds))[kinds == kind]
        length = max(map(max, synthetic_language.CONTEXTS[kind])) + 1
        assert counts.std() < 4 * length * np.sqrt(counts.mean() / length)


def test_what_begins_begins_at_its_rate(joined: Written) -> None:
    """At the first token of a document nothing is under way."""
    first, count = joined.kind[:, 0], len(joined.kind)
    rates = LANGUAGE.rates
    assert abs(z((first == of("context")).sum(), count, sum(rates[kind] for kind in synthetic_language.CONTEXTS))) < 4
    assert abs(z((first == of("new")).sum(), count, rates["repeat"])) < 4
    assert abs(z((first == of("opener")).sum(), count, rates["bracket"])) < 4
    assert abs(z((first == of("opener")).sum(), count, 2 * rates["bracket"])) > 4  # control


def test_probabilities_are_those_of_the_law(joined: Written) -> None:
    p = np.exp(joined.log_probability)
    assert (p <= 1).all()
    assert np.isclose(p[joined.kind == of("closer")], synthetic_text.CLOSE).all()
    assert (p[joined.kind == of("copy")] == 1).all()
    assert (p[joined.kind == of("target")] >= LANGUAGE.probability).all()
    at = joined.kind == of("miss")  # the plain word that was due can come by chance
    assert p[at].max() > LANGUAGE.probability > np.median(p[at])


def test_what_is_inside_closes_at_its_rate(joined: Written) -> None:
    can_close = closes = 0
    for tokens, kinds in zip(joined.tokens[:400].tolist(), joined.kind[:400].tolist(), strict=True):
        for place in range(2, len(tokens)):
            if tokens[place - 2] in (7, 8) and KINDS[kinds[place - 2]] == "opener":  # a quote and one word inside
                can_close, closes = can_close + 1, closes + (KINDS[kinds[place]] == "closer")
    assert can_close > 100
    assert abs(z(closes, can_close, synthetic_text.CLOSE)) < 4
    assert abs(z(closes, can_close, 0.6)) > 4  # control


def test_what_can_come_first_has_a_probability_of_1_in_all(truth: Truth, joined: Written) -> None:
    """The mean of 1 / p over draws is the number of tokens that can be drawn."""
    first_words = {(pattern.kind, pattern.tokens[0]) for pattern in truth.patterns}
    support = synthetic_language.PLAIN + synthetic_language.SEGMENT + len(first_words) + len(brackets.KINDS)
    inverse = np.exp(-joined.log_probability[:, 0])
    error = inverse.std() / np.sqrt(len(inverse))
    assert abs(inverse.mean() - support) < 4 * error
    assert abs(1.2 * inverse.mean() - support) > 4 * error  # control: other probabilities


def test_parts_of_a_context_do_not_give_the_target(truth: Truth, joined: Written) -> None:
    width = joined.tokens.shape[1]
    for pattern in [p for p in truth.patterns if len(p.tokens) > 1][::7]:
        for left_out in range(len(pattern.tokens)):
            kept = [i for i in range(len(pattern.tokens)) if i != left_out]
            here = np.ones(joined.tokens[:, 4:].shape, dtype=bool)
            for i in kept:
                offset = pattern.offsets[i]
                here &= joined.tokens[:, 4 - offset : width - offset] == pattern.tokens[i]
            hits, count = (joined.tokens[:, 4:][here] == pattern.target).sum(), here.sum()
            most = LANGUAGE.probability / SIDE + truth.plain_shares[truth.plain == pattern.target][0]
            assert count > 100
            assert z(hits, count, most) < 4
            assert z(hits, count, LANGUAGE.probability) < -4  # as the whole context would


# --- none where none is asked for ---


@pytest.mark.parametrize(
    ("arguments", "gone"),
    [
        ("bigrams=0,trigrams=0,fourgrams=0,skip_bigrams=0,skip_trigrams=0", ("context", "free", "target", "miss")),
        ("repeat_rate=0", ("new", "first", "copy")),
        ("bracket_rate=0", ("opener", "closer")),
    ],
)
def test_what_is_not_asked_for_is_not_there(arguments: str, gone: tuple[str, ...]) -> None:
    planted = synthetic_language.truth(synthetic_language.parse(f"synthetic:{arguments}"))
    found = np.concatenate([synthetic_text.written(planted, number).kind for number in range(200)])
    for kind in KINDS:
        assert (found == of(kind)).any() == (kind not in gone)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("trigrams=17", "multiple of 16"),
        ("fourgrams=16", "multiple of 64"),
        ("bigrams=-1", "give 0 or more"),
        ("bigram_rate=1.5", "a share from 0 to 1"),
        ("bigram_rate=0.5,trigram_rate=0.5", "the rates sum to"),
        ("trigrams=1600", "plant fewer or add words"),
        ("words=5000,trigrams=16", "there are"),
        ("repeat_length=1", "give 2 or more"),
        ("repeat_length=500", "give fewer"),
        ("documents=3", "give 10 or more"),
        ("colour=1", "no argument 'colour'"),
        ("seed", "is no number"),
        ("seed=1.5", "is no number"),
    ],
)
def test_arguments_that_cannot_be_are_named(arguments: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        language = synthetic_language.parse(f"synthetic:{arguments}")
        synthetic_language.strings(language.words)


def test_a_vocabulary_of_another_size_says_how_many_words_it_holds() -> None:
    with pytest.raises(ValueError, match="words=391"):
        tokenizer_of.new_tokenizer("train", "synthetic", 400)
    assert tokenizer_of.new_tokenizer("train", "synthetic:words=391", 400).get_vocab_size() == 400


# --- tools on its text ---


def test_brackets_and_quotes_are_those_that_were_written(rows: corpora.Corpus) -> None:
    some = rows.part(slice(0, 300))
    found, written = bracket_rows.of_rows(some), synthetic_truth.labels(some)
    assert np.array_equal(found.kind >= 0, written.kind == of("closer"))
    tokens = np.asarray(some.tokens)
    row, pos = np.nonzero(found.kind >= 0)
    opened = tokens[row, found.opener[row, pos]]
    closers = [
        1 + synthetic_language.MARKS.index(synthetic_language.closing(synthetic_language.MARKS[token - 1]))
        for token in opened.tolist()
    ]
    assert closers == tokens[row, pos].tolist()
    assert found.nested.sum() > 30
    assert set(found.kind[row, pos].tolist()) == {0, 1, 2, 3, 4}


def test_copies_are_repeats_and_new_segments_are_none(rows: corpora.Corpus) -> None:
    some = rows.part(slice(0, 300))
    written, repeats = synthetic_truth.labels(some), token_kinds.repeats(np.asarray(some.tokens).astype(np.int64))
    assert repeats[written.kind == of("copy")].all()
    assert repeats[written.kind == of("new")].mean() < 0.01
    shuffled = np.random.default_rng(0).permuted(written.kind, axis=1)
    assert repeats[shuffled == of("copy")].mean() < 0.5  # control


def found_share(planted: Iterable[Pattern], mined: multigrams.Patterns) -> float:
    def key(table: multigrams.Patterns) -> Counter:
        return Counter(map(bytes, np.concatenate([table.offsets, table.tokens, table.targets[:, None]], axis=1)))

    wanted = synthetic_language.as_patterns(planted)
    return (key(wanted) & key(mined)).total() / len(wanted.targets)


def test_mining_finds_every_planted_pattern(rows: corpora.Corpus, truth: Truth) -> None:
    text = labelled_tokens.text(rows)
    mined, rates = mining.mine(text, rows.tokenizer.get_vocab_size(), fewest=10, most=500)
    for kind in synthetic_language.CONTEXTS:
        planted = [pattern for pattern in truth.patterns if pattern.kind == kind]
        assert found_share(planted, mined) == 1
        targets = np.roll([pattern.target for pattern in planted], 1).tolist()
        shifted = [p._replace(target=target) for p, target in zip(planted, targets, strict=True)]
        assert found_share(shifted, mined) < 0.1  # control: other targets
    strong = mined.take(np.flatnonzero((rates.hits / rates.seen > 0.5) & (rates.hits / rates.seen > 2 * rates.best)))
    keys = synthetic_language.as_patterns(truth.patterns)
    assert len(strong.targets) == pytest.approx(len(keys.targets), rel=0.1)
