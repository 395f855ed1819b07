"""The main job end to end: real weights, real images, real synthesis, real simulation, small settings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from slipstick.model.data import shipped

pytestmark = pytest.mark.slow
OPTIONS = (
    "--cells", "truncated8s_k5,truncated8s_k7,drum8s_k4", "--rows", "8", "--columns", "8", "--trials", "5",
    "--palette", "3", "--search-images", "40", "--max-loss", "12", "--json",
)  # fmt: skip


def flow(*options: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-m", "slipstick", "flow", *OPTIONS, *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A user's own folder of class folders."""
    folder, images = tmp_path_factory.mktemp("photos"), shipped("test")
    for number in range(80):
        place = folder / str(images.labels[number])
        place.mkdir(exist_ok=True)
        Image.fromarray(images.pixels[number]).save(place / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory) -> tuple[dict, Path]:
    out = tmp_path_factory.mktemp("flow") / "run"
    finished = flow("--images", str(photos), "--out", str(out))
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout), out


def test_every_value_of_real_layers_is_bit_exact(run) -> None:
    cosim = run[0]["cosim"]
    mixed = next(check for check in cosim["checks"] if check["name"] == "mixed_array")
    assert mixed["compared"] == 2 * (64 * 384 + 64 * 64 + 64 * 32)  # whole qkv, QK^T and AV of a head, both quantities
    assert [count["layer"] for count in mixed["layers"]] == [f"blocks.0.attn.{x}" for x in ("qkv", "qk", "av")]
    assert cosim["mismatches"] == 0 and cosim["compared"] > mixed["compared"]


def test_every_accelerator_is_handed_on_with_the_verilog_that_was_checked(run) -> None:
    summary, out = run
    for check in summary["cosim"]["checks"]:
        folder = out / "handoff" / check["name"]
        assert (folder / f"{check['name']}.v").read_text() == (out / "rtl" / f"{check['name']}.v").read_text()
        assert {f"{check['name']}.sdc", "config.mk", f"{check['name']}.core", "stream.md"} <= {
            file.name for file in folder.iterdir()
        }


def test_summary_and_files_tell_the_same_story(run) -> None:
    summary, out = run
    assert {k: v for k, v in summary.items() if k != "report"} == json.loads((out / "summary.json").read_text())
    assert 0 < summary["accuracy"]["chosen"] <= 1 and len(summary["accuracy"]["uniform"]) == 2
    images = [summary["accuracy"][f"{kind}_images"] for kind in ("search", "validation", "test")]
    assert images == [20, 20, 40]
    promise, accuracy = summary["promise"], summary["accuracy"]
    assert promise["loss_on_test"] == pytest.approx(accuracy["int8"] - accuracy["chosen"])
    assert promise["bound"] <= promise["max_loss"] / 100 and promise["images"] == 20
    assert promise["held_on_test"] == (promise["loss_on_test"] <= promise["max_loss"] / 100)
    energy = summary["energy_nj"]
    for level, saving in summary["energy_saving"].items():
        assert saving == pytest.approx(1 - energy["chosen"][level] / energy["exact"][level]) and -0.5 < saving < 1
    searched = {number: cost for number, _, _, cost in summary["search"]["trials"]}[summary["search"]["chosen"]]
    assert energy["chosen"]["inference"] == pytest.approx(searched)  # the search judged the tiles
    power = summary["power"]
    for design in ("chosen", "exact"):
        assert power[design]["energy_nj"] == pytest.approx(energy[design]["inference"])
        assert sum(power[design]["parts_nj"].values()) == pytest.approx(power[design]["energy_nj"])
        layers = [layer[design] for layer in power["layers"].values()]
        for figure in ("energy_nj", "macs", "latency_us"):
            assert sum(layer[figure] for layer in layers) == pytest.approx(power[design][figure])
        assert 0 < power[design]["utilisation"] < 1
    verilog = {check["verilog"] for check in summary["cosim"]["checks"]}
    assert verilog <= {path.name for path in (out / "rtl").iterdir()}
    assert sum(tile["columns"] for tile in summary["accelerator"]["tiles"]) == 8
    assert summary["manifest"]["seed"] == 0 and summary["manifest"]["versions"]["pyosys"] == "0.70"


def test_a_second_run_finds_its_results_and_agrees(run, photos: Path) -> None:
    summary, out = run
    again = flow("--images", str(photos), "--out", str(out))
    assert again.returncode == 0, again.stderr
    second = json.loads(again.stdout)
    for key in ("accuracy", "energy_saving", "search", "accelerator", "cells"):
        assert second[key] == summary[key]
    assert second["seconds"]["search"] < max(summary["seconds"]["search"], 30)


def test_the_report_is_one_file_that_a_browser_draws(run, chromium: str, tmp_path: Path) -> None:
    _, out = run
    page = out / "report.html"
    html = page.read_text()
    assert "src=" not in html.split("<body>")[1] and '<link rel="stylesheet"' not in html
    picture = tmp_path / "report.png"
    base = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=8000", "--hide-scrollbars",
    ]  # fmt: skip
    subprocess.run([*base, "--window-size=1200,2000", f"--screenshot={picture}", page.as_uri()],
                   check=True, timeout=180,
                   capture_output=True)  # fmt: skip
    image = Image.open(picture).convert("RGB")
    assert image.size == (1200, 2000)
    colours = image.getcolors(1 << 24)
    assert colours is not None and len(colours) > 500  # charts and text, not a blank page
    drawn = subprocess.run(
        [*base, "--dump-dom", page.as_uri()], check=True, timeout=180, capture_output=True, text=True
    )
    assert drawn.stdout.count('class="main-svg"') >= 7  # every chart ran its script
    assert "bit-exact" in drawn.stdout and "Energy saved, whole inference" in drawn.stdout
