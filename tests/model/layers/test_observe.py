"""The histogram of an operand: what it suggests, and what it says a range clips."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstick.model.layers.observe import BINS, Observer


def observed(*batches: torch.Tensor) -> Observer:
    observer = Observer()
    for batch in batches:
        observer.update(batch)
    return observer


@given(st.integers(0, 2**31), st.floats(0.05, 1.2), st.sampled_from([0.0, 0.5, 0.999]), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_what_a_range_clips_is_what_counting_finds(seed: int, part: float, sparsity: float, batches: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(4000, generator=draw) ** 3
    values[torch.rand(4000, generator=draw) < sparsity] = 0
    values[0] = 1.0
    observer = observed(*values.chunk(batches))
    range_ = part * observer.largest
    sizes = values.double().abs()
    excess = (sizes - range_).clamp(min=0)
    found = observer.beyond(range_)
    near = float(((sizes - range_).abs() <= observer.edge).double().mean())  # a bin counts in proportion
    assert abs(found.values - float((excess > 0).double().mean())) <= near + 1e-12
    finest = 3 * observer.edge / observer.largest
    assert found.energy == pytest.approx(float(excess.square().sum() / sizes.square().sum()), rel=0.02, abs=finest)
    assert found.error == pytest.approx(float(excess.square().mean()), rel=0.02, abs=finest * observer.largest**2)


def test_nothing_lies_beyond_the_largest_value() -> None:
    observer = observed(torch.randn(1000))
    assert observer.beyond(observer.largest).values == 0 and observer.beyond(observer.largest * 0.99).values > 0


def test_zeros_do_not_move_a_percentile() -> None:
    values = torch.zeros(4, 20_000)
    values[:, 7] = 1
    assert observed(values).percentile(99.99) == pytest.approx(1, abs=1 / BINS)
    kept = torch.randn(1000).abs() + 0.1
    padded = torch.cat([kept, torch.zeros(100_000)])
    assert observed(padded).percentile(99) == observed(kept).percentile(99)
    assert observed(padded).total == len(padded)


def test_batches_of_zeros_before_small_values_cost_no_resolution() -> None:
    small = 1e-4 * torch.rand(1000, generator=torch.Generator().manual_seed(0))
    late, alone = observed(torch.zeros(50), small), observed(small)
    assert late.range == alone.range and torch.equal(late.counts, alone.counts)


def test_only_zeros_have_no_largest_value() -> None:
    observer = observed(torch.zeros(10))
    assert observer.largest == 0 and observer.total == 10 and observer.beyond(1.0).values == 0


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_order_of_batches_does_not_count(data: st.DataObject) -> None:
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    scales = data.draw(st.lists(st.floats(-35, 35), min_size=2, max_size=6))
    batches = [torch.randn(200, generator=draw) * 10.0**scale for scale in scales] + [torch.zeros(3)]
    one, other = observed(*batches), observed(*data.draw(st.permutations(batches)))
    whole = observed(torch.cat(batches))
    for found in (other, whole):
        assert torch.equal(found.counts, one.counts)
        assert (found.zeros, found.range, found.largest) == (one.zeros, one.range, one.largest)
    assert one.total == 200 * len(scales) + 3 and one.range / 2 < one.largest <= one.range


def test_more_values_than_float32_counts_are_counted() -> None:
    values = torch.ones(1).expand((1 << 24) + 5)
    assert observed(values).total == observed(values, torch.ones(1)).total - 1 == (1 << 24) + 5
