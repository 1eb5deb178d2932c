"""A model on disk: `model.safetensors` and `manifest.json`. No pickle, so that reading a model cannot run code; same model, same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from training.domain.errors import DataError, NotReadyError
from training.model import text
from training.model.arms import ArmEncoder
from training.model.crosses import Crosses
from training.model.encode import MemberEncoder
from training.model.expected import Expected
from training.model.funnel import Stage
from training.model.posterior import LaplaceLogistic
from training.model.stacked import Stacked, StackedSizes
from training.model.towers import Sizes, Towers

if TYPE_CHECKING:
    from training.model.matching import MatchingModel

TENSORS = "model.safetensors"
MANIFEST = "manifest.json"
FORMAT = 6

Parts = tuple[MemberEncoder, ArmEncoder, Towers | Stacked, dict[Stage, LaplaceLogistic], dict[str, Any]]


def write(model: MatchingModel, folder: Path) -> None:
    """Write `model` beside `folder`, then put it in its place."""
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    tensors = {f"towers.{name}": value.contiguous() for name, value in model.towers.state_dict().items()}
    for stage, head in model.heads.items():
        tensors[f"heads.{stage.value}.mean"] = head.mean.contiguous()
        tensors[f"heads.{stage.value}.precision"] = head.precision.contiguous()
    if model.arms.expected:
        tensors |= {f"expected.{name}": value for name, value in model.arms.expected.tensors().items()}
    save_file(tensors, aside / TENSORS)
    (aside / MANIFEST).write_text(json.dumps({**model.manifest, **_described(model)}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    swap(aside, folder)


def swap(aside: Path, folder: Path) -> None:
    """Rename `aside` to `folder`; an older `folder` is moved away first and then deleted."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def read(folder: Path) -> Parts:
    """The parts of the model in `folder`. NotReadyError without one or without its text encoder, DataError where damaged or of another format."""
    if not (folder / MANIFEST).is_file() or not (folder / TENSORS).is_file():
        raise NotReadyError(f"There is no model in {folder}, so nothing can be scored. Run `train` for that day first.")
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
        _check(manifest, folder)
        return _built(manifest, tensors)
    except (json.JSONDecodeError, SafetensorError, KeyError, RuntimeError) as error:
        raise DataError(f"The model in {folder} cannot be read ({error}): its predictions would be meaningless. Run `train` for that day again.") from error


def _described(model: MatchingModel) -> dict[str, Any]:
    sizes = model.towers.sizes
    deep = sizes.deep if isinstance(sizes, StackedSizes) else sizes
    return {
        "format": FORMAT,
        "text_encoder": model.arms.text,
        "stages": [stage.value for stage in model.heads],
        "sizes": {"width": deep.width, "categories": list(deep.categories), "factors": list(deep.factors), "text": deep.text},
        "wide": sizes.labels if isinstance(sizes, StackedSizes) else 0,
        "phi": {"columns": sizes.phi, "blocks": list(sizes.blocks)},
        "parameters": sum(p.numel() for p in model.towers.parameters()) + sum(len(head.mean) for head in model.heads.values()),
        "encoder": {"members": model.members.state(), "arms": model.arms.state()},
    }


def _check(manifest: dict[str, Any], folder: Path) -> None:
    if manifest["format"] != FORMAT:
        raise DataError(
            f"The model in {folder} has format {manifest['format']}; this code reads {FORMAT}. Its vectors would mean something else. "
            "Train it again with this version."
        )
    text.named(manifest["text_encoder"])


def _built(manifest: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Parts:
    sizes = manifest["sizes"]
    first, second, third = sizes["factors"]
    deep = Towers(Sizes(sizes["width"], tuple(sizes["categories"]), (first, second, third), sizes["text"]))
    towers = Stacked(deep, tensors["towers.weights"], Crosses(tensors["towers.creative"], tensors["towers.channel"])) if manifest["wide"] else deep
    towers.load_state_dict({name.removeprefix("towers."): value for name, value in tensors.items() if name.startswith("towers.")})
    towers.eval()
    heads = {Stage(name): LaplaceLogistic(tensors[f"heads.{name}.mean"], tensors[f"heads.{name}.precision"]) for name in manifest["stages"]}
    encoder, prefix = manifest["encoder"], "expected."
    known = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    expected = Expected.restore(known) if known else None
    return MemberEncoder.restore(encoder["members"]), ArmEncoder.restore(encoder["arms"], expected), towers, heads, manifest
