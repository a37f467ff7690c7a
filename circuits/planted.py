"""Models with hand-set weights whose circuit is known, to hold every measure of circuits against.

Weights are written in features: orthonormal directions of the residual stream, orthogonal to the ones vector. Tokens,
and what heads write, have the same norm at every position, so the layer norms that heads read through divide by a
constant, and a plant is the same with and without them. Positions are a shortformer's. Heads attend hard; where nothing
fits, to BOS. In each layer one more head, a decoy, attends like a part of a circuit and writes what nothing reads.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig

from ablations.names import Head
from ablations.paths import OUTPUT, Path
from circuits.tasks import Task

VOCABULARY, CONTEXT, HEADS, D_HEAD = 20, 12, 4, 24
BOS, ROUND, SQUARE, ROUND_END, SQUARE_END, QUOTE, QUOTE_END = range(7)  # brackets and quotes are those of `brackets`
PROMPTS = 64
HARD = 40.0  # score by which the right key beats all others
RECENT = 5.0  # score that a key gains by being one position later; over the context less than OPENER, and than 2 SAME
OPENER, SAME = 75.0, 40.0
ANSWER = 8.0  # logit of what a head says

TOKEN, PREVIOUS, SAID, UNREAD = (slice(k * VOCABULARY, (k + 1) * VOCABULARY) for k in range(4))
FLAG = 4 * VOCABULARY
PLACE = slice(FLAG + 1, FLAG + 1 + CONTEXT)
D_MODEL = PLACE.stop + 1
EVERY = torch.eye(VOCABULARY)


class HeadPlan(NamedTuple):
    """A head's weights in features."""

    W_Q: Float[Tensor, "features d_head"]
    W_K: Float[Tensor, "features d_head"]
    W_V: Float[Tensor, "features d_head"]
    W_O: Float[Tensor, "d_head features"]


class Plant(NamedTuple):
    """A model, what its heads are, and for each task the edges that carry it."""

    name: str
    model: HookedTransformer
    types: dict[Head, str]
    tasks: tuple[Task, ...]
    edges: tuple[frozenset[Path], ...]  # by task
    redundant: frozenset[Path] = frozenset()  # edges of which any one can be cut without loss


def induction(layer_norm: bool = True, noise: float = 0.0, seed: int = 0, removed: bool = False) -> Plant:
    """A previous-token head (L0H1) whose output an induction head (L1H2) reads as keys."""
    heads = {(0, 1): _previous_token(PREVIOUS), (1, 2): _induction()}
    edges = frozenset({Path("embed", (0, 1), "v"), Path((0, 1), (1, 2), "k"), Path((1, 2), OUTPUT)})
    types = {(0, 1): "previous-token", (1, 2): "induction"}
    model = _build(heads, layer_norm, noise, seed, removed)
    return Plant("induction", model, types, (_repeats(seed),), (edges,))


def redundant(layer_norm: bool = True, noise: float = 0.0, seed: int = 0, removed: bool = False) -> Plant:
    """The same with two previous-token heads (L0H1, L0H3), each of which is enough."""
    heads = {(0, 1): _previous_token(PREVIOUS), (0, 3): _previous_token(PREVIOUS), (1, 2): _induction()}
    types = {(0, 1): "previous-token", (0, 3): "previous-token", (1, 2): "induction"}
    either = [Path("embed", (0, head), "v") for head in (1, 3)] + [Path((0, head), (1, 2), "k") for head in (1, 3)]
    model = _build(heads, layer_norm, noise, seed, removed)
    edges = frozenset({*either, Path((1, 2), OUTPUT)})
    return Plant("redundant", model, types, (_repeats(seed),), (edges,), frozenset(either))


