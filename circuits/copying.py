"""Whether heads raise the tokens they attend to: the copying score of Olsson et al. (2022), on random tokens."""

import torch
from einops import einsum
from jaxtyping import Float, Int64
from torch import Tensor

from ablations import forward, rerun
from ablations.forward import Weights
from ablations.models import Config
from ablations.running import as_in_workers
from circuits.scores import direct_unembedding


@as_in_workers()
def copying(weights: Weights, cfg: Config, tokens: Int64[Tensor, "batch pos"]) -> Float[Tensor, "batch layer head"]:
    """How much of what a head raises is what it attends to: 1 for all of it, -1 for none; tokens distinct in a row.
    It is -1 for a head that raises no token of the row, too.

    What a head writes at a query goes through the unembedding; the mean logit is subtracted, and what is negative is
    set to 0. Of the tokens of the row, with a the raised logits of the attended-to ones and t those of all, summed over
    queries, a / (a + t) lies in 0 to 0.5 as in the paper, and is rescaled to 4 a / (a + t) - 1.

    Ours, not the paper's: attention weighs the attended-to tokens, the biases of values count as written, ln_final's
    scale is left out, and t is over the whole row. Attention that has nothing to do with what is raised, spread over k
    tokens, has a / t near 1 / k.
    """
    clean = rerun.clean_run(weights, cfg, tokens)
    of_tokens = direct_unembedding(weights, cfg).T[tokens]
    by_layer = []
    for layer in range(cfg.n_layers):
        W_O = forward.head_weights(weights, layer).W_O
        written = einsum(
            clean.z[layer], W_O, "batch query head d_head, head d_head d_model -> batch head query d_model"
        )
        raised = einsum(
            written, of_tokens, "batch head query d_model, batch key d_model -> batch head query key"
        ).relu()
        attended = (rerun.patterns(weights, cfg, clean, layer) * raised).sum((-1, -2))
        both = attended + raised.sum((-1, -2))
        by_layer.append(torch.where(both > 0, 4 * attended / both, 0) - 1)
    return torch.stack(by_layer, 1)
