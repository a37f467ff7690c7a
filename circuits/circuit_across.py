"""One task's circuit in many models of one shape, such as the seeds of a training run: how much of it is the same.

Heads of two models have nothing in common but their layer, so that every two models are matched by what their heads do
(`head_matching`). What is in every model (`circuit_core`) needs names, which are those of the first. That choice must
not decide: partners of partners need not be partners, and another model might keep more or fewer paths. So three things
stand beside the core that do not depend on it:

    pairs       how much of each circuit is in each other one, over all pairs of models (`head_matching.universality`)
    core_sizes  how many paths are in every model, with each model as the one that the others are matched to
    agreement   for each head, how many pairs of other models match its partners there with each other

Heads are matched by effects among other things, which paths have too, so that some agreement comes of the matching
alone, and random matchings do not have that advantage. `by_attention` is the core with heads matched by where they
attend and by nothing else, which is free of it.

A path that is found in one model and not in another does not differ thereby: its effects in all models stand beside it,
and `circuit_difference` tests differences of two. The more models, the fewer paths pass in every one of them by chance.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool

from ablations.names import Head, Shape, all_heads, head_name
from ablations.paths import Path, path_name
from circuits import circuit_core
from circuits.circuit_core import Core
from circuits.discover import significant
from circuits.discover_paths import Effects
from circuits.head_matching import DRAWS, EFFECT_FEATURES, RESAMPLES, Matching, match, renamed, universality

RATE = 0.05

Matchings = dict[tuple[int, int], Matching]  # by the numbers of the two models, the smaller first


class Member(NamedTuple):
    """What has to be known of a model."""

    effects: Effects  # exact, of all candidates (`discover.path_effects`)
    features: xr.DataArray  # of its heads (`head_matching.features`)


class Across(NamedTuple):
    """One circuit in many models, by the names of the first.

    paths [path, model]: counterpart (the path there), effect (mean over prompts, in the metric's units; negative where
    it carries the task), found; models [path]: in how many it is found. heads [head, model]: partner, share (of the
    resamples of prompts in which it is the same); agreement [head]: the share of pairs of other models whose own
    matching has the head's partners as partners (NaN for two models). pairs [pair]: one, other (numbers of models),
    of_one (the share of its paths that the other has), of_other, jaccard, random (its mean over random matchings), p.
    """

    paths: xr.Dataset
    heads: xr.Dataset
    core: Core
    by_attention: Core  # the same with heads matched by where they attend alone
    core_sizes: tuple[int, ...]  # with each model as the first
    pairs: xr.Dataset


def across(
    members: Sequence[Member],
    cfg: Shape,
    rate: float = RATE,
    resamples: int = RESAMPLES,
    draws: int = DRAWS,
    seed: int = 0,
) -> Across:
    """Matches the heads of several models, and says how much of the circuit they have in common.

    Arguments:

        members    the models, two or more of one shape; best on the same prompts
        cfg        the layers and heads of each
        rate       the false-discovery rate at which paths are found in each
        resamples  of the prompts, for how sure partners are
        draws      random matchings of heads within layers

    Raises ValueError for fewer models, for models of other heads or other paths and for effects without p-values, and
    NotMeasurable where no path is found in any model.
    """
    if len(members) < 2:
        raise ValueError(f"{len(members)} model: a circuit is followed across two or more")
    every = set(members[0].effects.paths)
    if any(set(member.effects.paths) != every for member in members):
        raise ValueError("the models were not measured on the same paths: give effects of all candidates of each")
    found = [significant(member.effects.p, rate) for member in members]
    circuits = [_passing(member.effects, at) for member, at in zip(members, found, strict=True)]
    numbers = range(len(members))
    matchings = {
        (one, other): match(members[one].features, members[other].features, resamples, seed)
        for one, other in combinations(numbers, 2)
    }
    partners = [[_partner(matchings, one, other, cfg) for other in numbers] for one in numbers]
    counted = [circuit_core.found_in(circuits, partners[one]) for one in numbers]
    return Across(
        paths=_paths(members, found, partners[0]),
        heads=_heads(matchings, partners, cfg),
        core=circuit_core.core(circuits, partners[0], cfg, draws, seed),
        by_attention=circuit_core.core(circuits, _by_attention(members, resamples, seed), cfg, draws, seed),
        core_sizes=tuple(len(circuit_core.in_all(each, len(members))) for each in counted),
        pairs=_pairs(circuits, partners, cfg, draws, seed),
    )


def _passing(effects: Effects, found: Bool[np.ndarray, " path"]) -> list[Path]:
    return [path for path, ok in zip(effects.paths, found, strict=True) if ok]


def _partner(matchings: Matchings, one: int, other: int, cfg: Shape) -> dict[Head, Head]:
    """For each head of a model its partner in another, or itself in its own."""
    if one == other:
        return {head: head for head in all_heads(cfg)}
    if one < other:
        return matchings[one, other].partner
    return {theirs: own for own, theirs in matchings[other, one].partner.items()}


def _by_attention(members: Sequence[Member], resamples: int, seed: int) -> list[dict[Head, Head]]:
    """The partners of the first's heads in each model, matched without their effects."""
    looks = [member.features.drop_sel(feature=[*EFFECT_FEATURES]) for member in members]
    return [match(looks[0], other, resamples, seed).partner for other in looks]