def skip_trigram(layer_norm: bool = True, noise: float = 0.0, seed: int = 0, removed: bool = False) -> Plant:
    """One head (L0H2) that says c after "a ... b", for eight triples."""
    model = _build({(0, 2): _skip_trigram()}, layer_norm, noise, seed, removed)
    edges = frozenset({Path("embed", (0, 2), "k"), Path("embed", (0, 2), "v"), Path((0, 2), OUTPUT)})
    return Plant("skip_trigram", model, {(0, 2): "multigram"}, (_skips(seed),), (edges,))


def brackets(layer_norm: bool = True, noise: float = 0.0, seed: int = 0, removed: bool = False) -> Plant:
    """L0H0 attends to the last quote and writes inside or outside; L1H1 attends to the latest opener with its own flag
    and says its closer. Nothing is counted.
    """
    model = _build({(0, 0): _flag(), (1, 1): _closer()}, layer_norm, noise, seed, removed)
    read = {
        Path("embed", (0, 0), "k"),
        Path("embed", (0, 0), "v"),
        Path((0, 0), (1, 1), "q"),
        Path((0, 0), (1, 1), "k"),
    }
    edges = frozenset({*read, Path((1, 1), OUTPUT)})
    return Plant("brackets", model, {(0, 0): "bracket", (1, 1): "bracket"}, (_nested(seed),), (edges,))


def shared(layer_norm: bool = True, noise: float = 0.0, seed: int = 0, removed: bool = False) -> Plant:
    """The previous-token head (L0H1) feeds the induction head (L1H2) through keys, and through values a head (L1H0)
    that says what follows the last token but one.
    """
    heads = {(0, 1): _previous_token(PREVIOUS), (1, 2): _induction(), (1, 0): _after_previous()}
    types = {(0, 1): "previous-token", (1, 2): "induction", (1, 0): "multigram"}
    read = Path("embed", (0, 1), "v")
    first = frozenset({read, Path((0, 1), (1, 2), "k"), Path((1, 2), OUTPUT)})
    second = frozenset({read, Path((0, 1), (1, 0), "v"), Path((1, 0), OUTPUT)})
    model = _build(heads, layer_norm, noise, seed, removed)
    return Plant("shared", model, types, (_repeats(seed), _gapped(seed)), (first, second))


PLANTS: tuple[Callable[..., Plant], ...] = (induction, redundant, skip_trigram, brackets, shared)


def _empty() -> HeadPlan:
    reads, writes = torch.zeros(D_MODEL - 1, D_HEAD), torch.zeros(D_HEAD, D_MODEL - 1)
    return HeadPlan(reads, reads.clone(), reads.clone(), writes)


def _previous_token(into: slice) -> HeadPlan:
    """Attends to the position before (the first to itself) and writes its token."""
    plan = _empty()
    plan.W_Q[PLACE, :CONTEXT] = HARD * torch.eye(CONTEXT).roll(-1, dims=1)
    plan.W_Q[PLACE.start, :CONTEXT] = HARD * torch.eye(CONTEXT)[0]
    plan.W_K[PLACE, :CONTEXT] = torch.eye(CONTEXT)
    plan.W_V[TOKEN, :VOCABULARY] = EVERY
    plan.W_O[:VOCABULARY, into] = EVERY
    return plan


def _itself(plan: HeadPlan) -> HeadPlan:
    """The plan, attending to the own position."""
    plan.W_Q[PLACE, :CONTEXT] = HARD * torch.eye(CONTEXT)
    plan.W_K[PLACE, :CONTEXT] = torch.eye(CONTEXT)
    return plan


def _else_bos(plan: HeadPlan, score: float = HARD / 2) -> HeadPlan:
    """The plan, with a score for BOS that beats what does not fit."""
    plan.W_Q[TOKEN, -1] = 1.0
    plan.W_K[TOKEN.start + BOS, -1] = score
    return plan


