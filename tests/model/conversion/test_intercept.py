"""Products that modules make by themselves: found, sent to cells, and never quietly different."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from slipstick.errors import UserError
from slipstick.model.conversion.plan import plan
from slipstick.model.conversion.products import Product, recognise
from slipstick.model.conversion.replace import convert_
from slipstick.model.convert import approximate_, layer_names, table_layers
from slipstick.model.layers.multihead import ApproxMultiheadAttention
from slipstick.model.layers.table_layer import TableLayer
from tests.rounding import assert_same_function, assert_same_model, in_double

a, b = torch.randn(2, 3, 4), torch.randn(2, 4, 5)


@pytest.mark.parametrize(
    ("func", "args", "kwargs"),
    [
        (torch.matmul, (a, b), {}),
        (torch.matmul, (a, b[0, :, 0]), {}),
        (torch.matmul, (a[0, 0], b), {}),
        (torch.matmul, (a[0, 0], b[0, :, 0]), {}),
        (torch.Tensor.__rmatmul__, (b, a), {}),
        (torch.bmm, (a,), {"mat2": b}),
        (torch.mv, (a[0], b[0, :, 0]), {}),
        (torch.addmm, (torch.ones(5), a[0], b[0]), {"beta": 2, "alpha": 0.5}),
        (torch.baddbmm, (torch.ones(3, 5), a, b), {"alpha": 3}),
        (F.linear, (a, b[0].T), {"bias": torch.ones(5)}),
        (F.linear, (a[0, 0], b[0].T, torch.ones(5)), {}),
        (torch.einsum, ("bik,bkj->bij", a, b), {}),
        (torch.einsum, ("bik,bkj", a, b), {}),
        (torch.einsum, ("...ik, ...kj -> ...ji", a, b), {}),
        (torch.einsum, ("bik,kj->jbi", a, b[0]), {}),
        (torch.einsum, ("bik,bkj->b", a, b), {}),
        (torch.einsum, ("bik,cki->bc", a, a.mT), {}),
        (torch.einsum, ("bhqd,bkd->bhqk", torch.randn(2, 3, 5, 4), a), {}),
        (torch.einsum, ("nihw,ohw->nio", torch.randn(2, 3, 4, 5), torch.randn(6, 4, 5)), {}),
    ],
)
def test_every_spelling_of_a_product_has_one_form(func, args, kwargs) -> None:
    call = recognise(func, args, kwargs)
    assert isinstance(call, Product)
    exact = func(*map(in_double, args), **{name: in_double(value) for name, value in kwargs.items()})
    assert_same_function(call.finish(call.left @ call.right), func(*args, **kwargs), exact)


@pytest.mark.parametrize(
    ("func", "args", "kwargs"),
    [
        (torch.einsum, ("bik,bik->bik", a, a), {}),
        (torch.einsum, ("bii->b", torch.randn(2, 3, 3)), {}),
        (torch.matmul, (a.long(), b.long()), {}),
        (torch.matmul, (a, b), {"out": torch.empty(2, 3, 5)}),
        (torch.add, (a, a), {}),
    ],
)
def test_other_calls_are_no_products(func, args, kwargs) -> None:
    assert recognise(func, args, kwargs) is None


class Odd(nn.Module):
    """Parameters on both sides, a bare linear, a shared weight, an outer product, an einsum, a padded convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.right, self.left = nn.Parameter(torch.randn(8, 6)), nn.Parameter(torch.randn(5, 4))
        self.bare, self.offset = nn.Linear(6, 6, bias=False), nn.Parameter(torch.randn(6))
        self.table = nn.Embedding(7, 6)
        self.queries = nn.Parameter(torch.randn(3, 6, 2))
        self.register_buffer("frequency", torch.randn(5, 1))
        self.conv = nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")

    def forward(self, x):  # [B, 4, 8]
        x = self.left @ (x @ self.right)  # [B, 5, 6]
        x = F.linear(x, self.bare.weight, self.offset * 2) + self.frequency @ self.frequency.new_ones(1, 6)
        heads = torch.einsum("btd,hdk->bhtk", x, self.queries)
        x = x + F.scaled_dot_product_attention(heads, heads, heads, is_causal=True).mean((1, 3), keepdim=True)[:, 0]
        x = x + self.conv(x[:, None]).mean(1)
        return x @ self.table.weight.T  # [B, 5, 7]


def odd() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(Odd()), torch.randn(40, 4, 8)


@torch.no_grad()
def test_parameters_used_without_a_layer_become_layers_and_stay_where_they_are() -> None:
    model, data = odd()
    twin = copy.deepcopy(model)
    report = approximate_(model, {}, [data])
    assert list(report.layers) == layer_names(twin, data[:2])
    assert set(report.layers) == {
        "0.bare", "0.linear_0", "0.linear_1", "0.linear_2", "0.matmul_0", "0.qk", "0.av", "0.conv.conv_0",
    }  # fmt: skip
    assert list(report.left_exact) == ["0"] and "outer product" in report.left_exact["0"]
    wanted = twin(data)
    assert (model(data) - wanted).norm() < 0.05 * wanted.norm()
    assert twin.state_dict().keys() <= model.state_dict().keys()
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in twin.named_parameters()]


