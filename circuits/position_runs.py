"""Runs in which a path is written at the positions of one role and read at those of another (`circuits.positions`).

A target's result z at a query follows from that query, and from the keys and values that it sees. So z of the run with
the path patched at the positions written, put at the positions read into the clean run's, is what the target says when
attention between these positions alone is changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ablations import rerun
from ablations.changes import Change
from ablations.paths import Path, Source, target_layer
from ablations.running import tracked
from circuits.discover_exact import at_ends, last_logits

LastLogits = Float[Tensor, "prompt last vocab"]


class Row(NamedTuple):
    """One path, and between which roles it is patched."""

    path: Path
    written: int  # index of a role
    read: int | None  # None: at any position
    prompts: int  # that have such positions


class Runs(NamedTuple):
    """What all rows share."""

    run: rerun.Run  # the clean run; its values are what sources write on the corrupted prompts
    own: Mapping[Source, Tensor]  # what they write on the clean ones
    at: Int64[Tensor, "prompt pos"]  # roles, text first
    before: LastLogits


def rows_of(at: Int64[Tensor, "prompt pos"], path: Path, roles: int) -> Iterator[Row]:
    """The rows of a path, those left out of which no prompt has the positions."""
    for written in range(roles):
        here = at == written
        if not here.any():
            continue
        stands = int(here.any(1).sum())
        if not _crosses(path):
            yield Row(path, written, written, stands)
            continue
        yield Row(path, written, None, stands)
        reached = here.int().cummax(1).values.bool()  # by queries at or after such a position
        for read in range(roles):
            if seen := int(((at == read) & reached).any(1).sum()):
                yield Row(path, written, read, seen)


def _crosses(path: Path) -> bool:
    """Whether attention carries what the path's target reads to other positions."""
    return path.via in ("k", "v")


def patched(runs: Runs, rows: Sequence[Row]) -> Iterator[LastLogits]:
    """Logits after the last token under each row; what is written once is read by all rows that say so."""
    for (path, written), same in groupby(tracked(rows, "roles patched"), lambda row: (row.path, row.written)):
        here = runs.at == written
        run = _written_at(runs, path, here)
        z = _z_of_target(run, path) if run and _crosses(path) else None
        for row in same:
            read = here if not _crosses(path) else (runs.at == row.read if row.read is not None else None)
            if run is None or not _matters(runs, path, read):
                yield runs.before
            elif z is None:
                yield last_logits(run, Change(cuts=(path,)))
            else:
                yield _with_z(runs, path, z, read)


def _written_at(runs: Runs, path: Path, here: Bool[Tensor, "prompt pos"]) -> rerun.Run | None:
    """The clean run, ready to give the path at these positions what its source writes on the corrupted prompts; None
    where that is the same.
    """
    run, own = runs.run, runs.own[path.source]
    mixed = torch.where(here[..., None], run.values[path.source], own)
    if torch.equal(mixed, own):
        return None
    return rerun.prepare(run.weights, run.cfg, run.clean, {path.source: mixed}, run.layer_norm)


def _matters(runs: Runs, path: Path, read: Bool[Tensor, "prompt pos"] | None) -> bool:
    """Whether the answer can follow from what the target says at these positions: after the last layer only what
    stands at the ends of prompts does.
    """
    if read is None or target_layer(path.target, runs.run.cfg) < runs.run.cfg.n_layers - 1:
        return True
    return bool(at_ends(runs.run.clean, read[..., None].float()).any())


def _z_of_target(run: rerun.Run, path: Path) -> Float[Tensor, "prompt pos d_head"]:
    """z of the path's target with the path patched."""
    assert not isinstance(path.target, str)
    layer, head = path.target
    writes = rerun.Writes(list(run.clean.z), list(run.clean.mlps))
    return rerun.changed_heads(run, Change(cuts=(path,)), layer, run.clean.residuals[layer], writes)[head]


def _with_z(
    runs: Runs, path: Path, z: Float[Tensor, "prompt pos d_head"], read: Bool[Tensor, "prompt pos"] | None
) -> LastLogits:
    """Logits where the target's z is this at the positions read (None: at all), and that of the clean run elsewhere."""
    assert not isinstance(path.target, str)
    run, (layer, head) = runs.run, path.target
    mixed = z if read is None else torch.where(read[..., None], z, run.clean.z[layer][:, :, head])
    changed = rerun.prepare(run.weights, run.cfg, run.clean, {path.target: mixed}, run.layer_norm)
    return last_logits(changed, Change(heads=(path.target,)))
