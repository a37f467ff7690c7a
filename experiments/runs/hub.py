"""Models and their checkpoints from elsewhere, by name or from a folder, with their weights as they were trained.

- "timaeus/tetrahedron-3m-og", "georgeyw/L2W256-3m-rr" (the papers' authors'), or any other repository on the Hugging
  Face hub that holds TransformerLens-style state dicts, numbered by step, in checkpoints/ or at its top;
- a local folder with the same files, its tokenizer beside them where it has one;
- a name that TransformerLens knows: "attn-only-2l" (with its checkpoints), "pythia-70m", "gpt2-small", ...

Nothing that is downloaded is run: pickles hold tensors or are refused (TransformerLens itself would load them).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from tokenizers import Tokenizer

from ablations.models import Config, Model
from experiments.corpora.tokenizer import download, pretrained, unreachable
from experiments.runs import config_fields, lens_models, places, state_dicts
from experiments.runs.step_names import numbered_files
from experiments.storage.files import read_json

Given: TypeAlias = Config | Mapping[str, object]

# Of arXiv:2410.02984 and arXiv:2402.02364: what their weights do not tell, as their public code configures them.
AUTHORS: dict[str, object] = {
    "normalization_type": "LN",
    "positional_embedding_type": "shortformer",
    "tokenizer_name": "georgeyw/TinyStories-tokenizer-5k",
    "tokens_per_step": 100 * 1024,
}
KNOWN = dict.fromkeys(("timaeus/tetrahedron-3m-og", "georgeyw/L2W256-3m-rr"), AUTHORS)
STATE_DICTS = ("NeelNanda/", "ArthurConmy/", "Baidicoot/")  # of TransformerLens's models, those it keeps as pickles
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
IN_TOKENS = 10**9  # such a model's last checkpoint is numbered by tokens, not steps, when it is above this


class Seen(NamedTuple):
    """What the weights of the last checkpoint tell before a model is made of them; ValueError where they are none."""

    untold: list[str]  # fields of the configuration that neither they nor a config.json tell
    d_vocab: int | None  # None for a model that TransformerLens reads


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a model over its training, read or downloaded one by one when they are asked for."""

    name: str
    steps: list[int]  # in order; [0] for a model that has no checkpoints
    model: Callable[[int], Model]  # at a step: eval mode, nothing folded; ValueError where it cannot be had
    tokenizer: Callable[[], Tokenizer]  # raises ValueError where there is none
    tokens_per_step: int | None = None  # None where it is not known
    seen: Callable[[], Seen] = lambda: Seen([], None)


def checkpoints(source: str | Path, config: Given | None = None) -> Checkpoints:
    """The checkpoints in a local folder, or of a model by its name.

    config: what weights do not tell of the architecture, whole or in part ({"positional_embedding_type": "standard"});
    a config.json beside the checkpoints does the same. Raises ValueError where there are none, or no network.
    """
    name = str(source)
    known = state_dicts.facts(config or {})
    if isinstance(config, Mapping) and (other := [key for key in config if key not in known]):
        raise ValueError(
            f"config has {other[0]!r}: use fields of HookedTransformerConfig that say what a model computes"
        )
    if Path(source).is_dir():
        files = places.files_in(Path(source))
        return _of_files(Path(source).resolve().name, files, lambda file: Path(source) / file, config, {})
    places.check_source(name)
    if name in KNOWN:
        return _of_repository(name, config, KNOWN[name])
    try:
        official = lens_models.official_name(name)
    except ValueError:
        if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", name):
            raise places.no_source(name) from None
        return _of_repository(name, config, {})
    if official.startswith(STATE_DICTS):
        # TransformerLens reads positions so where the repository's config.json says nothing
        return _of_repository(official, config, {"positional_embedding_type": "standard"})
    if config is not None:
        raise ValueError(f"{name}: TransformerLens knows its architecture: leave config out")
    return _of_transformer_lens(official)


def _of_repository(name: str, config: Given | None, known: Mapping[str, object]) -> Checkpoints:
    """The checkpoints of a repository on the hub; without network, those that its cache holds."""
    try:
        files = HfApi().list_repo_files(name)
    except Exception as error:  # huggingface_hub and its transports raise many kinds
        try:
            folder = Path(snapshot_download(name, local_files_only=True))
        except Exception:
            raise ValueError(f"{name}: {unreachable(error)}, and it is no folder here: {download(name)}") from None
        files = places.files_in(folder)
    return _of_files(name, files, lambda file: _downloaded(name, file), config, known)


