"""Conversion changes what is multiplied, and nothing else: everything that a user put into a model stays in it."""

import pickle
from collections import Counter

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers.attention import Attention
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm
from torch.utils.flop_counter import FlopCounterMode

from slipstick.model.conversion.calibrate import calibrate
from slipstick.model.conversion.state import evaluating
from slipstick.model.convert import approximate_, table_layers
from slipstick.model.layers.config import QuantConfig
from slipstick.model.layers.linear import ApproxLinear
from slipstick.model.workload import workload

KINDS = {"default": "truncated8s_k5"}


class Net(nn.Module):
    """Every kind of module that is converted as a whole, a norm, and a product of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 4, 4), nn.BatchNorm2d(16)
        self.attention, self.heads = Attention(16, 2), nn.MultiheadAttention(16, 2, batch_first=True)
        self.inner = nn.Linear(16, 24)
        self.head = nn.Linear(24, 5)

    def forward(self, images):
        tokens = self.norm(self.stem(images)).flatten(2).mT
        tokens = tokens + self.attention(tokens)
        tokens = tokens + self.heads(tokens, tokens, tokens)[0]
        tokens = (0.01 * tokens @ tokens.mT).softmax(-1) @ tokens
        return self.head(F.gelu(self.inner(tokens))).mean(1)


def net() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model, images = Net(), torch.randn(40, 3, 16, 16)
    model(images)
    return model.eval(), images


def test_modules_stay_the_objects_they_are_with_flags_and_attributes() -> None:
    model, images = net()
    model.train()
    model.norm.eval()
    model.attention.proj.eval()
    model.stem.weight.requires_grad_(False)
    model.inner.weight.note = "kept"
    model.inner.mine = {"in": model.inner.in_features}
    model.register_buffer("hidden", torch.ones(2), persistent=False)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 2)
    flags = {module: module.training for module in model.modules()}
    parameters, state = dict(model.named_parameters()), dict(model.state_dict())
    gradients = {name: parameter.grad for name, parameter in parameters.items()}
    approximate_(model, KINDS, [images])
    assert all(module.training == flag for module, flag in flags.items())
    assert flags.keys() <= {*model.modules()} and all(new.training for new in {*model.modules()} - flags.keys())
    assert all(one is parameters[name] for name, one in model.named_parameters())
    assert all(one.grad is gradients[name] and one.grad.eq(2).all() for name, one in parameters.items())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    assert "hidden" not in model.state_dict() and not model.stem.weight.requires_grad
    assert (model.inner.weight.note, model.inner.mine, model.inner.in_features) == ("kept", {"in": 16}, 16)
    assert isinstance(model.inner, nn.Linear) and isinstance(model.inner, ApproxLinear)


@pytest.mark.parametrize("grad", [False, True])
def test_all_hooks_run_as_often_as_in_float(grad: bool) -> None:
    def hooked() -> tuple[nn.Module, torch.Tensor, Counter]:
        model, images = net()
        seen: Counter = Counter()
        for name, module in model.named_modules():
            module.register_forward_pre_hook(lambda m, a, name=name: seen.update([(name, "before")]))
            module.register_forward_hook(lambda m, a, o, name=name: seen.update([(name, "after")]))
            module.register_forward_pre_hook(
                lambda m, a, k, name=name: seen.update([(name, "keywords")]), with_kwargs=True
            )
            module.register_forward_hook(
                lambda m, a, k, o, name=name: seen.update([(name, "always")]), with_kwargs=True, always_call=True
            )
            if not isinstance(module, nn.MultiheadAttention):
                module.register_full_backward_pre_hook(lambda m, g, name=name: seen.update([(name, "up")]))
                module.register_full_backward_hook(lambda m, g, h, name=name: seen.update([(name, "down")]))
        return model, images, seen

    def run(model: nn.Module, images: torch.Tensor, seen: Counter) -> Counter:
        seen.clear()
        with torch.set_grad_enabled(grad):
            output = model(images)
        if grad:
            output.sum().backward()
        return Counter({key: count for key, count in seen.items() if key[0] in own and "out_proj" not in key[0]})

    model, images, seen = hooked()
    own = dict(model.named_modules())
    wanted = run(model, images, seen)
    assert len(wanted) > 25
    approximate_(model, KINDS, [images])
    assert run(model, images, seen) == wanted


@torch.no_grad()
def test_a_hook_that_changes_an_output_is_heard_and_one_that_only_looks_changes_nothing() -> None:
    model, images = net()
    approximate_(model, KINDS, [images])
    plain = model(images)
    handles = [module.register_forward_hook(lambda m, a, o: None) for module in model.modules()]
    assert torch.equal(model(images), plain)
    for handle in handles:
        handle.remove()
    for layer in (model.attention.qkv, model.attention.proj, model.inner, model.stem):
        handle = layer.register_forward_hook(lambda m, a, o: o * 0)
        assert not torch.equal(model(images), plain)
        handle.remove()
    assert torch.equal(model(images), plain)


REPARAMETRISED = {
    "weight norm": lambda layer: parametrizations.weight_norm(layer),
    "old weight norm": lambda layer: weight_norm(layer),
    "spectral norm": lambda layer: parametrizations.spectral_norm(layer),
    "old spectral norm": lambda layer: spectral_norm(layer),
    "orthogonal": lambda layer: parametrizations.orthogonal(layer),
    "pruning": lambda layer: prune.random_unstructured(layer, "weight", 0.5),
    "structured pruning": lambda layer: prune.ln_structured(layer, "weight", 0.3, 2, 0),
}


@pytest.mark.parametrize("kind", REPARAMETRISED)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_reparametrised_weights_are_trained_and_followed(kind: str) -> None:
    model, images = net()
    for layer in (model.inner, model.attention.qkv, model.attention.proj, model.stem):
        if not (kind == "orthogonal" and layer is model.stem):
            REPARAMETRISED[kind](layer)
    for _ in range(10):  # spectral norms iterate
        model.train()(images)
    model.eval()(images)
    names = [name for name, _ in model.named_parameters()]
    with torch.no_grad():
        wanted = model(images)
    report = approximate_(model, {}, [images])
    assert not report.left_exact and [name for name, _ in model.named_parameters()] == names
    with torch.no_grad():
        assert (model(images) - wanted).norm() < 0.05 * wanted.norm()
    optimiser = torch.optim.SGD(model.parameters(), 1e-3)
    for _ in range(3):  # a second backward needs a graph of its own
        optimiser.zero_grad(set_to_none=True)
        model(images).square().mean().backward()
        assert all(one.grad is not None and one.grad.isfinite().all() for one in model.parameters())
        optimiser.step()
    with torch.no_grad(), evaluating(model):
        got = model(images)
        assert (got - wanted).norm() > 1e-3 * wanted.norm()
        twin, _ = net()
        for name in ("stem", "inner", "attention.qkv", "attention.proj"):
            model(images)  # the old kinds make their weight in a call
            twin.get_submodule(name).weight.copy_(model.get_submodule(name).weight)
        rest = {name: value for name, value in model.state_dict().items() if name in twin.state_dict()}
        twin.load_state_dict(rest, strict=False)
        assert (got - twin(images)).norm() < 0.1 * twin(images).norm()


class Own(nn.Linear):
    """A subclass with members of names that a layer on cells has too."""

    path = "mine"

    def matrix(self):
        return self.weight * 2

    def forward(self, x):
        return F.linear(x, self.matrix(), self.bias)


class Named(nn.Linear):
    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.sample, self.groups = "mine", 3


class Doubled(nn.Linear):
    """A plain forward, but a class of its own."""

    scale = 2.0

    def doubled(self):
        return self.scale * self.weight


@torch.no_grad()
def test_subclasses_are_honoured() -> None:
    torch.manual_seed(0)
    layers = [Own(8, 8), Named(8, 8), Doubled(8, 8), nn.Linear(8, 8)]
    layers[3].forward = lambda x, layer=layers[3]: 3 * F.linear(x, layer.weight)  # as wrappers of other libraries do
    model, data = nn.Sequential(*layers).eval(), torch.randn(64, 8)
    wanted = model(data)
    report = approximate_(model, {}, [data])
    assert len(report.layers) == 4 and not report.left_exact
    assert (model(data) - wanted).norm() < 0.05 * wanted.norm()
    assert (model[0].path, model[1].sample, model[1].groups) == ("mine", "mine", 3)
    assert torch.equal(model[2].doubled(), 2 * model[2].weight) and isinstance(model[2], Doubled)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_gradients_change_neither_scales_nor_counts(reentrant: bool, monkeypatch) -> None:
    monkeypatch.setattr("timm.models._manipulate.use_reentrant_ckpt", lambda: reentrant)

    def converted(checkpointing: bool) -> nn.Module:
        torch.manual_seed(0)
        model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=10).eval()
        model.set_grad_checkpointing(checkpointing)
        approximate_(model, KINDS, [torch.randn(40, 3, 32, 32)])
        return model

    plain, checkpointed = converted(False), converted(True)
    assert workload(plain) == workload(checkpointed)
    for name, layer in table_layers(plain).items():
        other = table_layers(checkpointed)[name]
        assert torch.equal(layer.activation_scale, other.activation_scale)
        torch.testing.assert_close(layer.sample.gradient, other.sample.gradient)


@pytest.mark.parametrize("wrapped", ["no", "parallel", "compiled", "compiled in place"])
def test_macs_are_those_that_torch_counts(wrapped: str) -> None:
    model, images = net()
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(images[:1])  # with gradients: without, torch has kernels that it does not count
    whole: nn.Module = nn.Sequential(model)
    if wrapped == "parallel":
        whole = nn.DataParallel(model)
    if wrapped == "compiled":
        whole = torch.compile(nn.Sequential(model), backend="eager")
    if wrapped == "compiled in place":
        whole.compile(backend="eager")
    approximate_(whole, KINDS, [images])
    assert 2 * sum(shape.macs for shape in workload(whole).values()) == counter.get_total_flops()
    shapes = workload(whole)
    scales = {name: layer.activation_scale for name, layer in table_layers(whole).items()}
    calibrate(whole, [images], QuantConfig())
    assert workload(whole) == shapes
    assert all(torch.equal(layer.activation_scale, scales[name]) for name, layer in table_layers(whole).items())


def test_a_converted_model_can_be_pickled() -> None:
    model, images = net()
    approximate_(model, KINDS, [images])
    with torch.no_grad():
        again = pickle.loads(pickle.dumps(model))  # noqa: S301 - of our own
        assert torch.equal(again(images), model(images))
