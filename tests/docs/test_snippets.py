"""Every Python snippet in the README and the docs runs; those that lean on the reader's own code are only compiled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
READERS_OWN = ("train_one_epoch(",)

SNIPPETS = {
    f"{page.name}:{page.read_text()[: found.start()].count(chr(10)) + 1}": found.group(1)
    for page in PAGES
    for found in SNIPPET.finditer(page.read_text())
}


@pytest.mark.parametrize("code", SNIPPETS.values(), ids=SNIPPETS)
def test_snippet(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compiled = compile(code, "snippet", "exec")
    if not any(name in code for name in READERS_OWN):
        exec(compiled, {"__name__": "__main__"})


def test_the_readme_has_runnable_snippets() -> None:
    assert sum(not any(name in code for name in READERS_OWN) for code in SNIPPETS.values()) >= 2


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
