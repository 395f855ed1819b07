"""Finetuning on cells: resumable to the bit, deterministic, learns, and refuses what cannot work."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from slipstick.errors import UserError
from slipstick.model.data import ASSETS, Images
from slipstick.model.evaluate import logits
from slipstick.model.integer.config import IntegerConfig
from slipstick.model.layers.slopes import KINDS, GradientConfig
from slipstick.model.training import images as reading
from slipstick.model.training.config import FinetuneConfig
from slipstick.model.training.features import encoder_outputs, feature_loss
from slipstick.model.training.finetune import cosine, distilled_loss, finetune
from slipstick.model.training.images import TrainingImages, training_images
from slipstick.model.vit import build_vit
from slipstick.model.zoo import LoadedModel, wrap

RULES = {"default": "truncated8s_k8", "head": ["exact8s", "drum8s_k4"]}
pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = FinetuneConfig(steps=6, batch=8, rate=2e-3, every=2)


def model(seed: int = 0) -> LoadedModel:
    """A small network like the shipped one, with random weights that drop at random in training."""
    torch.manual_seed(seed)
    vit = build_vit(dim=16, depth=1, heads=2, classes=4)
    vit.blocks[0].mlp.drop1 = nn.Dropout(0.1)
    return wrap(vit, 32, (0.5,) * 3, (0.25,) * 3)


def colours(count: int, seed: int = 0) -> Images:
    """Noisy images whose class is their colour."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    base = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [180, 180, 60]])[labels]
    pixels = np.clip(base[:, None, None] + rng.normal(0, 40, (count, 32, 32, 3)), 0, 255).astype(np.uint8)
    return Images(pixels, labels.astype(np.int64), ("red", "green", "blue", "yellow"))


def images() -> TrainingImages:
    train = colours(40)
    return TrainingImages(train, colours(20, 1), train[:32])


def run(out: Path, config: FinetuneConfig = CONFIG, report=lambda record: None, loaded=None, **options):
    return finetune(loaded or model(), options.get("rules", RULES), options.get("data", images()), out, config, report)


def same(one: Path, two: Path) -> bool:
    first, second = load_file(one), load_file(two)
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kills", [1, 3], ids=["once", "after every saved state"])
def test_a_killed_run_ends_as_an_unbroken_one(tmp_path: Path, kills: int) -> None:
    whole = run(tmp_path / "whole")

    def kill(record: dict[str, float]) -> None:
        raise KeyboardInterrupt

    for _ in range(kills):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "broken", report=kill)
    broken = run(tmp_path / "broken")
    assert same(whole.weights, broken.weights)
    assert same(tmp_path / "whole.resume.safetensors", tmp_path / "broken.resume.safetensors")
    curves = [[(r["step"], r["loss"]) for r in one.manifest["curve"]] for one in (whole, broken)]
    assert curves[0] == curves[1] and [step for step, _ in curves[0]] == [2, 4, 6]
    assert whole.manifest["validation"] == broken.manifest["validation"]


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first = run(tmp_path / "run")
    loaded, records = model(), []
    again = run(tmp_path / "run", report=records.append, loaded=loaded)
    assert not records and again.manifest == first.manifest
    state = load_file(first.weights)
    assert all(torch.equal(loaded.module.state_dict()[name], value) for name, value in state.items())


def test_the_seed_decides_the_result(tmp_path: Path) -> None:
    one, two, other = run(tmp_path / "a"), run(tmp_path / "b"), run(tmp_path / "c", replace(CONFIG, seed=1))
    assert same(one.weights, two.weights) and not same(one.weights, other.weights)


@pytest.mark.parametrize("kind", KINDS)
def test_finetuning_learns_a_small_problem(tmp_path: Path, kind: str) -> None:
    config = FinetuneConfig(steps=40, batch=16, rate=5e-3, distillation=0, every=10, gradient=GradientConfig(kind))
    done = run(tmp_path / "run", config)
    losses = [record["loss"] for record in done.manifest["curve"]]
    assert losses[-1] < 0.8 * losses[0]
    assert done.manifest["validation"]["before"] <= 0.5 < 0.8 <= done.manifest["validation"]["after"]


