"""``summary.json``: every figure of a run, for machines. The schema is docs/summary.md."""

from dataclasses import asdict, replace
from typing import Any

from slipstick.flow.cost.baseline import BASELINE
from slipstick.flow.cost.figures import whole
from slipstick.flow.cost.mac import PARTS
from slipstick.flow.job.confirm import CONFIDENCE
from slipstick.flow.job.manifest import manifest
from slipstick.flow.job.pipeline import FlowResult
from slipstick.model.paired import Paired, standard_error

from .page import SCHEMA


def summarise(result: FlowResult) -> dict[str, Any]:
    """All figures of a flow as JSON-ready values; fractions are of 1, energies nJ an inference."""
    compared = sum(one.result.compared for one in result.checked)
    saving = result.inference.saving
    elements = result.config.rows * result.config.columns
    return {
        "schema": SCHEMA,
        "config": asdict(result.config),
        "accuracy": _accuracy(result),
        "promise": _promise(result),
        "energy_saving": asdict(saving),
        "energy_nj": {
            "chosen": asdict(result.inference.total_nj),
            "exact": asdict(result.inference.exact_total_nj),
            "requantise": result.inference.requantise_nj,
            "layers": {
                layer: {"chosen": asdict(own), "exact": asdict(result.inference.exact_layers_nj[layer])}
                for layer, own in result.inference.layers_nj.items()
            },
            "notes": list(result.inference.notes),
        },
        "power": {
            "chosen": whole(result.inference.details, elements, result.inference.period_cycles),
            "exact": whole(result.inference.exact_details, elements),
            "layers": {
                layer: {"chosen": own.as_json(), "exact": result.inference.exact_details[layer].as_json()}
                for layer, own in result.inference.details.items()
            },
            "clock_tree": {
                "buffer": result.mix.model.clock_tree(BASELINE).buffer,
                "levels": list(result.mix.model.clock_tree(BASELINE).levels),
            },
        },
        "cosim": {
            "compared": compared,
            "mismatches": sum(one.result.mismatches for one in result.checked),
            "cycles": sum(one.result.cycles for one in result.checked),
            "checks": [
                {
                    "name": one.name,
                    "verilog": one.file.name,
                    "array": one.config.array.describe(),
                    "compared": one.result.compared,
                    "mismatches": one.result.mismatches,
                    "cycles": one.result.cycles,
                    "cycles_per_cpu_second": one.result.cycles_per_cpu_second,
                    "layers": [asdict(count) for count in one.result.jobs],
                    "first_mismatches": [str(line) for line in one.result.first_mismatches],
                }
                for one in result.checked
            ],
        },
        "accelerator": {
            "tiles": [
                {"name": tile.name, "cell": tile.cell.name, "rows": tile.config.rows, "columns": tile.config.columns,
                 "layers": list(tile.layers)}
                for tile in result.placement.tiles
            ],
            "utilisation": result.placement.utilisation,
            "area_um2": _area(result),
            "assignment": result.mix.chosen.assignment,
        },
        "search": {
            "sampler": result.config.sampler,
            "cells": result.mix.searched,
            "trials": [[p.number, p.divergence, p.accuracy, p.energy_nj] for p in result.mix.found.points],
            "exact": result.mix.found.exact.number,
            "front": [p.number for p in result.mix.found.front],
            "chosen": result.mix.chosen.number,
            "confirmed": [one.as_json() for one in result.mix.confirmed],
        },
        "cells": [_cell(result, index) for index in range(len(result.mix.cells))],
        "exact_baseline": {
            "chosen": result.mix.model.baseline.chosen,
            "candidates": [asdict(one) for one in result.mix.model.baseline.candidates],
        },
        "conversion": {"layers": result.mix.bench.report.layers, "left_exact": result.mix.bench.report.left_exact},
        "seconds": result.seconds,
        "manifest": manifest(seed=result.config.seed, model_sha256=result.mix.bench.model_sha256),
    }  # fmt: skip


def _accuracy(result: FlowResult) -> dict[str, Any]:
    right, images = result.right, result.mix.bench.images
    losses = {name: Paired.of(right["int8"], own) for name, own in right.items() if name != "int8"}
    return {
        **{name: float(right[name].mean()) for name in ("fp32", "int8", "chosen")},
        "uniform": {name: float(own.mean()) for name, own in right.items() if name not in ("fp32", "int8", "chosen")},
        "standard_error": {name: standard_error(own) for name, own in right.items()},
        "loss": {name: {"mean": one.loss, "standard_error": one.standard_error} for name, one in losses.items()},
        "test_images": len(images.test),
        "validation_images": len(images.validation),
        "search_images": len(result.mix.images),
    }


def _promise(result: FlowResult) -> dict[str, Any]:
    """What was promised, what confirmed it, and what the test images say."""
    tested = {one.point.number: one for one in result.mix.confirmed}
    chosen = tested.get(result.mix.chosen.number)  # none for the exact assignment, which loses nothing
    allowed, last = result.config.max_loss / 100, result.mix.confirmed[-1] if result.mix.confirmed else None
    loss = Paired.of(result.right["int8"], result.right["chosen"])
    return {
        "max_loss": result.config.max_loss,
        "confidence": CONFIDENCE,
        "images": len(result.mix.bench.images.validation),
        "loss": chosen.paired.loss if chosen else 0.0,
        "standard_error": chosen.paired.standard_error if chosen else 0.0,
        "bound": chosen.bound if chosen else 0.0,
        "images_for_the_next": last.paired.images_to_confirm(allowed, CONFIDENCE) if last and last.bound > allowed
        else None,
        "loss_on_test": loss.loss,
        "standard_error_on_test": loss.standard_error,
        "held_on_test": loss.loss <= allowed,
    }  # fmt: skip


def _area(result: FlowResult) -> dict[str, float]:
    """Area of the tiles, and of one exact array of the same number of elements, without memories."""
    model = result.mix.model
    tiles = [replace(model, columns=x.config.columns).array_area_um2(x.cell.name) for x in result.placement.tiles]
    return {"chosen": sum(tiles), "exact": model.array_area_um2(BASELINE)}


def _cell(result: FlowResult, index: int) -> dict[str, Any]:
    one, macs = result.mix.cells[index], result.mix.bench.macs(result.config.rows, result.config.columns)
    total = sum(macs.values())
    energies = {layer: result.mix.model.energy_per_mac(one.name, layer) for layer in macs}
    cost = result.mix.model.cell_cost(one.name)
    return {
        "name": one.name,
        "family": one.family,
        "digest": one.digest,
        "errors": one.errors.as_json(),
        "cost": asdict(cost) | {"f_max_mhz": cost.f_max_mhz},
        "multiplier_fj": sum(energies[x].multiplier_fj * macs[x] for x in macs) / total,
        "pe_parts_fj": {part: sum(energies[x].parts_fj[part] * macs[x] for x in macs) / total for part in PARTS},
        "pe_fj": sum(energies[x].pe_fj * macs[x] for x in macs) / total,
        "energy_nj": float(result.mix.energy[:, index].sum()),
        "damage": float(result.mix.damage[:, index].sum()),
        "accuracy": float(result.right[one.name].mean()) if one.name in result.right else None,
    }
