"""Every product of the usual transformers runs on cells, with the numbers that quantisation promises."""

import copy

import pytest
import torch

from slipstick.model.conversion.batch import forward, logits
from slipstick.model.convert import approximate_, assign_, table_layers
from slipstick.model.layers.config import QuantConfig
from slipstick.model.layers.weights import WeightLayer
from slipstick.model.predict import predicted_damage
from slipstick.model.workload import record, workload
from slipstick.rtl.cells import cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix, matmul
from tests.model.conversion import matrix
from tests.model.conversion.families import FAMILIES, build
from tests.model.conversion.reference import float_products, quantised_reference


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny products: on a busy machine threads would wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


families = pytest.mark.parametrize("family", FAMILIES)


@families
@torch.no_grad()
def test_exact_cells_give_the_numbers_of_the_quantised_float_model(family: str) -> None:
    model, batch = build(family)
    twin = copy.deepcopy(model)
    report = approximate_(model, {}, [batch])
    assert not report.left_exact and not report.unused
    got, plain = logits(forward(model, batch)), logits(forward(twin, batch))
    torch.testing.assert_close(got, quantised_reference(twin, model, batch), rtol=1e-5, atol=1e-6)
    assert (got - plain).norm() < 0.06 * plain.norm()


@families
@torch.no_grad()
def test_no_product_is_left_in_float(family: str, monkeypatch) -> None:
    model, batch = build(family)
    assert float_products(model, batch, monkeypatch)
    approximate_(model, {}, [batch])
    assert not float_products(model, batch, monkeypatch)
    assign_(model, {"default": "truncated8s_k6"})
    assert not float_products(model, batch, monkeypatch)


@pytest.mark.parametrize(
    "family", ["Swin v2", "EfficientViT (MSRA)", "BERT, eager", "nn.TransformerEncoder, time first"]
)
def test_damage_is_predicted_for_every_layer(family: str) -> None:
    model, batch = build(family)
    approximate_(model, {}, [batch])
    for layer in table_layers(model).values():
        damage = [
            predicted_damage(layer, ((cell(name),),)) for name in ("exact8s", "truncated8s_k6", "truncated8s_k10")
        ]
        assert damage[0] == 0 <= damage[1] <= damage[2] < float("inf")


@families
@torch.no_grad()
def test_recordings_and_shapes_agree_with_the_array(family: str) -> None:
    model, batch = build(family)
    approximate_(model, {"default": "truncated8s_k6"}, [batch])
    recordings, shapes = record(model, batch), workload(model)
    assert list(recordings.keys() & shapes.keys()) and len(recordings) == len(shapes)
    config = ArrayConfig(4, 1, CellMix.uniform(cell("truncated8s_k6"), rows=4, columns=1))
    for name, recording in recordings.items():
        assert recording.stationary.shape[-2:] == (shapes[name].depth, shapes[name].channels)
        product = len(recording.activations) - 1
        weights = recording.stationary[product % len(recording.stationary)]
        sums = matmul(config, recording.activations[product][:9], weights) + recording.bias_of(product)
        assert (recording.accumulators[product][:9] == sums).all()
        assert (recording.outputs[product][:9] == recording.requant_of(product)(sums)).all()


@pytest.mark.parametrize("family", ["ViT", "Swin", "EfficientViT (MIT)"])
@pytest.mark.parametrize(("activation_bits", "weight_bits"), [(8, 4), (6, 6), (4, 8), (4, 2)])
@torch.no_grad()
def test_narrow_codes_give_the_numbers_of_narrow_quantisation(family: str, activation_bits, weight_bits) -> None:
    model, batch = build(family)
    twin = copy.deepcopy(model)
    config = QuantConfig(activation_bits=activation_bits, weight_bits=weight_bits)
    approximate_(model, {}, [batch], config)
    wanted = quantised_reference(twin, model, batch, config.weight_limit)
    torch.testing.assert_close(logits(forward(model, batch)), wanted, rtol=1e-5, atol=1e-6)
    for recording in record(model, batch).values():
        low, high = -(2 ** (activation_bits - 1)), 2 ** (activation_bits - 1) - 1
        assert low <= recording.activations.min() and recording.activations.max() <= high
        assert low <= recording.outputs.min() and recording.outputs.max() <= high
    for layer in table_layers(model).values():
        if isinstance(layer, WeightLayer):
            assert layer.weight_codes.abs().max() == config.weight_limit


def test_the_conversion_matrix_in_the_docs_is_up_to_date() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed; it is in the test group")
    written = matrix.FILE.read_text()
    rows = {title: line for line in written.splitlines() for title in matrix.MODELS if line.startswith(f"| {title} |")}
    assert written == matrix.text([rows[title] for title in matrix.MODELS])
    for title in matrix.CHEAP:
        assert matrix.row(title) == rows[title]
