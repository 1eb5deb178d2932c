"""What a thread does again and again."""

from __future__ import annotations

from serving.beat import Beat
from tests.serving.conftest import wait


def test_what_fails_is_said_and_done_again(capsys):
    """The first time fails; it goes on, and is done once more when it is stopped."""
    done = []

    def act():
        done.append(len(done))
        if len(done) == 1:
            raise OSError(28, "No space left on device")

    beat = Beat("keeping", 0.001, act)
    beat.start()
    wait(lambda: len(done) > 2)
    beat.stop()
    before = len(done)
    assert "No space left on device" in capsys.readouterr().err
    last = Beat("keeping", 60, act)
    last.start()
    last.stop()
    assert len(done) == before + 1
