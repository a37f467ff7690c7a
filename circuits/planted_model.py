"""A planted model: heads that are written in features become the weights of a transformer, with noise where asked."""

import torch
from jaxtyping import Float
from torch import Tensor

from ablations import models
from ablations.models import Model
from ablations.names import Head
from circuits.planted_heads import HeadPlan, decoy
from circuits.planted_layout import ANSWER, BOS, CONTEXT, D_HEAD, D_MODEL, HEADS, PLACE, SAID, TOKEN, VOCABULARY
from circuits.planted_prompts import distinct


def build(heads: dict[Head, HeadPlan], layer_norm: bool, noise: float, seed: int, removed: bool) -> Model:
    """The model with these heads, a decoy in each layer, and Gaussian noise on every weight.

    noise: its standard deviation, in units of the root mean square of that kind of weight in the plant; removed: leaves
    the heads out and only their noise in. Raises ValueError for a negative noise.
    """
    if noise < 0:
        raise ValueError(f"noise={noise}: it is a standard deviation, which is not negative")
    decoy_heads = [(layer, max(h for h in range(HEADS) if (layer, h) not in heads)) for layer in (0, 1)]
    every = heads | {head: decoy(head[0]) for head in decoy_heads}
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


def _written(heads: dict[Head, HeadPlan], gains: tuple[float, ...], layer_norm: bool) -> Model:
    """The model with these heads and no others.

    gains: by how much ln1 of each layer, and ln_final, multiply features.
    """
    sizes = {"d_model": D_MODEL, "n_ctx": CONTEXT, "d_head": D_HEAD, "n_heads": HEADS, "d_vocab": VOCABULARY}
    norm = {"normalization_type": "LN" if layer_norm else None, "positional_embedding_type": "shortformer"}
    with torch.random.fork_rng(devices=[]):
        model = models.new({"n_layers": 2, "attn_only": True, **sizes, **norm})
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


def _gains(model: Model) -> tuple[float, ...]:
    """What layer norms would multiply features by, measured on prompts of tokens that differ from their neighbours."""
    tokens = torch.stack([distinct(CONTEXT, torch.Generator().manual_seed(n), range(1, VOCABULARY)) for n in range(8)])
    tokens[:, 0] = BOS
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    norms = [cache["resid_pre", 0], cache["resid_pre", 1], cache["resid_post", 1]]
    return tuple(float((D_MODEL / norm.pow(2).sum(-1).mean()).sqrt()) for norm in norms)
