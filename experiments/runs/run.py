"""A run: one training run's checkpoints, with its tokenizer and its configuration. Analysis never writes into it.

    NAME/config.json, tokenizer.json, history.json, step_0000128.safetensors, ..., train_state/

The bundled runs (`zoo/`) have the same layout; their files are float16 and are loaded as float32. Weights of some of
their checkpoints may be left out: digests.json names these, so that what was measured of them is found in the sweep.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from tokenizers import Tokenizer

from ablations import forward, models
from ablations.configuration import Configuration
from ablations.models import Config, Model
from ablations.not_measurable import NotMeasurable
from experiments import corpora
from experiments.corpora.cache import digest
from experiments.corpora.documents import first_line
from experiments.corpora.tokenizer import misfit
from experiments.jobs import device as devices
from experiments.runs import config_fields, model_tokenizer, places, state_dicts
from experiments.runs.places import ZOO as ZOO
from experiments.storage import files, tensorfile
from experiments.storage.files import write_bytes, write_json


@dataclass(frozen=True)
class Run:
    """A folder of checkpoints. `open_run` checks it."""

    folder: Path
    config: dict

    @property
    def name(self) -> str:
        """The name of the run's folder, for people to read; results are known by content."""
        return self.folder.name

    @cached_property
    def steps(self) -> list[int]:
        """The steps that have a checkpoint, in order."""
        return places.steps_in(self.folder)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The run's tokenizer as it was when it was first asked for; raises ValueError for one that does not fit."""
        tokenizer = tokenizer_of(self.folder / "tokenizer.json")
        if reason := misfit(tokenizer, self.config["model"]["d_vocab"]):
            raise ValueError(f"run {self.name}: {reason}: use the tokenizer that the model was trained with")
        return tokenizer

    @property
    def tokens_per_step(self) -> int:
        """Batch size times context in training."""
        preset = self.config["preset"]
        # an adopted run says it itself: it may be measured in a shorter context than it was trained in
        return preset.get("tokens_per_step") or preset["batch_size"] * preset["n_ctx"]

    @cached_property
    def tokenizer_digest(self) -> str:
        """16 hexadecimal digits that name the tokenizer by its content."""
        return digest(self.tokenizer.to_str())

    def model_config(self) -> Config:
        """The architecture of the run's models."""
        return models.lens_config(self.config["model"])

    @cached_property
    def configuration(self) -> Configuration:
        """What the run's models compute with their weights, as a part of keys."""
        return Configuration.of(self.model_config())

    def model_digest(self, step: int) -> str:
        """16 hexadecimal digits that name a checkpoint by its content: of the sha256 of its file as it is now, or as it
        was where it is left out.

        Raises ValueError when there is no checkpoint at this step.
        """
        self.check_step(step)
        path = checkpoint_path(self.folder, step)
        if not path.exists() and step in (known := places.digests_in(self.folder)):
            return known[step]
        try:
            return files.digest(path)
        except OSError as error:
            raise ValueError(f"run {self.name}: {path.name} cannot be read ({error}): restore it") from None

    @property
    def path_note(self) -> str:
        """A sentence on what paths between heads leave out in models with MLPs, without a full stop; else nothing."""
        if self.model_config().attn_only:
            return ""
        return (
            "The model has MLPs: what a head tells others through them is part of no path between heads, and stays "
            "when one is cut"
        )

    def check_step(self, step: int) -> None:
        """Raises ValueError when there is no checkpoint at this step."""
        places.check_step(self.name, self.steps, step)

    def _check_weights(self, step: int) -> None:
        """Raises NotMeasurable for a checkpoint that is known by its digest alone."""
        there = places.files_of_steps(self.folder)
        if step not in there and step in places.digests_in(self.folder):
            raise NotMeasurable(
                f"run {self.name} has no weights of step {step}, only what was measured of it: choose "
                f"{', '.join(map(str, there)) or 'another run'}, or train it again"
            )

    def arrays(self, step: int) -> dict[str, np.ndarray]:
        """The checkpoint's parameters in float32; raises ValueError for a missing, damaged or ill-shaped one, and
        NotMeasurable for one whose weights are left out.
        """
        self.check_step(step)
        self._check_weights(step)
        stored, _ = tensorfile.read(checkpoint_path(self.folder, step))
        if wrong := next((name for name, array in stored.items() if array.dtype.kind != "f"), ""):
            raise ValueError(
                f"run {self.name}, step {step}: {wrong} holds {stored[wrong].dtype}: weights are real numbers"
            )
        return {name: array.astype(np.float32) for name, array in stored.items()}

    def bare_model(self, step: int) -> Model:
        """The model at this step, in eval mode, weights as trained (nothing folded), without a tokenizer: no token of a
        row is padding to it.
        """
        weights = {name: torch.from_numpy(array) for name, array in self.arrays(step).items()}
        return state_dicts.built(self.model_config(), weights, f"run {self.name}, step {step}")

    def model(self, step: int, device: str = "cpu") -> Model:
        """The same with the run's tokenizer where that can be read, so that it takes text; on a device ("cuda"), where
        all that is done with it runs too. Raises ValueError as `jobs.device.checked` does.
        """
        model = models.moved(self.bare_model(step), devices.checked(device, "device="))
        try:
            tokenizer = self.tokenizer
        except ValueError:  # missing, damaged or of another size: who asks for `tokenizer` is told
            return model
        return model_tokenizer.attach(model, tokenizer)

    def corpus(self, split: str, name: str | None = None) -> corpora.Corpus:
        """The text that the run was trained on, or another corpus, in rows of its tokenizer and context.

        Raises ValueError and NotMeasurable as `corpora.load` does.
        """
        return corpora.load(name or self.config["preset"]["corpus"], split=split, **self._row_format)

    def corpus_fingerprint(self, split: str, name: str | None = None) -> str:
        """The fingerprint that `corpus` would have, without building or reading its rows."""
        return corpora.fingerprint(name or self.config["preset"]["corpus"], split=split, **self._row_format)

    @property
    def _row_format(self) -> dict[str, Any]:
        """How text is cut into rows for this run, as the arguments of `corpora.load`."""
        preset = self.config["preset"]
        return {"tokenizer": self.tokenizer, "n_ctx": preset["n_ctx"], "code_share": preset["code_share"]}

    def corpus_note(self, corpus: corpora.Corpus) -> str:
        """A sentence when the training text at hand is not the one the run was trained on; empty when it is."""
        trained_on = self.config["corpus"]
        same_name = corpus.name == trained_on["name"]
        if not same_name or corpus.fingerprint == trained_on["fingerprint"][corpus.split]:
            return ""
        return (
            f"the {corpus.name} text on this machine is not the one {self.name} was trained on "
            f"({corpus.fingerprint} instead of {trained_on['fingerprint'][corpus.split]}); "
            "install with -c constraints.txt for the same"
        )


