"""What the README says is in the repository, and the other way round."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def tree() -> set[str]:
    """Paths in the README's tree block: one path at the start of each line, folders ending in a slash."""
    block = re.search(r"<!-- tree -->\n```\n(.*?)```", README, re.DOTALL)
    assert block, "README.md has no tree block after <!-- tree -->"
    return {line.split()[0] for line in block[1].splitlines() if line.strip()}


def tracked() -> set[str]:
    """Tracked files, new ones included."""
    listing = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {line for line in listing.splitlines() if (ROOT / line).exists()}


def test_the_tree_is_the_repository():
    """Every folder down to the second level of the library is drawn, and nothing drawn is missing."""
    files = tracked()
    folders = {f"{Path(*Path(f).parts[:depth])}/" for f in files for depth in (1, 2) if len(Path(f).parts) > depth}
    drawn = {p for p in tree() if p.endswith("/")}
    wanted = {f for f in folders if f.count("/") == 1 or f.split("/")[0] in {"training", "sources"}}
    assert drawn == wanted


def test_each_linked_file_exists():
    """No link of the README or the docs leads nowhere."""
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"


def test_each_named_test_exists():
    """A guarantee names the test that holds it: `tests/path.py::name`."""
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", README):
        assert re.search(rf"^(def {name}\(|{name} = )", (ROOT / path).read_text(), re.MULTILINE), f"README names {path}::{name}, which does not exist"
