"""What the tests are called, which has to be the same in each worker that collects them."""

import gzip

import pytest


@pytest.mark.parametrize("packed", [gzip.compress(b"the header holds the second in which it was packed")])
def test_bytes_are_no_part_of_a_name(request, packed):
    """Two workers that collected in two seconds had different names, and nothing ran."""
    assert packed.startswith(b"\x1f\x8b")
    assert request.node.callspec.id == "packed"
