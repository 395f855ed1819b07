"""Finetuning of a float model whose encoders reuse attention, with the model as it was for a teacher."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from slipstick.files import write_text

from ..evaluate import input_batches, top1
from ..reuse.config import ReuseConfig
from ..reuse.convert import reuse_
from ..reuse.fit import fit_projections_
from ..structure import structure_facts
from ..zoo import LoadedModel
from .config import FinetuneConfig
from .finetune import Finetuned, TrainingRun, train_resumably
from .images import TrainingImages, fingerprints
from .state import save_tensors

FITTED_ON = 256  # images of the closed-form start


def finetune_reuse(
    loaded: LoadedModel,
    blocks: Sequence[int],
    images: TrainingImages,
    out: Path,
    config: FinetuneConfig,
    reuse: ReuseConfig | None = None,
    report: Callable[[dict[str, float]], None] = lambda record: None,
    provenance: Mapping[str, Any] | None = None,
    fit: bool = True,
) -> Finetuned:
    """Let the encoders ``blocks`` of a float model reuse attention, train it, and leave it with the averaged weights.

    Losses, teacher, schedule and resumption are those of ``finetune``; ``config.gradient`` is not used. With
    ``fit`` the projections start in closed form. No ``blocks`` give a control: the model as it was, trained alike.
    Writes ``out``.safetensors, which ``load_model`` takes, and ``out``.json. Raises what ``reuse_`` raises, and
    UserError for a state of other settings, weights or images.
    """
    reuse = reuse or ReuseConfig()
    teacher = replace(loaded, module=copy.deepcopy(loaded.module).requires_grad_(False))
    settings = asdict(config) | {"model": loaded.name, "fit": fit, "reuse": asdict(reuse) | {"blocks": list(blocks)}}
    settings |= fingerprints(loaded, images)
    if blocks:
        reuse_(loaded.module, blocks, reuse)
    weights, resume = (out.with_name(out.name + end) for end in (".safetensors", ".resume.safetensors"))
    if blocks and fit and not resume.exists():
        start = input_batches(loaded, images.calibration[:FITTED_ON], FITTED_ON)[0]
        fit_projections_(loaded.module, teacher.module, start)
    run = TrainingRun(loaded, teacher.module, images, config)
    facts = train_resumably(run, images.validation, resume, settings, report)
    run.use_average()
    if "after" not in facts["validation"]:
        facts["validation"]["after"] = top1(loaded, images.validation)
        save_tensors(resume, run.tensors(), facts)
    save_tensors(weights, loaded.module.state_dict(), structure_facts(loaded.module))
    manifest = facts | {"torch": torch.__version__, **(provenance or {})}
    write_text(out.with_name(out.name + ".json"), json.dumps(manifest, indent=1) + "\n")
    return Finetuned(weights, manifest)