@torch.no_grad()
def test_observing_a_converted_model_changes_nothing() -> None:
    model, data = odd()
    twin = copy.deepcopy(model)
    approximate_(model, {}, [data])
    for layer in table_layers(model).values():
        layer.observing = True
    assert_same_model(model(data), twin, data)


@torch.no_grad()
def test_a_converted_model_can_be_copied() -> None:
    model, data = odd()
    approximate_(model, {"default": "truncated8s_k6"}, [data])
    twin = copy.deepcopy(model)
    before = model(data)
    assert torch.equal(twin(data), before)
    twin[0].right.zero_()
    assert twin[0].linear_0.weight.abs().max() == 0 and torch.equal(model(data), before)


class Fickle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head, self.mode = nn.Linear(4, 4), "square"

    def forward(self, x):
        if self.mode == "square":
            x = x @ x.mT
        if self.mode == "twice":
            x = x @ x.mT @ x
        if self.mode == "einsum":
            x = torch.einsum("bij,bkj->bik", x, x)
        return self.head(x)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("none", "module '0' made 0 products where tracing saw 1"),
        ("twice", "product 1 is 'matmul' where tracing saw nothing"),
        ("einsum", "product 0 is 'einsum bij,bkj->bik' where tracing saw 'matmul'"),
    ],
)
def test_products_that_tracing_did_not_see_are_refused(mode: str, message: str) -> None:
    model, data = nn.Sequential(Fickle()), torch.randn(40, 4, 4)
    approximate_(model, {}, [data])
    model[0].mode = mode
    with pytest.raises(UserError, match=message):
        model(data)
    model[0].mode = "square"
    model(data)


def test_what_has_no_form_on_cells_is_named_with_why() -> None:
    class Others(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line, self.rnn, self.head = nn.Conv1d(4, 4, 1), nn.LSTM(4, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.rnn(self.line(x.mT).mT)[0]) + torch.cdist(x, x).mean()

    report = approximate_(nn.Sequential(Others()), {}, [torch.randn(40, 5, 4)])
    assert list(report.layers) == ["0.head"] and set(report.left_exact) == {"0", "0.line", "0.rnn"}
    assert "convolution of this kind has no form on cells" in report.left_exact["0.line"]


def test_a_layer_that_calibration_does_not_reach_refuses_to_run() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    model.add_module("spare", nn.Linear(4, 4))
    model.forward = lambda x: model[0](x)
    report = approximate_(model, {}, [torch.randn(40, 4)])
    assert report.unused == ["spare"] and list(report.layers) == ["0"]
    with pytest.raises(UserError, match="layer 'spare' is not calibrated"):
        model.spare(torch.randn(2, 4))


@pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"batch_first": False}, {"add_bias_kv": True}, {"add_zero_attn": True},
     {"kdim": 6, "vdim": 10}],
)  # fmt: skip
@pytest.mark.parametrize("masks", ["none", "padding", "causal", "both", "per head"])
@torch.no_grad()
def test_multi_head_attention_keeps_every_argument(options: dict, masks: str) -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, **{"batch_first": True, **options}).eval()
    whole = nn.ModuleList([copy.deepcopy(attention)])
    convert_(whole, plan(whole, None), ())
    cells = whole[0]
    assert isinstance(cells, ApproxMultiheadAttention)
    for layer in cells.modules():
        if isinstance(layer, TableLayer):
            layer.observing = True
    q, k, v = torch.randn(3, 4, 8), torch.randn(3, 5, attention.kdim), torch.randn(3, 5, attention.vdim)
    padding = torch.tensor([[False] * 5, [False] * 4 + [True], [False] * 3 + [True] * 2])
    if not attention.batch_first:
        q, k, v = (x.transpose(0, 1) for x in (q, k, v))
    causal = torch.ones(4, 5, dtype=torch.bool).triu(1)
    given = {
        "none": {}, "padding": {"key_padding_mask": padding}, "causal": {"attn_mask": causal},
        "both": {"key_padding_mask": padding, "attn_mask": causal},
        "per head": {"attn_mask": torch.randn(6, 4, 5), "average_attn_weights": False},
    }[masks]  # fmt: skip
    wide = (in_double(part) for part in (q, k, v))
    exact = in_double(attention)(*wide, **{name: in_double(value) for name, value in given.items()})
    for results in zip(cells(q, k, v, **given), attention(q, k, v, **given), exact, strict=True):
        assert_same_function(*results)
    assert cells(q, k, v, need_weights=False)[1] is None
    assert cells.state_dict().keys() >= attention.state_dict().keys()
