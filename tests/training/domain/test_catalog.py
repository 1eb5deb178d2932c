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


@pytest.mark.parametrize("word", ["yes", "1", "t", "", "no"])
def test_consent_is_true_or_false_and_nothing_else(tmp_path, word):
    """Any other word would have to be guessed, and a wrong guess sends messages to members who never agreed."""
    folder = write(tmp_path, channels=f"channel_id,surface,cost,needs_consent\nfeed,web,0,false\nemail,outbound,0.1,{word}\n")
    with pytest.raises(DataError, match=rf"channels\.csv, row 'email': needs_consent is '{word}', not true or false"):
        load_catalog(folder)


@pytest.mark.parametrize("word", ["TRUE", " true", "True "])
def test_case_and_spaces_do_not_matter(tmp_path, word):
    """What spreadsheets write is read."""
    catalog = load_catalog(write(tmp_path, channels=f"channel_id,surface,cost,needs_consent\nfeed,web,0,false\nemail,outbound,0.1,{word}\n"))
    assert catalog.channels["email"].needs_consent


@pytest.mark.parametrize("number", ["dear", "", "nan", "inf", "-1"])
def test_money_is_a_number_that_can_be_counted(tmp_path, number):
    """NaN would make every utility NaN, and a negative cost would pay for each message."""
    with pytest.raises(DataError, match=rf"products\.csv, row 'p': value is '{number}'"):
        load_catalog(write(tmp_path, products=f"product_id,name,value\np,Plan,{number}\n"))
    write(tmp_path)
    with pytest.raises(DataError, match=rf"channels\.csv, row 'feed': cost is '{number}'"):
        load_catalog(write(tmp_path, channels=f"channel_id,surface,cost,needs_consent\nfeed,web,{number},false\nemail,outbound,0.1,true\n"))


def test_an_unknown_surface_names_the_known_ones(tmp_path):
    """A channel without a surface could never be shown."""
    with pytest.raises(DataError, match="row 'feed': surface is 'fax', not one of web, app, outbound"):
        load_catalog(write(tmp_path, channels="channel_id,surface,cost,needs_consent\nfeed,fax,0,false\nemail,outbound,0.1,true\n"))
