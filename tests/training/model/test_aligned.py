"""Where arrays begin."""

from __future__ import annotations

import numpy as np
import pytest

from training.model.aligned import LINE, aligned


@pytest.mark.parametrize("kind", [np.float32, np.int32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (7, 3), (0, 5), (201, 6, 256)])
def test_an_array_begins_with_a_line(shape, kind):
    """It is one of NumPy's like any other: of its shape and type, in one piece, zeros, and to be written."""
    found = aligned(shape, kind)
    assert (found.shape, found.dtype, found.any()) == (shape, kind, False)
    assert found.ctypes.data % LINE == 0 or not found.size
    assert found.flags.c_contiguous
    found[...] = 2
    assert (found == 2).all()
