"""devinterp's settings, restrictions and samples in the terms of this package, and back (devinterp 2.0.1).

    devinterp.slt.sampling.sample                       llc.sample
    lr, localization, batch_size, num_chains            the same (half of lr on the drift, all of it on the noise)
    n_beta                                              nbeta
    batch_size * gradient_accumulation_steps            batch_size
    num_draws * num_steps_bw_draws + num_burnin_steps   num_draws: every step is a draw, burn-in included
    num_burnin_steps                                    num_burnin
    "l0h1", "l0 attn", ["l0h1", "unembed"]              "L0H1", names of parameters joined by +, "L0H1+unembed"
    compute_llc(samples).llc_scalar                     learning_coefficient(trace).value_all_draws

devinterp averages every step, burn-in included, and holds the mean against the center's loss on other minibatches;
it shuffles rows, where they are drawn with replacement here. Its samples keep the rows of each step, so that the
center's loss on the same rows can be had afterwards: `trace_of(samples, restriction, model)` gives its own chains a
paired estimate, with an error, an interval and burn-in left out.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from ablations import forward
from ablations.models import Model, as_model
from ablations.running import as_in_workers, tracked
from llc.losses import next_token, predictor
from llc.settings import Settings, from_json

DEFAULTS = {  # of devinterp.slt.sampling.sample, where it has some
    "batch_size": 32,
    "num_chains": 4,
    "num_draws": 200,
    "num_burnin_steps": 0,
    "num_steps_bw_draws": 1,
    "gradient_accumulation_steps": 1,
    "localization": 0.0,
}
# What changes the law that is sampled and has no counterpart here, with the value at which it changes nothing.
NEUTRAL = {
    "noise_level": 1.0,
    "llc_weight_decay": 0.0,
    "bounding_box_size": None,
    "init_noise": None,
    "sampling_method": "sgmcmc_sgld",
}
ATTENTION = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")


def settings_of(name: str = "devinterp", **arguments: Any) -> Settings:
    """The settings of a call of devinterp's `sample` or `llc`; name: what they are called in tables and figures.

    arguments: its keyword arguments, lr and n_beta at least; those that do not decide what is sampled (seeds, devices,
    observables, places) are passed over. Raises ValueError for a missing one, and for a value that changes the
    posterior in a way that has no counterpart here (weight decay, another noise level, a bounding box, RMSprop).

    Example:

        >>> from llc import devinterp_terms
        >>> found = devinterp_terms.settings_of(lr=1e-3, n_beta=30.0, localization=200.0, num_burnin_steps=30)
        >>> found.nbeta, found.num_draws, found.num_burnin
        (30.0, 230, 30)
    """
    if missing := [name for name in ("lr", "n_beta") if name not in arguments]:
        raise ValueError(f"{' and '.join(missing)} missing: devinterp's sample needs lr and n_beta, give both")
    for option, neutral in NEUTRAL.items():
        if (value := arguments.get(option, neutral)) != neutral:
            raise ValueError(f"{option}={value!r} has no counterpart here: only {option}={neutral!r} can be taken over")
    given = DEFAULTS | arguments
    return Settings(
        name,
        lr=given["lr"],
        nbeta=given["n_beta"],
        localization=given["localization"],
        batch_size=given["batch_size"] * given["gradient_accumulation_steps"],
        num_chains=given["num_chains"],
        num_draws=given["num_draws"] * given["num_steps_bw_draws"] + given["num_burnin_steps"],
        num_burnin=given["num_burnin_steps"],
    )


def arguments_of(settings: Settings) -> dict[str, float | int]:
    """The keyword arguments with which devinterp's `sample` makes as many steps of the same chains.

    Its `compute_llc` averages the burn-in, too: hold it against `value_all_draws`.
    """
    return {
        "lr": settings.lr,
        "n_beta": settings.nbeta,
        "localization": settings.localization,
        "batch_size": settings.batch_size,
        "num_chains": settings.num_chains,
        "num_draws": settings.num_draws - settings.num_burnin,
        "num_burnin_steps": settings.num_burnin,
    }


def restriction_of(restriction: str | Sequence[str], model: Model) -> str:
    """The restriction of `llc.sample` that selects what devinterp's `create_param_masks` does.

    restriction: "full", "embed", "unembed", "l0h1", "l0", "l0 attn", "l0 mlp", a parameter's name, or a list of these,
    which is their union. A layer is all of its parameters there, norms and b_O among them, and all of its heads here,
    so it becomes the names of its parameters. Raises ValueError for a layer that the model has not, and for groups of
    heads with shared keys and values ("l0g0").
    """
    if not isinstance(restriction, str):
        return "+".join(dict.fromkeys(restriction_of(one, model) for one in restriction))
    text, names = restriction.strip(), list(forward.parameters_of(model))
    if text in names or text.lower() in ("full", "embed", "unembed"):
        return text if text in names else text.lower()
    if head := re.fullmatch(r"l(\d+)\s*h(\d+)", text.lower()):
        return f"L{int(head[1])}H{int(head[2])}"
    layer = re.fullmatch(r"l(\d+)(?:\s+(attn|mlp))?", text.lower())
    own = [] if layer is None else [name for name in names if name.startswith(f"blocks.{int(layer[1])}.")]
    if layer is not None and layer[2]:
        own = [name for name in own if name.split(".")[2] == layer[2]]
    if layer is not None and layer[2] == "attn":
        own = [name for name in own if name.split(".")[3] in ATTENTION]
    if not own:
        raise ValueError(
            f"restriction {restriction!r} selects nothing of this model: use full, embed, unembed, l0h1, l0, l0 attn, "
            "l0 mlp or a parameter's name"
        )
    return "+".join(own)


def restriction_from(restriction: str) -> str | list[str]:
    """devinterp's restriction for one of `llc.sample`: "L0H1" is "l0h1", a union is a list.

    Raises ValueError for "L0", which is all heads of a layer here and has no name there: give its heads as a union.
    """
    terms = [term.strip() for term in restriction.split("+")]
    if layer := next((term for term in terms if re.fullmatch(r"[lL]\d+", term)), None):
        raise ValueError(
            f"{layer} is all heads of a layer, which devinterp has no name for: give the heads, joined by +"
        )
    found = [term.lower() if re.fullmatch(r"[lL]\d+[hH]\d+", term) else term for term in terms]
    return found[0] if len(found) == 1 else found


@as_in_workers()
def trace_of(samples: Any, restriction: str, model: Model | None = None) -> xr.Dataset:
    """The trace (trace.py) of devinterp's samples, for `learning_coefficient` and all that takes a trace's losses.

    Arguments:

        samples      what devinterp's `sample` gave, or `xarray.open_datatree(path, engine="zarr")` of its folder
        restriction  what varied, in the terms of `llc.sample`
        model        the model at the center; with it the center's loss is computed on the rows of each step (next-token
                     loss, forward only), so that the estimate is paired. Without it the center's loss is the mean
                     that devinterp measured on other rows: the value of `compute_llc`, with a large error

    Variables are loss [chain, draw] and center_loss [draw], in nats; checks of the sampler need chains of `llc.sample`.
    Raises ValueError for samples whose chains saw different rows (match_sampling_input_ids_across_chains=False), where
    a model is given, and for settings without counterpart (`settings_of`).
    """
    data = samples.dataset if hasattr(samples, "dataset") else samples
    settings = settings_of(**data.attrs["metadata"]["config"]["sampler"])
    loss = data["sampling_loss_micro"].mean(["batch_sampling", "token_pos"]).values.astype(np.float64)
    if model is None:
        center = np.full(loss.shape[1], float(data["init_loss"].mean()))
    else:
        center = _center_losses(data["sampling_input_ids_micro"].values, as_model(model))
    attrs = {"restriction": restriction, "loss": "next-token", "kernel": "devinterp sgld", "path": "devinterp 2"}
    return xr.Dataset(
        {"loss": (("chain", "draw"), loss), "center_loss": ("draw", center)},
        attrs=attrs | {"settings": settings.to_json(), "paired": int(model is not None)},
    )


def summary_of(trace: xr.Dataset) -> xr.Dataset:
    """The estimate of a trace under the names of devinterp's `compute_llc`, all draws averaged as it does.

    llc_mean, llc_std (over chains, in the population's sense), llc_per_chain [chain], llc_scalar, loss_trace
    [chain, step] and init_loss: here the center's mean loss on the chains' own minibatches.
    """
    nbeta, init_loss = from_json(trace.attrs["settings"]).nbeta, trace.center_loss.mean()
    losses = trace.loss.rename(draw="step")
    per_chain = nbeta * (losses.mean("step") - init_loss)
    return xr.Dataset(
        {
            "llc_mean": per_chain.mean(),
            "llc_std": per_chain.std(),
            "llc_per_chain": per_chain,
            "llc_scalar": nbeta * (losses.mean() - init_loss),
            "loss_trace": losses,
            "init_loss": init_loss,
        },
        attrs=trace.attrs,
    )


def _center_losses(rows: np.ndarray, model: Model) -> np.ndarray:
    """The model's own loss on the rows [chain, step, row, token] of each step."""
    if (rows != rows[:1]).any():
        raise ValueError(
            "the chains saw different rows (match_sampling_input_ids_across_chains=False), and a trace has one loss of "
            "the center for all: sample with the same rows, or leave the model out for an estimate that is not paired"
        )
    weights, predict, loss, found = forward.parameters_of(model), predictor(model), next_token(), []
    device = next(iter(weights.values())).device
    with torch.no_grad():
        for batch in tracked(rows[0], "losses of the center"):
            tokens = torch.from_numpy(batch).to(device)
            found.append(loss.mean(predict(weights, tokens), loss.prepare(tokens, np.arange(len(tokens)))).item())
    return np.array(found)
