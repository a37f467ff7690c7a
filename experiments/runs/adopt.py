"""A run made of models from elsewhere, so that every verb works on it as on one trained here.

    models = {100: early, 1000: late}  # models by step
    adopt("runs/mine", models, tokenizer, corpus="text:book.txt", tokens_per_step=32_768)

and then `devcircuits reproduce --run mine`. A run has no training history and is no preset's.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from ablations import forward
from ablations.configuration import filled
from ablations.models import Config, Model, as_model
from experiments import corpora, runs
from experiments.corpora.tokenizer import check_fits, padded, plain
from experiments.runs import state_dicts
from experiments.storage import store, tensorfile
from experiments.storage.files import write_bytes, write_json
from llc import tied

ALWAYS = (
    *("n_layers", "d_model", "n_ctx", "d_head", "n_heads", "d_vocab", "attn_only", "act_fn", "eps", "attn_scale"),
    *("normalization_type", "positional_embedding_type"),
)
CODE_SHARE = 0.3  # of the rows, for corpus "python", where nothing else is said
CLOSE = 1e-4  # of the largest logit: what is written must run as what was given, up to rounding


def adopt(
    folder: str | Path,
    checkpoints: Mapping[int, Model] | Iterable[tuple[int, Model]],
    tokenizer: Any,
    *,
    corpus: str,
    tokens_per_step: int,
    n_ctx: int | None = None,
    bos: str | None = None,
    code_share: float = CODE_SHARE,
) -> runs.Run:
    """Writes models of one architecture, by training step, as a run in a new folder; the models stay as they are.

    checkpoints: of any kind that `forward.unsupported` does not name; pairs are taken one by one, so that they need
    not all fit into memory.
    tokenizer: a `tokenizers.Tokenizer` or a fast tokenizer of transformers; bos: the token that rows of text start
    with (default: what the tokenizer says, or <|endoftext|>). corpus: what the run is measured and sampled on, best
    the text it was trained on. tokens_per_step: batch size times context in training, the unit of figures' axes.
    n_ctx: a shorter context to measure in; positions after it are left out. code_share: of the rows, for corpus
    "python". Raises ValueError, and leaves nothing
    behind, for what cannot be a run.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already: give a new folder, or remove it")
    if tokens_per_step < 1:
        raise ValueError(f"tokens_per_step={tokens_per_step}: it must be at least 1")
    if not 0 < code_share < 1:
        raise ValueError(f"code_share={code_share}: it must be above 0 and below 1")
    given = checkpoints.items() if isinstance(checkpoints, Mapping) else checkpoints
    pairs = ((step, as_model(model)) for step, model in given)
    first = next(pairs, None)
    if first is None:
        raise ValueError("no checkpoints: give at least one model and its step")
    config = _config(first[1].cfg, n_ctx, corpus, tokens_per_step, code_share)
    own = padded(plain(tokenizer, bos), config["model"]["d_vocab"])
    config["corpus"]["fingerprint"] = _fingerprints(config, own)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        for step, model in (first, *pairs):
            _write(unfinished, step, model, config["model"])
        write_bytes(unfinished / "tokenizer.json", own.to_str().encode())
        write_json(unfinished / "config.json", config)
        _check_same(runs.open_run(unfinished), step, model)
        if folder.exists():
            folder.rmdir()  # an empty one
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return runs.open_run(folder)


def content_name(model: Model, tokenizer: Any, corpus: str) -> str:
    """Names a model with its text by their content: weights, configuration, tokenizer, and the corpus as it is now.

    "model-" and 8 hexadecimal digits; models or texts that differ in anything that `adopt` writes have other names.
    Raises ValueError for what cannot be a run.
    """
    model = as_model(model)
    config = _config(model.cfg, None, corpus, 1)
    own = padded(plain(tokenizer), model.cfg.d_vocab)
    text = corpora.fingerprint(
        corpus, tokenizer=own, n_ctx=config["model"]["n_ctx"], split="test", code_share=CODE_SHARE
    )
    weights = {name: tensor.detach().cpu().float().numpy() for name, tensor in model.named_parameters()}
    return f"model-{store.fingerprint(config=config, text=text, **weights)[:8]}"


