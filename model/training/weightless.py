"""Replace MLPs by weightless ones, matched block by block; then train the whole model with its teacher."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch

from slipstick.errors import UserError
from slipstick.files import write_text
from slipstick.limits import COUNT, POSITIVE, Limits, check_fields

from ..evaluate import input_batches, top1
from ..structure import structure_facts
from ..weightless.match import MatchConfig
from ..weightless.mlp import WeightlessConfig
from ..weightless.replace import weightless_, weightless_mlps
from ..zoo import LoadedModel
from .config import FinetuneConfig
from .finetune import Finetuned, TrainingRun, train_resumably
from .images import TrainingImages, fingerprints
from .state import save_tensors


@dataclass(frozen=True)
class WeightlessTraining:
    """All settings: the blocks, what replaces them, matching on ``recorded`` images, and finetuning.

    ``table_rate`` is by how much the tables' rate exceeds that of other weights while finetuning.
    """

    limits: ClassVar[dict[str, Limits]] = {"recorded": COUNT, "table_rate": POSITIVE}
    blocks: tuple[int, ...]
    mlp: WeightlessConfig = field(default_factory=WeightlessConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    recorded: int = 768
    table_rate: float = 10.0

    def __post_init__(self) -> None:
        check_fields(self, self.limits, "weightless {}".format)


def finetune_weightless(
    loaded: LoadedModel, images: TrainingImages, out: Path, config: WeightlessTraining,
    report: Callable[[dict[str, float]], None] = lambda record: None,
    provenance: Mapping[str, Any] | None = None, teacher: LoadedModel | None = None,
) -> Finetuned:  # fmt: skip
    """Replace MLPs of a float model in place, train it, and leave it with the averaged weights, its mappings fixed.

    It learns from ``teacher``, of the same architecture; without one, from itself as it came. A model some MLPs of
    which are weightless already learns best from the one that it was before, and with no blocks to replace from
    nothing else.

    Writes ``out``.safetensors, which ``load_model`` takes, and ``out``.json, what made them. Every
    ``config.finetune.every`` steps the whole state goes to ``out``.resume.safetensors; the same call goes on from
    it. Raises UserError for blocks that do not exist, a teacher of other sizes, and a state of other settings,
    weights or images, and for neither blocks nor a teacher.
    """
    if teacher is None and not config.blocks:
        raise UserError("without MLPs to replace a model learns nothing from itself; name the weights of a teacher")
    if teacher is not None and _sizes(teacher) != _sizes(loaded):
        raise UserError(f"the teacher has classes, width and encoders {_sizes(teacher)}, the model {_sizes(loaded)}")
    if config.finetune.batch > len(images.train):
        raise UserError(f"a batch of {config.finetune.batch} exceeds the {len(images.train)} training images")
    facts_of_teacher = {} if teacher is None else {"teacher_sha256": fingerprints(teacher, images)["weights_sha256"]}
    module = copy.deepcopy((teacher or loaded).module).requires_grad_(False).eval()
    facts_of_model = {"model": loaded.name} | fingerprints(loaded, images) | facts_of_teacher
    unused = () if config.blocks else ("mlp", "match", "recorded")  # nothing is made and matched
    settings = json.loads(json.dumps({k: v for k, v in asdict(config).items() if k not in unused} | facts_of_model))
    weights, resume = (out.with_name(out.name + end) for end in (".safetensors", ".resume.safetensors"))
    explained: dict[str, float] = {}
    if config.blocks:
        weightless_(
            loaded.module, config.blocks, config.mlp, input_batches(loaded, images.train[: config.recorded]),
            None if resume.exists() else config.match,
            lambda block, share: explained.update({str(block): round(share, 4)}),
        )  # fmt: skip
    for mlp in weightless_mlps(loaded.module).values():
        mlp.fix_mapping_()
    run = TrainingRun(loaded, module, images, config.finetune, _factor(config.table_rate))
    facts = train_resumably(run, images.validation, resume, settings, report, {"explained": explained})
    run.use_average()
    if "after" not in facts["validation"]:
        facts["validation"]["after"] = top1(loaded, images.validation)
        save_tensors(resume, run.tensors(), facts)
    save_tensors(weights, loaded.module.state_dict(), structure_facts(loaded.module))
    manifest = facts | {"torch": torch.__version__, **(provenance or {})}
    write_text(out.with_name(out.name + ".json"), json.dumps(manifest, indent=1) + "\n")
    return Finetuned(weights, manifest)


def _sizes(loaded: LoadedModel) -> tuple[int | None, int | None, int]:
    """Classes, width and number of encoders, as far as the model has them."""
    module = loaded.module
    return getattr(module, "num_classes", None), getattr(module, "embed_dim", None), len(getattr(module, "blocks", ()))


def _factor(table_rate: float) -> Callable[[str], float]:
    return lambda name: table_rate if name.endswith(".tables") else 1.0
