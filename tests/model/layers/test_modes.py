"""Layers on cells in the modes that torch offers: other types, inference, compiled, functional, without a batch."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from slipstick.errors import UserError
from slipstick.model.convert import approximate_, table_layers
from slipstick.model.layers.gradients import set_gradient_
from slipstick.model.layers.slopes import GradientConfig

RULES = {"default": "truncated8s_k7"}


class Shared(nn.Module):
    """Layers that own their weights, parts of one, and a parameter that is multiplied twice without a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True, dropout=0.0)
        self.words, self.head = nn.Parameter(torch.randn(8, 16)), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.encoder(x) @ self.words.T) @ self.words).mean(1)


def data() -> Tensor:
    return torch.randn(6, 5, 16, generator=torch.Generator().manual_seed(2))


def converted(rules: dict | None = None) -> nn.Module:
    torch.manual_seed(0)
    model = Shared().eval()
    approximate_(model, RULES if rules is None else rules, [data()])
    return model


def drawn(model: nn.Module) -> dict[str, Tensor]:
    return {name: torch.randn_like(value) * 0.3 for name, value in model.named_parameters()}


@torch.no_grad()
def test_layers_that_share_parameters_see_those_that_are_there() -> None:
    model = converted()
    for _ in range(5):
        twin, state = converted(), drawn(model)
        twin.load_state_dict(state, strict=False)
        assert torch.equal(functional_call(model, state, (data(),)), twin(data()))
    model.encoder.self_attn.in_proj_weight = nn.Parameter(state["encoder.self_attn.in_proj_weight"])
    model.words = nn.Parameter(state["words"])
    model.load_state_dict(state, strict=False, assign=True)
    assert torch.equal(model(data()), twin(data()))


@torch.no_grad()
def test_a_compiled_model_follows_its_weights() -> None:
    model = converted()
    compiled = torch.compile(model, backend="aot_eager")
    for change in (
        lambda: None,
        lambda: model.head.weight.data.mul_(1.5),
        lambda: setattr(model, "words", nn.Parameter(torch.randn(8, 16))),
        lambda: model.load_state_dict(drawn(model), strict=False),
    ):
        change()
        assert torch.equal(compiled(data()), model(data()))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_models_of_other_types_convert_run_and_train(kind: torch.dtype) -> None:
    torch.manual_seed(0)
    model = Shared().eval().to(kind)
    original, inputs = copy.deepcopy(model), data().to(kind)
    approximate_(model, {}, [inputs])
    found = model(inputs)
    assert found.dtype == kind
    assert torch.cosine_similarity(found.flatten().float(), original(inputs).flatten().float(), 0) > 0.995
    with torch.no_grad():
        assert torch.equal(model(inputs), found)
    found.float().sum().backward()
    assert model.head.weight.grad.dtype == kind and model.words.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_scales_and_offsets_keep_their_digits_when_parameters_are_narrowed(kind: torch.dtype) -> None:
    model, twin = converted(), converted()
    model.to(kind)
    for name, layer in table_layers(model).items():
        own = table_layers(twin)[name]
        for part in own._buffers:
            if part != "mean_error":  # it follows the narrowed weights
                assert torch.equal(getattr(layer, part), getattr(own, part)), (name, part)
        assert all(getattr(layer, part).dtype == value.dtype for part, value in own._buffers.items())


def test_inference_mode_leaves_nothing_that_training_cannot_use() -> None:
    torch.manual_seed(0)
    model = Shared().eval()
    with torch.inference_mode():
        approximate_(model, RULES, [data()])
        wanted = model(data())
    set_gradient_(model, GradientConfig("clipped"))
    found = model(data())
    assert torch.equal(found, wanted)
    found.sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    model.load_state_dict(copy.deepcopy(model.state_dict()))
    with torch.inference_mode():
        assert not torch.equal(model(data()), wanted)


def test_a_model_of_inference_tensors_is_refused() -> None:
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(4, 2))
    with pytest.raises(UserError, match=r"parameter '0.weight' was made inside torch.inference_mode"):
        approximate_(model, {}, [torch.randn(4, 4)])


@pytest.mark.parametrize("gradients", [False, True])
def test_inputs_without_a_batch_and_outputs_without_classes(gradients: bool) -> None:
    torch.manual_seed(0)
    model, rows = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1), nn.Flatten(0)), torch.randn(10, 6)
    approximate_(model, RULES, [rows])
    with torch.set_grad_enabled(gradients):
        wanted = model(rows)
        assert wanted.shape == (10,) and model(rows[:0]).shape == (0,)
        assert torch.equal(model(rows[3]), wanted[3:4])


def test_transforms_that_hide_numbers_are_refused_in_one_line() -> None:
    model, inputs = converted(), data()
    state = {name: value.detach() for name, value in model.named_parameters()}
    with pytest.raises(UserError, match="transforms of torch.func"):
        grad(lambda own: functional_call(model, own, (inputs,)).sum())(state)
    stacked = {name: torch.stack([value, value]) for name, value in state.items()}
    with torch.no_grad(), pytest.raises(UserError, match="transforms of torch.func"):
        vmap(lambda own: functional_call(model, own, (inputs,)))(stacked)
