"""``--weights pretrained``: safetensors through the hub's client, never a pickle; no test touches a network."""

from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors.torch import save_file

from slipstick.errors import UserError
from slipstick.model.hub import HTTPError, pretrained_file
from slipstick.model.zoo import load_model


@pytest.fixture
def hub(monkeypatch):
    """Let ``hf_hub_download`` return a path or raise an error; yields what it was asked for."""
    asked: list[tuple] = []

    def answer(result: Path | Exception) -> list[tuple]:
        def download(repository: str, file: str, revision: str | None = None) -> str:
            asked.append((repository, file, revision))
            if isinstance(result, Exception):
                raise result
            return str(result)

        monkeypatch.setattr("slipstick.model.hub.hf_hub_download", download)
        return asked

    return answer


def test_pretrained_weights_arrive_in_the_model(hub, tmp_path: Path) -> None:
    torch.manual_seed(7)
    state = timm.create_model("test_vit").state_dict()
    save_file(state, tmp_path / "model.safetensors")
    asked = hub(tmp_path / "model.safetensors")
    loaded = load_model("test_vit", "pretrained")
    assert asked == [("timm/test_vit.r160_in1k", "model.safetensors", None)]
    assert loaded.size == 160
    for name, value in loaded.module.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_tag_chooses_among_the_weights_of_a_model(hub) -> None:
    asked = hub(OSError("stop here"))
    with pytest.raises(UserError):
        load_model("vit_tiny_patch16_224.augreg_in21k", "pretrained")
    assert asked == [("timm/vit_tiny_patch16_224.augreg_in21k", "model.safetensors", None)]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalEntryNotFoundError("x"), "cannot fetch timm/test_vit.r160_in1k .*no network, and it is not in the cache"),
        (OfflineModeIsEnabled("offline mode is on"), r"cannot fetch .*\(offline mode is on\); give --weights FILE"),
        (HTTPError("broken off\nmore"), r"cannot fetch .*\(broken off\); give --weights FILE"),
        (EntryNotFoundError("x"), "has no model.safetensors, and pickles are refused; give --weights FILE"),
    ],
)
def test_what_cannot_be_had_is_one_line(hub, error: Exception, message: str) -> None:
    hub(error)
    with pytest.raises(UserError, match=message) as raised:
        load_model("test_vit", "pretrained")
    assert "\n" not in str(raised.value)


def test_weights_of_another_model_do_not_fit(hub, tmp_path: Path) -> None:
    save_file({"other": torch.zeros(1)}, tmp_path / "model.safetensors")
    hub(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="does not fit test_vit"):
        load_model("test_vit", "pretrained")


def test_a_model_without_weights_on_the_hub_is_told() -> None:
    with pytest.raises(UserError, match="timm names no pretrained weights of 'vit_tiny_patch16_18x2_224' on the hub"):
        pretrained_file("vit_tiny_patch16_18x2_224")
