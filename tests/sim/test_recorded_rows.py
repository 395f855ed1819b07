"""The units compute the spec on what the shipped model really sees, with the optimal tables."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from slipstick.model.convert import approximate_, table_layers
from slipstick.model.data import shipped
from slipstick.model.evaluate import input_batches
from slipstick.model.pwl.optimal import fit
from slipstick.model.workload import Recording, record
from slipstick.model.zoo import load_model
from slipstick.rtl.layernorm_unit import LayerNormUnit
from slipstick.rtl.residual import ResidualUnit
from slipstick.rtl.softmax_unit import SoftmaxUnit
from slipstick.rtl.spec.fixed import Requant
from slipstick.rtl.spec.layernorm import LayerNormSpec
from slipstick.rtl.spec.pwl import PwlFormat
from slipstick.rtl.spec.residual import HIGH, LOW, ResidualSpec
from slipstick.rtl.spec.softmax import SoftmaxSpec
from slipstick.sim.vector import TableJob, cosimulate_rows, cosimulate_tables

pytestmark = pytest.mark.slow
IMAGES, LANES, BACKPRESSURE = 2, 4, 0.2
Q2_5 = PwlFormat(8, 8, 5)


@dataclass(frozen=True)
class Run:
    """The converted model, its products, and the inputs float64 [rows, D] of its other modules, by name."""

    model: torch.nn.Module
    products: dict[str, Recording]
    inputs: dict[str, np.ndarray]

    def codes(self, name: str) -> tuple[np.ndarray, float]:
        """A module's inputs as int16, three quarters of the range used, and their scale."""
        scale = float(np.abs(self.inputs[name]).max()) / (0.75 * HIGH)
        return np.clip(np.rint(self.inputs[name] / scale), LOW, HIGH).astype(np.int64), scale


@pytest.fixture(scope="module")
def run() -> Run:
    loaded = load_model()
    batches = input_batches(loaded, shipped("calibration")[:32])
    approximate_(loaded.module, {}, batches)
    inputs: dict[str, np.ndarray] = {}

    def keep(name: str) -> None:
        def hook(module: torch.nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            inputs[name] = given[0].detach().double().flatten(0, -2).numpy()

        modules[name].register_forward_hook(hook)

    modules = dict(loaded.module.named_modules())
    for name in ("blocks.1.norm1", "blocks.3.norm2", "blocks.2.mlp.act"):
        keep(name)
    return Run(loaded.module, record(loaded.module, batches[0][:IMAGES]), inputs)


def test_softmax_of_recorded_attention(run: Run) -> None:
    name = "blocks.4.attn.qk"
    attention = dict(run.model.named_modules())["blocks.4.attn"]
    scale = float(table_layers(run.model)[name].product_scale()) * attention.scale
    exponential, reciprocal = fit("exp", 8, 4), fit("reciprocal", 8, 6, Q2_5, low=64, high=127)
    found = Requant.from_scale(np.array([scale * 2**exponential.input_fraction]))
    spec = SoftmaxSpec(int(found.multiplier[0]), int(found.shift[0]), exponential, reciprocal, length=64)
    rows = list(run.products[name].accumulators.reshape(-1, 64).astype(np.int64))
    wanted = [spec(row) for row in rows]
    result = cosimulate_rows(SoftmaxUnit(spec, LANES), rows, wanted, seed=2, backpressure=BACKPRESSURE)
    assert result.mismatches == 0, result
    assert result.compared == IMAGES * 4 * 64 * 64
    error = np.abs(np.stack(wanted) / 2**spec.fraction - spec.reference(np.stack(rows), scale))
    assert error.max() < 0.1 and error.mean() < 0.005  # of a probability


def test_layernorm_of_recorded_rows(run: Run) -> None:
    name = "blocks.3.norm2"
    codes, scale = run.codes(name)
    norm = dict(run.model.named_modules())[name]
    weight, bias = (part.detach().double().numpy() for part in (norm.weight, norm.bias))
    exact = torch.nn.functional.layer_norm(
        torch.from_numpy(run.inputs[name]), [len(weight)], torch.from_numpy(weight), torch.from_numpy(bias), norm.eps
    ).numpy()
    out = float(np.abs(exact).max()) / 127
    spec = LayerNormSpec.from_float(weight, bias, norm.eps, scale, out, fit("rsqrt", 8, 5, Q2_5, low=32, high=127))
    wanted = list(spec(codes))
    result = cosimulate_rows(LayerNormUnit(spec, LANES), list(codes), wanted, seed=2, backpressure=BACKPRESSURE)
    assert result.mismatches == 0, result
    assert result.compared == IMAGES * 64 * 128
    error = np.abs(np.stack(wanted) - exact / out)
    assert error.max() < 4 and error.mean() < 1  # in output codes


def test_gelu_of_recorded_inputs(run: Run) -> None:
    table = fit("gelu", 8, 5)
    found = Requant.from_scale(np.array([2.0**-6]))
    codes = np.clip(np.rint(run.inputs["blocks.2.mlp.act"].ravel() * 2**5), -128, 127).astype(np.int64)
    job = TableJob(table, int(found.multiplier[0]), int(found.shift[0]), codes)
    result = cosimulate_tables([job], lanes=LANES, seed=2, backpressure=BACKPRESSURE)
    assert result.mismatches == 0, result
    assert result.compared == IMAGES * 64 * 256


def test_residual_of_a_recorded_branch(run: Run) -> None:
    x, scale = run.codes("blocks.1.norm1")  # what the block adds to is what its first norm sees
    name = "blocks.1.attn.proj"
    channels = table_layers(run.model)[name].product_scale().detach().double().numpy()
    found = Requant.from_scale(np.broadcast_to(channels / scale, 128))
    spec = ResidualSpec(found.multiplier, found.shift)
    sums = run.products[name].accumulators.reshape(-1, 128).astype(np.int64)
    rows = [{"data": one, "accumulators": sum_} for one, sum_ in zip(x, sums, strict=True)]
    wanted = list(spec(x, sums))
    result = cosimulate_rows(ResidualUnit(spec, LANES), rows, wanted, seed=2, backpressure=BACKPRESSURE)
    assert result.mismatches == 0, result
    assert result.compared == IMAGES * 64 * 128
    assert np.abs(np.stack(wanted) - x - sums * channels / scale).max() < 1
