"""Other weights of the same function: each head rescaled where what it does cannot change.

A head's scores see its queries and keys through their products alone, and its output sees its values through W_O:
with any invertible A and B [d_head, d_head]

    W_Q A, b_Q A, W_K A^-T, b_K A^-T        W_V B, b_V B, B^-1 W_O

is the same head. A learning coefficient is not the same there, for a localization measures distances in these weights.
"""

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import HookedTransformer

from ablations.names import head_name
from llc.trace import generator

RANK = 1e-7  # a singular value below this part of the largest counts as 0

Square = Float[Tensor, "head d_head d_head"]


def balanced(model: HookedTransformer) -> HookedTransformer:
    """A copy in which W_Q^T W_Q = W_K^T W_K and W_V^T W_V = W_O W_O^T for every head: equal singular values.

    Of all the gauges it has the least sum of squared W_Q, W_K, W_V, W_O, and depends on the products W_Q W_K^T and
    W_V W_O alone, up to a rotation of the head's space, which a learning coefficient cannot see. Biases are
    transformed but not balanced: b_K is arbitrary, so it must not decide the gauge. A balanced model stays as it is.

    Raises ValueError for shared keys and values, rotary positions or normalised queries and keys, under which W_Q and
    W_K cannot be rescaled, and for a head without full rank, which no gauge balances.
    """
    copy = _copy(model)
    for layer in range(model.cfg.n_layers):
        at = _head_weights(copy, layer)
        queries_keys = _balancing(at["W_Q"], at["W_K"], layer, "W_Q, W_K")
        values_output = _balancing(at["W_V"], at["W_O"].transpose(1, 2), layer, "W_V, W_O")
        _transform(at, queries_keys, values_output)
    return copy


def random_gauge(model: HookedTransformer, seed: int, spread: float = 2.0) -> HookedTransformer:
    """A copy with W_Q, b_Q times s, W_K, b_K over s, W_V, b_V times t, W_O over t: numbers of each head.

    s and t are log-uniform between 1 / spread and spread. Raises ValueError as `balanced` does, but for ranks.
    """
    if not (spread >= 1 and math.isfinite(spread)):
        raise ValueError(f"spread={spread}: it must be finite and at least 1")
    copy, draws = _copy(model), generator(seed, "gauge")
    identity = torch.eye(model.cfg.d_head, dtype=torch.float64)
    for layer in range(model.cfg.n_layers):
        exponents = 2 * torch.rand(2, model.cfg.n_heads, 1, 1, generator=draws, dtype=torch.float64) - 1
        queries_keys, values_output = spread**exponents * identity
        _transform(_head_weights(copy, layer), queries_keys, values_output)
    return copy


def _copy(model: HookedTransformer) -> HookedTransformer:
    cfg = model.cfg
    checks = {
        "shared keys and values": cfg.n_key_value_heads is not None,
        "rotary positions": cfg.positional_embedding_type == "rotary",
        "normalised queries and keys": getattr(cfg, "use_qk_norm", False),
    }
    reason = next((reason for reason, holds in checks.items() if holds), "")
    if reason:
        raise ValueError(f"heads cannot be rescaled one by one in a model with {reason}: leave its weights as they are")
    return copy.deepcopy(model)


def _head_weights(model: HookedTransformer, layer: int) -> dict[str, Tensor]:
    return {name: parameter.data for name, parameter in model.blocks[layer].attn.named_parameters()}


def _balancing(
    left: Float[Tensor, "head d_model d_head"], right: Float[Tensor, "head d_model d_head"], layer: int, names: str
) -> Square:
    """A with (left A)^T (left A) = (right A^-T)^T (right A^-T).

    With G = left^T left and S = right^T right it is P^(1/2), where P G P = S: the geometric mean of G^-1 and S,

        P = G^(-1/2) (G^(1/2) S G^(1/2))^(1/2) G^(-1/2)

    (Bhatia, Positive Definite Matrices, 2007, chapter 4), and the identity where G = S.
    """
    for one in (left, right):
        values = torch.linalg.svdvals(one.double())
        if (lacking := (values[:, -1] <= RANK * values[:, 0]).nonzero()).numel():
            head = head_name((layer, int(lacking[0])))
            raise ValueError(f"{names} of {head} are not both of full rank: no gauge balances it, use random_gauge")
    left, right = left.double(), right.double()
    root = _power(left.transpose(1, 2) @ left, 0.5)
    inverse = torch.linalg.inv(root)
    return _power(inverse @ _power(root @ (right.transpose(1, 2) @ right) @ root, 0.5) @ inverse, 0.5)


def _power(matrix: Square, exponent: float) -> Square:
    """Powers of symmetric positive definite matrices."""
    values, vectors = torch.linalg.eigh((matrix + matrix.transpose(1, 2)) / 2)
    return vectors * values[:, None] ** exponent @ vectors.transpose(1, 2)


def _transform(weights: dict[str, Tensor], queries_keys: Square, values_output: Square) -> None:
    """Applies A and B to the heads of a layer, in place."""
    from_keys = torch.linalg.inv(queries_keys).transpose(1, 2)
    for name, matrix in (("Q", queries_keys), ("K", from_keys), ("V", values_output)):
        weight, bias = weights[f"W_{name}"], weights[f"b_{name}"]
        matrix = matrix.to(weight.device)
        weight.copy_(weight.double() @ matrix)
        bias.copy_((bias.double()[:, None] @ matrix)[:, 0])
    output = weights["W_O"]
    output.copy_(torch.linalg.solve(values_output.to(output.device), output.double()))
