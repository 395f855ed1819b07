"""What weights do not tell: reuse and weightless MLPs come back together, on one model."""

from pathlib import Path

import pytest
import torch

from slipstick.errors import UserError
from slipstick.model.reuse.convert import reuse_
from slipstick.model.structure import restore_structure_, structure_facts
from slipstick.model.training.state import read_facts, save_tensors
from slipstick.model.vit import build_vit
from slipstick.model.weightless.facts import weightless_from_facts_
from slipstick.model.weightless.mlp import WeightlessConfig
from slipstick.model.weightless.replace import weightless_, weightless_mlps
from slipstick.model.zoo import load_model
from tests.model.weightless.vits import SMALL, images, small_vit


def test_a_plain_model_has_nothing_to_tell():
    assert structure_facts(small_vit()) is None


def test_weightless_mlps_in_reuse_encoders_come_back(tmp_path: Path):
    model = small_vit()
    weightless_(model, [0, 1], SMALL, [images(4)])
    reuse_(model, [1])
    save_tensors(tmp_path / "w.safetensors", model.state_dict(), structure_facts(model))
    again = small_vit()
    restore_structure_(again, read_facts(tmp_path / "w.safetensors"))
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(images(3, 1)), model.eval()(images(3, 1)))


def test_learnt_mappings_come_back_fixed():
    model = small_vit()
    weightless_(model, [2], WeightlessConfig(thresholds=3, luts=(24,), arity=4, mapping="sampled"), [images(4)])
    facts = structure_facts(model)
    for mlp in weightless_mlps(model).values():
        mlp.fix_mapping_()
    again = small_vit()
    assert facts is not None
    restore_structure_(again, facts)
    again.load_state_dict(model.state_dict())
    assert structure_facts(again) == facts


@pytest.mark.parametrize(
    ("facts", "message"),
    [({"blocks.7.mlp": {}}, "at 'blocks.7.mlp', where the model has no timm Mlp"),
     ({"blocks.0.attn": {}}, "at 'blocks.0.attn', where"),
     ({"blocks.0.mlp": {}}, "settings of a weightless MLP that are none"),
     ({"blocks.0.mlp": {"luts": [8], "tables": 1}}, "settings of a weightless MLP that are none"),
     ({"blocks.0.mlp": {"luts": [8], "arity": 9}}, "LUT-9")],
)  # fmt: skip
def test_facts_that_the_model_cannot_follow_are_refused(facts: dict, message: str):
    with pytest.raises(UserError, match=message):
        weightless_from_facts_(small_vit(), facts)


def test_a_file_with_such_facts_is_refused_by_name(tmp_path: Path):
    save_tensors(tmp_path / "w.safetensors", build_vit().state_dict(), {"weightless": {"head": {}}})
    with pytest.raises(UserError, match="at 'head', where the model has no timm Mlp"):
        load_model(weights=tmp_path / "w.safetensors")
