"""A module, a weight or a whole block that a model uses more than once."""

import copy

import torch
import torch.nn.functional as F
from timm.layers.attention import Attention
from torch import nn

from slipstick.model.convert import approximate_, table_layers
from slipstick.model.workload import workload
from tests.model.conversion.test_state import net


class Universal(nn.Module):
    """One block over and over, one Linear under two names, one projection in two attentions, tied ends."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 16)
        self.first, self.second = Attention(16, 2), Attention(16, 2)
        self.second.qkv = self.first.qkv
        self.up = nn.Linear(16, 16)
        self.again = self.up
        self.more = nn.ModuleList([self.up, self.first, self.first])
        self.loose = [self.up]
        self.head = nn.Linear(16, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        x = self.embed(tokens)
        x = x + self.second(self.first(x))
        x = x + self.again(F.gelu(self.up(x)))
        x = x + self.more[2](self.more[1](self.more[0](x)))
        return self.head(x + self.loose[0](x))


def test_what_is_used_more_than_once_is_on_cells_in_every_place_and_counted() -> None:
    torch.manual_seed(0)
    model = Universal().eval()
    tokens = torch.randint(0, 11, (40, 6))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        wanted = twin(tokens)
    report = approximate_(model, {}, [tokens])
    assert not report.left_exact and not report.unused
    assert set(report.layers) == {"first.qkv", "first.qk", "first.av", "first.proj", "second.qk", "second.av",
                                  "second.proj", "up", "head"}  # fmt: skip
    shapes = workload(model)
    assert shapes["up"].rows == 4 * 6 and shapes["first.qkv"].rows == 4 * 6 and shapes["first.qk"].repeats == 3 * 2
    assert shapes["second.qk"].repeats == 2 and shapes["head"].rows == 6
    assert model.again is model.up is model.more[0] and model.head.weight is model.embed.weight
    with torch.no_grad():
        assert (model(tokens) - wanted).norm() < 0.05 * wanted.norm()
    layer = table_layers(model)["up"]
    assert layer.input_observer.largest > 0
    with torch.no_grad():
        for name, one in table_layers(model).items():  # no use of any layer is left in float
            before = model(tokens)
            one.activation_scale *= 40
            assert not torch.equal(model(tokens), before), name
            one.activation_scale /= 40


def test_a_projection_that_two_attentions_share_speaks_the_scales_of_neither() -> None:
    torch.manual_seed(0)
    model, tokens = Universal().eval(), torch.randint(0, 11, (40, 6))
    approximate_(model, {}, [tokens])
    assert not model.first.integer_operands and not model.second.integer_operands
    model, images = net()
    approximate_(model, {}, [images])
    assert model.attention.integer_operands
