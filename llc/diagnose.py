"""Is this number to be trusted? A health record for each estimate, with a verdict in words and what to change.

Exact laws do most of the work, and none of them needs the posterior to be known:

- Virial. For the discretised chain, minibatch noise included, E[D.U - (lr/4) U.G.U] is the number of varied parameters
  once the chain is stationary (D = w - w*, U the drift, G the preconditioner), because E[D.D] then stays the same;
  where a step shares noise b with the one before, so is E[D.U - (lr/4) U.G.U + U.b]. All chains start at w*, so R-hat
  cannot see that none has arrived; this can.
- Temperature. In the stated posterior E[D.U] is the dimension. What the finite step and the minibatch noise add, the
  mean of (lr/4) U.G.U - U.b, is heat: the chain samples that much hotter a posterior.
- Excess. Heat is spread over all parameters, the coefficient lies in few directions, so the temperature says little of
  it. In a stationary chain the noise drives the loss up as much as the drift brings it down, by the mean of s.grad L
  with s = (lr/2) G U; of that (1/2) s.H.s is not the Langevin noise's but the finite step's and the minibatches'. On
  another minibatch, that share is the mean of L(w + s) + L(w - s) - 2 L(w) over that of L(w + s) - L(w - s); where
  noise is shared, s.H.(s - 2 b) takes the place of s.H.s. On a quadratic it is the mean of each direction's excess,
  weighted by its curvature; the coefficient's own excess gives stiff directions less weight, and is smaller where
  these are the hotter ones.
- Key biases. Where nothing but the localization moves b_K, its draws are an autoregression whose law is known exactly,
  at every draw: a test of the sampler itself that comes with every head.
- kappa = d log lambda / d log nbeta = 1 - nbeta Var(L(w)) / E[L(w) - L(w*)], by differentiating the posterior mean.
  The variance is the covariance over chains of their losses on two independent minibatches, so minibatch noise does
  not enter. Near 0 lambda is a property of the loss's geometry at this scale; near 1 it is nbeta times a loss rise
  on which sampling has no influence: sensitivity to noise of variance 1 / localization, which `noise_value` measures.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import stats

from llc.estimate import learning_coefficient, mean_error, plain_error, rises
from llc.settings import Settings, from_json

NOISE_SENSITIVITY, PLATEAU = 0.7, 0.3  # the regimes: kappa above the first, below the second
KAPPA_ERROR = 0.3  # from this standard error of kappa on, the regime is unknown
EXCESS, GRAVE_EXCESS = 0.1, 0.25  # shares of a value that is to be used with caution, or not at all
MOVED = 0.5  # noise steps that a chain is from its center at least: the first is 1, or 0.7 where noise is shared
Z = 4.0  # standard errors from which on an exact law counts as broken


class Finding(NamedTuple):
    """Something that is wrong with an estimate. A grave one forbids the number, another asks for caution."""

    grave: bool
    text: str  # what, and what to change


def health(trace: xr.Dataset) -> xr.Dataset:
    """Reduces a trace to its learning coefficient (`learning_coefficient`), and says whether it is to be trusted.

    Arguments:

        trace  a trace of `sample` or `sample_function`

    The result is a Dataset with all that `learning_coefficient` gives (value, se, ...), and

        virial, virial_se        the virial over the dimension, and its standard error; 1 when stationary
        temperature              E[D.U] / dimension; 1 in the stated posterior
        excess, excess_se        the share of what drives the loss up that comes of the finite step and of minibatch
                                 noise, and its standard error: about the share by which value is too high
        key_bias, key_bias_z     ratio of the key biases' variance to the exact one, and its z-score; NaN where the
                                 loss depends on key biases, or none vary
        acceptance               mean probability that Metropolis would accept the step
        drift_z                  last third of the kept draws minus the first, in standard errors
        below_center             share of the kept draws whose loss is below the center's, on the same minibatch
        step_length              largest distance from the center over that of one noise step; below 0.5 nothing moved
        kappa, kappa_se          d log lambda / d log nbeta, and its standard error
        noise_value, noise_se    nbeta times the loss rise under N(0, 1 / localization), and its standard error

        regime                   "noise sensitivity", "between" or "plateau" by kappa, "unknown" where its error is
                                 large
        verdict                  "trust", "caution" or "do not trust"
        advice                   what is wrong and what to change, one sentence a line; empty for "trust"

    Example:

        >>> import torch
        >>> from ablations import models
        >>> from llc import QUICK, health, sample
        >>> sizes = {"n_layers": 2, "d_model": 16, "n_ctx": 12, "d_head": 4, "n_heads": 4, "d_vocab": 20}
        >>> model = models.new({**sizes, "attn_only": True, "seed": 0})
        >>> tokens = torch.randint(20, (32, 12), generator=torch.Generator().manual_seed(0))
        >>> trace = sample(model, tokens, ["L1H2"], settings=QUICK, seed=0)["L1H2"]
        >>> record = health(trace)
        >>> bool(abs(record.virial - 1) < 4 * record.virial_se), record.regime.item()
        (True, 'unknown')
        >>> print(record.verdict.item(), record.advice.item(), sep=": ")  # doctest: +ELLIPSIS
        do not trust: too few draws, ...: raise num_draws or num_chains
    """
    settings = from_json(trace.attrs["settings"])
    estimate = learning_coefficient(trace)
    dimension, kept = trace.attrs["dimension"], slice(settings.num_burnin, None)
    with np.errstate(all="ignore"):
        measured = {
            "virial": float(trace.virial.values[:, kept].mean()) / dimension,
            "virial_se": _error(trace.virial.values[:, kept]) / dimension,
            "temperature": float((trace.virial + trace.heat).values[:, kept].mean()) / dimension,
            "acceptance": float(trace.acceptance.mean()) if "acceptance" in trace else float("nan"),
            "drift_z": _drift(rises(trace)[:, kept]),
            "below_center": float((rises(trace)[:, kept] < 0).mean()),
            "step_length": float(trace.distance.values.max() / np.sqrt(settings.lr * dimension)),
            "relative_se": float(estimate.rise_se / abs(estimate.rise)),
        }
        measured |= dict(zip(("key_bias", "key_bias_z"), _key_bias(trace, settings), strict=True))
        measured |= dict(zip(("excess", "excess_se"), _excess(trace, settings), strict=True))
        measured |= dict(zip(("kappa", "kappa_se"), _kappa(trace, settings, measured["temperature"]), strict=True))
        measured |= dict(zip(("noise_value", "noise_se"), _noise(trace, settings), strict=True))
    findings = _findings(measured, estimate, settings)
    verdict = "do not trust" if any(finding.grave for finding in findings) else "caution" if findings else "trust"
    measured.pop("relative_se")
    words = {
        "regime": _regime(measured["kappa"], measured["kappa_se"]),
        "verdict": verdict,
        "advice": "\n".join(finding.text for finding in findings),
    }
    return estimate.assign({name: ((), np.array(value)) for name, value in (measured | words).items()})


def _findings(m: dict[str, float], estimate: xr.Dataset, settings: Settings) -> list[Finding]:
    """All that is wrong with an estimate, by its measured diagnostics m."""
    chains, bad = settings.num_chains, int(estimate.bad_chains)
    if bad:
        how = f"{bad} of {chains} chains diverged: lower lr (now {settings.lr:g}) or raise localization"
        return [Finding(True, how + "; to leave them out, ask for it (drop_bad_chains=True)")]
    if m["step_length"] < MOVED:
        return [Finding(True, "the chains never left the center: the step adds no noise, or the weights do not move")]
    return [*_sampling_findings(m, settings), *_precision_findings(m, estimate, settings)]


def _sampling_findings(m: dict[str, float], settings: Settings) -> list[Finding]:
    """What speaks against the chains being draws from the stated posterior."""
    findings = []
    off, unsettled = m["virial"] - 1, 1 - _settled(settings)
    sure = abs(off) > max(0.02, 3 * np.nan_to_num(m["virial_se"], nan=0.0))
    how = f"not stationary, virial ratio {m['virial']:.2f}"
    if unsettled > 0.02 or (sure and off < 0):
        relaxation = 2 / (settings.lr * settings.localization) if settings.localization else float("inf")
        cause = (
            f"the step is too small or the burn-in too short: flat directions take {relaxation:.0f} draws to relax, "
            f"{settings.num_burnin} are discarded; raise lr, localization or num_burnin"
        )
        findings.append(Finding(max(unsettled, -off) > 0.05, f"{how}: {cause}"))
    elif sure:
        findings.append(Finding(off > 0.05, f"{how}: the center is far from a minimum or the step too large: lower lr"))
    if m["temperature"] > 1.1:
        how = f"step and minibatch noise heat the posterior by {100 * (m['temperature'] - 1):.0f}%"
        findings.append(Finding(m["temperature"] > 1.25, f"{how}: lower lr or take a larger batch_size"))
    if (least := m["excess"] - 2 * m["excess_se"]) > EXCESS:
        how = f"{100 * m['excess']:.0f}% of the value may come of step and minibatch noise"
        remedy = "lower lr, take a larger batch_size, or sample with control_variate=True"
        findings.append(Finding(least > GRAVE_EXCESS, f"{how}: {remedy}"))
    if abs(m["key_bias_z"]) > Z:
        how = f"key biases vary {m['key_bias']:.2f} times as much as they must ({m['key_bias_z']:+.1f} sd)"
        findings.append(Finding(True, f"{how}: the sampler does not do what its settings say"))
    if m["acceptance"] < 0.01:
        how = f"Metropolis would accept {100 * m['acceptance']:.1g}% of the steps"
        findings.append(Finding(False, f"{how}: the step is large for this many parameters; check with half the lr"))
    return findings


def _precision_findings(m: dict[str, float], estimate: xr.Dataset, settings: Settings) -> list[Finding]:
    """What speaks against the draws being enough, and from around a minimum."""
    findings = []
    if abs(m["drift_z"]) > Z:
        findings.append(Finding(False, f"the kept draws drift ({m['drift_z']:+.1f} sd): raise num_burnin"))
    if estimate.value < -2 * estimate.se:
        how = f"{100 * m['below_center']:.0f}% of the draws are below the center's loss: the center is no minimum of it"
        findings.append(Finding(False, f"{how}; the value is relative to the center, and may be negative"))
    if not float(estimate.ess) >= 10 or m["relative_se"] > 0.25:
        how = f"too few draws, {float(estimate.ess):.0f} effective ones, standard error {100 * m['relative_se']:.0f}%"
        findings.append(Finding(m["relative_se"] > 0.5, f"{how} of the value: raise num_draws or num_chains"))
    if settings.num_chains > 1 and float(estimate.rhat) > 1.2 and m["relative_se"] > 0.1:
        findings.append(Finding(False, f"chains disagree, R-hat {float(estimate.rhat):.2f}: raise num_draws"))
    return findings


def _regime(kappa: float, error: float) -> str:
    """What kappa says an estimate measures."""
    if not error < KAPPA_ERROR:
        return "unknown"
    if kappa > NOISE_SENSITIVITY:
        return "noise sensitivity"
    return "plateau" if kappa < PLATEAU else "between"


def _settled(settings: Settings) -> float:
    """Share of its stationary variance that a direction moved by the localization alone has, mean over kept draws."""
    keep = 1 - settings.lr * settings.localization / 2
    return float((1 - keep ** (2.0 * np.arange(settings.num_burnin, settings.num_draws))).mean())


def _error(series: np.ndarray) -> float:
    """Standard error of the mean [chain, draw]; NaN where a chain diverged."""
    return mean_error(series) if np.isfinite(series).all() else float("nan")


def _drift(kept: np.ndarray) -> float:
    """The last third of the draws minus the first, in standard errors; NaN with less than 12 draws."""
    third = kept.shape[1] // 3
    if third < 4 or not np.isfinite(kept).all():
        return float("nan")
    first, last = kept[:, :third], kept[:, -third:]
    return float((last.mean() - first.mean()) / np.hypot(mean_error(first), mean_error(last)))


def _key_bias(trace: xr.Dataset, settings: Settings) -> tuple[float, float]:
    """The sum of squares of the key biases' draws over its exact mean, and its distance from that mean in exact sds."""
    law = FREE_LAWS.get(trace.attrs["kernel"])
    if "key_bias" not in trace or law is None or not settings.localization:
        return float("nan"), float("nan")
    draws = np.unique(np.linspace(1, trace.sizes["draw"] - 1, 500).astype(int))
    variance, covariance = law(settings, draws)
    count = trace.sizes["chain"] * trace.attrs["key_biases"]
    expected = count * variance.sum()
    sd = np.sqrt(2 * count * (covariance**2).sum())
    total = float(trace.key_bias.values[:, draws].sum())
    return total / expected, (total - expected) / sd


