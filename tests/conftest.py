"""Fixtures for all tests."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.isolation import ROOT, isolate

remove_home = isolate()  # before anything that reads the environment is imported

import torch  # noqa: E402  not before ``isolate``: it reads the environment


def pytest_configure(config: pytest.Config) -> None:
    config.add_cleanup(remove_home)
    beside_others = "PYTEST_XDIST_WORKER" in os.environ
    torch.set_num_threads(1 if beside_others else min(2, os.cpu_count() or 1))
    hypothesis.settings.register_profile("slipstick", deadline=None)  # a first example may import or compile
    hypothesis.settings.load_profile("slipstick")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes that share the tests must know them by the same names."""
    if named := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"{named[0]}: is named by an address, which differs from run to run; give it ids")


@pytest.fixture(autouse=True)
def own_cells(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of the user's own cells: tests neither see nor touch the real one."""
    folder = tmp_path_factory.mktemp("cells")
    monkeypatch.setenv("SLIPSTICK_CELLS", str(folder))
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: with small tensors a second one only waits, and long where the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def chromium() -> str:
    """A headless browser; where there is none the test skips, but not in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        reason = "no Chromium on PATH; apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the full CIFAR-10 and Liberty files beside the checkout; skips where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no {folder.relative_to(ROOT.parent)} beside the checkout: full data sets are not there")
    return folder
