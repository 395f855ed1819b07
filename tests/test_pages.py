"""Pages that a bench writes say what the bench would write: their prose has one source."""

import re
from pathlib import Path

import pytest

from tests.bench import page

ROOT = Path(__file__).parents[1]
TEMPLATES = sorted(path for path in (ROOT / "tests" / "bench").glob("*.md.jinja"))
PAGES = {ROOT / "docs" / path.name.removesuffix(".jinja"): path.read_text(encoding="utf-8") for path in TEMPLATES}
PAGES = {path: text for path, text in PAGES.items() if path.exists()}  # one is a part of docs/weightless.md
PAGES[ROOT / "docs" / "emulation.md"] = page.INTRODUCTION + page.MEMORY


def test_every_template_is_seen() -> None:
    assert {path.name for path in PAGES} >= {"calibration.md", "cells.md", "power.md", "pwl.md", "reuse.md"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_prose_of_a_page_is_that_of_its_source(path: Path) -> None:
    """Lines without figures stand in the page as they are; what is written by hand into a page would be lost."""
    shown = path.read_text(encoding="utf-8")
    usual = re.sub(r"\{% else %\}.*?\{% endif %\}", "", PAGES[path], flags=re.S)  # where no tool was missing
    lines = [line for line in usual.splitlines() if line.strip() and not re.search(r"[{}]", line)]
    assert lines and not [line for line in lines if line not in shown]
