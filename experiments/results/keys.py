"""The key of a cell: all that its values depend on, by content and never by a name or a path."""

from experiments.results.inputs import Inputs
from experiments.results.kind import Kind, Parameters


def key(inputs: Inputs, kind: Kind, step: int | None, parameters: Parameters) -> dict:
    """JSON values. With a checkpoint: its weights, and the configuration that says what they compute."""
    kind.checked(parameters)
    plan = inputs.plan.record()
    parts = {
        "kind": kind.name,
        "version": list(kind.version),
        "plan": {name: plan[name] for name in kind.plan_fields},
        "data": {split: inputs.split(split).fingerprint for split in kind.splits},
        "tokenizer": inputs.run.tokenizer_digest,
    }
    if step is not None:
        parts |= {"step": step} | model_key(inputs, step)
    return parts | (kind.also(inputs, step) if kind.also else {}) | dict(parameters)


def model_key(inputs: Inputs, step: int) -> dict:
    """What a checkpoint is, as a part of keys."""
    run = inputs.run
    return {"weights": run.model_digest(step), "configuration": run.configuration.record()}


def table_key(inputs: Inputs, kind: Kind, steps: list[int]) -> dict:
    """The key of a committed table of a kind over checkpoints: that of a cell, with the weights of all checkpoints."""
    parts = [key(inputs, kind, step, {}) for step in steps]
    weights = [part["weights"] for part in parts]
    references = [part.get("reference") for part in parts]
    whole: dict = parts[-1] | {"kind": f"{kind.name}_table", "steps": steps, "weights": weights}
    return whole | ({"reference": references} if any(references) else {})
