import numpy as np
import pytest

from slipstick.flow.job.choose import TileCosts

LAYERS, CELLS, COLUMNS = 3, 2, 4


@pytest.fixture
def costs():
    rng = np.random.default_rng(5)
    shape = (LAYERS, CELLS, COLUMNS + 1)
    return TileCosts(rng.uniform(1, 2, shape), rng.uniform(100, 200, shape), rng.uniform(0.1, 0.2, shape[1:]))


def test_one_tile_never_waits(costs):
    load = np.ones(LAYERS)
    assert costs.energy(load, [1, 1, 1]) == pytest.approx(costs.energy_nj[:, 1, COLUMNS].sum())


def test_the_faster_tile_waits_for_the_slower_at_its_own_width(costs):
    load = np.array([3.0, 0.5, 0.5])  # three columns for cell 0, one for cell 1
    busy = costs.cycles[0, 0, 3], costs.cycles[1, 1, 1] + costs.cycles[2, 1, 1]
    own = costs.energy_nj[0, 0, 3] + costs.energy_nj[1, 1, 1] + costs.energy_nj[2, 1, 1]
    waiting = costs.waiting_nj[0, 3] if busy[0] < busy[1] else costs.waiting_nj[1, 1]
    assert costs.energy(load, [0, 1, 1]) == pytest.approx(own + waiting * abs(busy[0] - busy[1]))


def test_the_order_of_layers_changes_nothing(costs):
    load, choice, order = np.array([3.0, 1.0, 1.0]), np.array([0, 1, 0]), np.array([2, 0, 1])
    assert costs.of_layers(order).energy(load[order], choice[order]) == pytest.approx(costs.energy(load, choice))
