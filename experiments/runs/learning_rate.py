"""What a decay of the learning rate over the checkpoints that are shown means for the learning coefficients there."""

from collections.abc import Sequence

from experiments.runs.run import Run


def decay_note(run: Run, steps: Sequence[int]) -> str:
    """A caution, without a full stop, where the learning rate decays over some of these steps; empty where it does not.

    It follows from the preset in the run's configuration. Adopted runs do not say how they were trained: no caution.
    """
    preset = run.config["preset"]
    share, total = preset.get("decay_share") or 0, preset.get("steps") or 0
    begins = round(total - share * total)
    before = [step for step in steps if step <= begins]
    if not share or len(before) == len(steps):
        return ""
    since = f"what rises, falls or parts after step {max(before):,}" if before else "what rises, falls or parts here"
    return (
        f"The learning rate of this run decays to 0 from step {begins:,} to its end at step {total:,}, which is shown "
        "here, and such a decay by itself multiplies rLLCs (those of the mini preset by more than two in both layers): "
        f"{since}, and the final values, may be the decay and not something that the model learned"
    )


def decay_notes(runs: Sequence[tuple[Run, Sequence[int]]]) -> list[str]:
    """The cautions of several runs with the steps that are shown of each: each caution once, after the runs' names."""
    named: dict[str, list[str]] = {}
    for run, steps in runs:
        if note := decay_note(run, steps):
            named.setdefault(note, []).append(run.name)
    return [f"{', '.join(names)}: {note}" for note, names in named.items()]
