"""The sensitivity sweep from the command line: its document, its table and a heat map that a browser draws."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from slipstick.flow.cli import run
from slipstick.model.zoo import load_model
from slipstick.store import Store

CELLS = ["truncated8s_k9", "drum8s_k3"]
ROOT = Path(__file__).resolve().parents[3]


def command(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> int:
    arguments = ["slipstick", "evaluate", "--sensitivity", "--model", "test_vit",
                 "--weights", str(folder / "weights.safetensors"), "--images", str(folder / "photos"),
                 "--cells", ",".join(["exact8s", *CELLS]), "--images-count", "6",
                 "--out", str(folder / "new" / "map.html"), *options]  # fmt: skip
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr("slipstick.model.sensitivity.Store", lambda kind: Store(kind, folder / "cache"))
    try:
        return run()
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A timm model of two classes with weights of its own, and pictures."""
    folder, rng = tmp_path_factory.mktemp("sensitivity"), np.random.default_rng(0)
    for label in ("first", "second"):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 256, (40, 48, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{number}.png")
    torch.manual_seed(0)
    module = load_model("test_vit").module
    module.reset_classifier(2)
    save_file(module.state_dict(), folder / "weights.safetensors")
    return folder


@pytest.fixture(scope="module")
def document(folder: Path) -> dict:
    with pytest.MonkeyPatch.context() as patch, pytest.MonkeyPatch.context() as printed:
        lines: list[str] = []
        printed.setattr("slipstick.flow.commands.options.typer.echo", lines.append)
        assert command(patch, folder, "--json") == 0
    return json.loads(lines[0])


def test_the_document_holds_what_its_description_promises(document: dict) -> None:
    text = (ROOT / "docs" / "sensitivity.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)", row)} >= document.keys()
    for name in [*document["trials"][0], *document["cost"]]:
        assert f"`{name}`" in text, name


def test_every_layer_meets_every_cell(document: dict) -> None:
    assert document["cells"] == CELLS and "blocks.0.attn.qk" in document["layers"]
    pairs = [(trial["layer"], trial["cell"]) for trial in document["trials"]]
    assert sorted(pairs) == sorted((layer, name) for layer in document["layers"] for name in CELLS)
    assert document["images"] == 6 and document["whole_runs"] == [] and document["schema"] == 1
    assert document["cost"]["image_passes"] == 6 * len(pairs)
    assert document["exact"]["accuracy"] in [count / 6 for count in range(7)]


def test_a_second_sweep_prints_the_same_figures_from_the_cache(document, folder, monkeypatch, capsys) -> None:
    before = sorted((folder / "cache").rglob("*.json"))
    assert command(monkeypatch, folder) == 0
    shown = capsys.readouterr().out
    assert sorted((folder / "cache").rglob("*.json")) == before
    for trial in document["trials"]:
        line = next(line for line in shown.splitlines() if trial["layer"] + " " in line)
        assert f"{trial['loss']:+.3f} ±{trial['loss_error']:.3f}" in line
    assert f"{len(document['trials'])} trials cost" in shown and "heat map:" in shown


def test_the_heat_map_is_one_file_that_a_browser_draws(document, chromium: str, tmp_path: Path) -> None:
    page = Path(document["heat_map"])
    html = page.read_text()
    assert "src=" not in html.split("<body>")[1] and '<link rel="stylesheet"' not in html
    base = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=8000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    drawn = subprocess.run(base, check=True, timeout=180, capture_output=True, text=True).stdout
    assert drawn.count('class="main-svg"') >= 2
    sure = [trial for trial in document["trials"] if abs(trial["loss"]) >= 2 * trial["loss_error"]]
    assert sure and all(f">{trial['loss']:+.3f}<" in drawn for trial in sure)
    assert all(name in drawn for name in [*document["layers"], *document["cells"]])
