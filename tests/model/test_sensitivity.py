"""Restarts give the bits of whole runs, trials are what plain evaluations say, and a stopped sweep goes on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slipstick.errors import UserError
from slipstick.model import sensitivity
from slipstick.model.convert import approximate_, assign_, table_layers
from slipstick.model.data import Images
from slipstick.model.evaluate import input_batches, logits
from slipstick.model.replay import RecordedRun
from slipstick.model.sensitivity import Sweep
from slipstick.model.vit import build_vit
from slipstick.model.zoo import LoadedModel, wrap
from slipstick.rtl.cells import cell
from slipstick.store import Store

MILD, HARSH = cell("truncated8s_k6"), cell("drum8s_k3")


def pictures(count: int, size: int = 32) -> Images:
    rng = np.random.default_rng(0)
    return Images(
        rng.integers(0, 256, (count, size, size, 3)).astype(np.uint8), rng.integers(0, 5, count), tuple("abcde")
    )


def converted(module: nn.Module, size: int) -> LoadedModel:
    loaded = wrap(module, size, (0.5,) * 3, (0.25,) * 3)
    approximate_(loaded.module, {}, input_batches(loaded, pictures(40, size)))
    return loaded


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Layers this small gain nothing from a second thread, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def vit() -> LoadedModel:
    torch.manual_seed(0)
    return converted(build_vit(dim=32, depth=2, heads=2, classes=5), 32)


class Tangle(nn.Module):
    """A skip over everything, a module used twice, one inside another's call, and an operation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.norm = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.shared = nn.Linear(8, 8)
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.GELU(), self.shared)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        first = self.norm(self.stem(x)).flatten(2).transpose(1, 2)
        second = self.shared(first)
        second += first
        return self.head(torch.cat([first, self.shared(self.inner(second))], 2).mean(1))


