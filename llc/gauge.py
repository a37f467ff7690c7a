"""Other weights of the same function: each head is rescaled in ways that do not change what it computes.

A head's scores depend on its queries and keys through their products alone, and its output on its values through W_O.
So with any invertible A and B [d_head, d_head]

    W_Q A, b_Q A, W_K A^-T, b_K A^-T        W_V B, b_V B, B^-1 W_O

is the same head. A learning coefficient is another one there, for the localization measures distances in these weights.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable
from typing import Literal, SupportsIndex, get_args

import torch
import xarray as xr
from einops import einsum, rearrange
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import forward
from ablations.models import Model, as_model
from ablations.names import head_name
from ablations.not_measurable import NotMeasurable
from ablations.running import as_in_workers
from llc import restrict, tied
from llc.standard_form import standardise
from llc.trace import generator

Gauge = Literal["trained", "balanced"]
VERSION = 2  # of the balanced gauge, raised by hand when its weights change
Square = Float[Tensor, "head d_head d_head"]


@as_in_workers()
def balanced(model: Model, tokens: Int64[Tensor, "row pos"], layer: SupportsIndex) -> Model:
    """Gives a copy in which the heads of a layer are written in a way that depends on what they compute alone.

    The layer's norm is folded into its heads, and what the norm ignores is removed; the residual stream that the layer
    reads has root mean square 1 (`standard_form.standardise` says it in full). Then W_Q^T W_Q = W_K^T W_K and
    W_V^T W_V = W_O W_O^T for every head of the layer: equal singular values, the least sum of squared weights. What is
    left is a rotation of each head's space, on which a learning coefficient does not depend. So a coefficient sampled
    there belongs to the head's function, where in the trained weights it also says how training left their scales.

    Arguments:

        model   any model; it stays as it is, and of a bridge the copy is a Transformer (`ablations.models`)
        tokens  text [row, pos] on which the scale of the residual stream is measured
        layer   whose heads are balanced; sample heads of this layer alone in the copy

    Biases are transformed but not balanced: b_K is arbitrary, so it must not decide the gauge. In the copy an embedding
    that was the unembedding is one by itself. Raises ValueError for a layer that the model does not have, and
    NotMeasurable for a model with shared keys and values, rotary positions or normalised queries and keys, in
    which W_Q and W_K cannot be rescaled, for one in which two heads or layers have the same weights in memory, for
    MLPs with a norm of their own, and for a head without full rank, which no gauge balances.

    Example:

        >>> import torch
        >>> from ablations import models
        >>> from llc import balanced
        >>> sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 12, "d_head": 4, "n_heads": 4, "d_vocab": 20}
        >>> model = models.new({**sizes, "attn_only": True, "seed": 0})
        >>> tokens = torch.arange(12)[None]
        >>> same = balanced(model, tokens, layer=1)
        >>> torch.allclose(same(tokens), model(tokens), atol=1e-5)
        True
        >>> W_Q, W_K = same.W_Q[1, 1], same.W_K[1, 1]  # of L1H1 [d_model, d_head]
        >>> torch.allclose(W_Q.T @ W_Q, W_K.T @ W_K, atol=1e-5)
        True
    """
    changed, number = _copy(model), operator.index(layer)
    if not 0 <= number < changed.cfg.n_layers:
        raise ValueError(f"layer={number}: the model has layers 0 to {changed.cfg.n_layers - 1}")
    forward.check_tokens(changed.cfg, tokens)
    standardise(changed, tokens, number)
    weights = _attention_weights(changed, number)
    output = rearrange(weights["W_O"], "head d_head d_model -> head d_model d_head")
    queries_keys = _balancing(weights["W_Q"], weights["W_K"], number, "W_Q, W_K")
    values_output = _balancing(weights["W_V"], output, number, "W_V, W_O")
    _transform(weights, queries_keys, values_output)
    return changed


def is_balanced(gauge: Gauge) -> bool:
    """Whether this is the balanced gauge; raises ValueError for a name of none."""
    if gauge not in get_args(Gauge):
        raise ValueError(f"gauge={gauge!r}: choose from {get_args(Gauge)}")
    return gauge == "balanced"


def in_each_layer(
    model: Model,
    tokens: Int64[Tensor, "row pos"],
    restrictions: str | Iterable[str],
    measure: Callable[[Model, Tensor, list[str]], dict[str, xr.Dataset]],
) -> dict[str, xr.Dataset]:
    """Measures restrictions in the balanced gauge of the layer that each is of.

    measure: takes a model, the tokens and the restrictions of one layer. Raises ValueError for a restriction that is
    not of the heads of one layer.
    """
    model = as_model(model)
    parsed = restrict.parse_all(restrictions, forward.parameters_of(model), model.cfg)
    of_layer: dict[int, list[str]] = {}
    for each in parsed:
        places = {re.match(r"blocks\.(\d+)\.attn\.(?!b_O)", name) for name, _ in each.parts}
        layers = {int(place[1]) if place else -1 for place in places}
        if len(layers) != 1 or -1 in layers:
            raise ValueError(
                f"{each.name} in the balanced gauge: the gauge is of the heads of one layer; name heads of one, such "
                "as L1H4, L1H2+L1H4 or L1, or sample in the trained gauge"
            )
        of_layer.setdefault(layers.pop(), []).append(each.name)
    found: dict[str, xr.Dataset] = {}
    for layer, names in of_layer.items():
        found |= measure(balanced(model, tokens, layer), tokens, names)
    return {each.name: found[each.name].assign_attrs(gauge="balanced") for each in parsed}


@as_in_workers()
def random_gauge(model: Model, seed: int, spread: float = 2.0) -> Model:
    """Gives a copy with W_Q, b_Q times s, W_K, b_K over s, W_V, b_V times t, W_O over t, other s and t for each head.

    s and t are log-uniform between 1 / spread and spread, and decided by the seed. Raises ValueError for a spread below
    1, and NotMeasurable for the models that `balanced` refuses; ranks do not matter.
    """
    if not (spread >= 1 and math.isfinite(spread)):
        raise ValueError(f"spread={spread}: it must be finite and at least 1")
    changed, draws = _copy(model), generator(seed, "gauge")
    identity = torch.eye(model.cfg.d_head, dtype=torch.float64)
    for layer in range(model.cfg.n_layers):
        exponents = 2 * torch.rand(2, model.cfg.n_heads, 1, 1, generator=draws, dtype=torch.float64) - 1
        queries_keys, values_output = spread**exponents * identity
        _transform(_attention_weights(changed, layer), queries_keys, values_output)
    return changed


def _copy(model: Model) -> Model:
    """Copies a model; raises NotMeasurable for one whose heads cannot be rescaled one by one."""
    model = as_model(model)
    cfg = model.cfg
    checks = {
        "shared keys and values": cfg.n_key_value_heads is not None,
        "rotary positions": cfg.positional_embedding_type == "rotary",
        "normalised queries and keys": getattr(cfg, "use_qk_norm", False),
        "attention weights that two parts share": any(
            ".attn." in tie.name or ".attn." in tie.owner for tie in tied.ties(forward.parameters_of(model))
        ),
    }
    reason = next((reason for reason, holds in checks.items() if holds), "")
    if reason:
        raise NotMeasurable(
            f"heads cannot be rescaled one by one in a model with {reason}: leave its weights as they are"
        )
    return tied.copied(model)


def _attention_weights(model: Model, layer: int) -> dict[str, Tensor]:
    """The attention weights of a layer by their names, to be changed in place."""
    return {name: parameter.data for name, parameter in model.blocks[layer].attn.named_parameters()}


def _balancing(
    left: Float[Tensor, "head d_model d_head"], right: Float[Tensor, "head d_model d_head"], layer: int, names: str
) -> Square:
    """Finds A with (left A)^T (left A) = (right A^-T)^T (right A^-T).

    With G = left^T left and S = right^T right it is P^(1/2), where P G P = S: the geometric mean of G^-1 and S,

        P = G^(-1/2) (G^(1/2) S G^(1/2))^(1/2) G^(-1/2)

    (Bhatia, Positive Definite Matrices, 2007, chapter 4), and the identity where G = S.
    """
    for side in (left, right):
        values = torch.linalg.svdvals(side.double())
        rounding = (
            max(side.shape[1:]) * torch.finfo(side.dtype).eps
        )  # of the largest, as numpy.linalg.matrix_rank has it
        if (lacking := (values[:, -1] <= rounding * values[:, 0]).nonzero()).numel():
            head = head_name((layer, int(lacking[0])))
            raise NotMeasurable(f"{names} of {head} are not both of full rank: no gauge balances it, use random_gauge")
    root = _power(_gram(left.double()), 0.5)
    inverse = torch.linalg.inv(root)
    return _power(inverse @ _power(root @ _gram(right.double()) @ root, 0.5) @ inverse, 0.5)


def _gram(weight: Float[Tensor, "head d_model d_head"]) -> Square:
    """weight^T weight of each head."""
    return einsum(weight, weight, "head d_model row, head d_model column -> head row column")


def _power(matrix: Square, exponent: float) -> Square:
    """Powers of symmetric positive definite matrices."""
    values, vectors = torch.linalg.eigh((matrix + matrix.transpose(1, 2)) / 2)
    return vectors * values[:, None] ** exponent @ vectors.transpose(1, 2)


def _transform(weights: dict[str, Tensor], queries_keys: Square, values_output: Square) -> None:
    """Applies A (to queries and keys) and B (to values and output) to the heads of a layer, in place."""
    from_keys = torch.linalg.inv(queries_keys).transpose(1, 2)
    for name, matrix in (("Q", queries_keys), ("K", from_keys), ("V", values_output)):
        weight, bias = weights[f"W_{name}"], weights[f"b_{name}"]
        matrix = matrix.to(weight.device)
        weight.copy_(einsum(weight.double(), matrix, "head d_model d_head, head d_head new -> head d_model new"))
        bias.copy_(einsum(bias.double(), matrix, "head d_head, head d_head new -> head new"))
    output = weights["W_O"]
    output.copy_(torch.linalg.solve(values_output.to(output.device), output.double()))