def _induction() -> HeadPlan:
    """Attends to the token after an earlier occurrence of the own one, and says it."""
    plan = _else_bos(_empty())
    plan.W_Q[TOKEN, :VOCABULARY] = HARD * EVERY
    plan.W_K[PREVIOUS, :VOCABULARY] = EVERY
    plan.W_V[TOKEN, :VOCABULARY] = EVERY
    return _saying(plan)


def _saying(plan: HeadPlan, how_loud: float = 1.0) -> HeadPlan:
    """The plan, writing its values as what it says; BOS's where nothing reads them."""
    plan.W_O[:VOCABULARY, SAID] = how_loud * EVERY
    plan.W_O[BOS, SAID] = 0.0
    plan.W_O[BOS, UNREAD.start + BOS] = how_loud
    return plan


def _skip_trigram() -> HeadPlan:
    plan = _else_bos(_empty())
    says = EVERY.clone()
    for number, (a, b, c) in enumerate(_triples()):
        plan.W_Q[TOKEN.start + b, number] = HARD
        plan.W_K[TOKEN.start + a, number] = 1.0
        says[a] = EVERY[c]
    plan.W_V[TOKEN, :VOCABULARY] = says
    return _saying(plan)


def _flag() -> HeadPlan:
    """1 where the last quote opened, -1 where it closed or there is none."""
    plan = _recent(_empty())
    plan.W_Q[TOKEN, 1] = 1.0
    plan.W_K[[TOKEN.start + token for token in (BOS, QUOTE, QUOTE_END)], 1] = OPENER
    plan.W_V[TOKEN, 0] = -1.0
    plan.W_V[TOKEN.start + QUOTE, 0] = 1.0
    plan.W_O[0, FLAG] = 1.0
    return plan


def _closer() -> HeadPlan:
    plan = _recent(_empty())
    plan.W_Q[TOKEN, 1] = 1.0
    plan.W_K[[TOKEN.start + ROUND, TOKEN.start + SQUARE], 1] = OPENER
    plan.W_Q[FLAG, 2], plan.W_K[FLAG, 2] = SAME, 1.0
    says = EVERY.clone()
    says[ROUND], says[SQUARE] = EVERY[ROUND_END], EVERY[SQUARE_END]
    plan.W_V[TOKEN, :VOCABULARY] = says
    return _saying(plan)


def _recent(plan: HeadPlan) -> HeadPlan:
    """The plan, with a score that grows with the key's position."""
    plan.W_Q[TOKEN, 0] = 1.0
    plan.W_K[PLACE, 0] = RECENT * torch.arange(CONTEXT)
    return plan


def _after_previous() -> HeadPlan:
    plan = _itself(_empty())
    plan.W_V[PREVIOUS, :VOCABULARY] = EVERY[_followers()]
    return _saying(plan, 0.6)


def _decoy(layer: int) -> HeadPlan:
    """Layer 0: a previous-token head; layer 1: a head that attends to itself. Both write what nothing reads."""
    if layer == 0:
        return _previous_token(UNREAD)
    plan = _itself(_empty())
    plan.W_V[TOKEN, :VOCABULARY] = EVERY
    plan.W_O[:VOCABULARY, UNREAD] = EVERY
    return plan


def _triples() -> list[tuple[int, int, int]]:
    return [(1 + t, 9 + t, 1 + (t * 5 + 3) % (VOCABULARY - 1)) for t in range(8)]


def _followers() -> Int64[Tensor, " vocab"]:
    """What `_after_previous` says after each token but one: another, none twice."""
    return torch.cat([torch.tensor([BOS]), torch.arange(1, VOCABULARY).roll(7)])


