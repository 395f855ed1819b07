"""A pretrained encoder keeps its answers on exact and mild cells and loses them on harsh ones."""

import pytest
import torch

from slipstick.model.convert import approximate_, assign_, table_layers
from slipstick.model.layers.matmul import ApproxMatmul
from tests.pretrained.encoder import HERE, Task, cosine, load, top1


@pytest.fixture(scope="module")
def encoder():
    """(task, float vectors, converted model); one thread, as sentences are short."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    model, task = load(), Task.read()
    exact = task.embed(model)
    report = approximate_(model, {}, task.calibration.split(32))
    assert not report.left_exact
    yield task, exact, model
    torch.set_num_threads(before)


def on(encoder, cell: str) -> tuple[float, float]:
    task, exact, model = encoder
    assign_(model, {"default": cell})
    found = task.embed(model)
    return top1(found), cosine(exact, found)


def test_the_task_is_hard_enough_to_tell_and_calibration_is_other_sentences(encoder) -> None:
    task, exact, _ = encoder
    assert 0.5 < top1(exact) < 0.9 and len(task.sentences) >= 60
    known = {tuple(row[row > 0].tolist()) for side in (task.sentences, task.paraphrases) for row in side[:, 0]}
    assert len(known) == 2 * len(task.sentences)
    assert known.isdisjoint({tuple(row[row > 0].tolist()) for row in task.calibration[:, 0]})


def test_every_product_of_the_encoder_is_on_cells(encoder) -> None:
    names = table_layers(encoder[2])
    assert sum(isinstance(layer, ApproxMatmul) for layer in names.values()) == 12  # QK^T and AV of six blocks
    for block in range(6):
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
                     "intermediate.dense", "output.dense"):  # fmt: skip
            assert f"backbone.encoder.layer.{block}.{part}" in names


@pytest.mark.parametrize("cell", ["exact8s", "drum8s_k6"])
def test_exact_and_mild_cells_keep_the_answers(encoder, cell: str) -> None:
    accuracy, likeness = on(encoder, cell)
    assert abs(accuracy - top1(encoder[1])) < 0.06 and likeness > 0.97


def test_a_harsh_cell_everywhere_leaves_guesses(encoder) -> None:
    accuracy, likeness = on(encoder, "truncated8s_k9")
    assert accuracy < 0.06 and likeness < 0.1


def test_a_harsh_cell_in_one_layer_does_little(encoder) -> None:
    task, exact, model = encoder
    assign_(model, {"backbone.encoder.layer.5.attention.self.key": "truncated8s_k6"})
    found = task.embed(model)
    assert cosine(exact, found) > 0.9 and not torch.equal(found[0], exact[0])


def test_the_document_is_of_this_task() -> None:
    text = (HERE.parents[1] / "docs" / "pretrained.md").read_text()
    assert "72 sentences" in text and text.count("`truncated8s_") == 3 and "%" in text
