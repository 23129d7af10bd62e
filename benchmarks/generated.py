"""Generated samples beside none and beside classic augmentation, on few rows; simulated pictures
refined towards real ones.

    PYTHONPATH=src python -m benchmarks.generated [digits200 refine-digits ...]

Each part writes what it measured into results/generated.json; results/generated.md is made of all
of it. `refine-faces` needs scikit-image, which embeds 100 faces and 100 other patches of 25 × 25.

GAN arms: every draw takes other training rows, 300 rows that choose the epoch of all arms alike,
and test rows that choose nothing. Arms take the same number of steps on the same seeds, at one
learning rate; differences are taken draw by draw, with Student's interval over draws.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from trainwell.arms import Arena, Cell
from trainwell.data.dataset import Dataset
from trainwell.data.read import read
from trainwell.data.split import Fold, SealedTest, Split
from trainwell.engine.generating import Generated
from trainwell.model import assemble
from trainwell.recipe import Adam, Mlp, Recipe
from trainwell.stats import mean_interval
from trainwell.techniques.augment.coding import PictureCoder
from trainwell.techniques.augment.generated import Gan
from trainwell.techniques.augment.images import Elastic, Shift
from trainwell.techniques.augment.refiner import refine
from trainwell.techniques.augment.sample_checks import Reference
from trainwell.techniques.augment.simulator import ink_height, rendered_digits

HERE = Path(__file__).parent / "results"
IMAGES = Path(__file__).parents[1] / "docs" / "images"
VALIDATION = 300
BASE = Recipe(
    model=Mlp(hidden=(128, 64)), optimizer=Adam(), lr=2e-3, epochs=60, batch_size=25, patience=60
)


# ---- GAN ------------------------------------------------------------------------------------


def drawn_split(data: Dataset, rows: int, test: int, draws: int) -> Split:
    """Draws of `rows` training rows, stratified, with rows to validate; the rest tests."""
    from sklearn.model_selection import train_test_split

    everything = np.flatnonzero(~data.official_test) if data.official_test is not None else None
    everything = np.arange(len(data)) if everything is None else everything
    order = np.random.default_rng(0).permutation(everything)
    sealed, rest = np.sort(order[:test]), order[test:]
    folds = []
    for draw in range(draws):
        train, others = train_test_split(
            rest, train_size=rows, stratify=data.labels[rest], random_state=draw
        )
        folds.append(Fold(np.sort(train), np.sort(others[:VALIDATION])))
    return Split(np.sort(rest), tuple(folds), SealedTest(sealed), ())


def gan_part(name: str, rows: int, test: int, draws: int, maker: Gan) -> dict[str, Any]:
    """All arms on one data set."""
    data = read(name)
    split = drawn_split(data, rows, test, draws)
    arena = Arena(data, split, steady=True)
    began = time.monotonic()
    four = arena.generated((dataclasses.replace(maker, ratio=4.0),))
    seconds = (time.monotonic() - began) / draws
    one = dataclasses.replace(maker, ratio=1.0)
    # The first quarter of the samples: the same generator, asked for less.
    arena.samples[(one,)] = Generated(
        (one,),
        (
            tuple(
                dataclasses.replace(s, inputs=s.inputs[:rows], labels=s.labels[:rows])
                for s in four.samples[0]
            ),
        ),
    )
    shift = Shift(pixels=1.0 if name == "digits" else 2.0)
    elastic = Elastic(alpha=10.0, sigma=2.0) if name == "digits" else Elastic()
    arms = {
        "none": (),
        "Gan 1×": (one,),
        "Gan 4×": four.makers,
        f"{shift!r}": (shift,),
        f"{elastic!r}": (elastic,),
        "Shift and Gan 1×": (shift, one),
    }
    recipes = [dataclasses.replace(BASE, augment=some) for some in arms.values()]
    cells = [Cell(fold, 100 + fold) for fold in range(draws)]
    trained = arena.train(recipes, cells)
    sealed = split.sealed.open("benchmark")
    scores = {
        arm: [
            float(
                (
                    assemble(
                        data.schema, data.classes, arena.trainer(r).examples.inputs.layers, [t]
                    )
                    .member_probabilities(data.inputs, sealed)[0]
                    .argmax(axis=1)
                    == data.labels[sealed]
                ).mean()
            )
            for t in found.trained
            if t is not None
        ]
        for arm, r, found in zip(arms, recipes, trained, strict=True)
    }
    picture(f"generated-{name}-{rows}", [look for _, look in four.samples[0][0].looks], 40)
    picture(f"generated-{name}-{rows}-nearest", list(four.samples[0][0].pairs), 10)
    return {
        "what": f"{name}, {rows} training rows, {test} test rows, {draws} draws",
        "maker": repr(maker),
        "scores": scores,
        "reports": [r.to_json() for r in four.reports],
        "seconds": seconds,
        "all_seconds": time.monotonic() - began,
    }


# ---- refined pictures -----------------------------------------------------------------------


def refine_arms(
    simulated: tuple[Any, Any], few: tuple[Any, Any], towards: Any, test: tuple[Any, Any], seed: int
) -> tuple[dict[str, float], Any, float]:
    """Accuracy on real test rows of a small network, by what it was trained on; looks; seconds."""
    began = time.monotonic()
    found = refine(simulated[0], towards, seed)
    seconds = time.monotonic() - began
    times = max(1, len(simulated[1]) // len(few[1]))  # real rows weigh as much as simulated ones
    real = np.repeat(few[0], times, axis=0), np.repeat(few[1], times)
    classes = int(max(simulated[1].max(), test[1].max())) + 1

    def accuracy(*parts: tuple[Any, Any]) -> float:
        x = np.concatenate([p[0] for p in parts])
        y = np.concatenate([p[1] for p in parts])
        return float(Reference(flat(x), y, classes, seed).right(flat(test[0]), test[1]).mean())

    refined = (found.pictures, simulated[1])
    n = len(few[1])
    return (
        {
            "simulated": accuracy(simulated),
            "refined": accuracy(refined),
            f"{n} real": accuracy(few),
            f"{n} real + simulated": accuracy(real, simulated),
            f"{n} real + refined": accuracy(real, refined),
        },
        found.looks,
        seconds,
    )


def flat(pictures: Any) -> Any:
    """Pictures as the reference classifier sees them."""
    return PictureCoder().encode(pictures).flatten(1).numpy()


def refined_digits(name: str, seeds: int, few: int, unlabelled: int) -> dict[str, Any]:
    """Digits in a typeface, refined towards handwritten ones."""
    data = read(name)
    side = data.schema.shape[-1]
    scores: dict[str, list[float]] = {}
    seconds = 0.0
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(data))
        mine, wild, test = np.split(order[: few + unlabelled + 1000], [few, few + unlabelled])
        towards = data.inputs[wild]
        labels = np.arange(1000) % 10
        drawn = rendered_digits(labels, 1, side, side, seed, ink_height(towards))
        found, looks, took = refine_arms(
            (drawn, labels),
            (data.inputs[mine], data.labels[mine]),
            towards,
            (data.inputs[test], data.labels[test]),
            seed,
        )
        seconds += took / seeds
        for arm, value in found.items():
            scores.setdefault(arm, []).append(value)
        if seed == 0:
            picture(f"refined-{name}", [*(look for _, look in looks), towards[:10]], 10)
    what = (
        f"{name}: 1000 written digits, {unlabelled} real without labels, {few} with, {seeds} seeds"
    )
    return {"what": what, "scores": scores, "seconds": seconds}


def drawn_faces(count: int, seed: int) -> tuple[Any, Any]:
    """Faces of a few shades (label 1) and patches of clouds (label 0), 25 × 25."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:25, :25].astype(float)
    found, labels = [], np.arange(count) % 2
    for label in labels:
        cloud = gaussian_filter(rng.normal(size=(25, 25)), rng.uniform(1, 5))
        scene = rng.uniform(60, 160) + 50 * cloud / cloud.std()
        if label:
            cx, cy, wide, tall = 12 + rng.normal(size=4) * (1, 1, 1, 1) + (0, 0, -2, 1)
            skin = rng.uniform(110, 210)
            scene = np.where(((x - cx) / wide) ** 2 + ((y - cy) / tall) ** 2 < 1, skin, scene)
            dark = rng.uniform(40, 90)
            for dx, dy, rx, ry in ((-4.5, -2, 2.2, 1.2), (4.5, -2, 2.2, 1.2), (0, 6.5, 3.5, 1.0)):
                spot = ((x - cx - dx) / rx) ** 2 + ((y - cy - dy) / ry) ** 2 < 1
                scene = np.where(spot, scene - dark, scene)
            scene = gaussian_filter(scene, 0.8)
        found.append(scene.clip(0, 255))
    return np.array(found).astype(np.uint8)[:, None], labels


