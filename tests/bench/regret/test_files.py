"""Files that are no CSV, and what is said of them."""

import gzip
import io
import lzma
import random
import tarfile
import zipfile

import pandas as pd
import pytest

from bench.regret.files import read
from training.domain.errors import DataError

TEXT = "".join(["a,word,y\n", *(f"{i * i % 97},w{i},{i % 2}\n" for i in range(5000))]).encode()
PACKED = gzip.compress(TEXT)
CHANGED = PACKED[:3000] + bytes(c ^ 255 for c in PACKED[3000:3100]) + PACKED[3100:]
NOISE = random.Random(1).randbytes(5000)


def zipped(text):
    """As a zip archive of one file."""
    with zipfile.ZipFile(whole := io.BytesIO(), "w") as archive:
        archive.writestr("d.csv", text)
    return whole.getvalue()


def tarred(text):
    """As a tar archive of one file."""
    with tarfile.open(fileobj=(whole := io.BytesIO()), mode="w") as archive:
        member = tarfile.TarInfo("d.csv")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return whole.getvalue()


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("d.csv.gz", PACKED[: len(PACKED) // 2]),
        ("d.csv.gz", CHANGED),
        ("d.csv.gz", TEXT),
        ("D.CSV.GZ", TEXT),
        ("d.csv.zip", TEXT),
        ("d.csv.xz", TEXT),
        ("d.csv.tar", TEXT),
        ("d.csv.zst", TEXT),
        ("d.csv.zip", zipped(TEXT)[:-30]),
    ],
)
def test_an_archive_that_cannot_be_unpacked_is_refused(tmp_path, name, written):
    """Half a download ended with "stopped" and exit code 130, others with the traceback of who unpacks."""
    (tmp_path / name).write_bytes(written)
    with pytest.raises(DataError, match=f"{name} cannot be unpacked .*nothing was measured: it is damaged, or not the archive that its name says.*again"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "written"), [("d.csv", TEXT), ("d.csv.gz", PACKED), ("d.csv.xz", lzma.compress(TEXT)), ("d.csv.zip", zipped(TEXT)), ("d.csv.tar", tarred(TEXT))]
)
def test_what_is_whole_is_read(tmp_path, name, written):
    """Other archives are not promised, but those that pandas unpacks stay readable."""
    (tmp_path / name).write_bytes(written)
    pd.testing.assert_frame_equal(read(tmp_path / name), pd.read_csv(io.BytesIO(TEXT)))


@pytest.mark.parametrize(
    ("name", "written", "said"),
    [
        ("d.csv", PACKED, "d.csv is gzip, .*ends in .csv.gz"),
        ("d.csv", TEXT.decode().encode("utf-16"), "is UTF-16, .*iconv -f utf-16 -t"),
        ("d.csv", "\ufeff".encode("utf-16be") + TEXT.decode().encode("utf-16be"), "is UTF-16, .*iconv -f utf-16 -t"),
        ("d.csv", TEXT.decode().encode("utf-16le"), "is UTF-16LE, .*iconv -f utf-16le"),
        ("d.csv", "größe,y\nü,1\n".encode("utf-16be"), "is UTF-16BE, .*iconv -f utf-16be"),
        ("d.csv.gz", gzip.compress(TEXT.decode().encode("utf-16")), "is UTF-16, .*iconv -f utf-16 -t"),
        ("d.csv", TEXT.decode().encode("utf-32"), "is UTF-32, .*iconv -f utf-32 -t"),
        ("d.csv", b"\x89PNG\r\n\x1a\n" + NOISE, "no text in any encoding"),
        ("d.csv", NOISE, "no text in any encoding"),
        ("d.csv.gz", gzip.compress(PACKED), "no text in any encoding"),
        ("d.csv", "a,word,y\n1,bleué,no\n".encode("latin1"), r"not UTF-8 \(.*iconv -f latin1"),
        ("d.csv.gz", gzip.compress("a,word,y\n1,bleué,no\n".encode("latin1")), r"not UTF-8 \(.*iconv -f latin1"),
    ],
)
def test_what_is_no_utf8_is_told_apart(tmp_path, name, written, said):
    """All of them were told to convert from latin1, which makes words of anything."""
    (tmp_path / name).write_bytes(written)
    with pytest.raises(DataError, match=said):
        read(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path):
    """An archive too: it is not damaged."""
    with pytest.raises(DataError, match=r"d.csv.gz cannot be read as CSV \(.*No such file"):
        read(tmp_path / "d.csv.gz")
