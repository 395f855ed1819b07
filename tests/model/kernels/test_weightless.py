"""The kernels of tables, thermometers and conditional sums give what plain torch gives, the same for any threads."""

import shutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from slipstick.model.kernels import native
from slipstick.model.kernels.compiler import COMPILERS
from slipstick.model.kernels.weightless import conditional_gradients, conditional_sum, look_up
from slipstick.model.weightless.bits import Bits
from slipstick.model.weightless.lut import LutLayer
from slipstick.model.weightless.sum import ConditionalSum
from slipstick.model.weightless.thermometer import Thermometer

pytestmark = pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="no C++ compiler on PATH")
COUNT, BITS = 70, 41
Results = tuple[Tensor, ...]


@pytest.fixture
def threads():
    """Sets torch's number of threads, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def plain(work: Callable[[], Results], monkeypatch: pytest.MonkeyPatch) -> Results:
    """What ``work`` gives without kernels."""
    with monkeypatch.context() as patch:
        patch.setenv(native.VARIABLE, "off")
        native.native.cache_clear()
        found = work()
    native.native.cache_clear()
    assert native.native() is not None
    return found


def layer_step(arity: int, tokens: int, indexed: bool, whole: bool) -> Results:
    """Output bits, gradients of entries and of input bits; ``whole`` numbers have exact sums."""
    generator = torch.Generator().manual_seed(arity)
    layer, slots = LutLayer(COUNT, arity, generator), COUNT * arity
    codes = torch.randint(0, 2, (BITS if indexed else slots, tokens), generator=generator, dtype=torch.uint8)
    index = torch.randint(0, BITS, (slots,), generator=generator) if indexed else None
    gradient = torch.randn(COUNT, tokens, generator=generator)
    if whole:
        gradient = (8 * gradient).round()
        layer.tables.data = (8 * layer.tables.data).round() / 8
    bits = Bits(codes, torch.zeros(codes.shape, requires_grad=True))
    fired = layer(bits, index)
    (fired.values() * gradient).sum().backward()
    assert layer.tables.grad is not None and bits.carrier.grad is not None
    return fired.codes, layer.tables.grad, bits.carrier.grad


@pytest.mark.parametrize("arity", range(2, 7))
@pytest.mark.parametrize("tokens", [1, 37, 1029])
@pytest.mark.parametrize("indexed", [True, False])
def test_a_layer_gives_the_plain_bits_and_gradients(arity, tokens, indexed, monkeypatch):
    for whole in (True, False):
        found = layer_step(arity, tokens, indexed, whole)
        wanted = plain(lambda whole=whole: layer_step(arity, tokens, indexed, whole), monkeypatch)
        assert torch.equal(found[0], wanted[0])
        for ours, theirs in zip(found[1:], wanted[1:], strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-5, atol=0 if whole else 2e-5)
            assert not whole or torch.equal(ours, theirs)


@pytest.mark.parametrize("arity", [2, 6])
def test_a_layers_gradients_do_not_depend_on_the_threads(arity, threads):
    found = []
    for number in (1, 2, 5):
        threads(number)
        found.append(layer_step(arity, 3001, True, whole=False))
    for one in found[1:]:
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(one, found[0], strict=True))


def thermometer_step(tokens: int) -> Results:
    """Bits, gradients of features and of thresholds."""
    generator = torch.Generator().manual_seed(1)
    thermometer = Thermometer(torch.randn(400, 9, generator=generator), 5, 0.03)
    x = torch.randn(tokens, 9, generator=generator).requires_grad_()
    bits = thermometer(x)
    (bits.values() * torch.randn(bits.codes.shape, generator=generator)).sum().backward()
    assert x.grad is not None and thermometer.thresholds.grad is not None
    return bits.codes, x.grad, thermometer.thresholds.grad


@pytest.mark.parametrize("tokens", [1, 37, 5000])
def test_a_thermometer_gives_the_plain_bits_and_gradients(tokens, monkeypatch):
    found, wanted = thermometer_step(tokens), plain(lambda: thermometer_step(tokens), monkeypatch)
    assert torch.equal(found[0], wanted[0]) and 0 < found[0].float().mean() < 1
    for ours, theirs in zip(found[1:], wanted[1:], strict=True):
        assert theirs.any() and torch.allclose(ours, theirs, rtol=1e-5, atol=1e-3)


def test_a_thermometers_gradients_do_not_depend_on_the_threads(threads):
    found = []
    for number in (1, 3):
        threads(number)
        found.append(thermometer_step(20_000))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))


def sum_step(count: int, tokens: int, outputs: int, width: int) -> Results:
    """Sums, gradients of entries and of bits."""
    generator = torch.Generator().manual_seed(count)
    layer = ConditionalSum(torch.randn(count, outputs, generator=generator), width)
    codes = torch.randint(0, 2, (count, tokens), generator=generator, dtype=torch.uint8)
    bits = Bits(codes, torch.zeros(codes.shape, requires_grad=True))
    sums = layer(bits)
    (sums * torch.randn(sums.shape, generator=generator)).sum().backward()
    assert layer.entries.grad is not None and bits.carrier.grad is not None
    return sums.detach(), layer.entries.grad, bits.carrier.grad


@pytest.mark.parametrize("width", [2, 8, 12])
@pytest.mark.parametrize(("count", "tokens", "outputs"), [(1, 1, 1), (37, 130, 7), (200, 65, 128), (80, 600, 200)])
def test_a_conditional_sum_gives_the_plain_sums_and_gradients(count, tokens, outputs, width, monkeypatch):
    found = sum_step(count, tokens, outputs, width)
    wanted = plain(lambda: sum_step(count, tokens, outputs, width), monkeypatch)
    assert torch.equal(found[0], wanted[0])
    for ours, theirs in zip(found[1:], wanted[1:], strict=True):
        assert theirs.any() and torch.allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_a_conditional_sums_gradients_do_not_depend_on_the_threads(threads):
    found = []
    for number in (1, 2, 5):
        threads(number)
        found.append(sum_step(900, 1500, 140, 8))
    for one in found[1:]:
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(one, found[0], strict=True))


@pytest.mark.parametrize("row", [-1, 3])
def test_inputs_that_are_no_bit_are_refused(row):
    codes, tables = torch.ones(3, 8, dtype=torch.uint8), torch.ones(1, 4)
    with pytest.raises(IndexError, match="of 3"):
        look_up(codes, torch.tensor([0, row]), tables)


def test_other_numbers_of_rows_are_refused():
    bits, codes, gradient = torch.ones(3, 8, dtype=torch.uint8), torch.ones(4, 5), torch.ones(8, 5)
    with pytest.raises(ValueError, match="3 bits need as many codes, not 4"):
        conditional_sum(bits, codes.int())
    with pytest.raises(ValueError, match="3 bits need as many codes, not 4"):
        conditional_gradients(bits, codes, gradient)
    with pytest.raises(ValueError, match="40 sums need as many gradients, not 35"):
        conditional_gradients(bits, codes[:3], gradient[:7])


@pytest.mark.parametrize(
    "operator", ["look_up", "look_up_gradients", "compare", "window", "conditional_sum", "conditional_gradients"]
)
def test_fake_kernels_tell_the_real_shapes(operator):
    codes, index, tables = torch.ones(3, 8, dtype=torch.uint8), torch.tensor([0, 2, 1, 1]), torch.ones(2, 4)
    places, limits = torch.ones(2, 8, dtype=torch.int16), torch.zeros(2, 3, dtype=torch.int16)
    arguments = {
        "look_up": (codes, index, tables),
        "look_up_gradients": (codes[:2], index, tables, torch.ones(2, 8), 3, 0.25),
        "compare": (places, limits),
        "window": (places, torch.ones(6, 8), limits, limits + 2, torch.ones(2)),
        "conditional_sum": (codes, torch.ones(3, 5, dtype=torch.int32)),
        "conditional_gradients": (codes, torch.ones(3, 5), torch.ones(8, 5)),
    }
    torch.library.opcheck(getattr(torch.ops.slipstick, operator).default, arguments[operator])
