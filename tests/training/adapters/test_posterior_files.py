"""Snapshots: what is published is read back to the bit, by readers who look while the writer writes; what is damaged is told."""

from __future__ import annotations

import shutil
import threading

import pytest
import torch

from training.adapters import posterior_files as files
from training.domain.errors import DataError, NotReadyError
from training.model.funnel import Stage
from training.model.posterior import LaplaceLogistic


def heads(number: int) -> dict[Stage, LaplaceLogistic]:
    """Two heads whose every number is `number`, in an order that is not that of their names."""
    mean, precision = torch.full((4,), float(number), dtype=torch.float64), torch.full((4, 4), float(number), dtype=torch.float64)
    return {Stage.OPTED_OUT: LaplaceLogistic(mean, precision), Stage.CLICKED: LaplaceLogistic(mean + 0.5, precision.clone())}


def test_what_was_published_is_read_back(tmp_path):
    """Pointer, order of the stages and every bit."""
    assert files.current(tmp_path, "3") is None
    files.publish(tmp_path, "3", 0, heads(0))
    files.publish(tmp_path, "3", 1, heads(1))
    assert files.current(tmp_path, "3") == 1
    found = files.read(tmp_path, "3", 1)
    assert list(found) == [Stage.OPTED_OUT, Stage.CLICKED]
    for stage, head in heads(1).items():
        assert torch.equal(found[stage].mean, head.mean)
        assert torch.equal(found[stage].precision, head.precision)


@pytest.mark.parametrize("lost", ["current.json", "0000000001.heads", "."])
def test_whether_readers_find_a_posterior(tmp_path, lost):
    """Not where the pointer, the snapshot or all is gone, nor where it points elsewhere or nowhere."""
    assert not files.published(tmp_path, "3", 0)
    files.publish(tmp_path, "3", 1, heads(1))
    assert files.published(tmp_path, "3", 1)
    assert not files.published(tmp_path, "3", 0)
    path = tmp_path / "3" / lost
    shutil.rmtree(path.resolve()) if path.is_dir() else path.unlink()
    assert not files.published(tmp_path, "3", 1)
    files.publish(tmp_path, "3", 1, heads(1))
    (tmp_path / "3" / "current.json").write_text("{")
    assert not files.published(tmp_path, "3", 1)


def test_old_versions_go_and_checkpoints_stay_within_bounds(tmp_path, monkeypatch):
    """The last ones for slow readers, a checkpoint each so many versions, and ever wider apart when there are many."""
    monkeypatch.setattr(files, "EVERY", 4)
    monkeypatch.setattr(files, "CHECKPOINTS", 3)
    monkeypatch.setattr(files, "LATEST", 2)
    for number in range(12):
        files.publish(tmp_path, "3", number, heads(number))
    assert files.kept(tmp_path, "3") == [0, 4, 8, 10, 11]
    for number in range(12, 18):
        files.publish(tmp_path, "3", number, heads(number))
    assert files.kept(tmp_path, "3") == [0, 8, 16, 17]
    files.discard(tmp_path, "3", after=8)
    assert files.kept(tmp_path, "3") == [0, 8]


def test_the_models_before_keep_their_checkpoints_and_older_ones_go(tmp_path):
    """Whoever replays a decision of yesterday's champion finds it near; of all champions that ever were, disk would fill. What is needed stays at any age."""
    files.forget(tmp_path / "nothing", [])
    for version in ("1", "2", "3", "4", "5"):
        files.publish(tmp_path, version, int(version), heads(0))
    files.forget(tmp_path, ["5", "1"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "3", "4", "5"]
    assert [files.current(tmp_path, version) for version in ("1", "2", "5")] == [1, None, 5]


def test_a_damaged_or_missing_snapshot_says_what_to_do(tmp_path):
    """Cut off, one bit turned, not there, and a pointer that is no JSON."""
    files.publish(tmp_path, "3", 1, heads(1))
    (path,) = (tmp_path / "3").glob("*.heads")
    whole = path.read_bytes()
    for content in (b"", whole[:-1], whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], b"\0" * 64):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"is damaged .*Restart the learner"):
            files.read(tmp_path, "3", 1)
    with pytest.raises(NotReadyError, match="no posterior 2 of model 3"):
        files.read(tmp_path, "3", 2)
    (tmp_path / "3" / files.POINTER).write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        files.current(tmp_path, "3")


def test_readers_never_see_half_a_snapshot(tmp_path):
    """Two threads follow the pointer while 150 versions are published: each one that they read is whole, and none is older than the one before."""
    stop, seen, wrong = threading.Event(), [], []
    files.publish(tmp_path, "3", 0, heads(0))

    def follow():
        last = 0
        while not stop.is_set():
            now = files.current(tmp_path, "3")
            try:
                found = files.read(tmp_path, "3", now)
            except NotReadyError:  # eight versions have passed between the two lines
                continue
            numbers = {float(found[Stage.OPTED_OUT].precision.min()), float(found[Stage.OPTED_OUT].precision.max()), float(now)}
            if len(numbers) != 1 or now < last:
                wrong.append((now, numbers, last))
            last = now
            seen.append(last)

    readers = [threading.Thread(target=follow) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 151):
        files.publish(tmp_path, "3", number, heads(number))
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(set(seen)) > 2
