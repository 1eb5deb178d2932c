"""Snapshots of the posteriors between two retrains: one writer, many readers, no lock.

    FOLDER/MODEL/current.json        which snapshot of that model is the newest: replaced by renaming, so that readers see the old or the new one
    FOLDER/MODEL/POSTERIOR.heads     the heads of that version (safetensors with a checksum), never changed once it is there

Nothing here has to survive a power cut: every version can be rebuilt from the model and the decision log (`learner.rebuild`).
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from training.domain.errors import DataError, NotReadyError
from training.model.funnel import Stage
from training.model.online import Heads
from training.model.posterior import LaplaceLogistic

POINTER = "current.json"
ENDING = ".heads"
LATEST = 8
"""Snapshots that a slow reader may still find after the pointer has moved on."""
EVERY, CHECKPOINTS = 256, 64
"""A checkpoint each EVERY versions; beyond CHECKPOINTS of one model their distance doubles, so that disk is bounded and no version is far from one."""
MODELS = 2
"""Models whose snapshots are kept although nobody needs them now: those that were published last."""


def publish(folder: Path, version: str, posterior: int, heads: Heads) -> None:
    """Make `heads` what readers see of that model. Raises OSError where the disk is full: readers keep what they have."""
    room = folder / version
    room.mkdir(parents=True, exist_ok=True)
    _replace(_path(folder, version, posterior), _packed(heads))
    _replace(room / POINTER, json.dumps({"posterior": posterior}).encode())
    _prune(room, posterior)


def current(folder: Path, version: str) -> int | None:
    """The newest posterior of that model, counted from 0, the model as trained; None where nothing was published. Costs some 20 microseconds.

    Raises DataError where it cannot be read.
    """
    pointer = folder / version / POINTER
    try:
        return int(json.loads(pointer.read_bytes())["posterior"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{pointer} cannot be read ({error}), so the newest posterior of model {version} is not known. {_REMEDY}") from error


def published(folder: Path, version: str, posterior: int) -> bool:
    """Whether readers find that posterior as the newest one of that model. Costs little more than `current`."""
    try:
        return current(folder, version) == posterior and _path(folder, version, posterior).is_file()
    except DataError:
        return False


def read(folder: Path, version: str, posterior: int) -> dict[Stage, LaplaceLogistic]:
    """The heads of that version. Raises NotReadyError where it is not kept (any more), DataError where it is damaged: then go on with the ones at hand."""
    path = _path(folder, version, posterior)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotReadyError(f"There is no posterior {posterior} of model {version} in {folder}: it was never published, or is no longer kept.") from None
    try:
        return _unpacked(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"The posterior {path} is damaged ({error}), so it would decide by chance. {_REMEDY}") from error


def kept(folder: Path, version: str) -> list[int]:
    """The versions of the posterior that are there, ascending."""
    return sorted(int(path.stem) for path in (folder / version).glob(f"*{ENDING}"))


def discard(folder: Path, version: str, after: int) -> None:
    """Remove what the log does not know: versions beyond `after`, as they are left where the log was brought back from a backup."""
    for posterior in kept(folder, version):
        if posterior > after:
            _path(folder, version, posterior).unlink(missing_ok=True)


def forget(folder: Path, needed: Collection[str]) -> None:
    """Remove the snapshots of all models but those `needed` and the last MODELS others."""
    if folder.is_dir():
        others = sorted((path for path in folder.iterdir() if path.is_dir() and path.name not in needed), key=lambda path: path.stat().st_mtime_ns)
        for path in others[: max(0, len(others) - MODELS)]:
            shutil.rmtree(path, ignore_errors=True)


_REMEDY = "Restart the learner (`rightmatch serve`), which rebuilds it from the decision log and publishes it again."


def _path(folder: Path, version: str, posterior: int) -> Path:
    return folder / version / f"{posterior:010d}{ENDING}"


def _replace(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(path)


def _packed(heads: Heads) -> bytes:
    tensors = {f"{stage.value}.{name}": value.contiguous() for stage, head in heads.items() for name, value in vars(head).items()}
    body: bytes = save(tensors, metadata={"stages": ",".join(stage.value for stage in heads)})
    return zlib.crc32(body).to_bytes(4, "little") + body


def _unpacked(content: bytes) -> dict[Stage, LaplaceLogistic]:
    mark, body = content[:4], content[4:]
    if zlib.crc32(body).to_bytes(4, "little") != mark:
        raise ValueError("its checksum does not fit")
    tensors: dict[str, torch.Tensor] = load(body)
    stages = {name.partition(".")[0] for name in tensors}
    order = [stage for stage in _order(body) if stage in stages]
    return {Stage(name): LaplaceLogistic(tensors[f"{name}.mean"], tensors[f"{name}.precision"]) for name in order}


def _order(body: bytes) -> list[str]:
    """The stages in the order in which the model has them, which decides in what order weights are drawn."""
    header: dict[str, Any] = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    return str(header["__metadata__"]["stages"]).split(",")


def _prune(room: Path, newest: int) -> None:
    distance = EVERY
    while newest // distance > CHECKPOINTS:
        distance *= 2
    for path in room.glob(f"*{ENDING}"):
        posterior = int(path.stem)
        if posterior % distance and posterior <= newest - LATEST:
            path.unlink(missing_ok=True)