def test_the_weights_are_those_of_the_float_model_and_its_statistics_are_kept(tmp_path: Path) -> None:
    loaded, before = model(), copy.deepcopy(model().module.state_dict())
    done = run(tmp_path / "run", loaded=loaded)
    state = load_file(done.weights)
    assert state.keys() == before.keys()
    kept = {name for name in state if torch.equal(state[name], before[name])}
    assert kept == {
        name for name in state if name.split(".")[-1] in ("running_mean", "running_var", "num_batches_tracked")
    }
    converted = {name: value for name, value in loaded.module.state_dict().items() if name in state}
    assert all(torch.equal(converted[name], state[name]) for name in state)
    again = model()
    again.module.load_state_dict(state)
    assert torch.isfinite(logits(again, colours(4))).all()


def test_the_manifest_says_what_made_the_weights(tmp_path: Path) -> None:
    run(tmp_path / "run")
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["config"]["seed"] == 0 and facts["config"]["gradient"]["kind"] == "straight_through"
    assert facts["config"]["layers"]["head"] == "exact8s + drum8s_k4"
    hashes = [value for name, value in facts["config"].items() if name.endswith("sha256")]
    assert len(hashes) == 4 and all(len(value) == 64 for value in hashes)
    assert set(facts["validation"]) == {"images", "float", "before", "after", "recalibrated"}


def test_checkpointed_blocks_change_no_bit(tmp_path: Path) -> None:
    plain, checkpointed = run(tmp_path / "a"), run(tmp_path / "b", replace(CONFIG, checkpointing=True))
    assert same(plain.weights, checkpointed.weights)


def test_the_result_is_the_moving_average_of_the_weights(tmp_path: Path) -> None:
    raw = run(tmp_path / "raw", replace(CONFIG, average=0.0))
    state = load_file(tmp_path / "raw.resume.safetensors")
    for name, value in load_file(raw.weights).items():
        assert torch.equal(value, state[f"model.{name}"])
    averaged = run(tmp_path / "averaged")
    assert not same(raw.weights, averaged.weights)


def test_the_rate_rises_linearly_and_falls_like_a_cosine() -> None:
    values = [cosine(step / 100, 0.1) for step in range(101)]
    assert values[0] == 0 and values[5] == pytest.approx(0.5) and values[10] == 1 and values[55] == pytest.approx(0.5)
    assert values[100] == pytest.approx(0, abs=1e-12) and values[10:] == sorted(values[10:], reverse=True)


def test_a_student_like_its_teacher_feels_only_the_labels() -> None:
    one, other = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    one, other, labels = one[0], other[0], torch.tensor([0, 1, 2, 3, 0])
    config = FinetuneConfig(distillation=0.25, smoothing=0, temperature=3)
    hard = nn.functional.cross_entropy(one, labels)
    torch.testing.assert_close(distilled_loss(one, labels, one, config), 0.75 * hard)
    p, q = (other / 3).softmax(-1), (one / 3).softmax(-1)
    soft = 9 * (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(distilled_loss(one, labels, other, config), 0.75 * hard + 0.25 * soft)


def test_distilled_features_bring_the_encoders_nearer_to_the_teachers(tmp_path: Path) -> None:
    distances = []
    for weight in (0.0, 30.0):
        student = model()
        run(tmp_path / str(weight), replace(CONFIG, steps=20, features=weight), loaded=student)
        inputs = student.prepare(colours(20, 1).pixels)
        teacher = model().module.eval()
        with torch.no_grad(), encoder_outputs(student.module.eval()) as found, encoder_outputs(teacher) as goals:
            student.module(inputs), teacher(inputs)
        distances.append(feature_loss(found, goals))
    assert distances[1] < distances[0]


def test_an_integer_model_has_no_features_to_distil(tmp_path: Path) -> None:
    small = model()
    small.module.blocks[0].mlp.drop1 = nn.Identity()
    with pytest.raises(UserError, match="integer-only model cannot be distilled"):
        finetune(small, RULES, images(), tmp_path / "run", replace(CONFIG, features=1.0), integer=IntegerConfig())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 1e-3}, "written with another rate; delete it, or train with the same settings"),
        ({"gradient": GradientConfig("clipped")}, "written with another gradient;"),
        ({"loaded": model(1)}, "written with another weights_sha256;"),
        ({"rules": {"default": "drum8s_k3"}}, "written with another layers;"),
    ],
)
def test_a_state_of_another_run_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    run(tmp_path / "run", replace(CONFIG, steps=2))
    settings = {name: value for name, value in change.items() if hasattr(CONFIG, name)}
    others = {name: value for name, value in change.items() if name not in settings}
    with pytest.raises(UserError, match=message):
        run(tmp_path / "run", replace(CONFIG, steps=2, **settings), **others)


