"""Sums over bits: groups, conditional rows of whole numbers, least squares."""

import pytest
import torch

from slipstick.errors import UserError
from slipstick.model.weightless.bits import Bits
from slipstick.model.weightless.sum import ConditionalSum, GroupSum, group_entries, solve
from tests.rounding import assert_within, product_error


def random_bits(count: int, tokens: int) -> Bits:
    codes = torch.randint(0, 2, (count, tokens), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return Bits(codes, torch.zeros(count, tokens, requires_grad=True))


def random_entries(count: int, outputs: int) -> torch.Tensor:
    return torch.randn(count, outputs, generator=torch.Generator().manual_seed(2))


def test_groups_are_counted_and_zeros_fill_the_last():
    bits = Bits(torch.tensor([[1, 0], [1, 1], [0, 1], [1, 0], [1, 1]], dtype=torch.uint8), torch.zeros(5, 2))
    assert GroupSum(2, 0.5)(bits).tolist() == [[4.0, 4.0], [4.0, 2.0]]
    assert GroupSum(3)(bits).tolist() == [[2.0, 1.0, 1.0], [1.0, 1.0, 1.0]]


def test_groups_give_every_bit_its_groups_gradient():
    bits = random_bits(6, 3)
    (GroupSum(2, 4.0)(bits) * torch.tensor([1.0, 2.0])).sum().backward()
    assert bits.carrier.grad.tolist() == [[0.25] * 3] * 3 + [[0.5] * 3] * 3


@pytest.mark.parametrize("width", [2, 4, 8, 12])
def test_sums_are_whole_multiples_of_the_scale_and_entries_fit_their_width(width):
    layer, bits = ConditionalSum(random_entries(20, 5), width), random_bits(20, 30)
    codes, limit = layer.codes(), 1 << (width - 1)
    assert codes.abs().max() == limit - 1 and torch.equal(codes, codes.round())
    wanted = bits.codes.long().T @ codes.long()
    assert torch.equal(layer(bits), wanted.float() * layer.scale)
    if width == 12:
        assert torch.allclose(layer(bits), bits.codes.float().T @ layer.entries, atol=0.02)


def test_gradients_pass_straight_through_the_rounding():
    layer, bits = ConditionalSum(random_entries(20, 5), 4), random_bits(20, 30)
    gradient = torch.randn(30, 5, generator=torch.Generator().manual_seed(3))
    (layer(bits) * gradient).sum().backward()
    by_entries, by_bits = (bits.codes.double(), gradient), (layer.codes() * layer.scale, gradient.T)
    assert_within(layer.entries.grad, by_entries[0] @ gradient.double(), product_error(*by_entries))
    assert_within(bits.carrier.grad, by_bits[0].double() @ by_bits[1].double(), product_error(*by_bits))


def test_solving_finds_the_entries_that_made_the_outputs():
    bits, entries = random_bits(6, 400).codes, random_entries(6, 3)
    assert torch.allclose(solve(bits, bits.float().T @ entries, 1e-9), entries, atol=1e-4)


def test_solving_survives_bits_that_are_always_alike():
    bits = torch.ones(4, 50, dtype=torch.uint8)
    found = solve(bits, torch.full((50, 1), 2.0))
    assert torch.isfinite(found).all() and float(found.sum()) == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("width", [0, 1, 17])
def test_widths_that_hold_no_entry_are_refused(width):
    with pytest.raises(UserError, match=f"bits of an entry {width}: must be from 2 to 16"):
        ConditionalSum(random_entries(2, 2), width)


@pytest.mark.parametrize(("groups", "temperature"), [(0, 1.0), (3, 0.0), (3, -1.0)])
def test_groups_that_cannot_be_are_refused(groups, temperature):
    with pytest.raises(UserError, match="both must be positive"):
        GroupSum(groups, temperature)


def test_group_sums_need_a_bit_an_output():
    with pytest.raises(UserError, match="5 bits cannot be 6 groups"):
        group_entries(5, torch.randn(9, 6))


def test_group_sums_of_even_bits_spread_as_what_they_imitate():
    wanted = torch.randn(4096, 6) * 3
    bits = torch.randint(0, 2, (48, 4096)).float()
    assert 2.7 < (bits.T @ group_entries(48, wanted)).std() < 3.3
