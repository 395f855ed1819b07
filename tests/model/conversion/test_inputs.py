"""What calibration takes, and that its order, its splitting, and failures leave no trace."""

import copy
from collections import UserDict, namedtuple

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from slipstick.errors import UserError
from slipstick.model.conversion.calibrate import calibrate
from slipstick.model.convert import approximate_, table_layers
from slipstick.model.layers.config import QuantConfig
from slipstick.model.layers.matmul import ApproxMatmul
from slipstick.model.predict import predicted_damage
from slipstick.rtl.cells import cell
from tests.model.conversion.families import images
from tests.model.conversion.test_state import KINDS, net

X = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 3


LARGEST = QuantConfig("minmax")


def scales(model: nn.Module) -> list[float]:
    return [float(layer.activation_scale) for layer in table_layers(model).values()]


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, values, mask=None):
        return self.two(self.one(values).relu())


class Dictionary(TensorDataset):
    def __getitem__(self, index):
        return {"image": X[index], "label": int(Y[index]), "name": f"picture {index}"}


GIVEN = {
    "a tensor": lambda: X,
    "a list of one": lambda: [X],
    "batches": lambda: [X[:32], X[32:]],
    "a generator": lambda: (part for part in X.split(32)),
    "images and labels": lambda: [(X[:32], Y[:32]), (X[32:], Y[32:])],
    "lists, as a DataLoader makes": lambda: DataLoader(TensorDataset(X, Y), 32),
    "labels in words": lambda: [(X, ["cat"] * 40)],
    "a mapping": lambda: {"values": X},
    "a mapping of another class": lambda: [UserDict(values=X)],
    "a mapping with labels": lambda: [{"values": X, "labels": Y}],
    "another name, labels and words": lambda: DataLoader(Dictionary(X, Y), 32),
    "a named tuple": lambda: [namedtuple("Sample", "image label")(X, Y)],
    "another type": lambda: [X.double()],
    "inference tensors": lambda: [torch.inference_mode()(lambda: X * 1)()],
}


@pytest.mark.parametrize("kind", GIVEN)
def test_batches_come_in_every_form(kind: str) -> None:
    wanted, model = Plain(), Plain()
    approximate_(wanted, KINDS, [X])
    approximate_(model, KINDS, GIVEN[kind]())
    assert scales(model) == scales(wanted)
    assert all(layer.sample.gradient is not None for layer in table_layers(model).values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no calibration batches"), (iter([]), "no calibration batches"), (X[:0], "batch 0 is empty"),
        ([[]], "batch 0 is of type list"), (3, "batches are of type int"), ("path", "batches are of type str"),
        ([X, "path"], "batch 1 is of type str"), ([None], "batch 0 is of type NoneType"),
        ({"first": X, "second": X}, "has first, second; the model's forward takes values, mask"),
        ([X, torch.full((4, 8), float("nan"))], "batch 1 holds NaN"),
        ((torch.tensor(1.0),), "a calibration batch is a tensor"),
    ],
)  # fmt: skip
def test_what_cannot_be_calibrated_with_is_one_line(given, message: str) -> None:
    model = Plain()
    before = type(model.one)
    with pytest.raises(UserError, match=message):
        approximate_(model, KINDS, given)
    assert type(model.one) is before and model.training


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(8, 3)

    def forward(self, first, second):
        return self.one(first) + second[:, None]


def test_what_the_forward_needs_is_no_label() -> None:
    model = Two()
    approximate_(model, KINDS, [(X, Y.float())])
    with pytest.raises(UserError, match="batch 0 has 1 tensors, the model's forward needs 2: first, second"):
        approximate_(Two(), KINDS, [(X,)])


