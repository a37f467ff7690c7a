"""Posterior sampling and learning coefficients: how much of a model's parameters the loss can feel.

What one begins with stands here; each part is a module of its own, `from llc import engine`.

    sample                                  chains of any restriction ("full", "L0", "L1H4") on a model, as traces
    health                                  a trace's learning coefficient with its error, diagnostics and a verdict
    learning_coefficient                    the estimate alone
    Settings, QUICK, PAPER, MINI            what a chain depends on besides model, text and restriction
    next_token, kl_to, weighted             losses: of the text, against a reference model, with weights by token
    balanced                                the same function in a gauge that does not depend on training

Nothing is loaded before it is asked for.

Example:
    >>> import torch
    >>> from transformer_lens import HookedTransformer, HookedTransformerConfig
    >>> from llc import Settings, health, sample
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator object at ...>
    >>> cfg = HookedTransformerConfig(n_layers=2, d_model=16, n_ctx=12, d_head=4, n_heads=4, d_vocab=20, attn_only=True)
    >>> model, tokens = HookedTransformer(cfg), torch.randint(20, (32, 12))
    >>> few = Settings("FEW", 1e-3, nbeta=30, localization=200, batch_size=4, num_chains=2, num_draws=20, num_burnin=8)
    >>> traces = sample(model, tokens, ["L0H1", "L1H2"], settings=few, seed=0)
    >>> sorted(traces), health(traces["L0H1"]).verdict.item() in ("trust", "caution", "do not trust")
    (['L0H1', 'L1H2'], True)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llc.diagnose import health
    from llc.engine import sample
    from llc.estimate import learning_coefficient
    from llc.gauge import balanced
    from llc.losses import kl_to, next_token, weighted
    from llc.settings import MINI, PAPER, QUICK, Settings

__all__ = [
    "MINI",
    "PAPER",
    "QUICK",
    "Settings",
    "balanced",
    "health",
    "kl_to",
    "learning_coefficient",
    "next_token",
    "sample",
    "weighted",
]

_MODULES = {
    "MINI": "settings",
    "PAPER": "settings",
    "QUICK": "settings",
    "Settings": "settings",
    "balanced": "gauge",
    "health": "diagnose",
    "kl_to": "losses",
    "learning_coefficient": "estimate",
    "next_token": "losses",
    "sample": "engine",
    "weighted": "losses",
}

if not TYPE_CHECKING:  # a type checker would take every name for one that is here

    def __getattr__(name: str) -> Any:
        """The name from the module that holds it."""
        if name in _MODULES:
            return getattr(importlib.import_module(f"llc.{_MODULES[name]}"), name)
        raise AttributeError(f"module 'llc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