def test_a_broken_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.resume.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="not a saved state of training .*; delete it to begin anew"):
        run(tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": replace(CONFIG, batch=41)}, "a batch of 41 exceeds the 40 training images"),
        ({"config": replace(CONFIG, rate=1e12)}, "training diverged at step [23], .*; lower the rate"),
        ({"data": TrainingImages(colours(40), replace(colours(8), labels=np.arange(8)), colours(32))}, "has 4 outputs"),
        ({"config": replace(CONFIG, checkpointing=True),
          "loaded": wrap(nn.Sequential(nn.Flatten(), nn.Linear(3072, 4)), 32, (0.5,) * 3, (0.2,) * 3), "rules": {}},
         "cannot checkpoint its gradients"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_and_writes_no_weights(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path / "run", **options)
    assert not (tmp_path / "run.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("batch", 0), ("rate", 0.0), ("warmup", 1.0), ("smoothing", -0.1), ("distillation", 1.5),
     ("temperature", 0.0), ("features", -1.0), ("average", 1.0), ("every", 0)],
)  # fmt: skip
def test_bad_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"finetuning {name} {value}: must be"):
        FinetuneConfig(**{name: value})


def small_pack(path: Path) -> Path:
    with np.load(ASSETS / "cifar10_calibration.npz") as own:
        arrays = {f"train_{name}": own[name] for name in ("scan", "offset", "label")}
        np.savez(path, header=own["header"], classes=own["classes"], **arrays)
    return path


def test_the_last_images_of_a_pack_are_held_out(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(reading, "HELD_OUT", 56)
    pack = small_pack(tmp_path / "pack.npz")
    every, few = training_images(pack, 32), training_images(pack, 32, 20)
    assert (len(every.train), len(every.validation), len(every.calibration)) == (200, 56, 200)
    assert np.array_equal(few.train.pixels, every.train.pixels[:20])
    assert np.array_equal(few.validation.labels, every.validation.labels)
    with pytest.raises(UserError, match="images of 32 x 32, the model takes 224 x 224"):
        training_images(pack, 224)
    monkeypatch.setattr(reading, "HELD_OUT", 256)
    with pytest.raises(UserError, match="256 training images are too few"):
        training_images(pack, 32)


def test_a_folder_is_shuffled_and_a_tenth_held_out(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(10):
            Image.new("RGB", (40, 36), (number * 20, 0, 0)).save(tmp_path / label / f"{number}.png")
    read = training_images(tmp_path, 32)
    assert (len(read.train), len(read.validation)) == (18, 2) and set(read.train.labels[:8]) == {0, 1}
    assert np.array_equal(training_images(tmp_path, 32).train.labels, read.train.labels)
    with pytest.raises(UserError, match="0 images cannot train"):
        training_images(tmp_path, 32, 0)