def _build(heads: dict[Head, HeadPlan], layer_norm: bool, noise: float, seed: int, removed: bool) -> HookedTransformer:
    """noise: sd of what is added to every weight, in units of the root mean square of its kind in the plant."""
    if noise < 0:
        raise ValueError(f"noise={noise}: it is a standard deviation")
    decoys = [(layer, max(h for h in range(HEADS) if (layer, h) not in heads)) for layer in (0, 1)]
    every = heads | {decoy: _decoy(decoy[0]) for decoy in decoys}
    model = _written(every, (1.0, 1.0, 1.0), layer_norm=False)
    if layer_norm:
        model = _written(every, _gains(model), layer_norm=True)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "W_" not in name or "pos" in name:
                continue
            planted = [h for layer, h in heads if name.startswith(f"blocks.{layer}.")]
            own = weight[planted] if planted else weight
            sd = noise * own.pow(2).mean().sqrt()
            if removed and planted:
                weight[planted] = 0
            weight += sd * torch.randn(weight.shape, generator=generator)
    return model


def _written(heads: dict[Head, HeadPlan], gains: tuple[float, ...], layer_norm: bool) -> HookedTransformer:
    """gains: by how much ln1 of each layer, and ln_final, multiply features."""
    cfg = HookedTransformerConfig(
        n_layers=2, d_model=D_MODEL, n_ctx=CONTEXT, d_head=D_HEAD, n_heads=HEADS, d_vocab=VOCABULARY, attn_only=True,
        normalization_type="LN" if layer_norm else None, positional_embedding_type="shortformer", device="cpu",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        model = HookedTransformer(cfg)
    features = _features()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name.endswith(".w") else 0.0)
        model.embed.W_E.copy_(features[TOKEN])
        model.pos_embed.W_pos.copy_(features[PLACE])
        model.unembed.W_U.copy_(ANSWER / gains[2] * features[SAID].T)
        for (layer, head), plan in ((head, _balanced(plan)) for head, plan in heads.items()):
            attn, scale = model.blocks[layer].attn, torch.full((D_MODEL - 1, 1), 1 / gains[layer])
            scale[PLACE] = 1.0  # positions are added after the norm
            attn.W_Q[head] = features.T @ (scale * plan.W_Q) * D_HEAD**0.5
            attn.W_K[head] = features.T @ (scale * plan.W_K)
            attn.W_V[head] = features.T @ (scale * plan.W_V)
            attn.W_O[head] = plan.W_O @ features
    return model.eval()


def _balanced(plan: HeadPlan) -> HeadPlan:
    """The same head with queries and keys of equal norm in every dimension: no noise of either counts for more."""
    q, k = plan.W_Q.norm(dim=0), plan.W_K.norm(dim=0)
    factor = torch.where((q > 0) & (k > 0), (k / q.clamp(min=1e-9)).sqrt(), torch.ones(()))
    return plan._replace(W_Q=plan.W_Q * factor, W_K=plan.W_K / factor)


def _features() -> Float[Tensor, "features d_model"]:
    """Orthonormal directions that are orthogonal to the ones vector."""
    generator = torch.Generator().manual_seed(0)
    columns = torch.randn(D_MODEL, D_MODEL, dtype=torch.float64, generator=generator)
    columns[:, 0] = 1.0
    return torch.linalg.qr(columns).Q[:, 1:].T.float()


def _gains(model: HookedTransformer) -> tuple[float, ...]:
    """What layer norms would multiply by; measured on prompts of tokens that differ from their neighbours."""
    tokens = torch.stack([_distinct(CONTEXT, torch.Generator().manual_seed(n), range(1, VOCABULARY)) for n in range(8)])
    tokens[:, 0] = BOS
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    norms = [cache["resid_pre", 0], cache["resid_pre", 1], cache["resid_post", 1]]
    return tuple(float((D_MODEL / norm.pow(2).sum(-1).mean()).sqrt()) for norm in norms)


def _distinct(count: int, generator: torch.Generator, among: range) -> Int64[Tensor, " token"]:
    return torch.tensor(list(among))[torch.randperm(len(among), generator=generator)[:count]]


