"""Operands that are not uniform, gate costs, and genomes at random."""

import shutil

import numpy as np
import pytest

from slipstick.flow.characterise.operands import Operands
from slipstick.flow.evolve.genome import KINDS, Genome
from slipstick.flow.evolve.kernel import Evaluator
from slipstick.flow.evolve.proxy import GateCosts, gate_costs
from slipstick.flow.library.liberty import default_liberty
from slipstick.model.kernels.compiler import COMPILERS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not any(map(shutil.which, COMPILERS)):
        for item in items:
            if "tests/flow/evolve" in item.nodeid:
                item.add_marker(pytest.mark.skip(reason="no C++ compiler on PATH"))


@pytest.fixture(scope="session")
def costs() -> GateCosts:
    return gate_costs(default_liberty(), 1e4)


def peaked(widths: tuple[int, int] = (8, 8), seed: int = 0, sequences: int = 64) -> Operands:
    """Operands near zero, as trained layers have them; some codes never occur."""
    rng = np.random.default_rng(seed)
    sizes = [1 << width for width in widths]
    a = np.rint(rng.laplace(0, sizes[0] / 16, (sequences, 32))).astype(int) % sizes[0]
    w = np.rint(rng.normal(0, sizes[1] / 8, sequences)).astype(int) % sizes[1]
    counts = [
        np.bincount(codes.ravel(), minlength=size).astype(float) for codes, size in zip((a, w), sizes, strict=True)
    ]
    return Operands(*counts, a.astype(np.uint16), w.astype(np.uint16))


@pytest.fixture(scope="session")
def operands() -> Operands:
    return peaked()


@pytest.fixture(scope="session")
def evaluator(operands: Operands, costs: GateCosts) -> Evaluator:
    return Evaluator((8, 8), True, operands, costs)


def random_genome(seed: int, widths: tuple[int, int] = (8, 8), gates: int = 60) -> Genome:
    """Gates of every kind that read any earlier node, constants included."""
    rng = np.random.default_rng(seed)
    first = 2 + sum(widths)
    genes = [
        gene
        for gate in range(gates)
        for gene in (rng.integers(KINDS), rng.integers(first + gate), rng.integers(first + gate))
    ]
    outputs = rng.integers(0, first + gates, sum(widths))
    return Genome(widths, gates, np.array([*genes, *outputs], np.int32))
