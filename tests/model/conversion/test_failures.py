"""A conversion that fails leaves no trace, and says where."""

import copy

import pytest
import timm
import torch
from torch import nn

from slipstick.model.convert import approximate_
from slipstick.model.layers.table_layer import TableLayer
from tests.model.conversion.families import images
from tests.model.conversion.test_inputs import Plain
from tests.model.conversion.test_state import KINDS, net


class Planned(BaseException):
    pass


def snapshot(model: nn.Module) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, module in model.named_modules():
        found[name] = (id(module), type(module), module.training, tuple(module._modules), tuple(module._forward_hooks),
                       tuple(module._forward_pre_hooks), sorted(vars(module)))  # fmt: skip
    return found


@pytest.mark.parametrize("integer", [False, True])
def test_a_failure_anywhere_leaves_the_model_as_it_was_bit_for_bit(integer: bool, monkeypatch) -> None:
    torch.manual_seed(0)
    if integer:
        model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=10, init_values=0.5)
        data = images(32)
    else:
        model, data = net()
    model.train()
    next(model.children()).eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    calls = {"left": -1}

    def trip(*_: object) -> None:
        calls["left"] -= 1
        if calls["left"] == 0:
            raise Planned

    model.register_forward_pre_hook(trip)
    original = TableLayer.set_cells
    monkeypatch.setattr(TableLayer, "set_cells", lambda self, grid: (trip(), original(self, grid))[1])
    before, values = snapshot(model), copy.deepcopy(model.state_dict())
    with torch.no_grad():
        wanted = copy.deepcopy(model).eval()(data)
    failures = 0
    for moment in (1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30):
        calls["left"] = moment
        try:
            approximate_(model, KINDS, [data, data], integer=integer)
        except Planned:
            failures += 1
        else:
            break
        assert snapshot(model) == before
        assert model.state_dict().keys() == values.keys()
        assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())
        assert all(torch.equal(parameter.grad, torch.ones_like(parameter)) for parameter in model.parameters())
        calls["left"] = -1
        with torch.no_grad():
            twin = copy.deepcopy(model).eval()
            assert torch.equal(twin(data), wanted)
    assert failures > 6


def test_an_error_of_the_models_own_stays_itself_and_says_where() -> None:
    with pytest.raises(RuntimeError) as found:
        approximate_(Plain(), KINDS, torch.randn(4, 9))
    assert "inputs [2, 9]" in found.value.__notes__[0]
