"""What documents name is there: paths of the project, and what they link to."""

import re
from pathlib import Path

import pytest

from tests.support.paths import PROJECT

DOCUMENTS = [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]
ROOMS = {path.name for path in PROJECT.iterdir() if path.is_dir() and path.name != "var"}
MADE_WHEN_RUN = (".venv", "var")


def ids(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_paths_in_a_document_exist(document: Path) -> None:
    named = re.findall(r"`([\w.]+/[\w./-]*)`", document.read_text())
    ours = [name for name in named if name.split("/")[0] in ROOMS]
    missing = [
        name
        for name in ours
        if not (PROJECT / name).exists() and not name.startswith(MADE_WHEN_RUN)
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []
