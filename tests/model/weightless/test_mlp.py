"""Weightless MLPs: the numbers of their integer contract, for every shape; matching; export."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from slipstick.errors import UserError
from slipstick.model.weightless.export import to_spec
from slipstick.model.weightless.mapping import FixedMapping
from slipstick.model.weightless.match import MatchConfig, explained, match_
from slipstick.model.weightless.mlp import MAPPINGS, WeightlessConfig, WeightlessMlp
from tests.model.weightless.vits import SMALL, activations
from tests.rtl.spec.lutnets import corner_codes

pytestmark = pytest.mark.usefixtures("one_thread")
RNG = np.random.default_rng(8)


def build(config: WeightlessConfig = SMALL) -> WeightlessMlp:
    return WeightlessMlp(config, *activations())


def trained(config: WeightlessConfig = SMALL) -> WeightlessMlp:
    mlp = build(config)
    match_(mlp, *activations(), MatchConfig(steps=10, tokens=64))
    return mlp


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("arity", range(2, 7))
@pytest.mark.parametrize("luts", [(30,), (40, 20)])
def test_the_numbers_are_those_of_the_integer_contract(mapping, arity, luts):
    mlp = trained(WeightlessConfig(thresholds=3, luts=luts, arity=arity, mapping=mapping))
    mlp.binarise_()
    spec = to_spec(mlp)
    codes = corner_codes(8, RNG)
    accumulators = spec(codes)
    assert np.array_equal(spec(torch.from_numpy(codes), spec.constants(torch.from_numpy)).numpy(), accumulators)
    with torch.no_grad():
        found = mlp(torch.from_numpy(codes).float() * mlp.thermometer.scale)
    assert torch.equal(found, torch.from_numpy(accumulators).float() * mlp.sum.scale)
    assert len(np.unique(accumulators, axis=0)) > 20


def test_training_and_inference_give_the_same_numbers():
    mlp = trained()
    inputs = activations(seed=5)[0]
    with torch.no_grad():
        wanted = mlp.eval()(inputs)
    assert torch.equal(mlp.train()(inputs).detach(), wanted)


def test_binary_tables_give_the_numbers_of_trained_ones():
    mlp = trained(replace(SMALL, mapping="learnable"))
    inputs = activations(seed=5)[0]
    with torch.no_grad():
        wanted = mlp(inputs)
        mlp.binarise_()
        assert torch.equal(mlp(inputs), wanted)
    assert all(isinstance(mapping, FixedMapping) for mapping in mlp.mappings)


def test_a_group_sum_counts_the_bits_of_each_output_alone():
    config = replace(SMALL, luts=(20,), sum="group")
    mlp = build(config)
    entries = mlp.sum.entries.clone()
    match_(mlp, *activations(), MatchConfig(steps=10, tokens=64))
    assert torch.equal(mlp.sum.entries, entries)
    codes = mlp.sum.codes()
    assert ((codes != 0).sum(1) == 1).all() and len(codes[codes != 0].abs().unique()) == 1
    assert (codes != 0).sum(0).tolist() == [4, 4, 3, 3, 3, 3]
    assert codes.sum(0).abs().max() <= codes.max()
    with torch.no_grad():
        counts = mlp.bits(activations()[0]).values().T @ codes.sign()
        torch.testing.assert_close(mlp(activations()[0]), counts * codes.max() * mlp.sum.scale)


def test_a_group_sum_learns_by_its_tables_alone():
    mlp = build(replace(SMALL, luts=(60,), sum="group"))
    before = explained(mlp, *activations())
    match_(mlp, *activations(), MatchConfig(steps=60, tokens=64))
    assert explained(mlp, *activations()) > before + 0.1


def test_any_leading_shape():
    mlp, inputs = build(), activations(24)[0]
    with torch.no_grad():
        rows = mlp(inputs)
        assert torch.equal(mlp(inputs.view(2, 3, 4, 8)), rows.view(2, 3, 4, 6))
        assert torch.equal(mlp(inputs[0]), rows[0])


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_every_parameter_and_the_inputs_have_a_finite_gradient(mapping):
    mlp = build(replace(SMALL, mapping=mapping)).train()
    inputs = activations()[0].requires_grad_()
    mlp(inputs).square().sum().backward()
    for name, gradient in [("inputs", inputs.grad), *((n, p.grad) for n, p in mlp.named_parameters())]:
        assert gradient is not None and torch.isfinite(gradient).all() and gradient.abs().sum() > 0, name


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("luts", [(64,), (64, 32)])
def test_matching_explains_more_of_activations_never_seen(mapping, luts):
    mlp = WeightlessMlp(WeightlessConfig(thresholds=4, luts=luts, arity=4, mapping=mapping), *activations(4000))
    fresh = activations(1000, seed=1)
    before = explained(mlp, *fresh)
    losses = []
    match_(mlp, *activations(4000), MatchConfig(120, 256), lambda record: losses.append(record["loss"]))
    assert len(losses) == 120 and np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    assert explained(mlp, *fresh) > before + 0.03


def test_matching_is_decided_by_its_seed():
    states = []
    for seed in (0, 0, 1):
        mlp = build()
        match_(mlp, *activations(), MatchConfig(5, 32, seed=seed))
        states.append(mlp.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["layers.0.tables"], states[2]["layers.0.tables"])


def test_more_bits_than_the_tables_can_take_are_refused():
    with pytest.raises(UserError, match="24 bits are more than the 20 inputs"):
        build(WeightlessConfig(thresholds=3, luts=(5,), arity=4))
    with pytest.raises(UserError, match="48 bits are more than the 44 inputs"):
        WeightlessConfig(luts=(48, 11), arity=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arity": 7}, "LUT-7"),
        ({"thresholds": 0}, "weightless thresholds 0: must be from 1 to 255"),
        ({"entry_width": 1}, "weightless entry_width 1: must be from 2 to 16"),
        ({"arity": 1}, "LUT-1"),
        ({"luts": ()}, r"layers of \(\) tables"),
        ({"luts": (0,)}, r"layers of \(0,\) tables"),
        ({"mapping": "sorted"}, "mapping 'sorted' is none of random, learnable, sampled"),
        ({"rule": "uniform"}, "rule 'uniform' is none of linear, gaussian, distributive"),
        ({"sum": "product"}, "sum 'product' is none of conditional, group"),
        ({"surrogate": "tanh"}, "surrogate 'tanh' is none of window, identity"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        WeightlessConfig(**options)


@pytest.mark.parametrize("options", [{"steps": -1}, {"tokens": 0}, {"rate": 0.0}])
def test_bad_matching_is_refused(options):
    with pytest.raises(UserError, match=r"matching \w+ .*: must be"):
        MatchConfig(**options)


def test_tables_that_are_not_binary_are_not_exported():
    mlp = trained()
    with pytest.raises(UserError, match="tables of layer 0 are not binary; call binarise_"):
        to_spec(mlp)
    mlp.binarise_()
    mlp.layers[1].tables.data[3, 2] = float("nan")
    with pytest.raises(UserError, match="tables of layer 1 are not binary"):
        to_spec(mlp)


def test_a_mapping_that_still_learns_is_not_exported():
    mlp = build(replace(SMALL, mapping="learnable"))
    for layer in mlp.layers:
        torch.nn.init.ones_(layer.tables)
    with pytest.raises(UserError, match="mapping of layer 0 still learns"):
        to_spec(mlp)
