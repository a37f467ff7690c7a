"""What may stand in a run's config.json: one table of its fields, each with its type and its range.

A file is checked against it once, when a run is opened. What else a model's part may hold are fields of
TransformerLens's configuration that are in no row here; their types are TransformerLens's own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ablations import lens_fields


class Field(NamedTuple):
    """One field: where it stands, what it must be in words, whether a value is that, and whether it may be missing."""

    place: str  # "part.name", or a name at the top
    must: str
    holds: Callable[[object], bool]
    needed: bool = True


def is_whole(value: object, low: int) -> bool:
    """Whether a JSON value is a whole number from `low`; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _is_number(value: object, low: float, high: float = math.inf) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and low <= float(value) <= high and math.isfinite(float(value))  # type: ignore[arg-type]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _whole(place: str, low: int, needed: bool = True, null: bool = False) -> Field:
    must = f"a whole number from {low}" + (" or null" if null else "")
    return Field(place, must, lambda value: (null and value is None) or is_whole(value, low), needed)


def _text(place: str, needed: bool = True) -> Field:
    return Field(place, "text that is not empty", _is_text, needed)


def _positive(place: str) -> Field:
    return Field(place, "a number above 0", lambda value: _is_number(value, 0.0) and value != 0, False)


def _share(place: str, needed: bool = False) -> Field:
    return Field(place, "a number from 0 to 1", lambda value: _is_number(value, 0.0, 1.0), needed)


def _choice(place: str, *values: object, needed: bool = False) -> Field:
    must = " or ".join("null" if value is None else str(value) for value in values)
    return Field(place, must, lambda found: any(found == one and type(found) is type(one) for one in values), needed)


def _object(place: str) -> Field:
    return Field(place, "an object", lambda value: isinstance(value, dict))


def _each(place: str, must: str, holds: Callable[[object], bool]) -> Field:
    return Field(place, must, lambda value: isinstance(value, list) and all(map(holds, value)), False)


SIZES = ("n_layers", "d_model", "d_head", "n_heads", "d_vocab")  # of a model, each at least 1

MODEL = (
    *(_whole(f"model.{name}", 1) for name in SIZES),
    _whole("model.n_ctx", 2),
    _whole("model.d_mlp", 1, needed=False, null=True),
    _whole("model.rotary_dim", 1, needed=False, null=True),
    _whole("model.n_key_value_heads", 1, needed=False, null=True),
    _positive("model.eps"),
    _positive("model.rotary_base"),
    Field("model.attn_scale", "a number above 0, or -1", lambda v: v == -1 or (_is_number(v, 0.0) and v != 0), False),
    Field("model.act_fn", "text or null", lambda value: value is None or _is_text(value), False),
)
PRESET = (
    _text("preset.name"),
    _text("preset.corpus"),
    _share("preset.code_share", needed=True),
    _whole("preset.n_ctx", 2),
    _whole("preset.batch_size", 1, null=True),
    _whole("preset.tokens_per_step", 1, needed=False, null=True),
    _text("preset.tokenizer", needed=False),
    *(_whole(f"preset.{name}", 1, needed=False) for name in ("d_vocab", "d_model", "n_heads", "d_head", "steps")),
    _whole("preset.warmup_steps", 0, needed=False),
    _positive("preset.lr"),
    _positive("preset.max_grad_norm"),
    _share("preset.decay_share"),
    Field("preset.weight_decay", "a number from 0", lambda value: _is_number(value, 0.0), False),
    _each("preset.betas", "numbers from 0 to 1", lambda value: _is_number(value, 0.0, 1.0)),
    _each("preset.checkpoints", "whole numbers from 0", lambda value: is_whole(value, 0)),
    _each("preset.trajectory", "whole numbers from 0", lambda value: is_whole(value, 0)),
    _choice("preset.precision", "bf16", "fp32"),
    _choice("preset.order", "sampled", "sequential"),
)
FIELDS = (
    _choice("schema", 1, needed=True),
    *(_object(name) for name in ("preset", "model", "corpus")),
    *PRESET,
    *MODEL,
    _text("corpus.name"),
    _object("corpus.fingerprint"),
    *(Field(f"corpus.fingerprint.{split}", "text", lambda v: isinstance(v, str)) for split in ("train", "test")),
    _whole("seed", 0, null=True),
    _whole("threads", 1, needed=False),
    _text("torch", needed=False),
)


def check(config: object) -> None:
    """Raises ValueError, with the field and what it must be, for what is no configuration of a run."""
    if not isinstance(config, dict):
        raise ValueError(f"config.json holds {type(config).__name__} in place of an object")
    _check_fields(FIELDS, config)
    _check_types(config["model"], "model.")
    preset, n_ctx = config["preset"], config["model"]["n_ctx"]
    if preset["n_ctx"] != n_ctx:
        longer = "longer" if preset["n_ctx"] > n_ctx else "shorter"
        raise ValueError(f"context {preset['n_ctx']} is {longer} than the model's {n_ctx}")
    if preset.get("tokens_per_step") is None and preset["batch_size"] is None:
        raise ValueError("preset has neither batch_size nor tokens_per_step, the unit of figures' axes")
    if preset["corpus"] == "python" and not 0 < preset["code_share"] < 1:
        raise ValueError(f"preset.code_share is {preset['code_share']}, it must be above 0 and below 1 for python")


def check_model(model: Mapping[str, object]) -> None:
    """Raises ValueError for fields of a model that TransformerLens does not have, or not with such values; sizes that
    are missing are not looked for.
    """
    _check_fields([field._replace(needed=False) for field in MODEL], {"model": dict(model)}, "")
    _check_types(model)


def _check_types(model: Mapping[str, object], prefix: str = "") -> None:
    """Raises ValueError for fields that are in no row of the table, and for their types where TransformerLens knows
    them. prefix: stands before names in messages.
    """
    in_table, types = {field.place.partition(".")[2] for field in MODEL}, lens_fields.KINDS
    for name, value in model.items():
        if name not in types:
            raise ValueError(f"{prefix}{name} is no field that a model is made with: correct its name, or leave it out")
        kinds = types[name]
        if name not in in_table and not _is_one_of(value, kinds):
            raise ValueError(f"{prefix}{name} is {value!r}, it must be {_in_words(kinds)}")


def _check_fields(table: Sequence[Field], config: Mapping[str, object], prefix: str | None = None) -> None:
    """Raises ValueError for the first field of a table that is missing or no such value."""
    for field in table:
        part, _, name = field.place.rpartition(".")
        inside: object = config
        for step in part.split(".") if part else ():
            inside = inside[step] if isinstance(inside, Mapping) else {}
        assert isinstance(inside, Mapping)  # an earlier row of the table has seen to it
        if name not in inside:
            if field.needed:
                raise ValueError(f"{part or 'config.json'} has no {name}")
        elif not field.holds(inside[name]):
            place = field.place if prefix is None else f"{prefix}{name}"
            raise ValueError(f"{place} is {inside[name]!r}, it must be {field.must}")


def _is_one_of(value: object, kinds: Sequence[Any]) -> bool:
    """Whether a JSON value is of one of these types; a whole number is a number too, a truth value is none."""
    plain = [getattr(kind, "__origin__", kind) for kind in kinds]
    if isinstance(value, bool):
        return bool in plain
    if isinstance(value, int | float) and float in plain:
        return math.isfinite(value)
    return isinstance(value, tuple(plain))


def _in_words(kinds: Sequence[Any]) -> str:
    """Types of JSON values, for a message."""
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}
    return " or ".join(dict.fromkeys(names.get(kind, "left out") for kind in kinds))
