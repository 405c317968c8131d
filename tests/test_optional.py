"""Optional packages: there, missing, or there and broken."""

import sys

import pytest

from honed.errors import MissingExtra
from honed.optional import require


def test_gives_the_module_that_was_named():
    assert require("importlib.metadata", "frames") is sys.modules["importlib.metadata"]


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part"])
def test_a_missing_package_is_reported_with_the_line_that_installs_it(module: str):
    with pytest.raises(MissingExtra, match=r'no_such_package .*pip install "honed\[plots\]"') as caught:
        require(module, "plots")
    assert (caught.value.package, caught.value.extra) == ("no_such_package", "plots")


def test_a_broken_package_tells_its_own_story(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import what_it_needs")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs") as caught:
        require("broken_package", "plots")
    assert not isinstance(caught.value, MissingExtra)
