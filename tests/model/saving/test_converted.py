"""A saved model loads as the model that it was: forward, next training step, predictions, whatever it is made of."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from slipstick.model.convert import approximate_, assign_, load_converted, save_converted, table_layers
from slipstick.model.integer.config import IntegerConfig
from slipstick.model.layers.config import QuantConfig
from slipstick.model.layers.gradients import set_gradient_
from slipstick.model.layers.heads import PerHead
from slipstick.model.layers.slopes import GradientConfig
from slipstick.model.predict import predicted_damage
from slipstick.model.reuse.config import ReuseConfig
from slipstick.model.reuse.convert import reuse_
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.weightless.replace import weightless_
from slipstick.rtl.cells import cell
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.spec.array import ArrayConfig, CellMix
from tests.model.conversion.families import _bert

GRID = ArrayConfig(2, 2, CellMix(((cell("exact8s"), cell("drum8s_k4")), (cell("truncated8s_k7"), cell("exact8s")))))
RULES = {
    "exact": {},
    "uniform": {"default": "truncated8s_k7"},
    "columns": {"default": ["exact8s", "drum8s_k3", "truncated8s_k8"]},
    "grid": {"default": GRID},
    "heads": {"re:.*(qk|av)": PerHead(("exact8s", "drum8s_k4")), "head": "mitchell8s"},
}
UNIFORM = RULES["uniform"]


def images(count: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def vit() -> VisionTransformer:
    return VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, num_classes=5).eval()


class Grouped(nn.Module):
    """Convolutions of groups, a parametrised-free product of activations, a layer kept in float, one never run."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, stride=2), nn.BatchNorm2d(12), nn.Conv2d(12, 12, 3, groups=4))
        self.mix = nn.Parameter(torch.randn(12, 12))
        self.kept, self.head, self.unused = nn.Linear(12, 12), nn.Linear(12, 5, bias=False), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x).flatten(2).mT
        tokens = (tokens @ tokens.mT).softmax(-1) @ (tokens @ self.mix)
        return self.head(self.kept(tokens).mean(1))


def reused() -> VisionTransformer:
    model = vit()
    reuse_(model, (1,), ReuseConfig())
    return model


def weightless() -> VisionTransformer:
    model = vit()
    weightless_(model, (1,), WeightlessConfig(thresholds=3, luts=(40,), mapping="learnable"), [images(12)])
    return model


KINDS = {
    "vit": (vit, {}), "integer": (vit, {"integer": IntegerConfig(entries=6)}),
    "grouped": (Grouped, {"keep": ["kept"], "config": QuantConfig("minmax", weight_bits=6)}),
    "reuse": (reused, {}), "integer reuse": (reused, {"integer": True}),
    "weightless": (weightless, {}), "integer weightless": (weightless, {"integer": True}),
}  # fmt: skip


def converted(kind: str, rules: dict, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    build_, options = KINDS[kind]
    model = build_()
    approximate_(model, rules, images(12).split(6), **options)
    return model


def train_(model: nn.Module, steps: int = 1) -> None:
    optimiser = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images(6, 5)), torch.arange(6) % 5).backward()
        optimiser.step()


def plain(kind: str) -> nn.Module:
    """A model as it is built, with other weights; plain timm where ``kind`` has another structure."""
    torch.manual_seed(99)
    return Grouped() if kind == "grouped" else vit()


def assert_same(model: nn.Module, other: nn.Module) -> None:
    with torch.no_grad():
        assert torch.equal(model(images(5, 2)), other(images(5, 2)))
    state, own = model.state_dict(), other.state_dict()
    assert list(state) == list(own)
    assert all(torch.equal(own[name], value) and own[name].dtype == value.dtype for name, value in state.items())


