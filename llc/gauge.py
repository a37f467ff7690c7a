"""Other weights of the same function: each head is rescaled in ways that do not change what it computes.

A head's scores depend on its queries and keys through their products alone, and its output on its values through W_O.
So with any invertible A and B [d_head, d_head]

    W_Q A, b_Q A, W_K A^-T, b_K A^-T        W_V B, b_V B, B^-1 W_O

is the same head. A learning coefficient is another one there, for the localization measures distances in these weights.
"""

import math

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor

from ablations import forward
from ablations.models import Model, as_model
from ablations.names import head_name
from ablations.not_measurable import NotMeasurable
from ablations.running import as_in_workers
from llc import tied
from llc.trace import generator

Square = Float[Tensor, "head d_head d_head"]


@as_in_workers()
def balanced(model: Model) -> Model:
    """Gives a copy with W_Q^T W_Q = W_K^T W_K and W_V^T W_V = W_O W_O^T for every head: equal singular values.

    Of all the gauges this one has the least sum of squared W_Q, W_K, W_V, W_O. It depends on the products W_Q W_K^T and
    W_V W_O alone, up to a rotation of the head's space, which a learning coefficient does not depend on. Biases are
    transformed but not balanced: b_K is arbitrary, so it must not decide the gauge. A balanced model stays as it is.

    Arguments:

        model  any model; it stays as it is, and of a bridge the copy is a Transformer (`ablations.models`)

    Raises NotMeasurable for a model with shared keys and values, rotary positions or normalised queries and keys, in
    which W_Q and W_K cannot be rescaled, for one in which two heads or layers have the same weights in memory, and for
    a head without full rank, which no gauge balances. A tied embedding stays tied.

    Example:

        >>> import torch
        >>> from ablations import models
        >>> from llc import balanced
        >>> sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 12, "d_head": 4, "n_heads": 4, "d_vocab": 20}
        >>> model = models.new({**sizes, "attn_only": True, "seed": 0})
        >>> same = balanced(model)
        >>> tokens = torch.arange(12)[None]
        >>> torch.allclose(same(tokens), model(tokens), atol=1e-5)
        True
        >>> W_Q, W_K = same.W_Q[0, 1], same.W_K[0, 1]  # of L0H1 [d_model, d_head]
        >>> torch.allclose(W_Q.T @ W_Q, W_K.T @ W_K, atol=1e-5)
        True
    """
    changed = _copy(model)
    for layer in range(model.cfg.n_layers):
        weights = _attention_weights(changed, layer)
        output = rearrange(weights["W_O"], "head d_head d_model -> head d_model d_head")
        queries_keys = _balancing(weights["W_Q"], weights["W_K"], layer, "W_Q, W_K")
        values_output = _balancing(weights["W_V"], output, layer, "W_V, W_O")
        _transform(weights, queries_keys, values_output)
    return changed


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