def _new_noise(settings: Settings, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance and covariance of a free coordinate of SGLD, after these many steps from the center."""
    keep = 1 - settings.lr * settings.localization / 2
    variance = settings.lr * (1 - keep ** (2 * draws)) / (1 - keep**2)
    return variance, np.minimum.outer(variance, variance) * keep ** np.abs(np.subtract.outer(draws, draws))


def _shared_noise(settings: Settings, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same where each step shares half its noise with the one before: w = y + b with noise b that y has not seen,
    y' = k y + (1 + k) b.
    """
    keep, half = 1 - settings.lr * settings.localization / 2, settings.lr / 4
    settled = half * (1 + keep) / (1 - keep)
    seen = settled + (half - settled) * keep ** (2.0 * draws - 2)  # the variance of y, which is b after the first step
    covariance = keep * seen + half * (1 + keep)  # with the next draw; of two draws, the earlier one decides
    earlier, apart = np.minimum.outer(draws, draws), np.abs(np.subtract.outer(draws, draws))
    between = covariance[np.searchsorted(draws, earlier)] * keep ** np.maximum(apart - 1.0, 0)
    return seen + half, np.where(apart == 0, seen[:, None] + half, between)


FREE_LAWS = {"sgld": _new_noise, "leimkuhler_matthews": _shared_noise}  # of samplers whose step is the same throughout


def _excess(trace: xr.Dataset, settings: Settings) -> tuple[float, float]:
    """The mean bend of the loss along the drift over its mean work, after burn-in, and its standard error."""
    if "drift_work" not in trace:
        return float("nan"), float("nan")
    used = (trace.check.values >= settings.num_burnin) & np.isfinite(trace.drift_work.values)
    work, bend = trace.drift_work.values[used], trace.drift_bend.values[used]
    if used.sum() < 3 or not work.mean() > 0:
        return float("nan"), float("nan")
    share = bend.mean() / work.mean()
    return float(share), float(plain_error(bend - share * work) / work.mean())


def _kappa(trace: xr.Dataset, settings: Settings, temperature: float) -> tuple[float, float]:
    """1 - nbeta Var(L) / (temperature E[rise]) with its error over checks.

    Within a draw all chains see the same two minibatches, so departures from the chains' mean are free of what a
    minibatch does to all of them; what it does to each is independent between the two. A hotter chain's variance grows
    with the square of its temperature, its rise with the first power.
    """
    checks = trace.check.values if "check" in trace.coords else np.array([], dtype=int)
    used = (checks + 1 >= settings.num_burnin) & (checks + 1 < trace.sizes["draw"])
    chains = trace.sizes["chain"]
    if used.sum() < 4 or chains < 2 or not settings.nbeta:
        return float("nan"), float("nan")
    first, second = trace.second_rise.values[:, used], rises(trace)[:, checks[used] + 1]
    products = ((first - first.mean(0)) * (second - second.mean(0))).sum(0) / (chains - 1)
    shrink = settings.nbeta / (temperature * rises(trace)[:, settings.num_burnin :].mean())
    few = stats.t.ppf(0.975, len(products) - 1) / stats.norm.ppf(0.975)  # the error of a few checks is itself uncertain
    error = max(products.std(ddof=1) / np.sqrt(len(products)), np.nan_to_num(mean_error(products[None])))
    return float(1 - shrink * products.mean()), float(few * abs(shrink) * error)


def _noise(trace: xr.Dataset, settings: Settings) -> tuple[float, float]:
    """nbeta times the loss rise under Gaussian noise of variance 1 / localization, and its standard error."""
    rises = settings.nbeta * trace.noise_rise.values if "noise_rise" in trace else np.array([])
    if len(rises) < 2:
        return float("nan"), float("nan")
    return float(rises.mean()), float(rises.std(ddof=1) / np.sqrt(len(rises)))