def _prompts(seed: int, draw: Callable[[torch.Generator], tuple[Tensor, Tensor, int, int]], name: str) -> Task:
    """draw: a clean and a corrupted prompt, the right and a wrong answer."""
    generator = torch.Generator().manual_seed(1000 + seed)
    clean, corrupted, right, wrong = zip(*(draw(generator) for _ in range(PROMPTS)), strict=True)
    return Task(name, torch.stack(clean), torch.stack(corrupted), torch.tensor(right), torch.tensor(wrong))


def _repeats(seed: int) -> Task:
    """BOS ... a b ... z a: b; corrupted: the first a is another token. The wrong answer is in the prompt as well."""

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
        drawn = _distinct(CONTEXT, generator, range(1, VOCABULARY))
        tokens, other = torch.cat([torch.tensor([BOS]), drawn[: CONTEXT - 2], drawn[:1]]), drawn[-1]
        at = int(torch.randint(1, CONTEXT - 4, (), generator=generator))
        tokens[-1] = tokens[at]
        right, said = int(tokens[at + 1]), int(_followers()[tokens[-2]])
        wrong = next(t for t in tokens[1:-1].tolist() if t not in (right, said, int(tokens[at])))
        corrupted = tokens.clone()
        corrupted[at] = other
        return (tokens, corrupted, right, wrong) if right != said else draw(generator)

    return _prompts(seed, draw, "repeats")


def _gapped(seed: int) -> Task:
    """BOS ... x y: what follows x, whatever y; corrupted: another x. y is new, so nothing is repeated."""

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
        drawn = _distinct(CONTEXT, generator, range(1, VOCABULARY))
        tokens = torch.cat([torch.tensor([BOS]), drawn[:-1]])
        corrupted = tokens.clone()
        corrupted[-2] = drawn[-1]
        follows = _followers()
        return tokens, corrupted, int(follows[tokens[-2]]), int(follows[corrupted[-2]])

    return _prompts(seed, draw, "gapped")


def _skips(seed: int) -> Task:
    """BOS ... a ... b: c; corrupted: another token for a. The wrong answer is another triple's c."""
    triples = _triples()

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
        one, two = (triples[n] for n in torch.randperm(len(triples), generator=generator)[:2].tolist())
        others = [t for t in range(1, VOCABULARY) if t not in (one[0], one[1])]
        filler = torch.tensor(others)[torch.randperm(len(others), generator=generator)[:CONTEXT]]
        tokens = torch.cat([torch.tensor([BOS]), filler[: CONTEXT - 1]])
        tokens[-1] = one[1]
        corrupted = tokens.clone()
        at = int(torch.randint(1, CONTEXT - 1, (), generator=generator))
        tokens[at] = one[0]
        return tokens, corrupted, one[2], two[2]

    return _prompts(seed, draw, "skip_trigrams")


def _nested(seed: int) -> Task:
    """An opener, a quoted other opener. Half of the prompts end after the quote: the first opener's closer, corrupted
    by leaving the quote's start out; half end inside it: the second's, corrupted by an end of the quote.
    """

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, int, int]:
        tokens = _distinct(CONTEXT, generator, range(QUOTE_END + 1, VOCABULARY))
        tokens[0] = BOS
        outer, quote, inner, end = (1 + torch.randperm(CONTEXT - 2, generator=generator)[:4]).sort().values.tolist()
        swap, ends_outside = (bool(torch.randint(2, (), generator=generator)) for _ in range(2))
        first, second = (SQUARE, ROUND) if swap else (ROUND, SQUARE)
        tokens[outer], tokens[inner] = first, second
        corrupted = tokens.clone()
        if ends_outside:
            tokens[quote], tokens[end], corrupted[end] = QUOTE, QUOTE_END, QUOTE_END
        else:
            tokens[quote], corrupted[quote], corrupted[end] = QUOTE, QUOTE, QUOTE_END
        answers = (first + 2, second + 2)
        return tokens, corrupted, answers[0 if ends_outside else 1], answers[1 if ends_outside else 0]

    return _prompts(seed, draw, "nested_brackets")