def open_run(reference: str | Path) -> Run:
    """A run by its folder, its name in runs/, or its name in the bundled zoo; raises ValueError when there is none."""
    folder = places.folder_of(reference)
    try:
        config = files.read_json(folder / "config.json")
        config_fields.check(config)
        run = Run(folder, config)
        if not run.steps:
            raise ValueError("no checkpoint")
        if reason := forward.unsupported(_made(run)):
            raise ValueError(f"its model cannot be measured: {reason}")
    except ValueError as error:
        raise ValueError(
            f"run {str(reference)!r} cannot be opened ({error}): its config.json or checkpoints are not whole"
        ) from None
    return run


def _made(run: Run) -> Config:
    """The architecture of a run; raises ValueError where TransformerLens has no such one."""
    try:
        return run.model_config()
    except (AssertionError, KeyError, TypeError, ValueError) as error:  # what its configuration raises
        raise ValueError(f"there is no such model: {first_line(error)}") from None


def tokenizer_of(path: Path) -> Tokenizer:
    """A run's tokenizer, which neither cuts nor fills up texts; raises ValueError for a missing or damaged one."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises a bare Exception
        reason = first_line(error)
        raise ValueError(f"run {path.parent.name}: {path.name} cannot be read ({reason}): restore it") from None
    tokenizer.no_truncation()  # such settings of whoever saved the file would lose text, or make tokens of none
    tokenizer.no_padding()
    return tokenizer


def checkpoint_path(folder: Path, step: int) -> Path:
    """The file of a checkpoint."""
    return folder / f"step_{step:07d}.safetensors"


def write_checkpoint(folder: Path, step: int, model: Model, dtype: np.dtype | type = np.float32) -> None:
    """Writes a model's parameters as the checkpoint of a step, rounded to this type."""
    arrays = {
        name: parameter.detach().cpu().float().numpy().astype(dtype) for name, parameter in model.named_parameters()
    }
    tensorfile.write(checkpoint_path(folder, step), arrays, {"step": step})


def export(run: Run, folder: Path, steps: list[int]) -> None:
    """Copies a run in the form of the bundled ones: these checkpoints in float16, configuration, tokenizer, history."""
    for step in steps:
        write_checkpoint(folder, step, run.bare_model(step), np.float16)
    for name in ("config.json", "tokenizer.json", "history.json"):
        write_bytes(folder / name, (run.folder / name).read_bytes())


def leave_out(folder: Path, kept: list[int]) -> None:
    """Deletes all checkpoints of a folder but these, and writes the digests of all into it."""
    steps = places.files_of_steps(folder)
    write_json(folder / places.DIGESTS, {str(step): files.digest(checkpoint_path(folder, step)) for step in steps})
    for step in set(steps) - set(kept):
        checkpoint_path(folder, step).unlink()


def tokens_seen(run: Run, steps: ArrayLike) -> np.ndarray:
    """Tokens that the run was trained on at these steps, in millions."""
    return np.asarray(steps) * run.tokens_per_step / 1e6
