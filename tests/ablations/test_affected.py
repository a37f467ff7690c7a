"""The list of most affected tokens equals a full sort, whatever the pieces; overlaps equal what they are made to be."""

import numpy as np
import pytest

from ablations import affected, overlap
from ablations.affected import Hits


def random_text(rows: int, length: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Effects with many ties, few distinct tokens (so that contexts repeat), documents across rows, in mixed order."""
    generator = np.random.default_rng(seed)
    tokens = generator.integers(1, 6, size=(rows, length))
    tokens[generator.random((rows, length)) < 0.02] = 0
    stream = np.cumsum(generator.random(rows * length) < 1 / 300)
    starts = np.flatnonzero(np.diff(stream, prepend=-1))
    positions = np.arange(rows * length) - starts[np.cumsum(np.diff(stream, prepend=-1) > 0) - 1]
    order = generator.permutation(rows)
    documents, positions = (a.reshape(rows, length)[order] for a in (stream, positions))
    effects = np.round(generator.standard_t(2, size=(rows, length - 1)), 2).astype(np.float32)
    return effects, tokens, documents, positions


def by_full_sort(effects, tokens, documents, positions, sign: int, k: int) -> list[tuple[int, int]]:
    """The definition, token by token: (document, position) of the list."""
    every = []
    for row, pos in np.argwhere(tokens[:, affected.BEFORE :] != 0):
        at = pos + affected.BEFORE
        effect = int(np.rint(float(effects[row, at - 1]) * 1e6))
        like = tuple(tokens[row, at - 4 : at + 1].tolist())
        every.append((-sign * effect, int(documents[row, at]), int(positions[row, at]), like))
    every.sort()
    kept, seen, counts = [], set(), {}
    for entry in every:
        _, document, _, like = entry
        if (document, like) not in seen and counts.get(document, 0) < 5:
            seen.add((document, like))
            counts[document] = counts.get(document, 0) + 1
            kept.append(entry)
    found, used = [], set()
    for _, document, position, like in kept:
        if like not in used:
            used.add(like)
            found.append((document, position))
    return found[:k]


@pytest.mark.parametrize(("sign", "rows"), [(1, 4000), (-1, 500)])
def test_the_list_equals_a_full_sort_on_a_million_tokens(sign: int, rows: int) -> None:
    text = random_text(rows, 256)
    assert text[1].size == rows * 256
    expected = by_full_sort(*text, sign, 200)
    parts: list[Hits] = []
    for start in range(0, rows, 250):
        part = slice(start, start + 250)
        hits = affected.scored(*(array[part] for array in text), bos=0, first_row=start)
        parts = [affected.per_document(affected.joined([*parts, hits]), sign)]
    found = affected.top(parts[0], sign, 200)
    assert list(zip(found.document.tolist(), found.position.tolist(), strict=True)) == expected
    assert len(parts[0].effect) <= 5 * len(np.unique(text[2]))
    effects, tokens, documents, _ = text
    assert (documents[found.row, found.pos] == found.document).all()
    assert (tokens[found.row, found.pos] == found.likeness[:, -1]).all()
    np.testing.assert_allclose(found.effect, effects[found.row, found.pos - 1] * 1e6, atol=0.6)
    other = affected.top(parts[0], -sign, 200)  # negative control: the other sign's list is another
    assert found.effect.tolist() != other.effect.tolist()


def test_the_list_does_not_depend_on_order_or_pieces() -> None:
    text = random_text(200, 64, seed=1)
    whole = affected.top(affected.scored(*text, bos=0), 1, 50)
    shuffled = np.random.default_rng(2).permutation(200)
    pieces = [affected.scored(*(a[rows] for a in text), bos=0) for rows in np.array_split(shuffled, 7)]
    mixed = affected.top(affected.joined([affected.per_document(p, 1) for p in pieces]), 1, 50)
    assert (mixed.position == whole.position).all()
    assert (mixed.document == whole.document).all()
    _, counts = np.unique(whole.document, return_counts=True)
    assert counts.max() <= 5
    assert len({tuple(like) for like in whole.likeness.tolist()}) == len(whole.effect)


def test_only_tokens_with_context_are_scored_and_never_bos() -> None:
    text = random_text(50, 64)
    hits = affected.scored(*text, bos=0)
    assert hits.pos.min() == affected.BEFORE
    assert (hits.likeness[:, -1] != 0).all()
    assert len(hits.effect) == (text[1][:, affected.BEFORE :] != 0).sum()
    with pytest.raises(ValueError, match="32 before it"):
        affected.scored(*(a[:, :20] for a in text), bos=0)
    text[0][3, 40] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        affected.scored(*text, bos=0)


def planted_effects(shared: bool, seed: int = 0):
    """Two effects on 4,000 tokens of 6 kinds; large on the same 120 tokens, or on 120 others each."""
    generator = np.random.default_rng(seed)
    targets, clean = generator.integers(6, size=4000), generator.gamma(2.0, size=4000)
    first, second = generator.normal(0, 0.01, (2, 4000))
    hit = generator.choice(4000, 120, replace=False)
    other = hit if shared else generator.choice(4000, 120, replace=False)
    first[hit] += generator.gamma(5.0, size=120)
    second[other] += generator.gamma(5.0, size=120)
    return first, second, overlap.strata(targets, clean), np.arange(4000) // 50


def test_overlap_of_changes_to_the_same_tokens() -> None:
    first, second, groups, documents = planted_effects(shared=True)
    found = overlap.jaccard(first, second, groups, share=0.03)
    assert found.value > 0.9
    assert found.chance < 0.1
    assert found.p == pytest.approx(1 / 201)
    where = overlap.strongest(first, 0.03)
    assert overlap.mass(second, where, groups).value > 0.85
    inside, outside = overlap.share(second, where, documents)
    assert inside.value > 4
    assert abs(outside.value) < 5 * outside.se + 1e-3


def test_no_overlap_is_found_where_there_is_none() -> None:
    ps = []
    for seed in range(40):
        first, second, groups, _ = planted_effects(shared=False, seed=seed)
        ps.append(overlap.jaccard(first, second, groups, share=0.03, shuffles=99, seed=seed).p)
    assert 0.2 < np.mean(ps) < 0.95  # many overlaps are 0 or a few tokens: p is discrete
    assert np.mean(np.array(ps) <= 0.05) < 0.2


def test_tokens_that_are_hard_for_both_changes_are_no_overlap() -> None:
    """Effects that follow the target alone overlap as much when they are shuffled among occurrences of the target."""
    generator = np.random.default_rng(3)
    targets = generator.integers(200, size=20_000)
    by_token = generator.gamma(0.3, size=200)
    first, second = (by_token[targets] + generator.normal(0, 0.05, 20_000) for _ in range(2))
    groups = overlap.strata(targets, np.ones(20_000))
    found = overlap.jaccard(first, second, groups, share=0.02)
    assert found.value > 0.2
    assert found.p > 0.01
    naive = overlap.jaccard(first, second, np.zeros(20_000, dtype=int), share=0.02)  # negative control: no strata
    assert naive.p < 0.01


def test_shares_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        overlap.strongest(np.ones(4), 1.0)
    with pytest.raises(ValueError, match="no positive effect"):
        overlap.mass(-np.ones(4), np.ones(4, dtype=bool), np.zeros(4, dtype=int))
