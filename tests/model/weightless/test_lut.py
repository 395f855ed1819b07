"""Look-up tables: every address forward, extended finite differences backward, against the closed form."""

import itertools

import pytest
import torch

from slipstick.errors import UserError
from slipstick.model.weightless.bits import Bits, by_rows, scatter_rows, select
from slipstick.model.weightless.lut import LutLayer, _LookUp, addresses, differences

ARITIES = range(1, 7)


def bits_of(codes: torch.Tensor) -> Bits:
    """Bits that want a gradient."""
    return Bits(codes, torch.zeros(codes.shape, requires_grad=True))


def closed_form(table: torch.Tensor, address: int, bit: int) -> float:
    """sum over a of s_l(a) table[a] alpha beta^H_l(a, address), with alpha = 0.5 * 0.75^(n - 1), beta = 1/3."""
    arity = len(table).bit_length() - 1
    alpha, total = 0.5 * 0.75 ** (arity - 1), 0.0
    for a in range(len(table)):
        others = (a ^ address) & ~(1 << bit)
        total += (1 if a >> bit & 1 else -1) * float(table[a]) * alpha * 3.0 ** -others.bit_count()
    return total


def every_address(arity: int, tables: int) -> torch.Tensor:
    """Slots uint8 [tables * arity, 2^arity]: token a has address a in every table."""
    rows = [[(a >> bit) & 1 for a in range(1 << arity)] for bit in range(arity)]
    return torch.tensor(rows, dtype=torch.uint8).repeat(tables, 1)


@pytest.mark.parametrize("arity", range(2, 7))
def test_forward_is_a_look_up_for_every_address(arity):
    layer = LutLayer(5, arity, torch.Generator().manual_seed(arity))
    fired = layer(bits_of(every_address(arity, 5))).codes
    assert torch.equal(fired, (layer.tables > 0).to(torch.uint8)) and 0 < fired.float().mean() < 1
    assert torch.equal(fired, layer.binary())


def test_an_entry_of_zero_is_a_zero():
    layer = LutLayer(1, 2)
    torch.nn.init.zeros_(layer.tables)
    assert not layer(bits_of(every_address(2, 1))).codes.any()


@pytest.mark.parametrize("arity", ARITIES)
def test_input_l_weighs_two_to_the_l(arity):
    assert addresses(every_address(arity, 3), arity).tolist() == [list(range(1 << arity))] * 3


@pytest.mark.parametrize("arity", ARITIES)
def test_differences_are_the_closed_form(arity):
    tables = torch.rand(3, 1 << arity, generator=torch.Generator().manual_seed(arity)) * 2 - 1
    found = differences(tables)
    assert found.shape == (3, arity, 1 << arity)
    for table, bit, address in itertools.product(range(3), range(arity), range(1 << arity)):
        assert float(found[table, bit, address]) == pytest.approx(closed_form(tables[table], address, bit), abs=1e-6)


@pytest.mark.parametrize("arity", ARITIES)
def test_weights_of_each_sign_sum_to_one_half(arity):
    # a table that is 1 where bit l is 1 (0) and 0 elsewhere sums the weights of that sign
    for bit in range(arity):
        ones = torch.tensor([[float(a >> bit & 1) for a in range(1 << arity)]])
        assert torch.allclose(differences(ones)[0, bit], torch.tensor(0.5))
        assert torch.allclose(differences(1 - ones)[0, bit], torch.tensor(-0.5))


@pytest.mark.parametrize("arity", ARITIES)
def test_the_gradient_of_inputs_is_the_closed_form_and_that_of_entries_a_sum_by_address(arity):
    generator = torch.Generator().manual_seed(arity)
    tables = (torch.rand(4, 1 << arity, generator=generator) * 2 - 1).requires_grad_()
    slots = bits_of(torch.randint(0, 2, (4 * arity, 9), generator=generator, dtype=torch.uint8))
    gradient = torch.randn(4, 9, generator=generator)
    fired = Bits(*_LookUp.apply(slots.codes, slots.carrier, tables, arity, None))
    (fired.values() * gradient).sum().backward()
    address = addresses(slots.codes, arity)
    wanted = torch.zeros_like(tables)
    for table, token in itertools.product(range(4), range(9)):
        place, g = int(address[table, token]), float(gradient[table, token])
        wanted[table, place] += g
        for bit in range(arity):
            found = float(slots.carrier.grad[table * arity + bit, token])
            assert found == pytest.approx(g * closed_form(tables[table].detach(), place, bit), abs=1e-5)
    assert torch.allclose(tables.grad, wanted, atol=1e-6)