def _paths(
    members: Sequence[Member], found: Sequence[Bool[np.ndarray, " path"]], partners: Sequence[dict[Head, Head]]
) -> xr.Dataset:
    """What becomes of each path of the first in each model."""
    paths = members[0].effects.paths
    names, effects, passes = [], [], []
    for member, passed, partner in zip(members, found, partners, strict=True):
        counterparts = [renamed(path, partner) for path in paths]
        place = {path: number for number, path in enumerate(member.effects.paths)}
        at = [place[path] for path in counterparts]
        names.append([path_name(path) for path in counterparts])
        effects.append(member.effects.effect.mean(1)[at])
        passes.append(passed[at])
    columns = {"counterpart": names, "effect": effects, "found": passes}
    table = xr.Dataset({name: (("model", "path"), np.array(values)) for name, values in columns.items()})
    table = table.assign_coords(path=[path_name(path) for path in paths]).transpose("path", "model")
    return table.assign(models=table.found.sum("model"))


def _heads(matchings: Matchings, partners: Sequence[Sequence[dict[Head, Head]]], cfg: Shape) -> xr.Dataset:
    """Each head of the first with its partners, and how sure these are."""
    heads, numbers = all_heads(cfg), range(len(partners))
    names = [[head_name(partners[0][other][head]) for other in numbers] for head in heads]
    shares = [[matchings[0, other].share[head] if other else 1.0 for other in numbers] for head in heads]
    agree = [
        [partners[one][other][partners[0][one][head]] == partners[0][other][head] for head in heads]
        for one, other in combinations(numbers[1:], 2)
    ]
    agreement = np.mean(agree, axis=0) if agree else np.full(len(heads), np.nan)
    data: dict = {"partner": (("head", "model"), names), "share": (("head", "model"), shares)}
    table = xr.Dataset(data, {"head": [head_name(head) for head in heads]})
    return table.assign(agreement=("head", agreement))


def _pairs(
    circuits: Sequence[Sequence[Path]],
    partners: Sequence[Sequence[dict[Head, Head]]],
    cfg: Shape,
    draws: int,
    seed: int,
) -> xr.Dataset:
    """How much of each circuit is in each other one."""
    rows = [
        (one, other, *_pair(circuits[one], circuits[other], partners[one][other], cfg, draws, seed))
        for one, other in combinations(range(len(circuits)), 2)
    ]
    names = ("one", "other", "of_one", "of_other", "jaccard", "random", "p")
    columns = zip(names, zip(*rows, strict=True), strict=True)
    return xr.Dataset({name: ("pair", list(values)) for name, values in columns})


def _pair(
    one: Sequence[Path], other: Sequence[Path], partner: dict[Head, Head], cfg: Shape, draws: int, seed: int
) -> tuple[float, float, float, float, float]:
    """`universality` as numbers; a circuit without paths shares nothing with any, by no matching."""
    if not one or not other:
        nothing = 0.0 if one or other else float("nan")
        return 0.0 if one else float("nan"), 0.0 if other else float("nan"), nothing, nothing, 1.0
    both = universality(one, other, partner, cfg, draws, seed)
    return both.of_first, both.of_second, both.jaccard, float(both.random.mean()), both.p
