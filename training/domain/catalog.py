"""The catalog: what may be offered. Read from the four dbt seeds `products`, `creatives`, `channels`, `arms` (CSV)."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from training.domain.errors import DataError
from training.domain.nouns import NONE, Arm, Surface


@dataclass(frozen=True)
class Product:
    """`value` is what one conversion is worth, in money."""

    product_id: str
    name: str
    value: float


@dataclass(frozen=True)
class Creative:
    """A text that advertises one product."""

    creative_id: str
    product_id: str
    text: str


@dataclass(frozen=True)
class Channel:
    """A way to reach a member. `cost` is money per message; `needs_consent` channels reach only members who agreed."""

    channel_id: str
    surface: Surface
    cost: float
    needs_consent: bool


@dataclass(frozen=True)
class Catalog:
    """Products, creatives, channels and the combinations that exist, each by its id; `arms` excludes `none`."""

    products: dict[str, Product]
    creatives: dict[str, Creative]
    channels: dict[str, Channel]
    arms: dict[str, Arm]

    def feasible(self, surface: Surface, consents: Iterable[str]) -> list[str]:
        """Arm ids that may be shown on `surface` to a member who consented to `consents`, `none` first, then in catalog order."""
        agreed = set(consents)
        return [NONE] + [arm_id for arm_id, why in self.excluded(surface, agreed).items() if not why]

    def excluded(self, surface: Surface, consents: Iterable[str]) -> dict[str, str]:
        """For each arm the reason why it may not be shown, or an empty text where it may."""
        agreed = set(consents)
        reasons = {}
        for arm in self.arms.values():
            channel = self.channels[arm.channel_id]
            if channel.surface is not surface:
                reasons[arm.arm_id] = f"channel {channel.channel_id} is not on surface {surface.value}"
            elif channel.needs_consent and channel.channel_id not in agreed:
                reasons[arm.arm_id] = f"no consent for {channel.channel_id}"
            else:
                reasons[arm.arm_id] = ""
        return reasons


def arm_id(product_id: str, creative_id: str, channel_id: str) -> str:
    """The id of an arm is its three factors."""
    return f"{product_id}.{creative_id}.{channel_id}"


def load_catalog(folder: Path) -> Catalog:
    """Read the four CSV files of `folder`.

    Raises DataError if a file or column is missing, an id is repeated, a value cannot be read, or an arm names a factor that does not exist.
    """
    products = [Product(r["product_id"], r["name"], r.amount("value")) for r in _rows(folder, "products")]
    creatives = [Creative(r["creative_id"], r["product_id"], r["text"]) for r in _rows(folder, "creatives")]
    channels = [Channel(r["channel_id"], r.surface("surface"), r.amount("cost"), r.flag("needs_consent")) for r in _rows(folder, "channels")]
    arms = [Arm(r["arm_id"], r["product_id"], r["creative_id"], r["channel_id"]) for r in _rows(folder, "arms")]
    catalog = Catalog(
        {p.product_id: p for p in products},
        {c.creative_id: c for c in creatives},
        {c.channel_id: c for c in channels},
        {a.arm_id: a for a in arms},
    )
    _check(catalog, folder)
    return catalog


_COLUMNS = {  # the first one is the key
    "products": ("product_id", "name", "value"),
    "creatives": ("creative_id", "product_id", "text"),
    "channels": ("channel_id", "surface", "cost", "needs_consent"),
    "arms": ("arm_id", "product_id", "creative_id", "channel_id"),
}


class _Row(dict[str, str]):
    """One line of `path`, read strictly: a guess about consent or money would be paid for by a member or by the business."""

    path: Path

    def amount(self, column: str) -> float:
        """Money: finite, not below 0."""
        try:
            number = float(self[column])
        except ValueError:
            raise self._refused(column, "a number") from None
        if not (isfinite(number) and number >= 0):
            raise self._refused(column, "a finite number, 0 or more")
        return number

    def flag(self, column: str) -> bool:
        """`true` or `false`, any case, and no other word for them."""
        word = self[column].strip().lower()
        if word not in {"true", "false"}:
            raise self._refused(column, "true or false")
        return word == "true"

    def surface(self, column: str) -> Surface:
        """One of the surfaces."""
        try:
            return Surface(self[column].strip())
        except ValueError:
            raise self._refused(column, f"one of {', '.join(Surface)}") from None

    def _refused(self, column: str, wanted: str) -> DataError:
        key, value = next(iter(self.values())), self[column]
        return DataError(f"{self.path}, row {key!r}: {column} is {value!r}, not {wanted}, so nobody knows what may be offered. Correct the row.")


def _rows(folder: Path, table: str) -> list[_Row]:
    columns = _COLUMNS[table]
    path = folder / f"{table}.csv"
    if not path.is_file():
        raise DataError(f"The catalog has no {table}.csv in {folder}: without it no arm can be built. Write it with the columns {', '.join(columns)}.")
    with path.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    missing = [c for c in columns if not found or c not in found[0]]
    if missing:
        raise DataError(f"{path} is empty or lacks the column(s) {', '.join(missing)}. It needs {', '.join(columns)}.")
    rows, seen = [], set[str]()
    for line in found:
        row = _Row((c, line[c] or "") for c in columns)
        row.path = path
        key = row[columns[0]]
        if key in seen or key == NONE:
            raise DataError(f"{path} repeats {columns[0]} {key!r} or uses the reserved word {NONE!r}: arms would be ambiguous. Give each row its own id.")
        seen.add(key)
        rows.append(row)
    return rows


def _check(catalog: Catalog, folder: Path) -> None:
    for arm in catalog.arms.values():
        unknown = [
            f"{kind} {name!r}"
            for kind, name, known in (
                ("product", arm.product_id, catalog.products),
                ("creative", arm.creative_id, catalog.creatives),
                ("channel", arm.channel_id, catalog.channels),
            )
            if name not in known
        ]
        if unknown:
            raise DataError(f"Arm {arm.arm_id!r} in {folder}/arms.csv names {', '.join(unknown)}, which the catalog does not have. Add it or remove the arm.")
        if catalog.creatives[arm.creative_id].product_id != arm.product_id:
            raise DataError(
                f"Arm {arm.arm_id!r} shows creative {arm.creative_id!r}, which advertises another product. Correct arms.csv or creatives.csv in {folder}."
            )
