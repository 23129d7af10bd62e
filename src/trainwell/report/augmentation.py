"""The page of an audit: gains, contact sheets, numbers by strength, shifted hold-outs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from trainwell.files import write_whole
from trainwell.report import svg
from trainwell.report.figures import both
from trainwell.report.media import png_uri, wav_uri
from trainwell.report.page import environment
from trainwell.report.plots import thumbnails
from trainwell.report.svg import Scale

Json = Mapping[str, Any]
REGION = 0.5  # points: differences inside ± this count as none
TILE = 56  # CSS pixels of a picture on a sheet, at least
MOST_FIELDS = 6  # columns of a table that are shown


class Sheet(Protocol):
    """Examples beside augmented copies; see audit.contact."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def values(self) -> npt.NDArray[np.float32]: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def rows(self) -> tuple[str, ...]: ...
    @property
    def rate(self) -> int: ...
    @property
    def fields(self) -> tuple[str, ...]: ...


def write_augmentation(found: Json, sheets: Sequence[Sheet], folder: Path) -> Path:
    """Write augment.html into a folder and return its path. found: as `Audit.to_json`."""
    path = folder / "augment.html"
    write_whole(path, render_augmentation(found, sheets).encode("utf-8"))
    return path


def render_augmentation(found: Json, sheets: Sequence[Sheet]) -> str:
    """The page as text."""
    from markupsafe import Markup

    rows = found["augmentations"]
    shown = {s.name: shown_sheet(s) for s in sheets}
    return (
        environment()
        .get_template("augmentation.html")
        .render(
            found=found,
            rows=rows,
            sheets=shown,
            answer=answer(rows),
            picture=Markup(both(lambda n, w: gains(rows, name=n, width=w), "gains"))
            if rows
            else "",
            shifted=sorted({k for r in rows for k in r["shifted"]}, key=_order(rows)),
            share=share,
            pts=in_points,
            tone=tone,
        )
    )


def answer(rows: Sequence[Json]) -> str:
    """The page in a few words."""
    helping = [r["name"] for r in rows if r["verdict"] == "helps"]
    if len(helping) == 1:
        return f"{helping[0]} helps"
    if helping:
        best = max((r for r in rows if r["verdict"] == "helps"), key=lambda r: r["gain"]["value"])
        return f"{len(helping)} help; {best['name']} most"
    untrained = sum(r["gain"] is None for r in rows)
    if untrained:
        return f"{untrained} of {len(rows)} not trained; none of the others is shown to help"
    return "none is shown to help"


def _order(rows: Sequence[Json]) -> Any:
    names = [k for r in rows for k in r["shifted"]]
    return names.index


def share(interval: Json | None, digits: int = 0) -> str:
    """A share in per cent.

    >>> share({"value": 0.974})
    '97 %'
    """
    if interval is None or interval["value"] is None:
        return "–"
    return f"{100 * interval['value']:.{digits}f} %"


def in_points(interval: Json | None, ends: bool = True) -> str:
    """A difference in points, with its interval.

    >>> in_points({"value": 0.0123, "low": 0.004, "high": 0.02})
    '+1.2 (+0.4 to +2.0)'
    """
    if interval is None or interval["value"] is None:
        return "–"
    value, low, high = (
        math.nan if interval[k] is None else 100 * interval[k] + 0.0
        for k in ("value", "low", "high")
    )
    text = f"{value:+.1f}"
    return f"{text} ({low:+.1f} to {high:+.1f})" if ends and math.isfinite(low) else text


def tone(interval: Json | None) -> str:
    """The style of a cell of the matrix: shown to gain, shown to lose, or neither."""
    if interval is None or interval["low"] is None:
        return ""
    return "gain" if interval["low"] > 0 else "loss" if interval["high"] < 0 else ""


# ---- the picture --------------------------------------------------------------------------------

PARTS = {"helps": "val", "harmful": "train", "breaks labels": "train", "leaks": "train"}


