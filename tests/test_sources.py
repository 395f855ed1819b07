"""Keys of kept results follow the code: an edit anywhere behind a result makes it anew."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slipstick.sources import DECIDE_NOTHING, code_digest, modules_behind

ROOT = Path(__file__).parents[1]
KEEPERS = sorted(  # modules that keep results in the cache by a hash of what decides them
    ".".join(["slipstick", *path.relative_to(ROOT).with_suffix("").parts])
    for folder in ("flow", "model", "sim", "rtl")
    for path in (ROOT / folder).rglob("*.py")
    if "code_digest(__name__)" in path.read_text()
)


def python(root: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", KEEPERS)
def test_all_that_a_keeper_loads_is_in_its_key(module: str) -> None:
    loaded = python(
        ROOT, f"import sys, {module}; print(*(n for n in sys.modules if n.partition('.')[0] == 'slipstick'))"
    )
    assert set(loaded.split()) - DECIDE_NOTHING <= set(modules_behind(module))


def test_results_are_kept_by_modules_that_hash_their_code_or_all_that_they_are_given() -> None:
    named = {one.removeprefix("slipstick.") for one in KEEPERS}
    users = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in ("flow", "model", "sim", "rtl")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\bStore\(", path.read_text())
    }
    assert users - named == {"model.kernels.compiler"}  # whose libraries are made of the texts that their key hashes


def test_unknown_modules_are_refused() -> None:
    with pytest.raises(KeyError):
        code_digest("slipstick.nowhere")


def test_an_edit_of_the_rounding_reaches_the_kept_verilog(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for folder in ("slipstick", "flow", "model", "sim", "rtl"):
        ignored = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.npz")
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=ignored)
    ask = """
from pathlib import Path
import os
os.environ["SLIPSTICK_CACHE"] = str(Path("cache").resolve())
from slipstick.flow.cost.emitted import emitted_modules
from slipstick.rtl.array.requantiser import Requantiser
print(emitted_modules(Requantiser, 20)["requantiser_a20"].verilog, end="")
"""
    first = python(copy, ask)
    fixed = copy / "rtl" / "spec" / "fixed.py"
    changed = re.sub(
        r"^(MULTIPLIER_BITS\b.*?= )(\d+)",
        lambda match: f"{match[1]}{int(match[2]) - 1}",
        fixed.read_text(),
        flags=re.M,
    )
    assert changed != fixed.read_text()
    assert python(copy, ask) == first and len(list((copy / "cache" / "verilog").glob("*.json"))) == 1
    fixed.write_text(changed)
    assert python(copy, ask) != first