def _downloaded(name: str, file: str) -> Path:
    """A file of a repository, from the cache where it is there; raises ValueError where it cannot be had."""
    try:
        return Path(hf_hub_download(name, file))
    except Exception as error:
        raise ValueError(f"{name}, {file}: {unreachable(error)}: {download(name)}") from None


def _of_files(
    name: str, files: list[str], path: Callable[[str], Path], config: Given | None, known: Mapping[str, object]
) -> Checkpoints:
    """The checkpoints among these files; path: gives the place of a file on this machine."""
    numbered = numbered_files(name, files)
    described = dict(known)  # what is known of the architecture, the tokenizer and the training
    if "config.json" in files and name not in KNOWN:
        described |= _json(path("config.json"), name)
    described |= {} if config is None else state_dicts.facts(config)
    steps = sorted(numbered)

    def model(step: int) -> Model:
        check_step(name, steps, step)
        what = f"{name}, step {step}"
        try:
            weights = state_dicts.read(path(numbered[step]))
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        return state_dicts.built(state_dicts.architecture(weights, state_dicts.facts(described), what), weights, what)

    @cache
    def seen() -> Seen:
        what, weights = f"{name}, step {steps[-1]}", state_dicts.read(path(numbered[steps[-1]]))
        return Seen(state_dicts.untold(weights, state_dicts.facts(described), what), len(weights[state_dicts.MARK]))

    def tokenizer() -> Tokenizer:
        if "tokenizer.json" in files:
            places = [path(file) for file in TOKENIZER_FILES if file in files]
            return pretrained(str(places[0].parent))
        if not isinstance(described.get("tokenizer_name"), str):
            raise ValueError(
                f"{name} has no tokenizer.json, and no config.json with tokenizer_name: put one beside them"
            )
        return pretrained(str(described["tokenizer_name"]))

    return Checkpoints(name, steps, model, tokenizer, _tokens_per_step(name, described, steps), seen)


def check_step(name: str, steps: list[int], step: int) -> None:
    """Raises ValueError for a step that is not among these."""
    if step not in steps:
        nearest = sorted(sorted(steps, key=lambda other: abs(other - step))[:5])
        raise ValueError(
            f"{name} has no checkpoint at step {step}, the nearest are {', '.join(map(str, nearest))}: choose one"
        )


def _json(path: Path, name: str) -> dict[str, object]:
    """The config.json of a model; raises ValueError for one that is no JSON object, or whose fields are no model's."""
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: config.json cannot be read ({error}): restore it") from None
    if not isinstance(content, dict):
        raise ValueError(f"{name}: config.json holds {type(content).__name__} in place of an object: correct it")
    try:
        config_fields.check_model(state_dicts.facts(content))
    except ValueError as error:
        raise ValueError(f"{name}: {error}: correct its config.json") from None
    tokens = content.get("tokens_per_step")
    if tokens is not None and not config_fields.is_whole(tokens, 1):
        raise ValueError(
            f"{name}: tokens_per_step is {tokens!r}, it must be a whole number from 1: correct config.json"
        )
    return content


def _tokens_per_step(name: str, described: Mapping[str, object], steps: list[int]) -> int | None:
    """Batch size times context in training, as said or as their product; None where neither is known."""
    if name.startswith(STATE_DICTS):
        return 1 if steps[-1] > IN_TOKENS else None
    tokens, sizes = described.get("tokens_per_step"), (described.get("batch_size"), described.get("n_ctx"))
    if isinstance(tokens, int):
        return tokens
    return sizes[0] * sizes[1] if all(config_fields.is_whole(size, 1) for size in sizes) else None  # type: ignore


def _of_transformer_lens(official: str) -> Checkpoints:
    """The checkpoints of a model of transformers, as TransformerLens converts it."""
    steps = lens_models.steps_of(official)

    def model(step: int) -> Model:
        check_step(official, steps or [0], step)
        try:
            return lens_models.load(official, step if steps else None)
        except Exception as error:  # transformers raises many kinds
            revision = "checkpoint-" if official.startswith("stanford-crfm/") else "step"
            options = f" --revision {revision}{step}" if steps else ""
            remedy = f": {download(official + options)}" if isinstance(error, OSError) else ""
            raise ValueError(f"{official}: {unreachable(error)}{remedy}") from None

    return Checkpoints(official, steps or [0], model, lambda: pretrained(official))