class Leaky(nn.Module):
    """``left`` hands a value around its output, so a restart after it would find a stale one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.left, self.last = nn.Linear(48, 6), Left(), nn.Linear(6, 5)

    def forward(self, x):
        return self.last(self.left(self.first(x.flatten(1)))) + self.left.kept[:, :5]


class Left(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.zeros(1, 6)

    def forward(self, x):
        self.kept = x
        return torch.zeros_like(x) + x.round()


def check_restarts(loaded: LoadedModel, size: int, cells: list) -> None:
    module, batch = loaded.module, loaded.prepare(pictures(6, size).pixels)
    assign_(module, {})
    run = RecordedRun(module, batch)
    for name, layer in table_layers(module).items():
        assert run.faithful(name)
        for one in cells:
            layer.set_cells(((one,),))
            with torch.no_grad():
                assert torch.equal(run.restart(name), module(batch)), (name, one.name)
        assign_(module, {})
    assert not any("forward" in vars(part) for part in module.modules())
    assert all(layer.recorder is None for layer in table_layers(module).values())


def test_a_restart_of_any_layer_gives_the_bits_of_the_whole_run(vit: LoadedModel) -> None:
    check_restarts(vit, 32, [MILD, HARSH])


def test_restarts_hold_for_skips_shared_modules_and_operations_in_place() -> None:
    torch.manual_seed(1)
    check_restarts(converted(Tangle().eval(), 16), 16, [MILD, HARSH])


def test_a_restart_runs_nothing_that_ended_before_its_layer(vit: LoadedModel) -> None:
    layers, batch = table_layers(vit.module), vit.prepare(pictures(2).pixels)
    assign_(vit.module, {})
    run = RecordedRun(vit.module, batch)
    order = sorted(layers, key=lambda name: run.first_use[name])
    for place, name in enumerate(order):
        seen: list[str] = []
        for layer in layers.values():
            layer.recorder = lambda path, *_, seen=seen: seen.append(path)
        run.restart(name)
        again = [one for one in order[:place] if one in seen]  # qkv and the products are one module call
        assert [one for one in seen if one not in again] == order[place:]
        assert all(one.rpartition(".")[0] == name.rpartition(".")[0] for one in again)
    for layer in layers.values():
        layer.recorder = None


def whole(loaded: LoadedModel, images: Images, rules: dict) -> tuple[np.ndarray, np.ndarray]:
    assign_(loaded.module, rules)
    values = logits(loaded, images).double()
    assign_(loaded.module, {})
    loss = nn.functional.cross_entropy(values, torch.from_numpy(images.labels), reduction="none").numpy()
    return loss, values.argmax(1).numpy() == images.labels


def test_a_trial_is_what_a_plain_evaluation_says(vit: LoadedModel, tmp_path: Path) -> None:
    images = pictures(24)
    found = Sweep(vit, images, Store("s", tmp_path)).run([cell("exact8s"), MILD, HARSH], tolerance=0)
    assert not found.whole and found.cells == [MILD.name, HARSH.name]  # exact cells change nothing
    assert set(found.layers) == set(table_layers(vit.module)) and len(found.trials) == 2 * len(found.layers)
    exact_loss, exact_right = whole(vit, images, {})
    assert found.exact_loss == pytest.approx(exact_loss.mean(), rel=1e-12)
    assert found.exact_accuracy == exact_right.mean()
    for (layer, name), trial in found.trials.items():
        loss, right = whole(vit, images, {layer: name})
        change = loss - exact_loss
        assert trial.images == 24 and trial.divergence >= 0
        assert trial.loss == pytest.approx(change.mean(), abs=1e-12)
        assert trial.loss_error == pytest.approx(change.std(ddof=1) / 24**0.5, rel=1e-9)
        assert trial.accuracy == pytest.approx(right.mean() - exact_right.mean(), abs=1e-12)
    assert any(abs(trial.loss) > 0 for trial in found.trials.values())
    assert {layer.grid[0][0].name for layer in table_layers(vit.module).values()} == {"exact8s"}


def test_a_model_that_hands_values_around_is_evaluated_whole(tmp_path: Path) -> None:
    torch.manual_seed(2)
    loaded, images = converted(Leaky().eval(), 4), pictures(10, 4)
    found = Sweep(loaded, images, Store("s", tmp_path)).run([HARSH], tolerance=0)
    assert found.whole == ["last"]  # the stale value is that of the last trial of `first`
    exact_loss, _ = whole(loaded, images, {})
    for (layer, name), trial in found.trials.items():
        assert trial.loss == pytest.approx((whole(loaded, images, {layer: name})[0] - exact_loss).mean(), abs=1e-12)


def test_a_stopped_sweep_goes_on_and_ends_as_if_never_stopped(vit: LoadedModel, tmp_path: Path) -> None:
    images = pictures(20)
    never = Sweep(vit, images, Store("s", tmp_path / "a")).run([MILD], tolerance=0)
    store = Store("s", tmp_path / "b")

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Sweep(vit, images, store).run([MILD], tolerance=0, progress=stop)
    before = len(list(store.folder.iterdir()))
    assert 0 < before < len(never.trials)
    again = Sweep(vit, images, store).run([MILD], tolerance=0)
    assert again.trials == never.trials
    assert len(list(store.folder.iterdir())) == len(never.trials)
    assert Sweep(vit, images, store).run([MILD, HARSH], tolerance=0).trials.items() >= never.trials.items()


def test_an_image_or_a_weight_that_changed_is_measured_anew(vit: LoadedModel, tmp_path: Path) -> None:
    images, store = pictures(4), Store("s", tmp_path)
    Sweep(vit, images, store).run([MILD])
    count = len(list(store.folder.iterdir()))
    images.pixels[0, 0, 0, 0] ^= 255
    Sweep(vit, images, store).run([MILD])
    assert len(list(store.folder.iterdir())) == 2 * count


def test_mild_trials_end_early_and_the_images_counted_are_those_used(vit, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sensitivity, "BATCH", 8)
    monkeypatch.setattr(sensitivity, "FEWEST", 16)
    images, shown = pictures(48), []
    sweep = Sweep(vit, images, Store("s", tmp_path))
    found = sweep.run([MILD, HARSH], tolerance=0.001, progress=lambda done, total: shown.append((done, total)))
    used = [trial.images for trial in found.trials.values()]
    assert min(used) == 16 < max(used) and all(count % 8 == 0 for count in used)
    for trial in found.trials.values():
        assert trial.images == 48 or trial.loss_error <= max(0.001, 0.1 * abs(trial.loss))
    assert found.cost.image_passes == sum(used) < len(used) * 48
    assert shown[-1] == (len(used) * 48, len(used) * 48) and [d for d, _ in shown] == sorted(d for d, _ in shown)


def test_recorded_outputs_stay_within_the_memory_allowed(vit: LoadedModel, monkeypatch, tmp_path: Path) -> None:
    one = RecordedRun(vit.module, vit.prepare(pictures(1).pixels)).bytes
    monkeypatch.setattr(sensitivity, "MEMORY", 3 * one)
    sweep = Sweep(vit, pictures(7), Store("s", tmp_path))
    assert sweep.batch == 3
    assert RecordedRun(vit.module, vit.prepare(pictures(3).pixels)).bytes == 3 * one


def test_only_exact_cells_are_refused(vit: LoadedModel) -> None:
    with pytest.raises(UserError, match="name an approximate one"):
        Sweep(vit, pictures(4)).run([cell("exact8s")])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
@settings(max_examples=100)
def test_ranks_share_ties(values: list[int]) -> None:
    ranks = sensitivity._ranks(np.array(values))
    for x, rank in zip(values, ranks, strict=True):
        assert rank == sum(y < x for y in values) + (values.count(x) - 1) / 2
