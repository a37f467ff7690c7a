"""Models with hand-set weights, whose circuits are known."""

import copy

import torch

from ablations.models import Model
from circuits import planted_heads, planted_model
from circuits.planted_layout import BOS, FLAG, HARD, TOKEN
from circuits.planted_layout import VOCABULARY as WORDS
from tests.conftest import make_model

VOCABULARY, LENGTH = 12, 16
MADE_UP = 0.6  # of what the first head says, by the head that takes over (`backed_up`)


def planted_induction() -> Model:
    """No norm, three heads a layer: L0H1 writes the previous token where L1H2 reads keys.

    The other heads attend, and write into directions that nothing reads.
    """
    d_token, d_place = VOCABULARY, LENGTH
    model = make_model(
        d_model=2 * d_token + d_place + 4, d_head=d_place, n_ctx=LENGTH, d_vocab=VOCABULARY,
        normalization_type=None, positional_embedding_type="standard",
    )  # fmt: skip
    token, before, place = (slice(0, d_token), slice(d_token, 2 * d_token), slice(2 * d_token, 2 * d_token + d_place))
    unread = slice(2 * d_token + d_place, None)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for layer, head in ((0, 0), (0, 2), (1, 0), (1, 1)):
            attn = model.blocks[layer].attn
            for weight in (attn.W_Q, attn.W_K, attn.W_V):
                weight[head, : unread.start] = torch.randn(weight[head, : unread.start].shape, generator=generator)
            attn.W_O[head, :, unread] = torch.randn(attn.W_O[head, :, unread].shape, generator=generator)
        model.W_E[:, token] = torch.eye(VOCABULARY)
        model.W_pos[:, place] = torch.eye(LENGTH)
        previous, match = model.blocks[0].attn, model.blocks[1].attn
        previous.W_Q[1, place] = torch.eye(LENGTH).roll(1, dims=0) * 200  # position i asks for i - 1
        previous.W_Q[1, place.start] = 0
        previous.W_K[1, place] = torch.eye(LENGTH)
        previous.W_V[1, token, :d_token] = torch.eye(d_token)
        previous.W_O[1, :d_token, before] = torch.eye(d_token)
        match.W_Q[2, token, :d_token] = torch.eye(d_token) * 200
        match.W_K[2, before, :d_token] = torch.eye(d_token)
        match.W_V[2, token, :d_token] = torch.eye(d_token)
        match.W_O[2, :d_token, token] = torch.eye(d_token) * 3
        model.W_U[token] = torch.eye(VOCABULARY) * 3
    return model


def with_permuted_heads(model: Model, orders: list[list[int]]) -> Model:
    """The same function, in which head number n of a layer is what head orders[layer][n] was."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for layer, order in enumerate(orders):
            attn = other.blocks[layer].attn
            for weight in (attn.W_Q, attn.W_K, attn.W_V, attn.W_O, attn.b_Q, attn.b_K, attn.b_V):
                weight.copy_(weight[order].clone())
    return other


def backed_up(inhibited: bool = True, layer_norm: bool = False) -> Model:
    """L0H2 says c after "a ... b", and raises a flag where it does; L1H1 says it at 0.6 of that where no flag stands.

    inhibited: without, L1H1 does not read the flag and says the same with L0H2 and without it.
    """
    first, second = planted_heads.skip_trigram(), planted_heads.skip_trigram()
    said = WORDS  # a free dimension of values
    first.W_V[TOKEN, said] = 1.0
    first.W_V[TOKEN.start + BOS, said] = 0.0
    first.W_O[said, FLAG] = 1.0
    second.W_O.mul_(MADE_UP)
    if inhibited:
        second.W_Q[FLAG, said + 1], second.W_K[TOKEN.start + BOS, said + 1] = 2 * HARD, 1.0
    return planted_model.build({(0, 2): first, (1, 1): second}, layer_norm, 0.0, 0, False)
