"""The chosen accelerator as Verilog files, and the proof that they compute what the model does."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from slipstick.files import write_text
from slipstick.flow.cost.cost import CostModel
from slipstick.flow.search.problem import Assignment
from slipstick.model.convert import assign_
from slipstick.model.workload import Recording, record
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from slipstick.rtl.spec.depth import required_depth
from slipstick.rtl.spec.machine import AcceleratorConfig
from slipstick.rtl.verilog.emit import accelerator_verilog
from slipstick.sim.cosim import CosimResult, cosimulate

from .tiles import Placement
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


def common_depth(recordings: dict[str, Recording], rows: int) -> int:
    """Depth of the accumulators that every layer of exact cells fits."""
    exact = ArrayConfig(rows, 1, CellMix.uniform(cell("exact8s"), rows=rows, columns=1))
    return max(_depth(exact, recording) for recording in recordings.values())


def _depth(config: ArrayConfig, recording: Recording) -> int:
    depth, columns = recording.stationary.shape[-2], range(config.columns)
    return max(required_depth(config, depth, bias, columns) for bias in recording.bias)


def _write(config: AcceleratorConfig, path: Path) -> Path:
    write_text(path, accelerator_verilog(config, name=path.stem))
    write_text(path.with_suffix(".json"), json.dumps(config.as_json(), indent=1) + "\n")
    return path


def check_tiles(
    placement: Placement,
    model: CostModel,
    recordings: dict[str, Recording],
    folder: Path,
    *,
    layers_each: int,
    seed: int,
    say: Say,
) -> list[Checked]:
    """Emit every tile as ``model`` prices it and co-simulate real products on it: attention products first.

    Each tile runs up to ``layers_each`` of its layers, one image (of attention: one head) each.
    """
    wanted = attention_layers(recordings)
    checked = []
    for tile in placement.tiles:
        config = replace(model, columns=tile.config.columns).config(tile.cell.name)
        file = _write(config, folder / f"{tile.name}.v")
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
    model: CostModel,
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
    config = model.config([one.name for one in array.mix.grid[0]])
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
