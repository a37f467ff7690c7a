"""Learning coefficients of a model, or of parts of it, by sampling the posterior around its trained weights.

A local learning coefficient says how much the loss rises when weights vary near a checkpoint: a low one belongs to
weights that can change much without harm. `sample` draws chains of the varied weights, `health` reduces them to the
coefficient with its standard error and says whether it can be trusted. Any model will do, with int64 tokens
[row, pos]; nothing here knows of runs, files or training steps.

What a user begins with is imported from here. Every part is also a module of its own, as in `from llc import restrict`.

    sample                      chains for each restriction ("full", "L0", "L1H4"), as xarray traces
    health                      the learning coefficient of a trace, its standard error, diagnostics and a verdict
    learning_coefficient        the learning coefficient and its standard error alone
    independent_draws           the same without chains, where the loss has little influence on the posterior
    Settings                    lr, nbeta, localization, batch size, chains and draws
    QUICK, PAPER, MINI          settings that have names
    next_token, kl_to, weighted losses: of the next token, KL from a reference model, with a weight for each token
    sgld, leimkuhler_matthews,  samplers, as modules: `sample(..., kernel=leimkuhler_matthews)`; `Kernel` is what they
    rmsprop, mala               share
    Probes                      text whose tokens' losses are followed: `sample(..., probes=Probes(tokens))`
    calibrate                   the module that sweeps settings and recommends one
    balanced                    a copy of the model in the gauge that does not depend on training
    sample_function             chains for any differentiable function of a parameter vector

The package loads a name, and PyTorch with it, when the name is first used.

Example:

    >>> import torch
    >>> from ablations import models
    >>> from llc import QUICK, health, sample
    >>> sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 12, "d_head": 4, "n_heads": 4, "d_vocab": 20}
    >>> model = models.new({**sizes, "attn_only": True, "seed": 0})
    >>> tokens = torch.randint(20, (32, 12), generator=torch.Generator().manual_seed(0))
    >>> traces = sample(model, tokens, ["L0H1", "L1H2"], settings=QUICK, seed=0)
    >>> traces["L1H2"].loss.sizes
    Frozen({'chain': 2, 'draw': 70})
    >>> record = health(traces["L1H2"])
    >>> record.verdict.item() in ("trust", "caution", "do not trust"), bool(record.se > 0)
    (True, True)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llc import calibrate, leimkuhler_matthews, mala, rmsprop, sgld
    from llc.chains import sample_function
    from llc.diagnose import health
    from llc.engine import sample
    from llc.estimate import learning_coefficient
    from llc.gauge import balanced
    from llc.independent import independent_draws
    from llc.kernel import Kernel
    from llc.losses import kl_to, next_token, weighted
    from llc.probes import Probes
    from llc.settings import MINI, PAPER, QUICK, Settings

__all__ = [
    "MINI",
    "PAPER",
    "QUICK",
    "Kernel",
    "Probes",
    "Settings",
    "balanced",
    "calibrate",
    "health",
    "independent_draws",
    "kl_to",
    "learning_coefficient",
    "leimkuhler_matthews",
    "mala",
    "next_token",
    "rmsprop",
    "sample",
    "sample_function",
    "sgld",
    "weighted",
]

_MODULES = {  # the module that defines a name
    "MINI": "settings",
    "PAPER": "settings",
    "QUICK": "settings",
    "Kernel": "kernel",
    "Probes": "probes",
    "Settings": "settings",
    "balanced": "gauge",
    "health": "diagnose",
    "independent_draws": "independent",
    "kl_to": "losses",
    "learning_coefficient": "estimate",
    "next_token": "losses",
    "sample": "engine",
    "sample_function": "chains",
    "weighted": "losses",
}
_SUBMODULES = ("calibrate", "leimkuhler_matthews", "mala", "rmsprop", "sgld")  # modules that are in the face themselves

if not TYPE_CHECKING:  # with __getattr__ a type checker would take every name for one that is here

    def __getattr__(name: str) -> Any:
        """Loads the name from the module that defines it."""
        if name in _MODULES:
            return getattr(importlib.import_module(f"llc.{_MODULES[name]}"), name)
        if name in _SUBMODULES:
            return importlib.import_module(f"llc.{name}")
        raise AttributeError(f"module 'llc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
