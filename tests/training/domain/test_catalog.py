"""The catalog: loading, the feasible set, and errors that name the row."""

import pytest

from training.domain.catalog import load_catalog
from training.domain.errors import DataError
from training.domain.nouns import Surface

FILES = {
    "products": "product_id,name,value\np,Plan,100\n",
    "creatives": "creative_id,product_id,text\nc,p,Try it\n",
    "channels": "channel_id,surface,cost,needs_consent\nfeed,web,0,false\nemail,outbound,0.1,true\n",
    "arms": "arm_id,product_id,creative_id,channel_id\np.c.feed,p,c,feed\np.c.email,p,c,email\n",
}


def write(folder, **changed):
    """A catalog folder with some files replaced."""
    for name, text in {**FILES, **changed}.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def test_feasible_needs_surface_and_consent(tmp_path):
    """`none` is always feasible; e-mail needs its surface and consent."""
    catalog = load_catalog(write(tmp_path))
    assert catalog.feasible(Surface.WEB, []) == ["none", "p.c.feed"]
    assert catalog.feasible(Surface.OUTBOUND, []) == ["none"]
    assert catalog.feasible(Surface.OUTBOUND, ["email"]) == ["none", "p.c.email"]
    assert catalog.excluded(Surface.OUTBOUND, [])["p.c.email"] == "no consent for email"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"arms": "arm_id,product_id,creative_id,channel_id\na,p,c,fax\n"}, "channel 'fax'"),
        ({"products": "product_id,name\np,Plan\n"}, "lacks the column"),
        ({"products": "product_id,name,value\np,Plan,1\np,Plan,2\n"}, "repeats product_id 'p'"),
        ({"arms": "arm_id,product_id,creative_id,channel_id\nnone,p,c,feed\n"}, "reserved word"),
    ],
)
def test_a_broken_catalog_is_refused(tmp_path, changed, message):
    """Each error names the file and the row's id."""
    with pytest.raises(DataError, match=message):
        load_catalog(write(tmp_path, **changed))