def _config(cfg: Config, n_ctx: int | None, corpus: str, tokens_per_step: int, code_share: float = CODE_SHARE) -> dict:
    """The content of config.json without fingerprints of text; raises ValueError for a model that no run can have."""
    if reason := forward.unsupported(cfg):
        raise ValueError(f"a run of such models cannot be measured: {reason}; llc and ablations take them themselves")
    model = _architecture(cfg)
    if n_ctx is not None and not 2 <= n_ctx <= cfg.n_ctx:
        raise ValueError(f"n_ctx={n_ctx}: it must be at least 2 and at most the model's {cfg.n_ctx}")
    model["n_ctx"] = n_ctx or cfg.n_ctx
    preset = {"name": "adopted", "corpus": corpus, "code_share": code_share, "n_ctx": model["n_ctx"]}
    return {
        "schema": 1,
        "preset": preset | {"batch_size": None, "tokens_per_step": tokens_per_step},
        "seed": None,
        "model": model,
        "corpus": {"name": corpus},
    }


def _architecture(cfg: Config) -> dict[str, Any]:
    """The fields of config.json that say what a model computes: those in ALWAYS, and what does not follow from them."""
    always = {name: getattr(cfg, name) for name in ALWAYS} | {"attn_scale": float(cfg.attn_scale)}
    usual = vars(filled(always))
    return always | {name: value for name, value in state_dicts.facts(cfg).items() if value != usual[name]}


def _fingerprints(config: dict, tokenizer: Tokenizer) -> dict[str, str]:
    """The fingerprints of the text's splits, whose rows are built where they are not in the cache.

    Raises ValueError for a text that there is not or a tokenizer that does not fit, and NotMeasurable for a split
    without a row.
    """
    check_fits(tokenizer, config["model"]["d_vocab"])
    preset = config["preset"]
    return {
        split: corpora.load(
            preset["corpus"], tokenizer=tokenizer, n_ctx=preset["n_ctx"], split=split, code_share=preset["code_share"]
        ).fingerprint
        for split in ("train", "test")
    }


def _write(folder: Path, step: int, model: Model, expected: dict) -> None:
    """Writes one checkpoint; raises ValueError for a step that is none or there twice, and another architecture."""
    if not isinstance(step, int) or step < 0 or runs.checkpoint_path(folder, step).exists():
        raise ValueError(f"step {step!r}: steps are whole numbers from 0, each once")
    own = _architecture(model.cfg)
    for name in {**own, **expected}:
        if own.get(name) != expected.get(name) and name != "n_ctx":
            raise ValueError(
                f"step {step}: {name} is {own.get(name)}, not {expected.get(name)}: a run's models differ in weights "
                "alone"
            )
    if shared := tied.ties(forward.parameters_of(model)):
        raise ValueError(
            f"step {step}: {shared[0].name} and {shared[0].owner} are one parameter, and a run keeps each apart: give "
            "a model in which it is a copy, torch.nn.Parameter(weight.clone()), or sample this one by llc.sample"
        )
    weights = {name: parameter.detach().cpu().float() for name, parameter in model.named_parameters()}
    if "pos_embed.W_pos" in weights:
        weights["pos_embed.W_pos"] = weights["pos_embed.W_pos"][: expected["n_ctx"]]
    if bad := next((name for name, tensor in weights.items() if not tensor.isfinite().all()), ""):
        raise ValueError(f"step {step}: {bad} is not finite: leave this checkpoint out")
    arrays = {name: tensor.numpy() for name, tensor in weights.items()}
    tensorfile.write(runs.checkpoint_path(folder, step), arrays, {"step": step})


def _check_same(run: runs.Run, step: int, model: Model) -> None:
    """Raises ValueError when the run's model predicts something else than the given one."""
    tokens = torch.arange(min(run.model_config().n_ctx, run.model_config().d_vocab))[None]
    with torch.no_grad():
        given = model(tokens.to(model.W_E.device)).cpu().float()
        weights, cfg = forward.weights_of(run.bare_model(step)), run.model_config()
        error = (forward.logits(weights, cfg, tokens) - given).abs().max() / given.abs().max()
    if not error <= max(CLOSE, 30 * torch.finfo(model.W_E.dtype).eps):
        raise ValueError(
            f"the run would not predict what the model does (its logits differ by {error:.1e}): "
            "the model has parts that are not kept"
        )
