"""Training from scratch, resumable at any moment: a run that was killed and resumed ends in the same bits.

The rows of an update are drawn from (seed, step) alone, so the state is the weights, the optimizer and the step.
"""

import io
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from tokenizers import Tokenizer
from torch import Tensor
from tqdm.auto import tqdm

from ablations import forward, models
from ablations.models import Model
from ablations.running import usual_modes
from experiments import corpora, runs
from experiments.corpora import documents
from experiments.corpora.tokenizer import new_tokenizer
from experiments.runs import config_fields, presets, tokenizer_of
from experiments.runs.presets import Preset
from experiments.runs.trajectory import FOLDER as TRAJECTORY
from experiments.storage.files import read_json, write_bytes, write_json

log = logging.getLogger(__name__)

SAVE_EVERY = 500  # steps between two resumable states
HISTORY_EVERY = 100  # steps that one entry of the history averages

Losses = tuple[list[dict], list[float]]  # the history so far, and the losses of its next entry


@dataclass(frozen=True)
class TrainingData:
    """The corpora that a model is trained on, and the share of the rows that each gets."""

    parts: tuple[corpora.Corpus, ...]
    shares: tuple[float, ...]

    def batch(self, preset: Preset, seed: int, step: int) -> Int64[Tensor, "row pos"]:
        """The rows of one update, as int64 [row, pos]; raises ValueError where a corpus that is read once has ended."""
        if preset.order == "sequential":
            stop = (step + 1) * preset.batch_size
            if stop > len(self.parts[0]):
                raise ValueError(
                    f"the corpus ends before step {step}: it has {len(self.parts[0])} rows, one pass is allowed"
                )
            return self.parts[0].batch(slice(stop - preset.batch_size, stop))
        generator = np.random.default_rng([seed, step])
        parts = generator.choice(len(self.parts), size=preset.batch_size, p=self.shares)
        rows = [self.parts[part].batch([generator.integers(len(self.parts[part]))]) for part in parts]
        return torch.cat(rows)


def training_data(preset: Preset, tokenizer: Tokenizer) -> TrainingData:
    """The preset's corpus as its parts: code and prose for "python", itself for any other."""
    python = preset.corpus == "python"
    names = ("python:code", "python:prose") if python else (preset.corpus,)
    shares = (preset.code_share, 1 - preset.code_share) if python else (1.0,)
    parts = (corpora.load(name, tokenizer=tokenizer, n_ctx=preset.n_ctx, split="train") for name in names)
    return TrainingData(tuple(parts), shares)


def run_name(preset: Preset, seed: int, n_layers: int) -> str:
    """The name of a run, such as mini-seed0, or mini-seed0-1layer for the one-layer reference."""
    return f"{preset.name}-seed{seed}" + ("" if n_layers == 2 else f"-{n_layers}layer")


@usual_modes()
def train(preset: Preset, seed: int, n_layers: int, folder: Path, device: str = "cpu") -> runs.Run:
    """Trains a model to the end, resuming what is in the folder; returns the run.

    Raises ValueError when the folder holds another run or a damaged one, or when the loss is no longer finite.
    """
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed}: it must be between 0 and 2^63 - 1")
    recorded(folder)
    tokenizer = _tokenizer(preset, folder)
    data = training_data(preset, tokenizer)
    model = models.moved(presets.build(preset, seed, n_layers), device)
    _claim(folder, _config(preset, seed, n_layers, tokenizer), tokenizer)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=preset.lr, betas=preset.betas, eps=1e-8, weight_decay=preset.weight_decay, fused=True
    )
    start, history, recent = _restore(folder, model, optimizer)
    bar = tqdm(total=preset.steps, initial=start, desc=folder.name, unit="step", smoothing=0.05, mininterval=1)
    for step in range(start, preset.steps):
        if step in preset.checkpoints:
            runs.write_checkpoint(folder, step, model)
        if step in preset.trajectory:
            runs.write_checkpoint(folder / TRAJECTORY, step, model, np.float16)
        if step % SAVE_EVERY == 0 and step > start:
            _save(folder, step, model, optimizer, (history, recent))
        loss = _update(model, optimizer, data.batch(preset, seed, step), preset, step)
        recent.append(loss)
        if len(recent) == HISTORY_EVERY or step + 1 == preset.steps:
            _check_finite(recent, folder, step)
            history.append({"step": step + 1, "loss": float(np.mean(recent))})
            bar.set_postfix(loss=f"{history[-1]['loss']:.3f}")
            recent = []
        bar.update()
    bar.close()
    _save(folder, preset.steps, model, optimizer, (history, recent))
    runs.write_checkpoint(folder, preset.steps, model)
    if preset.steps in preset.trajectory:
        runs.write_checkpoint(folder / TRAJECTORY, preset.steps, model, np.float16)
    write_json(folder / "history.json", history)
    return runs.open_run(folder)


