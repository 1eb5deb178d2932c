"""Syncs by the kernel: their end is heard on the loop, and so is what could not be synced."""

from __future__ import annotations

import asyncio
import os

import pytest

from training.adapters.kernel_sync import KernelSync


@pytest.fixture
def kernel():
    """A loop's own, with that loop."""
    loop = asyncio.new_event_loop()
    try:
        made = KernelSync(loop)
    except (ImportError, OSError, SystemError) as error:
        loop.close()
        pytest.skip(f"this system has no syncs by the kernel (Linux 4.18 has): {error}")
    yield made, loop
    made.close()
    loop.close()


def test_the_loop_hears_of_the_end_of_each(kernel, tmp_path):
    """Several of one file, begun together."""
    syncs, loop = kernel
    heard, all_of_them = [], loop.create_future()

    def done(failure):
        heard.append(failure)
        if len(heard) == 3:
            all_of_them.set_result(None)

    with (tmp_path / "file").open("wb") as file:
        file.write(b"kept" * 10_000)
        file.flush()
        for _ in range(3):
            syncs.sync(file.fileno(), done)
        assert heard == []  # nobody waited
        loop.run_until_complete(asyncio.wait_for(all_of_them, 60))
    assert heard == [None, None, None]


def test_the_end_may_be_waited_for(kernel, tmp_path):
    """As a service does that ends."""
    syncs, _ = kernel
    heard = []
    with (tmp_path / "file").open("wb") as file:
        syncs.sync(file.fileno(), heard.append)
        syncs.wait()
    assert heard == [None]


def test_what_has_no_disk_is_refused(kernel):
    """A pipe; at once, and nothing is heard of it later."""
    syncs, _ = kernel
    ends = os.pipe()
    with pytest.raises(ValueError, match="EINVAL"):
        syncs.sync(ends[1], lambda _: pytest.fail("it was refused"))
    for end in ends:
        os.close(end)
