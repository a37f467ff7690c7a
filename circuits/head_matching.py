"""Which head of one model does what a head of another does: heads of two models of one shape, matched by what they do.

Heads of two runs have nothing in common but their layer: which of them becomes the previous-token head is chance. Each
is described by where it attends on a task's prompts and by what patching it does to the answers (`FEATURES`); within
each layer heads are then matched one to one, so that the descriptions differ least in all (linear assignment, Kuhn
1955). How sure a match is, resamples of the prompts say, and what the best assignment without it would cost more.

How far two circuits are one (`universality`) is the share of paths that both have under the matching. Heads are matched
by effects among other things, which paths have too, so that some agreement comes of the matching alone; random
matchings within layers, which stand beside it, do not have that advantage.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ablations import rerun
from ablations.changes import Change
from ablations.forward import Weights
from ablations.models import Config
from ablations.names import Head, Shape, all_heads, head_name, parse_head
from ablations.paths import Path
from ablations.running import as_in_workers
from circuits.discover_exact import both_runs
from circuits.scores import attention_to, following_keys
from circuits.self_repair import parts_by_prompt
from circuits.tasks import Task, check_task

FEATURES = ("previous", "current", "first", "following", "replaced", "after_replaced", "total", "direct")
EFFECT_FEATURES = ("total", "direct")  # all others are of attention
RESAMPLES, DRAWS = 200, 1000
SURE = 0.8  # of the resamples in which a head has the same partner


class Matching(NamedTuple):
    """For each head of the first model, its partner among the heads of the same layer of the second."""

    partner: dict[Head, Head]
    share: dict[Head, float]  # of resamples of both models' prompts in which the partner is the same
    margin: dict[Head, float]  # what the best assignment without this pair costs more; infinite where there is none

    def sure(self, path: Path) -> bool:
        """Whether both ends of a path of the first model have a partner in most resamples."""
        return all(self.share[end] >= SURE for end in path[:2] if not isinstance(end, str))


class Universality(NamedTuple):
    """How far two circuits are the same, heads matched; random: the Jaccard indices of random matchings."""

    of_first: float  # the share of the first's paths that the second has
    of_second: float
    jaccard: float
    random: Float[np.ndarray, " draw"]

    @property
    def p(self) -> float:
        """The share of random matchings, and the one at hand, under which the circuits are as much the same."""
        return float((1 + (self.random >= self.jaccard).sum()) / (1 + len(self.random)))


@as_in_workers()
def features(weights: Weights, cfg: Config, task: Task) -> xr.DataArray:
    """What each head does on a task [head, feature, prompt].

    Mean attention of the clean prompts' tokens, the first apart: to the token before, to themselves, to the first
    token, to what followed their earlier occurrences; attention of the last token to tokens that the corrupted prompt
    has others for, and to the tokens after these; and total and direct effect of patching the head (`self_repair`).
    """
    check_task(task, cfg)
    with torch.no_grad():
        clean, corrupted = both_runs(weights, cfg, task)
        keys = _keys(clean, corrupted)
        by_layer = (rerun.patterns(weights, cfg, clean, layer) for layer in range(cfg.n_layers))
        looks = torch.cat([torch.stack([attention_to(pattern, key) for key in keys]) for pattern in by_layer], dim=2)
    parts = parts_by_prompt(weights, cfg, task, [Change(heads=(head,)) for head in all_heads(cfg)])
    effects = torch.stack([torch.stack([part.total, part.direct]) for part in parts])
    values = torch.cat([looks.permute(2, 0, 1).cpu(), effects], dim=1)
    coords = {"head": [head_name(head) for head in all_heads(cfg)], "feature": list(FEATURES)}
    return xr.DataArray(values.double().numpy(), coords, ("head", "feature", "prompt"))


def _keys(clean: rerun.Clean, corrupted: rerun.Clean) -> list[Bool[Tensor, "prompt query key"]]:
    """Which keys each attention feature is of, for the queries that count."""
    tokens = clean.tokens
    length, device = tokens.shape[1], tokens.device
    place = torch.arange(length, device=device)
    ends = torch.full((len(tokens),), length - 1, device=device) if clean.ends is None else clean.ends
    counts = ((place >= 1) & (place <= ends[:, None]))[:, :, None]
    lines = [place[:, None] == place + 1, place[:, None] == place, (place == 0).expand(length, length)]
    everywhere = [line.expand(len(tokens), -1, -1) for line in lines] + [following_keys(tokens).to(device)]
    replaced = tokens != corrupted.tokens
    after = torch.zeros_like(replaced)
    after[:, 1:] = replaced[:, :-1]
    last = (place == ends[:, None])[:, :, None]
    return [keys & counts for keys in everywhere] + [keys[:, None] & last for keys in (replaced, after)]


def match(first: xr.DataArray, second: xr.DataArray, resamples: int = RESAMPLES, seed: int = 0) -> Matching:
    """Matches the heads of two models by their `features` [head, feature, prompt], layer by layer.

    Features are standardised over the heads of the layer in both models; a pair costs the mean of the squared
    differences, in these units, and so does the margin. Raises ValueError for models of other heads.
    """
    heads = [parse_head(name) for name in first["head"].values.tolist()]
    if first["head"].values.tolist() != second["head"].values.tolist():
        raise ValueError("heads can be matched in models of the same layers and heads alone: give two of one shape")
    generator, found = np.random.default_rng(seed), Matching({}, {}, {})
    for layer in sorted({layer for layer, _ in heads}):
        at = [number for number, head in enumerate(heads) if head[0] == layer]
        both = first.values[at], second.values[at]
        cost = _costs(*(values.mean(2) for values in both))
        chosen = _assigned(cost)
        drawn = (_costs(*(_resampled(values, generator) for values in both)) for _ in range(resamples))
        same = np.stack([_assigned(each) == chosen for each in drawn]).mean(0)
        for row, head in enumerate(heads[number] for number in at):
            found.partner[head] = heads[at[chosen[row]]]
            found.share[head] = float(same[row])
            found.margin[head] = _margin(cost, chosen, row)
    return found


def _resampled(values: Float[np.ndarray, "head feature prompt"], generator: np.random.Generator) -> np.ndarray:
    """The means over as many prompts, drawn with replacement."""
    size = values.shape[2]
    return values @ (generator.multinomial(size, np.full(size, 1 / size)) / size)


def _costs(
    first: Float[np.ndarray, "head feature"], second: Float[np.ndarray, "head feature"]
) -> Float[np.ndarray, "head head"]:
    spread = np.concatenate([first, second]).std(0)
    apart = (first[:, None] - second[None]) / np.where(spread > 0, spread, 1.0)
    return (apart**2).mean(2)


def _assigned(cost: Float[np.ndarray, "head head"]) -> Int[np.ndarray, " head"]:
    """The column of each row."""
    return linear_sum_assignment(cost)[1]


def _margin(cost: Float[np.ndarray, "head head"], chosen: Int[np.ndarray, " head"], row: int) -> float:
    if len(cost) == 1:
        return float("inf")
    rows, without = np.arange(len(cost)), cost.copy()
    without[row, chosen[row]] = cost.sum() + 1.0  # dearer than any assignment without it
    return float(without[rows, _assigned(without)].sum() - cost[rows, chosen].sum())


def renamed(path: Path, partner: Mapping[Head, Head]) -> Path:
    """The path between the partners of its ends; ends that are no heads stay."""
    source, target = (end if isinstance(end, str) else partner[end] for end in path[:2])
    return Path(source, target, path.via)


def random_matching(cfg: Shape, generator: np.random.Generator) -> dict[Head, Head]:
    """Each head with a random one of its layer, one to one."""
    drawn = [generator.permutation(cfg.n_heads) for _ in range(cfg.n_layers)]
    return {(layer, head): (layer, int(drawn[layer][head])) for layer, head in all_heads(cfg)}


def universality(
    first: Collection[Path],
    second: Collection[Path],
    partner: Mapping[Head, Head],
    cfg: Shape,
    draws: int = DRAWS,
    seed: int = 0,
) -> Universality:
    """How much of each of two circuits is in the other under a matching, and what random matchings within layers give.

    Raises ValueError for a circuit without paths.
    """
    if not first or not second:
        raise ValueError(f"circuits of {len(first)} and {len(second)} paths: give two that have some")
    generator, theirs = np.random.default_rng(seed), set(second)
    both = len({renamed(path, partner) for path in first} & theirs)
    size = len(set(first)) + len(theirs)
    random = []
    for _ in range(draws):
        shuffled = random_matching(cfg, generator)
        shared = len({renamed(path, shuffled) for path in first} & theirs)
        random.append(shared / (size - shared))
    return Universality(both / len(set(first)), both / len(theirs), both / (size - both), np.array(random))