def _update(model: Model, optimizer: torch.optim.Optimizer, tokens: Tensor, preset: Preset, step: int) -> float:
    """One step of the optimizer on these rows; returns their mean loss before it, in nats per token."""
    for group in optimizer.param_groups:
        group["lr"] = preset.learning_rate(step)
    parameters = dict(model.named_parameters())
    device = model.W_E.device
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=preset.precision == "bf16"):
        tokens = tokens.to(device)
        residual = forward.embed(parameters, model.cfg, tokens)
        residual = forward.run_layers(parameters, model.cfg, residual, 0, model.cfg.n_layers)
        loss = forward.token_losses(parameters, model.cfg, residual, tokens).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters.values(), preset.max_grad_norm)
    optimizer.step()
    return loss.item()


def _tokenizer(preset: Preset, folder: Path) -> Tokenizer:
    """The run's own tokenizer, which is trained when the run is new."""
    path = folder / "tokenizer.json"
    if path.exists():
        return tokenizer_of(path)
    return Tokenizer.from_str(new_tokenizer(preset.tokenizer, preset.corpus, preset.d_vocab).to_str())


def _config(preset: Preset, seed: int, n_layers: int, tokenizer: Tokenizer) -> dict:
    """The content of config.json: all that the run's bits depend on, and the fingerprints of its text."""
    loaded = {
        split: corpora.load(
            preset.corpus, tokenizer=tokenizer, n_ctx=preset.n_ctx, split=split, code_share=preset.code_share
        )
        for split in ("train", "test")
    }
    return {
        "schema": 1,
        "preset": preset.record(),
        "seed": seed,
        "model": presets.config(preset, n_layers),
        "corpus": {
            "name": preset.corpus,
            "fingerprint": {split: corpus.fingerprint for split, corpus in loaded.items()},
        },
        "torch": torch.__version__.partition("+")[0],
        "threads": torch.get_num_threads(),
    }


def recorded(folder: Path) -> dict:
    """The config.json of a run that was begun here, empty where there is none; raises ValueError for a damaged one."""
    path = folder / "config.json"
    if not path.exists():
        return {}
    try:
        config = read_json(path)
        config_fields.check(config)
        if "threads" not in config:
            raise ValueError("config.json has no threads")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}): restore it, or choose another --out") from None
    return config


def _claim(folder: Path, config: dict, tokenizer: Tokenizer) -> None:
    """Writes tokenizer.json and config.json where there are none.

    Raises ValueError for those of another run, another text or another number of threads.
    """
    begun = recorded(folder)
    if begun and begun != config:
        key = next(k for k in (*config, *begun) if begun.get(k) != config.get(k))
        raise ValueError(
            f"{folder} holds a run whose {key} is {begun.get(key)}, not {config.get(key)}: "
            f"choose another --out, or the same {key}"
        )
    if not (folder / "tokenizer.json").exists():
        write_bytes(folder / "tokenizer.json", tokenizer.to_str().encode())
    if not begun:
        write_json(folder / "config.json", config)


def _save(folder: Path, step: int, model: Model, optimizer: torch.optim.Optimizer, losses: Losses) -> None:
    """Writes the state that training is resumed from."""
    content = io.BytesIO()
    state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "losses": losses}
    torch.save(state, content)
    write_bytes(folder / "train_state" / "state.pt", content.getvalue())


def _restore(folder: Path, model: Model, optimizer: torch.optim.Optimizer) -> tuple[int, list[dict], list[float]]:
    """Puts the model and its optimizer where training stopped; returns the step, the history, and losses after it.

    Raises ValueError for a state that cannot be read.
    """
    path = folder / "train_state" / "state.pt"
    if not path.exists():
        return 0, [], []
    try:
        state = torch.load(path, weights_only=True, map_location=model.W_E.device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history, recent = state["losses"]
        if not isinstance(state["step"], int) or state["step"] < 0:
            raise ValueError(f"its step is {state['step']!r}")
        log.info("resuming %s at step %d", folder.name, state["step"])
    except Exception as error:  # torch raises many kinds
        reason = documents.first_line(error)
        raise ValueError(f"{path} cannot be read ({reason}): restore it, or delete it to begin again") from None
    return state["step"], history, recent


def _check_finite(losses: list[float], folder: Path, step: int) -> None:
    """Raises ValueError for a loss that is not finite."""
    if not np.isfinite(losses).all():
        raise ValueError(
            f"{folder.name}: the loss is not finite near step {step}: "
            "lower the learning rate; checkpoints so far are kept"
        )
