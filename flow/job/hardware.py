"""The chosen accelerator as Verilog files, and the proof that they compute what the model does."""

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
from slipstick.rtl.spec.schedule import required_depth
from slipstick.sim.cosim import CosimResult, cosimulate

from .tiles import Placement, Tile
from .verify import ACCUMULATOR_ROWS, attention_layers, job, jobs
from .workbench import Workbench

BACKPRESSURE = 0.2
Say = Callable[[str], None]


@dataclass(frozen=True)
class Checked:
    """One Verilog file, and the co-simulation that it passed or failed."""

    name: str
    file: Path
    config: ArrayConfig
    depth: int
    layers: tuple[str, ...]
    result: CosimResult


def emit_tile(tile: Tile, recordings: dict[str, Recording], folder: Path) -> tuple[Path, int]:
    """Write the Verilog of a tile, with accumulators wide enough for all its layers; the file, and their depth."""
    depth = max(_depth(tile.config, recordings[layer]) for layer in tile.layers)
    return _write(tile.config, depth, folder / f"{tile.name}.v"), depth


def _depth(config: ArrayConfig, recording: Recording) -> int:
    depth, columns = recording.stationary.shape[-2], range(config.columns)
    return max(required_depth(config, depth, bias, columns) for bias in recording.bias)


def _write(config: ArrayConfig, depth: int, path: Path) -> Path:
    text = accelerator_verilog(config, accumulator_rows=ACCUMULATOR_ROWS, depth=depth, name=path.stem)
    write_text(path, text)
    return path


def check_tiles(
    placement: Placement, recordings: dict[str, Recording], folder: Path, *, layers_each: int, seed: int, say: Say
) -> list[Checked]:
    """Emit every tile and co-simulate real products on it: attention products first, then others.

    Each tile runs up to ``layers_each`` of its layers, one image (of attention: one head) each.
    """
    wanted = attention_layers(recordings)
    checked = []
    for tile in placement.tiles:
        file, depth = emit_tile(tile, recordings, folder)
        fitting = [x for x in tile.layers if recordings[x].activations.shape[1] <= ACCUMULATOR_ROWS]
        own = sorted(fitting, key=lambda layer: layer not in wanted)[:layers_each]
        if not own:
            continue
        result = cosimulate(
            tile.config,
            [job(recordings[layer], range(tile.config.columns)) for layer in own],
            seed=seed,
            backpressure=BACKPRESSURE,
            progress=say,
            workdir=folder / "cosim" / tile.name,
            verilog=file.read_text(),
        )
        checked.append(Checked(tile.name, file, tile.config, depth, tuple(own), result))
    return checked


def check_mixed(
    bench: Workbench, assignment: Assignment, config: ArrayConfig, images: Tensor, folder: Path, *, seed: int, say: Say
) -> Checked:
    """Run the first block's qkv, QK^T and AV over *all* columns of the mixed array, in PyTorch and in Verilog.

    The model's layers take the array's cells column by column, so neighbouring output channels meet
    different cells.
    """
    layers = attention_layers(bench.recordings)
    module = bench.loaded.module
    assign_(module, {**assignment, **dict.fromkeys(layers, config)})
    mixed = record(module, images)
    depth = max(_depth(config, mixed[layer]) for layer in layers)
    file = _write(config, depth, folder / "mixed_array.v")
    result = cosimulate(
        config,
        jobs(mixed, layers, config),
        seed=seed,
        backpressure=BACKPRESSURE,
        progress=say,
        workdir=folder / "cosim" / "mixed_array",
        verilog=file.read_text(),
    )
    assign_(module, assignment)
    return Checked("mixed_array", file, config, depth, layers, result)
