"""Numbers replaced within packed rows: what Feast's values give when they are packed anew, and nothing else changes."""

from __future__ import annotations

import math

from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.adapters.feast_layout import Layout
from training.adapters.feast_patch import Patch, patch_of

NAMES = ("m", "a", "z")
OTHERS = {
    "double_val": st.floats(),
    "string_val": st.sampled_from(["", "x", "Grüße"]),
    "int64_val": st.integers(-(2**63), 2**63 - 1),
    "int32_val": st.integers(-(2**31), 2**31 - 1),
    "bool_val": st.booleans(),
    "float_val": st.floats(width=32),
    "unix_timestamp_val": st.integers(0, 2**40),
}
COLUMNS = st.lists(st.sampled_from(sorted(OTHERS)), max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), COLUMNS, st.lists(st.floats(), min_size=3, max_size=3))
def test_a_patched_row_is_the_row_packed_anew(data, kinds, values):
    """Among columns of any kind, nulls and NaN, of which every bit stays; those that were null have a value then."""
    columns = [(f"c{i}", kind) for i, kind in enumerate(kinds)] + [(name, "double_val") for name in NAMES]
    layout = Layout(tuple(data.draw(st.permutations(columns))))
    row = {name: Value(**{kind: data.draw(OTHERS[kind])}) if data.draw(st.booleans()) else Value() for name, kind in layout.columns}
    packed, patch = layout.pack(row), Patch(layout, NAMES)
    assert list(map(repr, patch.read(packed))) == [repr(row[name].double_val if row[name].WhichOneof("val") else None) for name in NAMES]
    assert patch.write(packed, values) == layout.pack(row | {name: Value(double_val=value) for name, value in zip(NAMES, values, strict=True)})


def test_only_doubles_are_replaced():
    """A column that is kept as something else, or not at all, is no matter of a patch."""
    assert patch_of(Layout((("a", "double_val"), ("b", "int64_val"))), ["a", "b"]) is None
    assert patch_of(Layout((("a", "double_val"),)), ["a", "b"]) is None
    patch = patch_of(Layout((("a", "double_val"), ("b", "double_val"))), ["b"])
    assert patch is not None
    assert patch.read(Layout((("a", "double_val"), ("b", "double_val"))).pack({"a": Value(double_val=1.0), "b": Value(double_val=math.inf)})) == [math.inf]
