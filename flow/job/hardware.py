"""The chosen accelerator as Verilog files, and the proof that they compute what the model does."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from slipstick.files import write_text
from slipstick.flow.search.problem import Assignment
from slipstick.model.convert import assign_
from slipstick.model.workload import Recording, record
from slipstick.rtl.emit import accelerator_verilog
from slipstick.rtl.spec.array import ArrayConfig
from slipstick.rtl.spec.depth import required_depth
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.sim.cosim import CosimResult, cosimulate

from .machine import machine, narrow_machine
from .tiles import Placement, Tile
from .verify import attention_layers, job, jobs
from .workbench import Workbench

BACKPRESSURE = 0.2
Say = Callable[[str], None]


@dataclass(frozen=True)
class Checked:
    """One Verilog file, and the co-simulation that it passed or failed."""

    name: str
    file: Path
    config: AcceleratorConfig
    layers: tuple[str, ...]
    result: CosimResult


def emit_tile(tile: Tile, shape: str, recordings: dict[str, Recording], folder: Path) -> tuple[Path, AcceleratorConfig]:
    """Write the Verilog of a tile of the accelerator, its sums wide enough for all its layers; the file, the config.

    ``shape`` are the dot-product tiles that the whole array is made of.
    """
    depth = max(_depth(tile.config, recordings[layer]) for layer in tile.layers)
    config = narrow_machine(tile.config, shape, depth=depth)
    return _write(config, folder / f"{tile.name}.v"), config


def _depth(config: ArrayConfig, recording: Recording) -> int:
    depth, columns = recording.stationary.shape[-2], range(config.columns)
    return max(required_depth(config, depth, bias, columns) for bias in recording.bias)


def _write(config: AcceleratorConfig, path: Path) -> Path:
    write_text(path, accelerator_verilog(config, name=path.stem))
    write_text(path.with_suffix(".json"), json.dumps(config.as_json(), indent=1) + "\n")
    return path


def check_tiles(
    placement: Placement,
    shape: str,
    recordings: dict[str, Recording],
    folder: Path,
    *,
    layers_each: int,
    seed: int,
    say: Say,
) -> list[Checked]:
    """Emit every tile and co-simulate real products on it: attention products first, then others.

    ``shape`` are the dot-product tiles of the whole array. Each tile of the accelerator runs up to ``layers_each`` of
    its layers, one image (of attention: one head) each.
    """
    wanted = attention_layers(recordings)
    checked = []
    for tile in placement.tiles:
        file, config = emit_tile(tile, shape, recordings, folder)
        own = sorted(tile.layers, key=lambda layer: layer not in wanted)[:layers_each]
        result = cosimulate(
            config,
            [job(recordings[layer], range(tile.config.columns)) for layer in own],
            seed=seed,
            backpressure=BACKPRESSURE,
            progress=say,
            workdir=folder / "cosim" / tile.name,
            verilog=file.read_text(),
        )
        checked.append(Checked(tile.name, file, config, tuple(own), result))
    return checked


def check_mixed(
    bench: Workbench,
    assignment: Assignment,
    array: ArrayConfig,
    shape: str,
    images: Tensor,
    folder: Path,
    *,
    seed: int,
    say: Say,
) -> Checked:
    """Run the first block's qkv, QK^T and AV over *all* columns of the mixed array, in PyTorch and in Verilog.

    The model's layers take the array's cells column by column, so neighbouring output channels meet
    different cells.
    """
    layers = attention_layers(bench.recordings)
    module = bench.loaded.module
    assign_(module, {**assignment, **dict.fromkeys(layers, array)})
    mixed = record(module, images)
    config = machine(array, shape, depth=max(_depth(array, mixed[layer]) for layer in layers))
    file = _write(config, folder / "mixed_array.v")
    result = cosimulate(
        config,
        jobs(mixed, layers, array),
        seed=seed,
        backpressure=BACKPRESSURE,
        progress=say,
        workdir=folder / "cosim" / "mixed_array",
        verilog=file.read_text(),
    )
    assign_(module, assignment)
    return Checked("mixed_array", file, config, layers, result)