def gains(rows: Sequence[Json], *, name: str, width: float = 720) -> str:
    """One line per augmentation: the gain in points with its interval, and the verdict."""
    known = [r for r in rows if r["gain"] and r["gain"]["value"] is not None]
    ends = [100 * v for r in known for v in r["gain"].values() if v is not None]
    low, high = min([*ends, -2 * REGION]) - 0.3, max([*ends, 2 * REGION]) + 0.3
    narrow = width < 500
    left, right, step, top = (
        (112.0 if narrow else 190.0),
        width - (96 if narrow else 170),
        30.0,
        12.0,
    )
    bottom = top + step * len(rows)
    x = Scale(low, high, left, right)
    parts = [svg.rect(x(-REGION), top, x(REGION) - x(-REGION), bottom - top, "shade muted")]
    parts += [svg.line(x(t), top, x(t), bottom, "grid") for t in x.ticks(6)]
    parts += [
        svg.text(x(t), bottom + 16, f"{t:+g}" if t else "0", "tick", "middle") for t in x.ticks(6)
    ]
    parts.append(svg.line(x(0), top, x(0), bottom, "axis"))
    parts.append(svg.text(right, bottom + 33, "points of accuracy gained", "tick", "end"))
    for number, row in enumerate(rows):
        y = top + step * (number + 0.5)
        part = PARTS.get(row["verdict"], "muted")
        label = svg.shorten(f"{row['name']} ×{row['strength']:g}", 15 if narrow else 26)
        parts.append(svg.text(left - 10, y + 4, label, "label", "end", tip=row["name"]))
        parts.append(svg.text(right + 12, y + 4, row["verdict"], f"name {part}"))
        gain = row["gain"]
        if not gain or gain["value"] is None:
            continue
        if gain["low"] is not None:
            parts.append(
                svg.line(x(100 * gain["low"]), y, x(100 * gain["high"]), y, f"whisker {part}")
            )
        told = f"{row['name']}: {in_points(gain)} points"
        parts.append(svg.circle(x(100 * gain["value"]), y, 5, f"dot {part}", told))
    words = "; ".join(f"{r['name']}: {r['verdict']}, {in_points(r['gain'])} points" for r in rows)
    return svg.document(name, width, bottom + 38, "Gain of each augmentation", words, parts)


# ---- contact sheets -----------------------------------------------------------------------------


def shown_sheet(sheet: Sheet) -> dict[str, Any]:
    """What the template needs of a sheet: pictures as data URIs, clips as playable ones."""
    made: dict[str, Any] = {"kind": sheet.kind, "columns": sheet.columns, "rows": sheet.rows}
    if sheet.kind == "pictures":
        values = (sheet.values.clip(0, 1) * 255).round().astype(np.uint8).swapaxes(0, 1)
        down, across = values.shape[:2]
        tile = max(TILE, min(96, values.shape[-1])) * (1 + 1 / 16)
        made["image"] = thumbnails(values.reshape(-1, *values.shape[2:]), across, side=96)
        made["width"], made["height"] = round(across * tile), round(down * tile)
    elif sheet.kind == "clips":
        made["clips"] = [
            [{"sound": wav(c, sheet.rate), "image": spectrogram(c, sheet.rate)} for c in row]
            for row in sheet.values
        ]
    elif sheet.kind == "features":
        low, high = np.quantile(sheet.values, (0.02, 0.98))
        made["clips"] = [
            [{"image": heat(c, float(low), float(high))} for c in row] for row in sheet.values
        ]
    else:
        fields = sheet.fields[:MOST_FIELDS] or tuple(f"column {j}" for j in range(MOST_FIELDS))
        made["fields"] = fields
        made["values"] = [
            [[f"{v:.2f}" for v in cells[: len(fields)]] for cells in row]
            for row in sheet.values[:4]
        ]
    return made


def wav(clip: npt.NDArray[np.float32], rate: int) -> str:
    """A clip (T,) in [-1, 1] as the data URI of a WAV file of 16 bits.

    >>> wav(np.zeros(8, np.float32), 8000)[:22]
    'data:audio/wav;base64,'
    """
    return wav_uri((clip.clip(-1, 1) * 32767).round().astype(np.int16), rate)


def spectrogram(clip: npt.NDArray[np.float32], rate: int) -> str:
    """The log-mel picture of a clip (T,), as a data URI."""
    import torch

    from trainwell.techniques.preprocess import LogMel

    with torch.inference_mode():
        made = LogMel(bands=40).layer(rate)(torch.from_numpy(np.ascontiguousarray(clip))[None])
    bands: npt.NDArray[np.float32] = made[0].numpy().reshape(-1, made.shape[-1])
    return heat(bands, float(bands.min()), float(bands.max()))


def heat(values: npt.NDArray[np.float32], low: float, high: float) -> str:
    """Numbers (bands, frames) as a picture, low ones dark, the first band at the bottom."""
    scaled = ((values - low) / max(high - low, 1e-9)).clip(0, 1)[::-1]
    stops = np.array([[13, 8, 35], [84, 15, 109], [187, 55, 84], [249, 142, 9], [252, 255, 164]])
    at = scaled * (len(stops) - 1)
    first = np.minimum(at.astype(int), len(stops) - 2)
    part = (at - first)[..., None]
    colours = stops[first] * (1 - part) + stops[first + 1] * part
    from PIL import Image

    return png_uri(Image.fromarray(colours.round().astype(np.uint8)))
