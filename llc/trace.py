"""Traces: the draws of chains, unreduced, as one xarray Dataset with all that is needed to sample them again.

Dims are chain, draw, and check (every fifth draw, at which more is measured). Variables are

    loss [chain, draw]          L_batch(w_t) in nats, before the step that uses this batch
    center_loss [draw]          L_batch(w*) in nats, on the same batch
    virial [chain, draw]        D.U - heat with D = w - w*, U the drift; its stationary mean is the dimension
    heat [chain, draw]          (lr / 4) U.G.U, what the finite step and the minibatch noise add to E[D.U]; less U.b
                                where half a step's noise, b, is that of the step before (leimkuhler_matthews.py)
    distance [chain, draw]      |w_t - w*|
    acceptance [check]          probability that Metropolis accepts the step made there, one chain after the other, at
                                every other check (at the rest NaN, where the next two are measured); NaN where a
                                step's noise is not all new
    drift_work [check]          L(w + s) - L(w - s) on the next draw's batch, s the step that the drift made
    drift_bend [check]          L(w + s) + L(w - s) - 2 L(w), likewise: s.H.s, H the Hessian of the loss; s.H.(s - 2 b)
                                where a step shares noise b with the one before
    second_rise [chain, check]  the loss rise after that step on its own batch: a second batch for the next draw
    noise_rise [check]          the loss rise at w* +- N(0, 1 / localization), mean of the pair
    key_bias [chain, draw]      |b_K - b_K*|^2 of the head, where nothing but the localization moves b_K
    observable_NAME [chain, draw]  the rise of another loss along the chain: never an LLC

and, where probes were asked for (probes.py), over the draws at which they were evaluated (attribute probe_draws),

    probe_rise [chain, probe_row, predicted]         the mean rise of a token's loss
    probe_square, probe_product, probe_exponential   likewise of its square, its product with phi, and exp(-rise)
    phi, phi_square [chain]                          the mean of phi, the rise of all probes' loss, and of its square
    row_product [chain, probe_row, other_row]        the mean product of two rows' rises, each a mean over its tokens
    probe_center, probe_share [probe_row, predicted] a token's loss at the center, and its share in phi

A diverged chain is NaN from its first non-finite draw on. Attributes are kernel, loss, restriction, path (fast or
general, and why), dimension (parameters that vary), key_biases (how many), settings (JSON), seed, fingerprints of
weights and data, control_variate ("center") where there is one, and gauge where it is not the trained one.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int64
from torch import Tensor

from llc.control_variate import Reduced
from llc.kernel import Evaluate, Info, Kernel, acceptance
from llc.probes import Moments, TokenLosses
from llc.settings import Settings

CHECK_EVERY = 5
CHECKED = ("acceptance", "drift_work", "drift_bend", "second_rise", "noise_rise")


class Recorder:
    """The chains of one restriction, advanced draw by draw, and what was measured of them; both paths use it."""

    def __init__(
        self,
        center: Float[Tensor, " dim"],
        kernel: Kernel,
        settings: Settings,
        seed: int,
        attrs: Mapping[str, object],
        key_bias: Int64[Tensor, " bias"] | None = None,
        whole_gradient: Float[Tensor, " dim"] | None = None,
    ) -> None:
        """Starts the chains at the center. attrs: what is sampled, of which "restriction" takes part in the noise.
        key_bias: where in the vector the key biases are that only the localization moves. whole_gradient: of the data
        set's loss at the center, for the control variate (control_variate.py); without it there is none.
        """
        self.center, self.kernel, self.settings, self.key_bias = center, kernel, settings, key_bias
        self.whole_gradient = whole_gradient
        self.attrs = {
            **attrs,
            "kernel": kernel_name(kernel),
            "dimension": center.numel(),
            "key_biases": 0 if key_bias is None else len(key_bias),
            "settings": settings.to_json(),
            "seed": seed,
            **({} if whole_gradient is None else {"control_variate": "center"}),
        }
        name = attrs["restriction"]
        self.generators = [generator(seed, f"noise {name} {chain}") for chain in range(settings.num_chains)]
        self.baseline = generator(seed, f"baseline {name}")
        self.state = kernel.init(center, settings.num_chains)
        # of full length from the start: small arrays between large ones would keep the allocator from reusing memory
        self.records: dict[str, np.ndarray] = {}
        self.draws = 0
        self.moments: Moments | None = None
        self.probe_every = 1
        # a chain's position, its drift's step and the noise its step shares, for the next minibatch
        self.followed: tuple[Tensor, Tensor, Tensor | None] | None = None

    def noise(self, size: int) -> Float[Tensor, "chain size"]:
        """Standard normals, for each chain from a stream of its own."""
        drawn = [torch.randn(size, generator=stream, dtype=self.center.dtype) for stream in self.generators]
        return torch.stack(drawn).to(self.center.device)

    def watch(self, losses: TokenLosses, share: Float[Tensor, "row predicted"], every: int) -> None:
        """Follows probes' losses at every so many draws after the burn-in."""
        self.moments, self.probe_every = Moments(losses, self.center, share), every

    def draw(
        self, center_loss: float, evaluate: Evaluate, observables: Mapping[str, Float[Tensor, " chain"]] | None = None
    ) -> None:
        """Measures every chain on this minibatch, then makes its step."""
        if self.whole_gradient is not None:
            evaluate = Reduced(evaluate, self.center, self.whole_gradient)
        before = self.state
        after_burnin = self.draws - self.settings.num_burnin
        if self.moments and after_burnin >= 0 and after_burnin % self.probe_every == 0:
            self.moments.add(before.position)
        displacement = before.position - self.center
        self.state, info = self.kernel.update(before, evaluate, self.settings, self.noise)
        measured = {
            "loss": info.loss,
            "virial": (displacement * info.drift).sum(1) - info.heat,
            "heat": info.heat,
            "distance": displacement.norm(dim=1),
            **{f"observable_{name}": rise for name, rise in (observables or {}).items()},
        }
        if self.key_bias is not None:
            measured["key_bias"] = displacement[:, self.key_bias].square().sum(1)
        for name, values in measured.items():
            self._record(name, values)
        self._record("center_loss", np.array(center_loss))
        if self.followed is not None:
            self._follow(*self.followed, evaluate)
        if self.draws % CHECK_EVERY == CHECK_EVERY // 2:
            self._check(before, info, center_loss, evaluate)
        self.draws += 1

    def _check(self, before: Any, info: Info, center_loss: float, evaluate: Evaluate) -> None:
        """Measures what is measured at every fifth draw only."""
        spread = self.settings.localization**-0.5 if self.settings.localization else float("nan")
        shift = spread * torch.randn(self.center.shape, generator=self.baseline, dtype=self.center.dtype)
        pair = torch.stack([self.center + shift.to(self.center.device), self.center - shift.to(self.center.device)])
        losses, _ = evaluate(torch.cat([self.state.position, pair]), gradient=False)
        self._record("second_rise", losses[:-2] - center_loss)
        self._record("noise_rise", losses[-2:].mean() - center_loss)
        chain, other = divmod(self.draws // CHECK_EVERY, 2)
        chain %= self.settings.num_chains
        if not info.acceptance.isnan().all():
            self._record("acceptance", info.acceptance.mean())
        elif other or info.shared is not None:
            scale = before.scale[chain] if before.scale.ndim else before.scale
            shared = None if info.shared is None else info.shared[chain]
            self.followed = before.position[chain], self.settings.lr / 2 * scale * info.drift[chain], shared
        else:
            self._record("acceptance", acceptance(before, info, self.state, chain, evaluate, self.settings)[0])

    def _follow(
        self,
        position: Float[Tensor, " dim"],
        step: Float[Tensor, " dim"],
        shared: Float[Tensor, " dim"] | None,
        evaluate: Evaluate,
    ) -> None:
        """Measures what the drift of the draw before does to this minibatch's loss, which is independent of it."""
        away = [step, -step]
        away += [0 * step] if shared is None else [step - shared, shared - step, shared, -shared]
        losses, _ = evaluate(position + torch.stack(away), gradient=False)
        ahead, behind, *others = losses.double()
        self._record("drift_work", ahead - behind)
        bend = ahead + behind - 2 * others[0] if shared is None else sum(others[:2]) - sum(others[2:])
        self._record("drift_bend", bend)
        self.followed = None

    def _record(self, name: str, values: Tensor | np.ndarray) -> None:
        """Keeps what was measured at this draw, or check."""
        array = values.detach().cpu().double().numpy() if isinstance(values, Tensor) else values
        checked = name in CHECKED
        if name not in self.records:
            length = self._checks(self.settings.num_draws).size if checked else self.settings.num_draws
            self.records[name] = np.full((*array.shape, length), np.nan)
        self.records[name][..., self.draws // CHECK_EVERY if checked else self.draws] = array

    @staticmethod
    def _checks(draws: int) -> np.ndarray:
        """The draws at which more is measured."""
        return np.arange(CHECK_EVERY // 2, draws, CHECK_EVERY)

    def trace(self) -> xr.Dataset:
        """The trace of the draws so far."""
        checks = self._checks(self.draws)
        lengths = {name: len(checks) if name in CHECKED else self.draws for name in self.records}
        arrays = {name: values[..., : lengths[name]] for name, values in self.records.items()}
        per_draw = [values for name, values in arrays.items() if values.ndim == 2 and name not in CHECKED]
        finite = np.logical_and.accumulate(np.isfinite(per_draw).all(0), axis=1)
        variables = {}
        for name, values in arrays.items():
            dims = ("chain", "check" if name in CHECKED else "draw")[2 - values.ndim :]
            alive = finite[:, checks] if name in CHECKED else finite
            variables[name] = (dims, np.where(alive, values, np.nan) if values.ndim == 2 else values.copy())
        if self.moments and self.moments.draws:
            variables |= self.moments.variables()
            self.attrs["probe_draws"] = self.moments.draws
        return xr.Dataset(variables, {"check": checks}, self.attrs)


def kernel_name(kernel: Kernel) -> str:
    """The name of the sampler's module, without its package."""
    return kernel.__name__.rpartition(".")[2]  # type: ignore[attr-defined]


def generator(seed: int, purpose: str) -> torch.Generator:
    """The stream of noise for one purpose."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose))


def derived_seed(seed: int, purpose: str) -> int:
    """An integer seed for one purpose, independent of those for others."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()[:8], "big") >> 1


def fingerprint(*tensors: Tensor) -> str:
    """The first 16 digits of a sha256 over the tensors' types, shapes and bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
