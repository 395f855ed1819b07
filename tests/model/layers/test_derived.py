"""Whatever happens to a converted model's parameters, it computes what a layer made from them just now does."""

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from slipstick.model.convert import approximate_, assign_, table_layers
from slipstick.model.kernels import fingerprint as hashing
from slipstick.model.layers.derived import Derived

RULES = {"default": "truncated8s_k8"}


def images(count: int = 6) -> Tensor:
    return torch.randn(count, 4, 6, 6, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def original() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Flatten(), nn.ReLU(), nn.Linear(128, 5)).eval()
    approximate_(model, RULES, [images(20)])
    return model


@torch.no_grad()
def wanted(original: nn.Module, model: nn.Module, rules: dict) -> Tensor:
    """What the calibrated original gives with the parameters of ``model``, nothing of it having been used before."""
    fresh = copy.deepcopy(original)
    for name, value in model.named_parameters():
        module, _, own = name.rpartition(".")
        setattr(fresh.get_submodule(module), own, nn.Parameter(value.clone()))
    assign_(fresh, rules)
    for layer in table_layers(fresh).values():
        layer.forget_prepared()
    return fresh(images())


def new(value: Tensor) -> Tensor:
    return torch.randn(value.shape) * 0.2


def replace(model: nn.Module) -> None:
    model[3].weight = nn.Parameter(new(model[3].weight))
    model[0].bias = nn.Parameter(new(model[0].bias))


def assign_data(model: nn.Module) -> None:
    for _ in range(3):  # memory of the first is free again for the third
        model[3].weight.data = new(model[3].weight)


def write_data(model: nn.Module) -> None:
    model[0].weight.data.mul_(torch.rand(8, 1, 1, 1))
    model[3].bias.data[2] += 1


def write_in_place(model: nn.Module) -> None:
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight.roll(1, 0))


def write_by_numpy(model: nn.Module) -> None:
    model[3].weight.detach().numpy()[1, 7] += 0.3


def load(model: nn.Module) -> None:
    state = {name: new(value) for name, value in model.named_parameters()}
    model.load_state_dict(state, strict=False)


def load_by_assignment(model: nn.Module) -> None:
    state = {name: nn.Parameter(new(value)) for name, value in model.named_parameters()}
    model.load_state_dict(state, strict=False, assign=True)


def step(kind: type[torch.optim.Optimizer], **options: bool) -> Callable[[nn.Module], None]:
    def act(model: nn.Module) -> None:
        for parameter in model.parameters():
            parameter.grad = new(parameter)
        optimiser = kind(model.parameters(), lr=0.05, **options)
        optimiser.step()
        optimiser.zero_grad()

    return act


def swap_for_one_call(model: nn.Module) -> None:
    with torch.no_grad():
        for _ in range(2):
            functional_call(model, {name: new(value) for name, value in model.named_parameters()}, images())


def infer(model: nn.Module) -> None:
    with torch.inference_mode():
        model(images())


MUTATIONS = {
    "replace": replace, "assign data": assign_data, "write data": write_data, "in place": write_in_place,
    "numpy": write_by_numpy, "load": load, "load by assignment": load_by_assignment,
    "Adam fused": step(torch.optim.Adam, fused=True), "SGD fused": step(torch.optim.SGD, fused=True),
    "Adam foreach": step(torch.optim.Adam, foreach=True), "SGD": step(torch.optim.SGD, foreach=False),
    "functional call": swap_for_one_call, "inference": infer,
}  # fmt: skip
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}  # noqa: S301 - own
CELLS = {"harsh": {"default": "drum8s_k3"}, "mild": RULES}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([*MUTATIONS, *COPIES, *CELLS]), min_size=1, max_size=6), st.integers(0, 2**31), st.data()
)
def test_any_sequence_of_changes_gives_what_fresh_layers_give(original, events, seed, data) -> None:
    torch.manual_seed(seed)
    model, rules = copy.deepcopy(original), RULES
    for event in events:
        if event in COPIES:
            before, model = model, COPIES[event](model)
            write_data(before)  # the copy shares nothing
        elif event in CELLS:
            rules = CELLS[event]
            assign_(model, rules)
        else:
            MUTATIONS[event](model)
        if data.draw(st.booleans()):
            with torch.no_grad():
                assert torch.equal(model(images()), wanted(original, model, rules)), events
    assert torch.equal(model(images()).detach(), wanted(original, model, rules)), events


@torch.no_grad()
def test_functional_calls_with_fresh_weights_are_never_stale(original) -> None:
    model = copy.deepcopy(original)
    for _ in range(40):
        swapped = {name: new(value) for name, value in model.named_parameters()}
        twin = copy.deepcopy(model)
        twin.load_state_dict(swapped, strict=False)
        assert torch.equal(functional_call(model, swapped, images()), wanted(original, twin, RULES))


def test_threads_that_swap_weights_of_one_model_get_their_own_results(original) -> None:
    layer = copy.deepcopy(original)[3]
    weights = [torch.randn(5, 128) for _ in range(16)]
    codes = []
    for weight in weights:
        layer.weight = nn.Parameter(weight)
        codes.append(layer.weight_codes)
    kept: Derived[Tensor] = Derived()

    def of(weight: Tensor) -> Tensor:
        return kept(lambda: weight * 2, weight)

    with ThreadPoolExecutor(4) as pool:
        for weight, found in zip(weights * 20, pool.map(of, weights * 20), strict=True):
            assert torch.equal(found, weight * 2)
    assert len({tuple(one.flatten().tolist()) for one in codes}) == 16


@pytest.mark.parametrize("compiled", [True, False])
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 700), st.sampled_from([torch.float32, torch.bfloat16, torch.int8]), st.data())
def test_every_byte_counts_in_a_fingerprint_and_where_it_stands(compiled, size, kind, data) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(hashing, "available", lambda device: False)
        tensor = torch.randint(-100, 100, (size,)).to(kind)
        before = hashing.fingerprint(tensor)
        assert hashing.fingerprint(tensor.clone()) == before
        if size > 1:
            place, other = (data.draw(st.integers(0, size - 1)) for _ in range(2))
            changed = tensor.clone()
            changed[place] += 1
            assert hashing.fingerprint(changed) != before
            swapped = tensor.clone()
            swapped[place], swapped[other] = tensor[other], tensor[place]
            assert (hashing.fingerprint(swapped) == before) == torch.equal(swapped, tensor)
        assert size == 0 or hashing.fingerprint(tensor[1:]) != before


def test_fingerprints_do_not_depend_on_threads_or_gaps() -> None:
    tensor = torch.randn(3000, 500)
    before = hashing.fingerprint(tensor)
    torch.set_num_threads(2)
    try:
        assert hashing.fingerprint(tensor) == before
    finally:
        torch.set_num_threads(1)
    tensor[2999, 499] += 1
    assert hashing.fingerprint(tensor) != before
    assert hashing.fingerprint(tensor.mT) != before and hashing.fingerprint(tensor.mT) == hashing.fingerprint(tensor.mT)
    assert hashing.fingerprint(tensor[:, ::2]) == hashing.fingerprint(tensor[:, ::2].clone())
