"""``reuse_``: what a reuse encoder computes, what it costs, what it refuses, and how it goes on to cells."""

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from slipstick.errors import UserError
from slipstick.model.convert import approximate_, table_layers
from slipstick.model.reuse.blocks import TransformationBlock
from slipstick.model.reuse.config import ReuseConfig
from slipstick.model.reuse.convert import reuse_, reuse_facts, reuse_from_facts_
from slipstick.model.reuse.count import reuse_encoder, whole_encoder
from slipstick.model.reuse.fit import fit_projections_
from slipstick.model.training.state import save_tensors
from slipstick.model.vit import build_vit
from slipstick.model.workload import workload
from slipstick.model.zoo import SHIPPED, load_model
from tests.rounding import assert_same_function, assert_same_model, in_double

DIM, TOKENS = 24, 17


def vit(depth: int = 5, **options: object) -> VisionTransformer:
    torch.manual_seed(0)
    model = VisionTransformer(
        img_size=16, patch_size=4, embed_dim=DIM, depth=depth, num_heads=3, mlp_ratio=2, num_classes=5, **options
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def images(count: int = 4, size: int = 16) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def tokens_before(model: VisionTransformer, x: Tensor) -> Tensor:
    return model.norm_pre(model._pos_embed(model.patch_embed(x)))


def attention_of(block: nn.Module, x: Tensor) -> Tensor:
    """softmax(QK^T / sqrt d) V by hand, heads side by side."""
    attn, normed = block.attn, block.norm1(x)
    q, k, v = attn.qkv(normed).chunk(3, -1)
    parts = []
    for head in range(attn.num_heads):
        own = slice(head * attn.head_dim, (head + 1) * attn.head_dim)
        weights = (q[..., own] @ k[..., own].mT / attn.head_dim**0.5).softmax(-1)
        parts.append(weights @ v[..., own])
    return torch.cat(parts, -1)


def reference(model: VisionTransformer, changed: nn.Module, pattern: tuple[int, ...], chain: bool, x: Tensor):
    """The reuse network as the paper's text has it, from the original's blocks and the changed one's transforms."""
    tokens, attention = tokens_before(model, x), None
    for index, block in enumerate(model.blocks):
        if index in pattern:
            parts = changed.blocks[index].attn.transform
            normed = nn.functional.layer_norm(attention, (DIM,), parts.norm.weight, parts.norm.bias, 1e-6)
            used = nn.functional.gelu(normed @ parts.linear.weight.T + parts.linear.bias)
            attention = used if chain else attention
        else:
            used = attention = attention_of(block, tokens)
        tokens = tokens + block.ls1(block.attn.proj(used))
        tokens = tokens + block.ls2(block.mlp(block.norm2(tokens)))
    return model.forward_head(model.norm(tokens))


@pytest.mark.parametrize("run", ["last", "chain"])
@pytest.mark.parametrize("pattern", [(1,), (2, 4), (2, 3, 4), (1, 2, 4)])
def test_a_reuse_network_computes_what_the_paper_says(run: str, pattern: tuple[int, ...]) -> None:
    original = vit(init_values=0.5)
    changed = copy.deepcopy(original)
    reuse_(changed, pattern, ReuseConfig(run=run))
    for index in pattern:
        for parameter in changed.blocks[index].attn.transform.parameters():
            nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        given = (original, changed, pattern, run == "chain", images())
        assert_same_function(changed(images()), reference(*given), reference(*map(in_double, given)))


def test_the_readings_of_a_run_differ_only_in_runs() -> None:
    def logits(pattern: tuple[int, ...], run: str) -> Tensor:
        model = vit()
        reuse_(model, pattern, ReuseConfig(run=run))
        return model(images())

    assert torch.equal(logits((1, 3), "last"), logits((1, 3), "chain"))
    assert not torch.allclose(logits((2, 3), "last"), logits((2, 3), "chain"))


def test_ablations_leave_out_gelu_or_everything() -> None:
    attention = torch.randn(2, TOKENS, DIM)
    full, linear, identity = (TransformationBlock(DIM, kind) for kind in ("full", "linear", "identity"))
    assert torch.equal(identity(attention), attention) and not list(identity.parameters())
    normed, exact = (nn.functional.layer_norm(one, (DIM,), eps=1e-6) for one in (attention, attention.double()))
    assert_same_function(linear(attention), normed, exact)  # the Linear starts as the identity
    assert_same_function(full(attention), nn.functional.gelu(normed), nn.functional.gelu(exact))


def test_encoders_that_do_not_reuse_are_untouched() -> None:
    original, changed = vit(), vit()
    reuse_(changed, (3,))
    state = changed.state_dict()
    gone = {name for name in original.state_dict() if name not in state}
    assert gone == {f"blocks.3.{x}.{y}" for x in ("norm1", "attn.qkv") for y in ("weight", "bias")}
    assert all(torch.equal(value, state[name]) for name, value in original.state_dict().items() if name not in gone)
    tokens = tokens_before(changed, images())
    for index in range(3):
        before, block = tokens, original.blocks[index]
        tokens = changed.blocks[index](tokens, None)[0] if index == 2 else changed.blocks[index](tokens)
        assert_same_model(tokens, block, before)


@pytest.mark.parametrize("transform", ["full", "linear", "identity"])
def test_parameters_and_macs_are_those_of_the_paper(transform: str) -> None:
    original, changed = vit(qkv_bias=True), vit(qkv_bias=True)
    reuse_(changed, (1, 3), ReuseConfig(transform))
    own = 0 if transform == "identity" else 1
    for model, index, count in (
        (original, 1, whole_encoder(TOKENS, DIM, 2 * DIM)),
        (changed, 1, reuse_encoder(TOKENS, DIM, 2 * DIM, transform)),
        (changed, 2, whole_encoder(TOKENS, DIM, 2 * DIM)),
    ):
        parameters = list(model.blocks[index].parameters())
        assert sum(p.numel() for p in parameters if p.ndim == 2) == count.weights
        assert sum(p.numel() for p in parameters if p.ndim == 1) == count.others
    fewer = [whole_encoder(TOKENS, DIM, 2 * DIM), reuse_encoder(TOKENS, DIM, 2 * DIM, transform)]
    assert fewer[0].weights - fewer[1].weights == 3 * DIM**2 - own * DIM**2
    for model in (original, changed):
        approximate_(model, {}, [images()])
    macs = [sum(shape.macs for shape in workload(model).values()) for model in (original, changed)]
    assert macs[0] - macs[1] == 2 * (fewer[0].macs - fewer[1].macs)


def test_deit_s_loses_the_macs_that_the_paper_implies() -> None:
    whole, reused = whole_encoder(197, 384, 1536), reuse_encoder(197, 384, 1536)
    assert whole.macs == pytest.approx(378.4e6, rel=1e-3)
    assert whole.macs - reuse_encoder(197, 384, 1536, "identity").macs == pytest.approx(117.0e6, rel=1e-3)
    assert reused.macs - reuse_encoder(197, 384, 1536, "identity").macs == pytest.approx(29.0e6, rel=2e-3)


def test_a_converted_reuse_network_has_all_its_products_on_cells() -> None:
    model = build_vit(dim=32, depth=4, heads=2).eval()
    reuse_(model, (1, 3))
    wanted = model(images(4, 32)).detach()
    report = approximate_(model, {"blocks.1.attn.transform.linear": "drum8s_k4"}, [images(4, 32)])
    names = [name.removeprefix("blocks.1.") for name in report.layers if name.startswith("blocks.1.")]
    assert sorted(names) == ["attn.proj", "attn.transform.linear", "mlp.fc1", "mlp.fc2"]
    assert {name for name in report.layers if name.startswith("blocks.0.attn")} == {
        f"blocks.0.attn.{part}" for part in ("qkv", "qk", "av", "proj")
    }
    assert not report.left_exact and not report.unused
    assert report.layers["blocks.1.attn.transform.linear"] == "drum8s_k4"
    approximate = model(images(4, 32)).detach()
    assert not torch.equal(approximate, wanted)
    assert (approximate - wanted).abs().mean() < 0.3 * wanted.std()
    assert all(layer.activation_scale > 0 for layer in table_layers(model).values())


def test_its_state_goes_through_a_file_and_names_the_pattern(tmp_path: Path) -> None:
    model = vit()
    reuse_(model, (4, 2), ReuseConfig("linear", "chain"))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    save_file(model.state_dict(), tmp_path / "state.safetensors")
    facts = reuse_facts(model)
    assert facts == {"blocks": [2, 4], "transform": "linear", "run": "chain"} and reuse_facts(vit()) is None
    other = vit()
    reuse_from_facts_(other, facts)
    other.load_state_dict(load_file(tmp_path / "state.safetensors"))
    assert torch.equal(other(images()), model(images()))
    assert reuse_facts(copy.deepcopy(model)) == facts


def test_weights_that_name_a_pattern_load_by_the_name_of_the_model(tmp_path: Path) -> None:
    model = load_model().module
    reuse_(model, (2, 5))
    save_tensors(tmp_path / "w.safetensors", model.state_dict(), reuse_facts(model))
    loaded = load_model(SHIPPED, tmp_path / "w.safetensors").module
    assert torch.equal(loaded(images(2, 32)), model(images(2, 32)))
    save_tensors(tmp_path / "bare.safetensors", model.state_dict())
    with pytest.raises(UserError, match=r"has unknown blocks\.2\.attn\.transform"):
        load_model(SHIPPED, tmp_path / "bare.safetensors")


def test_fitted_projections_are_nearer_to_the_original() -> None:
    original, changed, x = vit(), vit(), images(32)
    reuse_(changed, (2, 4))
    with torch.no_grad():
        before = (changed(x) - original(x)).square().mean()
        fit_projections_(changed, original, x)
        assert (changed(x) - original(x)).square().mean() < 0.5 * before


@pytest.mark.parametrize(
    ("pattern", "message"),
    [((0, 2), "has encoder 0, which has no encoder before it"), ((), "the pattern is empty"),
     ((1, 2, 3, 4, 5), "5 reuse encoders do not fit into 5"), ((5,), "leaves the encoders 0 to 4"),
     ((-1,), "leaves the encoders 0 to 4"), ((2, 2), "names an encoder twice")],
)  # fmt: skip
def test_patterns_that_cannot_be_are_refused_and_change_nothing(pattern: tuple[int, ...], message: str) -> None:
    model = vit()
    before = list(model.blocks)
    with pytest.raises(UserError, match=message):
        reuse_(model, pattern)
    assert list(model.blocks) == before


def test_models_without_the_expected_attention_are_refused() -> None:
    with pytest.raises(UserError, match="knows timm's VisionTransformer, not Sequential"):
        reuse_(nn.Sequential(nn.Linear(3, 3)), (1,))
    gated = vit(scale_attn_norm=True)
    with pytest.raises(UserError, match="encoder 0 has a gate or a norm behind its heads"):
        reuse_(gated, (1,))
    twice = vit()
    reuse_(twice, (1,))
    with pytest.raises(UserError, match="reuses attention already"):
        reuse_(twice, (2,))
    other = vit()
    other.blocks[3].attn = nn.Linear(DIM, DIM)
    with pytest.raises(UserError, match="encoder 3 has Linear"):
        reuse_(other, (1,))
    with pytest.raises(UserError, match="reuse run is 'both'; it must be one of last, chain"):
        ReuseConfig(run="both")


def test_calls_that_would_lose_the_attention_are_refused() -> None:
    model = vit()
    reuse_(model, (2,))
    model.set_grad_checkpointing(True)
    with pytest.raises(UserError, match="only run one after another"):
        model.train()(images())
    model.set_grad_checkpointing(False)
    with pytest.raises(UserError, match="only run one after another"):
        model.eval().forward_features(images(), attn_mask=torch.ones(TOKENS, TOKENS, dtype=torch.bool))