def test_entries_stay_within_one_while_training_only():
    layer = LutLayer(2, 2)
    torch.nn.init.constant_(layer.tables, 3.0)
    layer.eval()(bits_of(every_address(2, 2)))
    assert layer.tables.max() == 3
    layer.train()(bits_of(every_address(2, 2)))
    assert layer.tables.max() == 1


def test_two_forward_passes_may_precede_a_backward_pass():
    layer, slots = LutLayer(3, 2), bits_of(every_address(2, 3))
    (layer(slots).values().sum() + layer(slots).values().sum()).backward()
    assert torch.equal(layer.tables.grad, torch.full((3, 4), 2.0))


def test_a_table_learns_exclusive_or():
    layer, slots = LutLayer(1, 2, torch.Generator().manual_seed(0)), every_address(2, 1)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        (layer(bits_of(slots)).values() - torch.tensor([[0.0, 1, 1, 0]])).square().sum().backward()
        optimiser.step()
    assert layer.binary().tolist() == [[0, 1, 1, 0]]


def test_differences_point_a_layer_to_what_the_next_one_needs():
    """Two layers learn a function of four bits, which no table of two inputs holds."""
    generator = torch.Generator().manual_seed(3)
    first, second = LutLayer(2, 2, generator), LutLayer(1, 2, generator)
    slots, wanted = every_address(4, 1), torch.tensor([[float(bool(a & 3) and bool(a & 12)) for a in range(16)]])
    optimiser = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        (second(first(bits_of(slots))).values() - wanted).square().sum().backward()
        optimiser.step()
    found = second(first(bits_of(slots))).codes
    assert torch.equal(found, wanted.to(torch.uint8))


def test_selected_rows_return_their_gradients_summed():
    bits = bits_of(torch.tensor([[0, 1], [1, 1], [0, 0]], dtype=torch.uint8))
    chosen = select(bits, torch.tensor([2, 0, 0, 1]))
    assert chosen.values().tolist() == [[0, 0], [0, 1], [0, 1], [1, 1]]
    (chosen.values() * torch.tensor([[1.0], [10], [100], [1000]])).sum().backward()
    assert bits.carrier.grad.tolist() == [[110, 110], [1000, 1000], [1, 1]]
    rows = torch.arange(6.0).view(3, 2)
    assert scatter_rows(rows, torch.tensor([1, 1, 0]), 4).tolist() == [[4, 5], [2, 4], [0, 0], [0, 0]]


@pytest.mark.parametrize("tokens", [5, 50_000])  # in one part and in several
def test_a_layer_that_selects_its_inputs_is_a_selection_and_a_layer(tokens):
    generator = torch.Generator().manual_seed(4)
    layer, index = LutLayer(7, 3, generator), torch.randint(0, 9, (21,), generator=generator)
    codes = torch.randint(0, 2, (9, tokens), generator=generator, dtype=torch.uint8)
    gradient, found = torch.randn(7, tokens, generator=generator), []
    for forward in (lambda bits: layer(bits, index), lambda bits: layer(select(bits, index))):
        bits = bits_of(codes)
        fired = forward(bits)
        layer.zero_grad()
        (fired.values() * gradient).sum().backward()
        found.append((fired.codes, layer.tables.grad, bits.carrier.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.allclose(found[0][1], found[1][1], atol=1e-3) and torch.allclose(found[0][2], found[1][2], atol=1e-5)


@pytest.mark.parametrize(("count", "tokens"), [(1, 1), (7, 40_000), (1000, 1000), (3, 1 << 20)])
def test_slices_cover_every_row_once(count, tokens):
    seen: list[int] = []
    by_rows(torch.empty(count, tokens, dtype=torch.uint8), lambda rows: seen.extend(range(*rows.indices(count))))
    assert seen == list(range(count))


@pytest.mark.parametrize("arity", [-1, 0, 1, 7])
def test_other_arities_are_refused(arity):
    with pytest.raises(UserError, match=f"LUT-{arity}: a table has 2 to 6 inputs"):
        LutLayer(4, arity)