@pytest.mark.parametrize(
    ("family", "dtype"),
    [
        ("vit_tiny_patch16_224", torch.bfloat16),
        ("vit_tiny_patch16_224", torch.float16),  # of convolutions this small: CPUs take minutes for others
        ("vit_tiny_patch16_224", torch.float64),
        ("swin_tiny_patch4_window7_224", torch.bfloat16),
        ("swin_tiny_patch4_window7_224", torch.float64),
    ],
)
@torch.no_grad()
def test_models_of_other_types_convert_and_keep_their_type(family: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    if family.startswith("vit"):
        plain, data = timm.create_model(family, img_size=32, depth=2, num_classes=10), images(32)
    else:
        options = {"img_size": 56, "depths": (1, 1), "embed_dim": 24, "num_heads": (2, 4)}
        plain, data = timm.create_model(family, num_classes=10, **options), images(56)
    model = copy.deepcopy(plain).to(dtype).eval()
    wanted = plain.eval()(data)
    report = approximate_(model, {}, data)
    assert not report.left_exact
    got = model(data.to(dtype))
    assert got.dtype == dtype and (got.float() - wanted).norm() < 0.1 * wanted.norm()
    with torch.enable_grad():
        model(data.to(dtype)).float().sum().backward()
    assert all(layer.activation_scale.dtype == torch.float32 for layer in table_layers(model).values())


@torch.no_grad()
def test_a_converted_model_keeps_its_scales_in_another_type() -> None:
    model, data = net()
    approximate_(model, {}, data)
    before, wanted = scales(model), model(data)
    model.bfloat16()
    got = model(data.bfloat16())
    assert scales(model) == before and (got.float() - wanted).norm() < 0.1 * wanted.norm()


def test_conversion_works_inside_inference_mode() -> None:
    model = Plain()
    with torch.inference_mode():
        approximate_(model, KINDS, X)
        inside = model(X)
        with pytest.raises(UserError, match=r"'one.weight' was made inside torch.inference_mode"):
            approximate_(Plain(), KINDS, X)
    model(X).sum().backward()
    assert torch.equal(inside, model(X).detach())


class Head(nn.Module):
    def __init__(self, kind) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.kind = nn.Linear(8, 3), kind

    def forward(self, values):
        return self.kind(self.one(values))


OUTPUTS = {
    "one number an example": lambda x: x[:, 0],
    "one column": lambda x: x[:, :1],
    "a loss": lambda x: x.square().mean(),
    "a tuple": lambda x: (x, x.sum()),
    "a mapping": lambda x: {"loss": x.sum(), "logits": x},
    "nested": lambda x: [{"first": (x,)}],
    "a map": lambda x: x.view(-1, 1, 3),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_of_every_form_predict_damage(kind: str) -> None:
    model = Head(OUTPUTS[kind])
    approximate_(model, KINDS, X)
    assert predicted_damage(model.one, ((cell("truncated8s_k8"),),)) > 0


@pytest.mark.parametrize("kind", [lambda x: x.argmax(1), lambda x: x.detach(), lambda x: None, lambda x: "cat"])
def test_outputs_without_gradients_are_one_line(kind) -> None:
    model = Head(kind)
    with pytest.raises(UserError, match="the model's outputs have no gradient|the model returns"):
        approximate_(model, KINDS, X)
    assert type(model.one) is nn.Linear


class Mixer(nn.Module):
    """Sequences of any length: attention, and a product that sums over tokens."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        mixed = (self.q(x) @ self.k(x).mT).softmax(-1) @ x
        return self.head(mixed).mean(1)


def state(model: nn.Module) -> dict[str, object]:
    """All that calibration leaves in the layers but their sample and the work of one image."""
    found: dict[str, object] = dict(model.state_dict())
    for name, layer in table_layers(model).items():
        found[f"{name} counts"] = layer.code_counts
        if isinstance(layer, ApproxMatmul):
            found |= {f"{name} bias {k}": layer.bias_code(k) for k in (4, 8, 128)}
            found[f"{name} others"] = layer.stationary_counts
    return found


def equal(one: dict[str, object], other: dict[str, object]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_compensation_follows_the_length_that_is_summed() -> None:
    lengths, biases = {}, []
    for order in ([4, 128], [128, 4]):
        model = Mixer()
        data = {length: torch.randn(8, length, 8, generator=torch.Generator().manual_seed(length)) for length in order}
        approximate_(model, {"default": "truncated8s_k6"}, [data[length] for length in order], LARGEST)
        lengths[tuple(order)] = state(model)
        layer = model.av
        biases.append([int(layer.bias_code(k)) for k in (1, 4, 128)])
        with torch.no_grad():
            for length in order:
                mean = layer.error_moments(layer.grid, length)[0]
                assert layer.bias_code(length) == torch.from_numpy(-mean).round().int()
    assert biases[0] == biases[1] and abs(biases[0][2] - 128 / 4 * biases[0][1]) <= 16
    assert equal(*lengths.values())


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_calibration_knows_no_order_and_no_split(data: st.DataObject) -> None:
    whole = torch.randn(24, 6, 8, generator=torch.Generator().manual_seed(1)) * torch.logspace(-2, 1, 24).view(-1, 1, 1)
    order = data.draw(st.permutations(range(24)))
    cuts = sorted(data.draw(st.sets(st.integers(1, 23), max_size=5)))
    parts = [whole[list(order)][a:b] for a, b in zip([0, *cuts], [*cuts, 24], strict=True)]
    one, other = Mixer(), Mixer()
    approximate_(one, {"default": "truncated8s_k5"}, whole, LARGEST)
    approximate_(other, {"default": "truncated8s_k5"}, parts, LARGEST)
    assert equal(state(one), state(other))
    calibrate(other, [whole], LARGEST)
    assert equal(state(one), state(other))


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_no_method_knows_an_order_of_batches(data: st.DataObject) -> None:
    """The sample on which ranges are compared does not follow the order either."""
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    sizes = data.draw(st.lists(st.sampled_from([2, 5, 40]), min_size=2, max_size=4))
    batches = [torch.randn(size, 6, 8, generator=draw) * 10 ** (place - 1.0) for place, size in enumerate(sizes)]
    config = QuantConfig(method=data.draw(st.sampled_from(["output", "mse", "percentile", "minmax"])))
    one, other = Mixer(), Mixer()
    approximate_(one, {"default": "truncated8s_k5"}, batches, config)
    approximate_(other, {"default": "truncated8s_k5"}, data.draw(st.permutations(batches)), config)
    assert equal(state(one), state(other))
    for name, layer in table_layers(one).items():
        twin = table_layers(other)[name]
        assert torch.equal(layer.sample.codes, twin.sample.codes), name
        assert torch.equal(layer.sample.gradient, twin.sample.gradient) and layer.rows_per_image == twin.rows_per_image
