"""A decision as a row and back: the same to the last bit, or an error that says what is damaged."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.fakes.logs import AT, EMAIL, served
from training.adapters.log_record import pack, row_of, served_of, unpack
from training.domain.errors import DataError
from training.domain.nouns import NONE, Context, Surface
from training.domain.served import Asked, Reason, Served

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone
FLOATS = st.floats(allow_nan=True, allow_infinity=True)


def bits(value):
    """Floats by their bits, so that NaN equals itself and 0.0 differs from -0.0."""
    if isinstance(value, float):
        return struct.pack("<d", value)
    return {k: bits(v) for k, v in value.items()} if isinstance(value, dict) else value


def same(one: Served, other: Served) -> bool:
    """All fields equal to the bit, of the same types."""
    for field in fields(Served):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(mine, np.ndarray):
            assert (mine.dtype, mine.tobytes()) == (theirs.dtype, theirs.tobytes())
        else:
            assert type(mine) is type(theirs), field.name
            assert bits(mine) == bits(theirs), field.name
    return True


@st.composite
def decisions(draw):
    """Any decision that the domain allows, fallbacks and empty texts included."""
    arms = draw(st.lists(TEXT.filter(lambda t: t not in {"", NONE}), unique=True, max_size=6))
    feasible = (NONE, *arms)
    weights = draw(st.lists(st.floats(1e-300, 1), min_size=len(feasible), max_size=len(feasible)))
    p = np.array(weights) / np.sum(weights)
    chosen = draw(st.sampled_from([a for a, x in zip(feasible, p, strict=True) if x > 0]))
    context = Context(draw(st.sampled_from(Surface)), draw(st.integers(0, 23)), draw(st.integers(0, 6)))
    channels = draw(st.none() | st.tuples(TEXT, TEXT))
    return Served(
        asked=Asked(draw(TEXT), draw(TEXT), draw(TEXT), draw(TIMES), context, channels, tuple(draw(st.lists(TEXT, max_size=3))), draw(TEXT)),
        chosen_arm=chosen,
        channel_id="" if chosen == NONE else "email",
        feasible=feasible,
        p=p,
        excluded=draw(st.dictionaries(TEXT, TEXT, max_size=4)),
        reason=draw(st.sampled_from(Reason)),
        group=draw(TEXT),
        model_version=draw(TEXT),
        posterior=draw(st.integers(0, 2**62)),
        arms_version=draw(TEXT),
        feature_service=draw(TEXT),
        features=draw(st.dictionaries(TEXT, FLOATS | TEXT | st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1), max_size=6)),
        features_at=draw(st.none() | TIMES),
        u=draw(st.floats(0, 1, exclude_max=True)),
        expires_at=draw(TIMES),
        notes=draw(st.dictionaries(TEXT, TEXT, max_size=2)),
    )


@given(decisions())
def test_a_decision_comes_back_to_the_bit(one):
    """Whatever it holds."""
    assert same(served_of(row_of(one)), one)


def test_the_database_keeps_it_to_the_bit(log_url):
    """The least and the largest of everything, through both databases."""
    from training.adapters.decision_log import DecisionLog

    thirds = np.array([1 / 3, 2 / 3 - 5e-324, 5e-324])
    features = {"nan": math.nan, "inf": -math.inf, "zero": -0.0, "none": None, "text": "naïve \N{SNOWMAN}", "tiny": 5e-324, "large": 2.0**53 + 1}
    ones = [
        served("1", p=thirds, chosen_arm="career.who_viewed.feed", channel_id="feed", features=features, u=math.nextafter(1, 0), posterior=2**62),
        served("2", at=datetime(1970, 1, 1, tzinfo=UTC), features_at=None, notes={"traceparent": "00-1"}, arm=NONE),
        served("3", at=datetime(2261, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ]
    log = DecisionLog(log_url)
    with log.writing(["m1"]) as writer:
        writer.append(ones)
    for one in ones:
        assert same(log.find(one.asked.decision_id), one)


def test_numpy_scalars_and_other_zones_are_kept_as_what_they_mean():
    """Values as they come from arrays; an instant is the same in every zone."""
    plain = served("1", features={"a": 0.1, "b": 3, "c": "x"})
    odd = replace(plain, features={"a": np.float64(0.1), "b": np.int64(3), "c": np.str_("x")})
    odd = replace(odd, asked=replace(odd.asked, at=AT.astimezone(timezone(timedelta(hours=5)))))
    assert same(served_of(row_of(odd)), plain)


def test_two_hundred_arms_take_few_bytes():
    """Packed texts and 200 probabilities of 256 draws: below a third of what they are, so that a page of 4 kB holds two decisions with their features."""
    arms = (NONE, *(f"product_{i % 4}.creative_{i}.email" for i in range(199)))
    p = 0.98 * np.bincount(np.arange(256) ** 2 % 200, minlength=200) / 256 + 0.02 / 200
    record = row_of(served("1", feasible=arms, p=p, chosen_arm=NONE, channel_id=""))["record"]
    assert len(record) < (sum(map(len, arms)) + p.nbytes) / 3


def test_menus_that_are_kept_packed_are_not_mistaken_for_each_other():
    """The same arms in another order, or ruled out for another reason, beside each other."""
    one = served("1")
    others = [one, replace(one, feasible=one.feasible[::-1], p=one.p[::-1].copy()), replace(one, excluded={"a": "b"}), replace(one, excluded={"a": "c"}), one]
    for each in others:
        assert same(served_of(row_of(each)), each)


WRONG = {
    "probabilities sum to 0.9": {"p": np.array([0.1, 0.3, 0.5])},
    "the least is -0.1": {"p": np.array([-0.1, 0.6, 0.5])},
    "the choice had 0.0": {"p": np.array([0.5, 0.5, 0.0])},
    "sum to nan": {"p": np.array([0.5, math.nan, 0.5])},
    "3 feasible arms have probabilities of shape": {"p": np.array([0.5, 0.5])},
    "was not feasible": {"chosen_arm": "x.y.email"},
    "messages could not be counted": {"channel_id": ""},
    "no time zone": {"expires_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - the point
}


@pytest.mark.parametrize("told", WRONG)
def test_a_decision_that_could_never_be_evaluated_is_not_kept(told):
    """Each with what is wrong."""
    with pytest.raises(ValueError, match=told):
        row_of(served("1", **WRONG[told]))


@pytest.mark.parametrize("member", ["m" * 129, "a\0b", "\ud800"])
def test_an_id_that_some_database_would_not_keep_is_refused_by_all(member):
    """Too long, a NUL, half a character; at the limit, and beyond ASCII, it is kept."""
    with pytest.raises(ValueError, match="member_id"):
        row_of(served("1", member))
    assert row_of(served("1", "\N{SNOWMAN}" * 128))["member_id"] == "\N{SNOWMAN}" * 128


def test_a_feature_that_is_no_value_is_not_kept():
    """It could not come back as it was."""
    with pytest.raises(TypeError, match="object <object"):
        row_of(served("1", features={"a": object()}))


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_any_changed_byte_is_told(position):
    """One bit anywhere in the record."""
    row = row_of(served("1"))
    record = bytearray(row["record"])
    record[position % len(record)] ^= 1 << position % 8
    with pytest.raises(DataError, match="Decision 'd-1' of the log is damaged: "):
        served_of({**row, "record": bytes(record)})


def first(record, menu, traced):
    """As version 1 was: the menu among the rest, at first without the trace."""
    values = [getattr(record, name) for name in record.__struct_fields__]
    values[4:5] = [menu.feasible, values[4], menu.excluded]
    body = msgspec.msgpack.encode(values if traced else values[:-1])
    return struct.pack("<BII", 1, len(body), zlib.crc32(body)) + pa.Codec("lz4_raw").compress(body, asbytes=True)


def second(record, menu):
    """As version 2 was: both parts in LZ4."""
    lz4, bodies = pa.Codec("lz4_raw"), [msgspec.msgpack.encode(part) for part in (record, menu)]
    packed = [lz4.compress(body, asbytes=True) for body in bodies]
    parts = [n for body, short in zip(bodies, packed, strict=True) for n in (len(body), len(short), zlib.crc32(body))]
    return struct.pack("<BIIIIII", 2, *parts) + b"".join(packed)


EARLIER = {"1, untraced": lambda *of: first(*of, traced=False), "1": lambda *of: first(*of, traced=True), "2": second}


@pytest.mark.parametrize("version", EARLIER)
def test_a_record_of_an_earlier_version_is_read(version):
    """Logs are full of them: from before menus were packed apart, from before traces were kept, and from before menus were packed well."""
    one = served("1", excluded={"a": "b"})
    row = row_of(one)
    old = EARLIER[version](*unpack(row["record"]))
    assert same(served_of({**row, "record": old}), one)
    for position in range(0, 200, 7):
        damaged = bytearray(old)
        damaged[position % len(old)] ^= 1 << position % 8
        with pytest.raises(DataError, match="is damaged"):
            served_of({**row, "record": bytes(damaged)})


def test_what_is_cut_or_contradicts_itself_is_told():
    """A record that ends early, one that is not there, columns that say something else, and another format."""
    row = row_of(served("1"))
    body, menu = unpack(row["record"])
    wrong = [{"record": row["record"][:n]} for n in (0, 5, 9, 40)]
    wrong += [{"propensity": 0.25}, {"chosen_arm": "x"}, {"chosen_arm": NONE}, {"reason": "luck"}, {"surface": "fax"}]
    wrong += [{"record": b"\1" + row["record"][1:]}]
    wrong += [{"record": pack(structs.replace(body, p=b"1234567"), menu.feasible, menu.excluded)}]
    wrong += [{"record": pack(body, menu.feasible[1:], menu.excluded)}]
    for change in wrong:
        with pytest.raises(DataError, match="is damaged"):
            served_of({**row, **change})
    assert served_of(row).chosen_arm == EMAIL
