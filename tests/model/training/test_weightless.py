"""Training a ViT with weightless MLPs: resumable to the bit, seeded, learns, says what it was made from."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from slipstick.errors import UserError
from slipstick.model.data import Images
from slipstick.model.evaluate import logits
from slipstick.model.training.config import FinetuneConfig
from slipstick.model.training.finetune import Finetuned
from slipstick.model.training.images import TrainingImages
from slipstick.model.training.weightless import WeightlessTraining, finetune_weightless
from slipstick.model.vit import build_vit
from slipstick.model.weightless.match import MatchConfig
from slipstick.model.zoo import LoadedModel, wrap
from tests.model.weightless.vits import SMALL, small_vit

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = WeightlessTraining(
    (0, 2), replace(SMALL, mapping="learnable"), MatchConfig(4, 64), FinetuneConfig(steps=6, batch=8, every=2), 16
)


def model() -> LoadedModel:
    return wrap(small_vit(), 32, (0.5,) * 3, (0.25,) * 3)


def greys(count: int, seed: int) -> Images:
    """Noisy images whose class is their brightness."""
    rng, labels = np.random.default_rng(seed), np.arange(count) % 4
    pixels = np.clip(40 + 50 * labels[:, None, None, None] + rng.normal(0, 20, (count, 32, 32, 3)), 0, 255)
    return Images(pixels.astype(np.uint8), labels.astype(np.int64), ("a", "b", "c", "d"))


def images() -> TrainingImages:
    train = greys(40, 0)
    return TrainingImages(train, greys(20, 1), train[:16])


def same(one: Path, two: Path) -> bool:
    first, second = load_file(one), load_file(two)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_killed_run_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    whole = finetune_weightless(model(), images(), tmp_path / "whole", CONFIG)

    def kill(record: dict[str, float]) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            finetune_weightless(model(), images(), tmp_path / "broken", CONFIG, kill)
    loaded = model()
    broken = finetune_weightless(loaded, images(), tmp_path / "broken", CONFIG)
    assert same(whole.weights, broken.weights)
    curves = [[(r["step"], r["loss"]) for r in one.manifest["curve"]] for one in (whole, broken)]
    assert curves[0] == curves[1] and [step for step, _ in curves[0]] == [2, 4, 6]
    assert {k: whole.manifest[k] for k in ("validation", "explained")} == {
        k: broken.manifest[k] for k in ("validation", "explained")
    }
    state = load_file(whole.weights)
    assert all(torch.equal(loaded.module.state_dict()[name], value) for name, value in state.items())
    assert not [name for name in state if "scores" in name]  # dropped after matching


def test_a_model_some_mlps_of_which_are_weightless_learns_from_the_one_before(tmp_path: Path) -> None:
    half = model()
    finetune_weightless(half, images(), tmp_path / "half", CONFIG)
    rest = replace(CONFIG, blocks=(1,))

    def whole(name: str, teacher: LoadedModel | None) -> Finetuned:
        return finetune_weightless(copy.deepcopy(half), images(), tmp_path / name, rest, teacher=teacher)

    before, itself, again = whole("before", model()), whole("itself", None), whole("again", model())
    assert same(before.weights, again.weights) and not same(before.weights, itself.weights)
    assert "teacher_sha256" in before.manifest["config"]
    with pytest.raises(UserError, match="written with another teacher_sha256;"):
        whole("before", None)
    with pytest.raises(UserError, match="written with another teacher_sha256;"):
        whole("itself", model())


def test_a_teacher_of_other_classes_is_refused_and_nothing_written(tmp_path: Path) -> None:
    other = wrap(build_vit(dim=16, depth=3, heads=2, classes=7), 32, (0.5,) * 3, (0.25,) * 3)
    with pytest.raises(
        UserError, match=r"the teacher has classes, width and encoders \(7, 16, 3\), the model \(4, 16, 3\)"
    ):
        finetune_weightless(model(), images(), tmp_path / "run", CONFIG, teacher=other)
    assert not list(tmp_path.iterdir())


def test_the_seed_decides_the_result(tmp_path: Path) -> None:
    other = replace(CONFIG, finetune=replace(CONFIG.finetune, seed=1))
    runs = [
        finetune_weightless(model(), images(), tmp_path / name, config).weights
        for name, config in (("a", CONFIG), ("b", CONFIG), ("c", other))
    ]
    assert same(runs[0], runs[1]) and not same(runs[0], runs[2])


def test_it_learns_a_small_problem(tmp_path: Path) -> None:
    config = replace(CONFIG, finetune=FinetuneConfig(steps=60, batch=16, rate=3e-3, distillation=0, every=20))
    loaded = model()
    done = finetune_weightless(loaded, images(), tmp_path / "run", config)
    losses = [record["loss"] for record in done.manifest["curve"]]
    assert losses[-1] < 0.8 * losses[0] and done.manifest["validation"]["after"] >= 0.8
    assert torch.isfinite(logits(loaded, images().validation)).all()


def test_the_manifest_says_what_made_the_weights(tmp_path: Path) -> None:
    finetune_weightless(model(), images(), tmp_path / "run", CONFIG, provenance={"tool": "test"})
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["config"]["blocks"] == [0, 2] and facts["config"]["mlp"]["luts"] == [48, 24]
    assert set(facts["explained"]) == {"0", "2"} and set(facts["validation"]) == {"images", "float", "before", "after"}
    assert len([name for name in facts["config"] if name.endswith("sha256")]) == 4 and facts["tool"] == "test"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": (1,)}, "written with another blocks; delete it"),
        ({"mlp": SMALL}, "written with another mlp;"),
        ({"table_rate": 3.0}, "written with another table_rate;"),
    ],
)
def test_a_state_of_another_run_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    config = replace(CONFIG, finetune=replace(CONFIG.finetune, steps=2))
    finetune_weightless(model(), images(), tmp_path / "run", config)
    with pytest.raises(UserError, match=message):
        finetune_weightless(model(), images(), tmp_path / "run", replace(config, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": (0, 3)}, "block 3 does not exist"),
        ({"finetune": FinetuneConfig(batch=41)}, "a batch of 41 exceeds the 40 training images"),
    ],
)
def test_what_cannot_work_is_refused_and_writes_nothing(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        finetune_weightless(model(), images(), tmp_path / "run", replace(CONFIG, **change))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"recorded": 0}, {"table_rate": 0.0}])
def test_bad_settings_are_refused(change: dict) -> None:
    with pytest.raises(UserError, match=r"weightless \w+ 0.*: must be"):
        replace(CONFIG, **change)
