"""Mappings: every bit reaches a table, the best score wins, gradients as published or nearly so."""

import pytest
import torch

from slipstick.errors import UserError
from slipstick.model.weightless.bits import Bits
from slipstick.model.weightless.mapping import TEMPERATURE, FixedMapping, LearnableMapping, random_index
from tests.rounding import assert_within, product_error


def random_bits(count: int, tokens: int) -> Bits:
    codes = torch.randint(0, 2, (count, tokens), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    return Bits(codes, torch.zeros(count, tokens, requires_grad=True))


def test_no_bit_is_used_twice_before_all_are_used_once():
    index = random_index(10, 34, torch.Generator().manual_seed(0))
    for start in range(0, 30, 10):
        assert sorted(index[start : start + 10].tolist()) == list(range(10))
    assert len(index) == 34 and len(set(index[30:].tolist())) == 4


def test_the_generator_decides_the_mapping():
    one, two, other = (random_index(50, 60, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_more_bits_than_the_mapping_can_address_are_refused():
    for build in (random_index, LearnableMapping):
        with pytest.raises(UserError, match="13 bits are more than the 12 inputs of the tables can take"):
            build(13, 12)


@pytest.mark.parametrize("sampled", [None, 4])
def test_forward_takes_the_bit_with_the_highest_score(sampled):
    bits, mapping = random_bits(6, 9), LearnableMapping(6, 8, sampled, torch.Generator().manual_seed(2))
    index = mapping.scores.argmax(0)
    assert torch.equal(mapping(bits).codes, bits.codes[index]) and torch.equal(mapping.chosen(), index)
    fixed = FixedMapping(mapping.chosen())
    assert torch.equal(fixed(bits).codes, bits.codes[index]) and torch.equal(fixed.chosen(), index)


def test_backward_is_the_published_one():
    bits, mapping = random_bits(6, 9), LearnableMapping(6, 8, None, torch.Generator().manual_seed(2))
    mapping.scores.data[1, 0] = mapping.scores.data[3, 0] = 2.0  # a tie: both get half of the gradient
    gradient = torch.randn(8, 9, generator=torch.Generator().manual_seed(3))
    (mapping(bits).values() * gradient).sum().backward()
    x = bits.codes.float().T  # tokens first, as published: dW = (2x - 1)^T g, dx = g softmax(W / tau)^T
    weights = (mapping.scores.detach() / TEMPERATURE).softmax(0)
    assert weights[1, 0] == weights[3, 0] == 0.5
    by_scores, by_bits = ((2 * x - 1).T, gradient.T), (weights, gradient)
    assert_within(mapping.scores.grad, by_scores[0].double() @ by_scores[1].double(), product_error(*by_scores))
    assert_within(bits.carrier.grad, by_bits[0].double() @ by_bits[1].double(), product_error(*by_bits))


def test_the_sampled_backward_takes_every_kth_token_k_times():
    bits, mapping = random_bits(6, 12), LearnableMapping(6, 8, 4, torch.Generator().manual_seed(2))
    gradient = torch.randn(8, 12, generator=torch.Generator().manual_seed(3))
    (mapping(bits).values() * gradient).sum().backward()
    signs = 2 * bits.codes.float() - 1
    by_scores = (3 * signs[:, ::3], gradient[:, ::3].T)
    assert_within(mapping.scores.grad, by_scores[0].double() @ by_scores[1].double(), product_error(*by_scores))
    taken = torch.zeros(6, 8).index_put_((mapping.chosen(), torch.arange(8)), torch.ones(()))
    assert_within(bits.carrier.grad, taken.double() @ gradient.double(), product_error(taken, gradient))


@pytest.mark.parametrize("sampled", [None, 16])
def test_a_mapping_learns_which_bit_matters(sampled):
    mapping = LearnableMapping(8, 8, sampled, torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(mapping.parameters(), lr=0.05)
    bits = random_bits(8, 64)
    wanted = bits.codes[5].float().expand(8, -1)
    for _ in range(60):
        optimiser.zero_grad()
        (mapping(bits).values() - wanted).square().mean().backward()
        optimiser.step()
    assert mapping.chosen().tolist() == [5] * 8