def refined_faces(seeds: int) -> dict[str, Any]:
    """Drawn faces refined towards photographs: 200 patches in all, so every number is rough."""
    from skimage.data import lfw_subset

    real = (lfw_subset() * 255).round().astype(np.uint8)[:, None]
    labels = (np.arange(200) < 100).astype(np.int64)
    scores: dict[str, list[float]] = {}
    seconds = 0.0
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(200)
        mine, wild, test = order[:10], order[10:100], order[100:]
        found, looks, took = refine_arms(
            drawn_faces(300, seed),
            (real[mine], labels[mine]),
            real[wild],
            (real[test], labels[test]),
            seed,
        )
        seconds += took / seeds
        for arm, value in found.items():
            scores.setdefault(arm, []).append(value)
        if seed == 0:
            picture("refined-faces", [*(look for _, look in looks), real[wild][:10]], 10)
    what = f"faces: 300 drawn patches, 90 real without labels, 10 with, 100 test, {seeds} seeds"
    return {"what": what, "scores": scores, "seconds": seconds}


# ---- what is written ------------------------------------------------------------------------


def picture(name: str, rows: Sequence[Any], columns: int) -> None:
    """A PNG of grey pictures, a row of the sheet for each of `rows`, evenly chosen."""
    parts = []
    for row in rows:
        places = np.unique(np.linspace(0, len(row), min(columns, 20), endpoint=False).astype(int))
        parts.append(np.concatenate([np.pad(p[0], 1) for p in row[places]], axis=1))
    sheet = np.concatenate(parts)
    scale = max(1, 700 // sheet.shape[1])
    size = (sheet.shape[1] * scale, sheet.shape[0] * scale)
    IMAGES.mkdir(exist_ok=True)
    Image.fromarray(sheet).resize(size, Image.Resampling.NEAREST).save(
        IMAGES / f"{name}.png", optimize=True
    )


def interval(values: Sequence[float]) -> str:
    """Mean and interval in points."""
    i = mean_interval(values)
    return f"{100 * i.value:+.1f} [{100 * i.low:+.1f}, {100 * i.high:+.1f}]"


def table(scores: dict[str, list[float]], base: str) -> list[str]:
    """Arms, mean accuracy, and paired differences to one of them."""
    lines = [f"|arm|accuracy|difference to {base}, points|", "|---|---|---|"]
    for arm, values in scores.items():
        gain = "" if arm == base else interval(np.subtract(values, scores[base]).tolist())
        lines.append(f"|{arm}|{100 * np.mean(values):.1f}|{gain}|")
    return lines


def gan_lines(part: dict[str, Any]) -> list[str]:
    """A part with a GAN."""
    reports = part["reports"]

    def mean(name: str) -> float:
        return float(np.mean([r[name] for r in reports]))

    def middle(name: str) -> float:
        return float(np.mean([r[name]["median"] for r in reports]))

    used = [r for r in reports if r["tstr"]]
    lines = [f"## {part['what']}", "", f"`{part['maker']}`", "", *table(part["scores"], "none"), ""]
    if used:
        tstr, trtr = (100 * np.mean([r[n]["value"] for r in used]) for n in ("tstr", "trtr"))
        gap = interval([r["gap"]["value"] for r in used])
        lines.append(
            f"Trained on samples alone, tested on real rows: {tstr:.1f} %; on real rows: "
            f"{trtr:.1f} %; difference {gap} points."
        )
    refused = sum(bool(r["refused"]) for r in reports)
    drawn = mean("drawn")
    return [
        *lines,
        (
            f"Of {drawn:.0f} drawn {100 * mean('doubted') / drawn:.1f} % had a doubtful label and "
            f"{100 * mean('copies') / drawn:.1f} % were near-copies; {refused} of {len(reports)} "
            "draws were refused. Median distance to the nearest training row: real rows "
            f"{middle('nearest_real'):.2f}, samples {middle('nearest_made'):.2f} (near-copy: below "
            f"{mean('copy_distance'):.2f})."
        ),
        f"{part['seconds']:.0f} s per GAN, with its checks; {part['all_seconds']:.0f} s in all.",
        "",
    ]


def refine_lines(part: dict[str, Any]) -> list[str]:
    """A part with refined pictures."""
    scores = part["scores"]
    real = next(arm for arm in scores if arm.endswith(" real"))
    change = interval(np.subtract(scores["refined"], scores["simulated"]).tolist())
    both = np.subtract(scores[f"{real} + refined"], scores[f"{real} + simulated"]).tolist()
    return [
        f"## {part['what']}",
        "",
        *table(scores, real),
        "",
        f"Refined against simulated: {change} points alone, {interval(both)} beside real rows.",
        f"{part['seconds']:.0f} s per refiner.",
        "",
    ]


PARTS = {
    "digits50": lambda: gan_part("digits", 50, 900, 6, Gan(steps=800)),
    "digits200": lambda: gan_part("digits", 200, 900, 6, Gan(steps=800)),
    "mnist1000": lambda: gan_part("mnist", 1000, 3000, 4, Gan(steps=1200)),
    "refine-digits": lambda: refined_digits("digits", 5, 50, 400),
    "refine-mnist": lambda: refined_digits("mnist", 3, 50, 400),
    "refine-faces": lambda: refined_faces(5),
}


def main() -> None:
    """Measure the parts that are named and write the page of all parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    torch.set_num_threads(1)
    path = HERE / "generated.json"
    for name in parser.parse_args().parts or PARTS:
        result = PARTS[name]()
        known = json.loads(path.read_text()) if path.exists() else {}
        known[name] = result
        path.write_text(json.dumps({k: known[k] for k in PARTS if k in known}, indent=1) + "\n")
        lines = [f"# {__doc__.splitlines()[0]}", "", *__doc__.splitlines()[8:], ""]
        for key, part in json.loads(path.read_text()).items():
            lines += refine_lines(part) if key.startswith("refine") else gan_lines(part)
        (HERE / "generated.md").write_text("\n".join(lines))
        print("\n".join(refine_lines(result) if "refine" in name else gan_lines(result)))


if __name__ == "__main__":
    main()
