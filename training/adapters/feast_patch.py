"""Numbers of a packed row read and replaced in their place, without unpacking the others."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, calcsize

from training.adapters.feast_layout import FIXED, Layout

KIND = "double_val"


class Patch:
    """Some columns of one layout, all of them doubles."""

    def __init__(self, layout: Layout, names: Sequence[str]) -> None:
        """Raises KeyError where `layout` has not all of `names` as doubles, see `patch_of`."""
        begins, at = dict[str, tuple[int, int]](), layout.null_bytes
        for i in layout.fixed:
            name, kind = layout.columns[i]
            if kind == KIND:
                begins[name] = (at, 1 << i)
            at += calcsize(f"<{FIXED[kind]}")
        self._places = [begins[name] for name in names]
        self._null_bytes, self._whole = layout.null_bytes, sum(bit for _, bit in self._places)

    def read(self, row: bytes) -> list[float | None]:
        """Their values in order; None where null."""
        nulls = int.from_bytes(row[: self._null_bytes], "little")
        return [None if nulls & bit else _read(row, at)[0] for at, bit in self._places]

    def write(self, row: bytes, values: Sequence[float]) -> bytes:
        """`row` with `values` in their places, which are null no more; every other bit is as it was."""
        patched = bytearray(row)
        for (at, _), value in zip(self._places, values, strict=True):
            _write(patched, at, value)
        nulls = int.from_bytes(row[: self._null_bytes], "little")
        if nulls & self._whole:
            patched[: self._null_bytes] = (nulls & ~self._whole).to_bytes(self._null_bytes, "little")
        return bytes(patched)


def patch_of(layout: Layout, names: Sequence[str]) -> Patch | None:
    """For `names` in rows of `layout`; None where it lacks one, or keeps it as something else."""
    try:
        return Patch(layout, names)
    except KeyError:
        return None


_DOUBLE = Struct("<d")
_read, _write = _DOUBLE.unpack_from, _DOUBLE.pack_into
