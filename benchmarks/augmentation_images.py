"""Pictures augmented per second: trainwell beside kornia, albumentations and torchvision.

    python -m benchmarks.augmentation_images [--repeats 15] [--only Affine Elastic]

Everybody starts with the same batch of bytes in memory and ends with a float32 batch in [0, 1]
whose pictures were each changed by random numbers of their own, on one thread. albumentations works
on the bytes, which is its fast way, one picture at a time; its float batch is made at the end.
torchvision draws one set of numbers per call, hence also one picture at a time, of the float batch.
kornia gets the float batch. Contenders take turns within a repeat, and ratios are taken there.
Seconds are those of the processor, which others on the machine disturb less than a clock's. Freed
memory stays with the process, for everybody: else glibc hands batches of many MiB back to the
system each time, and zeroing new pages costs more than most of these transforms.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib
import importlib.metadata
import math
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.summary import paired_ratio
from trainwell.techniques import augment

Run = Callable[[], Tensor]
# Pictures, channels, height and width.
SIZES = ((256, 1, 28, 28), (256, 3, 32, 32), (64, 3, 128, 128))
OURS = {
    "Shift": augment.Shift(),
    "Rotate": augment.Rotate(),
    "Scale": augment.Scale(),
    "Shear": augment.Shear(),
    "Affine": augment.Affine(),
    "Elastic": augment.Elastic(),
    "Flip": augment.Flip(),
    "Crop": augment.Crop(),
    "PixelNoise": augment.PixelNoise(),
    "Erase": augment.Erase(filling="zero"),
    "BrightnessContrast": augment.BrightnessContrast(),
}
FACTOR = (1 / 1.15, 1.15)
RATIO = (0.3, 1 / 0.3)


def trainwell(batch: Tensor) -> dict[str, Run]:
    """Draw and apply, with a new seed each time."""
    seeds = iter(range(10**9))

    def run(technique: Any) -> Run:
        return lambda: technique(batch, seed=next(seeds))  # type: ignore[no-any-return]

    return {name: run(technique) for name, technique in OURS.items()}


def floats(batch: Tensor) -> Tensor:
    """Bytes as numbers in [0, 1]."""
    return batch.float().mul_(1 / 255)


def kornia(batch: Tensor) -> dict[str, Run]:
    """Batched transforms, each picture with random numbers of its own."""
    from kornia import augmentation as k

    height, width = batch.shape[-2:]
    shift = (2 / width, 2 / height)
    edge = {"p": 1.0, "padding_mode": "border"}
    transforms = {
        "Shift": k.RandomAffine(0.0, translate=shift, **edge),
        "Rotate": k.RandomAffine(15.0, **edge),
        "Scale": k.RandomAffine(0.0, scale=FACTOR, **edge),
        "Shear": k.RandomAffine(0.0, shear=10.0, **edge),
        "Affine": k.RandomAffine(15.0, shift, FACTOR, 10.0, **edge),
        "Elastic": k.RandomElasticTransform(
            (33, 33), (4.0, 4.0), (68 / width, 68 / height), padding_mode="border", p=1.0
        ),
        "Flip": k.RandomHorizontalFlip(p=0.5),
        "Crop": k.RandomCrop((height, width), padding=4, padding_mode="replicate", p=1.0),
        "PixelNoise": k.RandomGaussianNoise(std=0.05, p=1.0),
        "Erase": k.RandomErasing((0.02, 0.4), RATIO, p=0.5),
        "BrightnessContrast": torch.nn.Sequential(
            k.RandomBrightness((0.8, 1.2), p=1.0), k.RandomContrast((0.8, 1.2), p=1.0)
        ),
    }
    return {name: lambda t=t: t(floats(batch)) for name, t in transforms.items()}


def albumentations(batch: Tensor) -> dict[str, Run]:
    """One picture (H, W, C) at a time, as bytes."""
    import albumentations as a
    import cv2

    cv2.setNumThreads(0)
    height, width = batch.shape[-2:]
    edge = {"border_mode": cv2.BORDER_REPLICATE, "p": 1.0}
    shift = {"x": (-2 / width, 2 / width), "y": (-2 / height, 2 / height)}
    transforms = {
        "Shift": a.Affine(translate_percent=shift, **edge),
        "Rotate": a.Affine(rotate=(-15, 15), **edge),
        "Scale": a.Affine(scale=FACTOR, **edge),
        "Shear": a.Affine(shear={"x": (-10, 10), "y": 0}, **edge),
        "Affine": a.Affine(FACTOR, shift, None, (-15, 15), {"x": (-10, 10), "y": 0}, **edge),
        "Elastic": a.ElasticTransform(alpha=34, sigma=4, **edge),
        "Flip": a.HorizontalFlip(p=0.5),
        "Crop": a.Compose(
            [a.Pad(4, border_mode=cv2.BORDER_REPLICATE, p=1.0), a.RandomCrop(height, width)]
        ),
        "PixelNoise": a.GaussNoise(std_range=(0.05, 0.05), p=1.0),
        "Erase": a.Erasing((0.02, 0.4), RATIO, fill=0, p=0.5),
        "BrightnessContrast": a.RandomBrightnessContrast(0.2, 0.2, p=1.0),
    }
    pictures = batch.permute(0, 2, 3, 1).contiguous().numpy()

    def run(transform: Any) -> Run:
        def changed() -> Tensor:
            found = np.stack([transform(image=p)["image"] for p in pictures])
            return floats(torch.from_numpy(found).permute(0, 3, 1, 2))

        return changed

    return {name: run(t) for name, t in transforms.items()}


def torchvision(batch: Tensor) -> dict[str, Run]:
    """One picture at a time, from the float batch."""
    from torchvision.transforms import InterpolationMode, v2

    height, width = batch.shape[-2:]
    shift = (2 / width, 2 / height)
    by = {"interpolation": InterpolationMode.BILINEAR}
    transforms = {
        "Shift": v2.RandomAffine(0, shift, **by),
        "Rotate": v2.RandomAffine(15, **by),
        "Scale": v2.RandomAffine(0, scale=FACTOR, **by),
        "Shear": v2.RandomAffine(0, shear=10, **by),
        "Affine": v2.RandomAffine(15, shift, FACTOR, 10, **by),
        "Elastic": v2.ElasticTransform(34.0, 4.0, **by),
        "Flip": v2.RandomHorizontalFlip(),
        "Crop": v2.RandomCrop((height, width), padding=4, padding_mode="edge"),
        "PixelNoise": v2.GaussianNoise(sigma=0.05),
        "Erase": v2.RandomErasing(0.5, (0.02, 0.4), RATIO),
        "BrightnessContrast": v2.ColorJitter(0.2, 0.2),
    }

    def run(transform: Any) -> Run:
        return lambda: torch.stack([transform(p) for p in floats(batch)])

    return {name: run(t) for name, t in transforms.items()}


def import_torchvision() -> str:
    """Import it, if need be without its compiled operators, which no transform here uses."""
    try:
        importlib.import_module("torchvision")
        return ""
    except RuntimeError:  # built for another torch: torchvision::nms is missing
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_torchvision.library = library  # type: ignore[attr-defined]  # it lives as long
        importlib.import_module("torchvision")
        return ", without its compiled operators"


PEERS = {"kornia": kornia, "albumentations": albumentations, "torchvision": torchvision}


def present() -> tuple[list[str], list[str]]:
    """Peers that can be imported, and a line on each."""
    names, lines = [], []
    for name in PEERS:
        try:
            note = import_torchvision() if name == "torchvision" else ""
            importlib.import_module(name)
            names.append(name)
            lines.append(f"{name} {importlib.metadata.version(name)}{note}")
        except (ImportError, RuntimeError) as error:
            lines.append(f"{name}: not measured, it cannot be imported ({error})")
    return names, lines


def check(found: Tensor, batch: Tensor, who: str) -> None:
    """Whether a contender hands back what was asked for, with some pictures changed."""
    assert found.shape == batch.shape and found.dtype == torch.float32, who
    # kornia leaves its noise outside of [0, 1].
    assert float(found.min()) > -0.5 and float(found.max()) < 1.5, who
    changed = (found - floats(batch)).flatten(1).abs().amax(1) > 0.01
    assert float(changed.float().mean()) > 0.2, who


def measure(size: tuple[int, ...], names: Iterable[str], only: list[str], repeats: int) -> None:
    """Print one table."""
    batch = torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.manual_seed(0))
    runs = {"trainwell": trainwell(batch)} | {name: PEERS[name](batch) for name in names}
    count, channels, height, width = size
    print(f"\n{count} pictures, {height} × {width} × {channels}\n")
    print("| technique | trainwell, pictures/s (ms) | " + " | ".join(list(runs)[1:]) + " |")
    print("|---" * (1 + len(runs)) + "|")
    for technique in only:
        seconds = timed({who: run[technique] for who, run in runs.items()}, repeats, batch)
        ours = statistics.median(seconds["trainwell"])
        cells = [f"{count / ours:,.0f} ({1000 * ours:.2f})"]
        for who in list(runs)[1:]:
            ratio, low, high = paired_ratio(seconds[who], seconds["trainwell"])
            cells.append(f"{ratio:.2f} × [{low:.2f}, {high:.2f}]")
        print(f"| {technique} | " + " | ".join(cells) + " |", flush=True)


def timed(runs: dict[str, Run], repeats: int, batch: Tensor) -> dict[str, list[float]]:
    """Seconds of each contender in each repeat, by turns; short runs are taken several at once."""
    times: dict[str, int] = {}
    for who, run in runs.items():
        check(run(), batch, who)
        began = time.process_time()
        run()
        times[who] = max(1, math.ceil(0.004 / (time.process_time() - began)))
    seconds: dict[str, list[float]] = {who: [] for who in runs}
    for _ in range(repeats):
        for who, run in runs.items():
            began = time.process_time()
            for _ in range(times[who]):
                run()
            seconds[who].append((time.process_time() - began) / times[who])
    return seconds


def keep_memory() -> None:
    """Let glibc keep what is freed."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        for option in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
            libc.mallopt(option, 1 << 30)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    options.add_argument("--repeats", type=int, default=15)
    options.add_argument("--only", nargs="+", choices=list(OURS), default=list(OURS))
    options.add_argument("--sizes", nargs="+", type=int, choices=range(3), default=range(3))
    options.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    options.add_argument("--default-malloc", action="store_true", help="memory as glibc has it")
    given = options.parse_args()
    if not given.default_malloc:
        keep_memory()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # peers warn of their own future
    names, lines = present()
    print(f"torch {torch.__version__}, Python {platform.python_version()}, one thread; ", end="")
    print("; ".join(lines))
    print(f"\nSeconds of the peer over those of trainwell, median of {given.repeats} [95 %].")
    for size in (SIZES[i] for i in given.sizes):
        measure(size, [n for n in names if n in given.peers], given.only, given.repeats)


if __name__ == "__main__":
    main()
