"""The state dict of a converted model: the same names from conversion on, and all that its numbers follow from."""

import copy
import itertools

import pytest
import torch
from timm.utils import ModelEma, ModelEmaV2, ModelEmaV3
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from slipstick.model.convert import approximate_, assign_
from slipstick.model.layers.gradients import set_gradient_
from slipstick.model.layers.slopes import GradientConfig
from tests.model.layers.test_gradients import Small, images

RULES = {"default": "truncated8s_k9"}
OWN = ("activation_scale", "output_scale", "stationary_scale", "weight_clip", "mean_error")


def converted(seed: int = 0, calibration_seed: int = 1, rules: dict | None = None) -> nn.Module:
    torch.manual_seed(seed)
    model = Small().eval()
    torch.manual_seed(calibration_seed)
    approximate_(model, RULES if rules is None else rules, [torch.randn(40, 3, 8, 8)])
    return model


def train_(model: nn.Module, steps: int = 2, ema=None) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images()), torch.arange(12) % 5).backward()
        optimiser.step()
        if ema is not None:
            ema(model)


@torch.no_grad()
def test_names_are_those_of_the_float_model_and_a_fixed_set_whatever_was_run() -> None:
    model = converted()
    names = list(model.state_dict())
    assert set(names) >= set(Small().state_dict())
    assert all(name.rpartition(".")[2] in OWN for name in set(names) - set(Small().state_dict()))
    model(images())
    with torch.enable_grad():
        train_(model)
    set_gradient_(model, GradientConfig())
    assign_(model, {})
    assert list(model.state_dict()) == names


def test_a_forward_pass_with_gradients_changes_no_value_of_the_state() -> None:
    model = converted()
    before = copy.deepcopy(model.state_dict())
    model(images()).sum().backward()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("steps", [0, 2])
def test_a_state_loaded_strictly_into_another_conversion_gives_the_same_bits_and_the_same_training(steps: int) -> None:
    model, other = converted(), converted(7, 8)
    rules = RULES | {"re:.*(qk|av)": "exact8s"}  # products of activations have their offset from calibration alone
    assign_(model, rules), assign_(other, rules)
    train_(model, steps)
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    for _ in range(2):
        assert torch.equal(model(images()), other(images()))
        train_(model, 1), train_(other, 1)


def test_float_weights_loaded_after_training_take_their_own_offset() -> None:
    model, weights = converted(), Small().state_dict()
    train_(model)
    model.load_state_dict(weights, strict=False)
    fresh = converted()
    fresh.load_state_dict(weights, strict=False)
    assert torch.equal(model(images()), fresh(images()))


def test_a_partial_load_leaves_offsets_of_other_layers_held() -> None:
    model = converted()
    train_(model)
    model.eval()(images())
    before = model.stem.bias_codes()
    model.load_state_dict({"norm.weight": torch.ones(16)}, strict=False)
    assert torch.equal(model.stem.bias_codes(), before)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("kind", ["ModelEma", "ModelEmaV2", "ModelEmaV3", "AveragedModel", "AveragedModel buffers"])
def test_averages_of_every_kind_run_and_load_back(kind: str, trained: bool) -> None:
    model = converted()
    if trained:
        train_(model, 1)
    if kind.startswith("Averaged"):
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=kind.endswith("buffers"))
        update = average.update_parameters
    else:
        average = {"ModelEma": ModelEma, "ModelEmaV2": ModelEmaV2, "ModelEmaV3": ModelEmaV3}[kind](model, decay=0.5)
        update = average.update
    train_(model, 3, update)
    averaged = average.ema if kind == "ModelEma" else average.module
    with torch.no_grad():
        found = averaged.eval()(images())
    assert torch.isfinite(found).all()
    fresh = converted()
    fresh.load_state_dict(averaged.state_dict())
    assert torch.equal(fresh(images()), found)
    exact = copy.deepcopy(averaged)
    assign_(exact, {})
    assert (found - exact(images())).abs().max() < 0.5 * exact(images()).abs().max()  # its offsets are its own


def test_no_optimiser_outside_is_hooked() -> None:
    assert not _global_optimizer_post_hooks


def test_a_copy_trains_as_its_original_does() -> None:
    for held in (False, True):
        model = converted()
        if held:
            train_(model, 1)
        twin = copy.deepcopy(model)
        train_(model), train_(twin)
        for one, two in itertools.zip_longest(model.state_dict().values(), twin.state_dict().values()):
            assert torch.equal(one, two)
