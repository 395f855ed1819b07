"""The compiled kernel: its figures are those of the netlist, its walks keep their bounds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstick.errors import ToolNotFound, UserError
from slipstick.flow.characterise.operands import Operands, uniform_operands
from slipstick.flow.evolve import kernel
from slipstick.flow.evolve.archive import product_bits
from slipstick.flow.evolve.genome import Genome
from slipstick.flow.evolve.kernel import Bounds, Evaluator, Rules, Score, Walk
from slipstick.flow.evolve.proxy import UNIT_FJ, GateCosts
from slipstick.rtl.cells import build, cell, cells
from slipstick.rtl.cells.cell import Cell
from slipstick.rtl.cells.netlist import NOT

from .conftest import peaked, random_genome

SEEDS = st.integers(0, 2**32 - 1)


def figures(own: Cell, operands: Operands) -> tuple[float, float, int, bool]:
    """MAE, bias, WCE and zeros by the plain table."""
    error = (own.table - own.exact).astype(np.int64)
    zeros = not own.table[0].any() and not own.table[:, 0].any()
    return operands.mean(np.abs(error)), operands.mean(error), int(np.abs(error).max()), zeros


def assert_equal(score: Score, own: Cell, operands: Operands) -> None:
    mae, bias, wce, zeros = figures(own, operands)
    assert score.wce == min(wce, 32768) and score.keeps_zero == zeros
    if wce <= 32767:
        assert score.mae == pytest.approx(mae, rel=1e-12, abs=1e-9) and score.bias == pytest.approx(bias, abs=1e-9)


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 90), st.sampled_from([2, 4, 7, 8]), st.booleans())
def test_a_score_is_that_of_the_netlist_for_any_genome(
    costs: GateCosts, seed: int, gates: int, bits: int, signed: bool
) -> None:
    operands = peaked((8, bits), seed)
    genome = random_genome(seed, (8, bits), gates)
    own = Cell("random", "random", signed, genome.netlist())
    assert_equal(Evaluator((8, bits), signed, operands, costs).score(genome), own, operands)


@pytest.mark.parametrize("pattern", ["truncated8s_*", "drum8s_*", "mitchell8s", "exact*8s", "recursive8u", "etm8u_*"])
def test_with_uniform_weights_errors_are_those_of_the_cell(costs: GateCosts, pattern: str) -> None:
    for own in cells(pattern):
        score = Evaluator((8, 8), own.signed, uniform_operands((8, 8)), costs).score(Genome.of(own.netlist))
        assert (score.mae, score.bias, score.wce) == (own.errors.mae, own.errors.bias, own.errors.wce)


@pytest.mark.parametrize("own", ["exact8s", "mitchell8s", "truncated8s_k5"])
def test_energy_counts_the_transitions_of_every_gate(operands: Operands, costs: GateCosts, own: str) -> None:
    genome = Genome.of(cell(own).netlist)
    assert Evaluator((8, 8), True, operands, costs).score(genome).energy_fj == pytest.approx(
        plain_energy(genome, operands, costs)
    )


@pytest.mark.parametrize(("name", "bits"), [("exact8s", 16), ("truncated8s_k5", 11), ("truncated8s_k10", 6)])
def test_each_bit_of_the_product_has_its_price(operands: Operands, costs: GateCosts, name: str, bits: int) -> None:
    genome = Genome.of(cell(name).netlist)
    free, dear = (Evaluator((8, 8), True, operands, replace(costs, bit=unit)).score(genome) for unit in (0, 60_000))
    assert dear.energy_fj - free.energy_fj == pytest.approx(60 * bits)
    assert product_bits(cell(name).netlist) == bits


def plain_energy(genome: Genome, operands: Operands, costs: GateCosts) -> float:
    """By unpacked bits, steps within runs of 16 of each sequence, gates that nothing reads left out."""
    activations = operands.activations[: kernel.SEQUENCES, : kernel.STEPS].astype(int)
    weights = np.broadcast_to(operands.weights[: len(activations), None], activations.shape).astype(int)
    nodes = [np.zeros_like(activations), np.ones_like(activations)]
    nodes += [(word >> bit) & 1 for word in (activations, weights) for bit in range(8)]
    gates = genome.genes[: 3 * genome.gates].reshape(-1, 3).tolist()
    for kind, x, y in gates:
        a, b = nodes[x], nodes[y]
        one = (a & b, a | b, a ^ b, 1 - a, 1 - (a & b), 1 - (a | b), 1 - (a ^ b), a & (1 - b))
        nodes.append(one[kind])
    toggles = [int((node[:, 1:] != node[:, :-1]).sum()) for node in nodes]
    steps = activations.shape[0] * (activations.shape[1] - 1)
    live, total = set(genome.genes[3 * genome.gates :].tolist()), 0
    for node in reversed(range(18, len(nodes))):
        if node in live:
            kind, x, y = gates[node - 18]
            read = [x] if kind == NOT else [x, y]
            live |= set(read)
            total += toggles[node] * costs.output[kind] + costs.present[kind] * steps
            total += sum(toggles[one] * costs.input[kind] for one in read)
    return total * UNIT_FJ / steps


@settings(max_examples=15)
@given(SEEDS, st.floats(0.5, 300), st.floats(0, 0.3), st.integers(20, 5000), st.integers(1, 4), st.integers(1, 8))
def test_a_walk_never_breaks_a_bound(
    evaluator: Evaluator, operands: Operands, seed: int, mae: float, share: float, wce: int, children: int, most: int
) -> None:
    bounds = Bounds(mae, share * mae, wce, seed % 2 == 0)
    walk = Walk.start(Genome.of(cell("exact8s").netlist), [seed])
    rules = Rules(children, most, price_fj=100 / mae, temperature_fj=5.0)
    now, best = evaluator.evolve(walk, bounds, rules, 1500)
    for genome, score in ((walk.genome, now), (walk.best, best)):
        assert score.keeps(bounds) and score == evaluator.score(genome)
        assert_equal(score, Cell("walked", "evolved", True, genome.netlist()), operands)
    assert best.energy_fj <= now.energy_fj


def test_a_walk_saves_energy_within_a_second(evaluator: Evaluator) -> None:
    walk = Walk.start(Genome.of(cell("exact8s").netlist), [1])
    before = evaluator.score(walk.genome).energy_fj
    _, best = evaluator.evolve(walk, Bounds(100, 10, 2000, True), Rules(), 20_000)
    assert best.energy_fj < 0.8 * before
    assert walk.statistics.candidates == 20_000 >= walk.statistics.cheap >= walk.statistics.valid > 0


def test_without_temperature_and_price_energy_never_rises(evaluator: Evaluator) -> None:
    walk = Walk.start(Genome.of(cell("exact8s").netlist), [2])
    seen = [evaluator.evolve(walk, Bounds(50, 5, 1000, True), Rules(), 300)[0].energy_fj for _ in range(20)]
    assert seen == sorted(seen, reverse=True) and seen[-1] < seen[0]


def test_equal_seeds_walk_alike_however_the_way_is_cut(evaluator: Evaluator) -> None:
    bounds, rules = Bounds(30, 3, 600, True), Rules(2, 4, 3.0, 1.0)
    walks = [Walk.start(Genome.of(cell("exact8s").netlist), [7, 1]) for _ in range(2)]
    evaluator.evolve(walks[0], bounds, rules, 3000)
    for part in (1, 999, 2000):
        evaluator.evolve(walks[1], bounds, rules, part)
    for one, other in ((walks[0].genome, walks[1].genome), (walks[0].best, walks[1].best)):
        np.testing.assert_array_equal(one.genes, other.genes)
    np.testing.assert_array_equal(walks[0].random, walks[1].random)
    other = Walk.start(Genome.of(cell("exact8s").netlist), [7, 2])
    evaluator.evolve(other, bounds, rules, 3000)
    assert not np.array_equal(other.genome.genes, walks[0].genome.genes)


@pytest.mark.parametrize("widths", [(4, 4), (12, 12), (8, 9), (8, 1)])
def test_other_shapes_are_refused(operands: Operands, costs: GateCosts, widths: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="8 x 2 to 8 x 8 can"):
        Evaluator(widths, True, operands, costs)


def test_narrow_weights_evolve_too(costs: GateCosts) -> None:
    operands = peaked((8, 4))
    own = build("exact", width=(8, 4), signed=True)
    evaluator = Evaluator((8, 4), True, operands, costs)
    walk = Walk.start(Genome.of(own.netlist), [3])
    bounds = Bounds(5, 0.5, 100, True)
    _, best = evaluator.evolve(walk, bounds, Rules(), 5000)
    assert best.energy_fj < evaluator.score(Genome.of(own.netlist)).energy_fj
    assert_equal(best, Cell("narrow", "evolved", True, walk.best.netlist()), operands)


def test_without_a_compiler_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    kernel.native.cache_clear()
    with pytest.raises(ToolNotFound, match=r"evolving needs a C\+\+ compiler: .*no-such-compiler"):
        kernel.native()
