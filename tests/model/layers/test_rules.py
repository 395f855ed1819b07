"""Which layers are converted to which cells, and what is refused before anything is touched."""

import copy

import pytest
import torch
from torch import nn

from slipstick.errors import UserError
from slipstick.model.convert import approximate_, assign_, table_layers
from slipstick.model.layers.heads import PerHead
from tests.model.layers.test_layers import Small, converted, images
from tests.rounding import assert_same_model


def test_rules_prefer_exact_names_then_regular_expressions_then_the_default() -> None:
    model, _ = converted({"head": "drum8s_k3", "re:attention\\..*": "drum8s_k4", "default": "drum8s_k5"})
    chosen = {name: layer.grid[0][0].name for name, layer in table_layers(model).items()}
    assert chosen["head"] == "drum8s_k3" and chosen["attention.av"] == "drum8s_k4" and chosen["stem"] == "drum8s_k5"


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"attention.qvk": "exact8s"}, "matches no layer; near names: .*attention.qk"),
        ({"re:blocks.*": "exact8s"}, "matches no layer"),
        ({"re:(": "exact8s"}, "not a regular expression"),
        ({"head": "exakt8s"}, "unknown cell 'exakt8s'; near names: exact8s"),
        ({"head": "exact9s"}, "take 8 x 8 cells"),
        ({"head": []}, "names no cell"),
    ],
)
def test_bad_rules_are_refused_and_leave_the_model_alone(rules: dict, message: str) -> None:
    model = Small()
    with pytest.raises(UserError, match=message):
        approximate_(model, rules, [images()])
    assert type(model.head) is nn.Linear


def test_cells_by_head_need_heads() -> None:
    model, _ = converted()
    before = model.attention.qk.grid
    with pytest.raises(UserError, match="layer 'head' has no heads"):
        assign_(model, {"attention.qk": "drum8s_k4", "head": PerHead(("exact8s",))})
    assert model.attention.qk.grid == before
    with pytest.raises(UserError, match="names no cell"):
        assign_(model, {"attention.qk": PerHead(())})


@pytest.mark.parametrize(
    ("keep", "layers"),
    [
        (["head"], ["head"]),
        (["attention"], ["attention.qkv", "attention.proj", "attention.qk", "attention.av"]),
        (["attention.qk"], ["attention.qk"]),
        (["re:.*\\.(qkv|av)", "stem"], ["attention.qkv", "attention.av", "stem"]),
    ],
)
@torch.no_grad()
def test_layers_the_user_keeps_stay_in_float_and_are_reported(keep: list, layers: list) -> None:
    torch.manual_seed(0)
    model = Small().eval()
    wanted = copy.deepcopy(model)(images())
    report = approximate_(model, {"default": "exact8s"}, images().split(20), keep=keep)
    assert report.left_exact == dict.fromkeys(layers, "as asked")
    assert not set(layers) & table_layers(model).keys() and len(table_layers(model)) == 6 - len(layers)
    assert (model(images()) - wanted).norm() < 0.05 * wanted.norm()


def test_keeping_every_layer_gives_the_float_model() -> None:
    torch.manual_seed(0)
    model = Small().eval()
    original = copy.deepcopy(model)
    approximate_(model, {}, [images()], keep=["re:.*"])
    assert_same_model(model(images()), original, images())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda model, data: model.head.weight.data.fill_(float("nan")), "parameter 'head.weight' holds NaN or Inf"),
        (lambda model, data: model.head.bias.data.fill_(float("inf")), "parameter 'head.bias' holds NaN or Inf"),
        (lambda model, data: data[7].fill_(float("nan")), "calibration batch 0 holds NaN or Inf"),
    ],
)
def test_nan_and_inf_are_refused_before_anything_is_touched(spoil, message: str) -> None:
    model, data = Small(), images()
    spoil(model, data)
    with pytest.raises(UserError, match=message):
        approximate_(model, {}, [data])
    assert type(model.head) is nn.Linear


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no calibration batches"),
        ([torch.zeros(0, 3, 12, 12)], "batch 0 is empty"),
        ([{"x": 3}], "'x' of calibration batch 0 is int; give a tensor"),
        ([(torch.zeros(3, 2), torch.zeros(4, 2))], "differ in their first dimension"),
    ],
)
def test_unusable_batches_are_refused(batches: list, message: str) -> None:
    with pytest.raises(UserError, match=message):
        approximate_(Small(), {}, batches)


def test_values_that_overflow_on_the_way_name_the_layer() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[0].weight.data.fill_(3e38)
    with pytest.raises(UserError, match="layer '0': its output on the calibration data holds NaN or Inf"):
        approximate_(model, {}, [torch.full((40, 4), 10.0)])