@settings(
    max_examples=6, deadline=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(st.sampled_from([*KINDS]), st.sampled_from([*RULES]), st.integers(0, 2), st.booleans(), st.integers(0, 9))
def test_a_loaded_model_is_the_saved_one_bit_for_bit(tmp_path, kind, cells, steps, training, seed) -> None:
    rules = {} if cells == "heads" and kind in ("grouped",) else RULES[cells]
    model = converted(kind, rules, seed)
    set_gradient_(model, GradientConfig("clipped"))
    model.train(training)
    train_(model, steps)
    next(model.parameters()).requires_grad_(False)
    path = tmp_path / "model.safetensors"
    save_converted(model, path)
    found = load_converted(plain(kind), path)
    assert [one.training for one in found.modules()] == [one.training for one in model.modules()]
    assert_same(model.eval(), found.eval())
    train_(model, 2), train_(found, 2)
    assert_same(model, found)
    assign_(model, UNIFORM), assign_(found, UNIFORM)
    assert_same(model, found)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_and_statistics_are_kept(kind: str, tmp_path: Path) -> None:
    model, path = converted(kind, UNIFORM), tmp_path / "model"
    save_converted(model, path)
    found = load_converted(lambda: plain(kind), path)
    assert_same(model, found)
    for name, layer in table_layers(model).items():
        other = table_layers(found)[name]
        grid = ((cell("drum8s_k4"),),)
        assert predicted_damage(layer, grid) == predicted_damage(other, grid)
        assert (layer.rows_per_image, layer.path, layer.requant().shift.tolist()) == (
            other.rows_per_image, other.path, other.requant().shift.tolist(),
        )  # fmt: skip
    again = tmp_path / "again"
    save_converted(found, again)
    assert_same(model, load_converted(plain(kind), again))
    save_converted(model, again, samples=False)
    assert again.stat().st_size < path.stat().st_size
    assert_same(model, load_converted(plain(kind), again))


def test_an_encoder_of_words_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, other = _bert("sdpa").eval(), _bert("sdpa").eval()
    words = {"input_ids": torch.randint(50, (6, 9)), "attention_mask": torch.ones(6, 9, dtype=torch.long)}
    words["attention_mask"][2, 5:] = 0
    approximate_(model, {"default": "truncated8s_k8"}, [words])
    save_converted(model, tmp_path / "bert")
    with torch.no_grad():
        wanted = model(**words).logits
        assert torch.equal(load_converted(other, tmp_path / "bert")(**words).logits, wanted)


def test_torch_encoders_come_back(tmp_path: Path) -> None:
    def make() -> nn.Module:
        return nn.Sequential(nn.TransformerEncoderLayer(16, 2, 24, batch_first=True), nn.Linear(16, 3)).eval()

    model, data = make(), torch.randn(6, 5, 16)
    approximate_(model, UNIFORM, [data])
    save_converted(model, tmp_path / "encoder")
    with torch.no_grad():
        assert torch.equal(load_converted(make(), tmp_path / "encoder")(data), model(data))


def test_half_precision_is_kept(tmp_path: Path) -> None:
    model, data = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(20, 8)
    approximate_(model, UNIFORM, [data])
    model[0].bfloat16()
    save_converted(model, tmp_path / "mixed")
    found = load_converted(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)), tmp_path / "mixed")
    assert found[0].weight.dtype == torch.bfloat16
    with torch.no_grad():
        assert torch.equal(found(data), model(data))


def foreign() -> Cell:
    """A cell that no registry knows."""
    own = cell("truncated8s_k6")
    return Cell("somebody_elses", "imported", own.signed, own.netlist)


def test_cells_that_are_not_known_here_come_from_the_file(tmp_path: Path) -> None:
    model = converted("vit", {"default": foreign()})
    save_converted(model, tmp_path / "model")
    assert_same(model, load_converted(plain("vit"), tmp_path / "model"))


def test_the_file_is_plain_tensors_and_json(tmp_path: Path) -> None:
    model = converted("vit", UNIFORM)
    save_converted(model, tmp_path / "model")
    tensors = load_file(tmp_path / "model")
    for name, value in model.state_dict().items():
        assert torch.equal(tensors[f"state.{name}"], value)
