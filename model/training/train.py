"""Train the shipped network from scratch on CIFAR-10, on a CPU, resumable after any kill.

Muon (Jordan et al., 2024) updates the matrices of the blocks, AdamW everything else; one cycle with
linear warm-up and linear decay; random crop and flip; label smoothing. Shuffling and augmentation
draw from a generator seeded by (seed, epoch), so a resumed run equals an unbroken one.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slipstick.files import write_text

from ..data import read_pack, write_subset
from ..vit import build_vit, normalise
from .images import HELD_OUT
from .state import load_state, restore_training, save_tensors, training_tensors


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the result of a training run."""

    epochs: int = 28
    batch: int = 128
    rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    smoothing: float = 0.1
    optimiser: str = "muon"
    seed: int = 0


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Crop from a 4-pixel reflected border and flip, at random; images [N, 3, 32, 32]."""
    count, side = len(images), images.shape[-1]
    padded = F.pad(images, (4, 4, 4, 4), mode="reflect")
    down, right = torch.randint(0, 9, (2, count, 1), generator=generator)
    ramp = torch.arange(side)
    flip = torch.rand(count, 1, generator=generator) < 0.5
    rows, columns = down + ramp, torch.where(flip, ramp, side - 1 - ramp) + right
    index = torch.arange(count).view(count, 1, 1)
    return padded[index, :, rows.view(count, side, 1), columns.view(count, 1, side)].permute(0, 3, 1, 2)


def optimisers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon for the block matrices and AdamW for the rest, or AdamW alone."""
    named = list(model.named_parameters())
    matrices = [p for n, p in named if p.ndim == 2 and n.startswith("blocks.") and config.optimiser == "muon"]
    chosen = {id(p) for p in matrices}
    decay = [p for _, p in named if p.ndim > 1 and id(p) not in chosen]
    plain = [p for _, p in named if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    rate = config.rate
    result: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)]
    if matrices:
        result.append(
            torch.optim.Muon(
                matrices, lr=rate, weight_decay=config.weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
            )
        )
    return result


def one_cycle(fraction: float, warmup: float) -> float:
    """Learning-rate factor at ``fraction`` of the run: linear up, then linear down to zero."""
    return fraction / warmup if fraction < warmup else (1 - fraction) / (1 - warmup)


@torch.no_grad()
def top1(model: nn.Module, pixels: Tensor, labels: Tensor, batch: int = 250) -> float:
    """Fraction of images whose highest logit is the label."""
    model.eval()
    hits = sum(
        int((model(normalise(pixels[i : i + batch])).argmax(1) == labels[i : i + batch]).sum())
        for i in range(0, len(labels), batch)
    )
    model.train()
    return hits / len(labels)


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield shuffled index batches [size]; a last short batch is dropped."""
    order = torch.randperm(count, generator=generator)
    yield from order[: count - count % size].split(size)


def train(
    data: Path, out: Path, config: TrainConfig, report: Callable[[dict[str, float]], None] = lambda record: None
) -> Path:
    """Train on the ``train_`` split of a CIFAR-10 JPEG pack and write ``out``.safetensors and .json.

    After every epoch the whole state goes to ``out``.resume.safetensors; the same call goes on from
    it. Returns the path of the weights. Raises UserError when the saved state belongs to another
    configuration.
    """
    torch.manual_seed(config.seed)
    full, test = read_pack(data, "train_"), read_pack(data, "test_")
    split = len(full) - HELD_OUT
    pixels, labels = torch.from_numpy(full.pixels), torch.from_numpy(full.labels)
    held, held_labels = pixels[split:], labels[split:]
    pixels, labels = pixels[:split], labels[:split]
    model = build_vit().to(memory_format=torch.channels_last)
    optimiser_list = optimisers(model, config)
    steps = config.epochs * (split // config.batch)
    weights, log_file = out.with_name(out.name + ".safetensors"), out.with_name(out.name + ".json")
    resume = out.with_name(out.name + ".resume.safetensors")
    log: dict = {"config": asdict(config), "torch": torch.__version__, "curve": []}
    if resume.exists():
        tensors, log = load_state(resume, asdict(config))
        restore_training(tensors, model, optimiser_list)
    for epoch in range(len(log["curve"]), config.epochs):
        started, total, seen = time.process_time(), 0.0, 0
        generator = torch.Generator().manual_seed(config.seed * 1000 + epoch)
        for step, index in enumerate(batches(split, config.batch, generator), epoch * (split // config.batch)):
            factor = one_cycle((step + 1) / steps, config.warmup)
            for optimiser in optimiser_list:
                for group in optimiser.param_groups:
                    group["lr"] = config.rate * factor
            images = augment(normalise(pixels[index]), generator).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(model(images), labels[index], label_smoothing=config.smoothing)
            model.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimiser in optimiser_list:
                optimiser.step()
            total, seen = total + loss.item(), seen + 1
        record = {"epoch": epoch + 1, "loss": total / seen, "validation": top1(model, held, held_labels)}
        if epoch + 1 == config.epochs:
            record["test"] = top1(model, torch.from_numpy(test.pixels), torch.from_numpy(test.labels))
        record["cpu_s"] = round(time.process_time() - started, 1)
        log["curve"].append(record)
        save_tensors(weights, model.state_dict())
        write_text(log_file, json.dumps(log, indent=1) + "\n")
        save_tensors(resume, training_tensors(model, optimiser_list), log)
        report(record)
    return weights


def write_image_packs(data: Path, folder: Path) -> None:
    """Cut the shipped image packs from a CIFAR-10 JPEG pack: calibration, search, validation, test."""
    count = len(read_pack(data, "train_"))
    write_subset(data, "train_", slice(0, 256), folder / "cifar10_calibration.npz")
    write_subset(data, "train_", slice(256, 1256), folder / "cifar10_search.npz")
    write_subset(data, "train_", slice(count - HELD_OUT, count), folder / "cifar10_validation.npz")
    write_subset(data, "test_", slice(None), folder / "cifar10_test.npz")
