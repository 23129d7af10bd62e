"""results.json as a table (results.md) and as pictures; needs nothing but the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WHAT = {
    "seeds": "32 seeds of an MLP 64-64-64-10 on the digits, 20 epochs, batch 32",
    "letter": "10 folds × 3 seeds of an MLP 16-128-128-26 on letter, 8 epochs, batch 128",
    "cnn": "a CNN (two convolutions with batch norm) on 59904 pictures of MNIST, batch 128",
    "scaling": "trainwell alone, as members, rows and processes grow",
}
QUICK = "**A quick run on tiny data: it shows that the scripts run, its numbers mean nothing.**\n"
HEAD = """# Results

Written by `make bench`; how to read them and why they are fair: [README](../README.md).
Seconds and memory are medians over the repeats (least to most). A ratio is theirs / trainwell's
within a repeat: median and 95 % bootstrap interval; above 1 trainwell is faster.
"""
PER = {"members": "ms per member", "rows": "µs per row", "processes": ""}
Row = Mapping[str, Any]


def render(results: Mapping[str, Any]) -> str:
    """The whole page."""
    text = [HEAD]
    for part, found in results.items():
        machine = found["machine"]
        text.append(f"## {part}: {WHAT[part]}\n")
        text += [QUICK] if found["quick"] else []
        text.append(
            f"{found['date']}, {machine['processor']}, {machine['cores']} cores, "
            f"{machine['system']}; {found['repeats']} repeats.\n"
        )
        text.append(_scaling(found["rows"]) if part == "scaling" else _table(part, found["rows"]))
        text += [_scoring(found["rows"])] if part != "scaling" else []
        text += [f"Did not run: {n} ({why}).\n" for n, why in found["failed"].items()]
        text.append(
            "Versions: " + ", ".join(f"{n} {v}" for n, v in found["versions"].items()) + ".\n"
        )
    if any(part != "scaling" for part in results):
        text.append(_memory(results))
    return "\n".join(text)


def _table(part: str, rows: Sequence[Row]) -> str:
    timed = (
        [("first_epoch", "first epoch, s"), ("steady_epoch", "second epoch, s")]
        if part == "cnn"
        else [("seconds", "seconds"), ("total", "with start, s")]
    )
    ratios = (
        [("ratio_first_epoch", "ratio, first"), ("ratio_steady_epoch", "ratio, second")]
        if part == "cnn"
        else [("ratio", "ratio"), ("ratio_training_only", "ratio without scoring")]
    )
    head = ["", "uses", *(t for _, t in timed), *(t for _, t in ratios), "accuracy", "difference"]
    lines = [_line(head), _line(["---"] * len(head))]
    for row in rows:
        name = row["title"] + (
            f" ({row['trained']} of {row['of']}, scaled up)" if row["trained"] < row["of"] else ""
        )
        cells = [name, row["cores"], *(_range(row[key]) for key, _ in timed)]
        cells += [_interval(row.get(key)) for key, _ in ratios]
        lines.append(_line([*cells, _accuracy(row), _difference(row)]))
    return "\n".join(lines) + "\n"


def _scaling(rows: Sequence[Row]) -> str:
    lines = []
    for kind in ("members", "rows", "processes"):
        head = [kind, "seconds", PER[kind], "peak MB"]
        lines += [_line(head), _line(["---"] * 4)]
        for row in (r for r in rows if r["name"].startswith(kind)):
            number = int(row["name"].split()[1])
            each = row["seconds"][0] / number * (1e6 if kind == "rows" else 1e3)
            per = f"{each:.3g}" if kind != "processes" else ""
            lines.append(
                _line([str(number), _range(row["seconds"]), per, f"{row['peak_mb'][0]:.0f}"])
            )
        lines.append("")
    return "\n".join(lines)


def _scoring(rows: Sequence[Row]) -> str:
    ours = next((r for r in rows if r["name"] == "trainwell" and "scoring" in r), None)
    if ours is None:
        return ""
    share = ours["scoring"][0] / ours["seconds"][0]
    words = "are outside the epochs above" if "steady_epoch" in ours else "are in its seconds"
    return (
        f"trainwell also scored validation rows and a sample of training rows after every epoch: "
        f"{ours['scoring'][0]:.3g} s in all,\n{share:.0%} of its training; these {words}. "
        f"The peers did not (pytabkit scores its validation rows).\n"
    )


def _memory(results: Mapping[str, Any]) -> str:
    parts = [p for p in results if p != "scaling"]
    names: dict[tuple[str, str], dict[str, Row]] = {}
    for part in parts:
        for row in results[part]["rows"]:
            names.setdefault((row["title"], row["cores"]), {})[part] = row
    lines = [
        "## memory: largest resident memory of all processes together, MB, data included\n",
        _line(["", "uses", *parts]),
        _line(["---"] * (2 + len(parts))),
    ]
    for (title, cores), found in names.items():
        cells = [f"{found[p]['peak_mb'][0]:.0f}" if p in found else "" for p in parts]
        lines.append(_line([title, cores, *cells]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _range(values: Sequence[float]) -> str:
    middle, low, high = (f"{v:.3g}" for v in values)
    return f"{middle} ({low}–{high})"


def _interval(values: Sequence[float] | None) -> str:
    if values is None:
        return ""
    middle, low, high = values
    return f"**{middle:.2f}** [{low:.2f}, {high:.2f}]"


def _accuracy(row: Row) -> str:
    mean, deviation = row["accuracy"]
    return f"{mean:.2%} ± {deviation:.2%}" if deviation else f"{mean:.2%}"


def _difference(row: Row) -> str:
    if "agreement" not in row:
        return ""
    difference, noise, within = row["agreement"]
    verdict = "within noise" if within else "**differs**"
    return f"{100 * difference:+.2f} ± {100 * noise:.2f} points, {verdict}"


# Pictures -----------------------------------------------------------------------------------------


def plots(results: Mapping[str, Any], folder: Path) -> None:
    """One SVG per part, into `folder`."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams.update({"svg.hashsalt": "trainwell", "font.size": 9})
    for part, found in results.items():
        figure = _draw_scaling(plt, found) if part == "scaling" else _draw_bars(plt, part, found)
        date, machine = found["date"], found["machine"]
        words = f"{WHAT[part]}\n{date}, {machine['processor']}, {machine['cores']} cores"
        figure.suptitle(words, fontsize=8)
        figure.tight_layout()
        figure.savefig(folder / f"{part}.svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


def _draw_bars(plt: Any, part: str, found: Mapping[str, Any]) -> Any:
    """Seconds per contender, with the range over the repeats."""
    key = "steady_epoch" if part == "cnn" else "seconds"
    rows = sorted(found["rows"], key=lambda r: -r[key][0])
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.32 * len(rows)))
    for place, row in enumerate(rows):
        middle, low, high = row[key]
        colour = "#1f6fb2" if row["title"] == "trainwell" else "#b0b7bf"
        axes.barh(place, middle, color=colour)
        axes.plot([low, high], [place, place], color="black", linewidth=1)
        axes.text(high, place, f"  {middle:.3g} s", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [f"{r['title']}, {r['cores']}" for r in rows])
    axes.set_xlim(0, max(r[key][2] for r in rows) * 1.15)
    axes.set_xlabel("seconds of the second epoch" if part == "cnn" else "seconds of training")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def _draw_scaling(plt: Any, found: Mapping[str, Any]) -> Any:
    figure, every = plt.subplots(1, 3, figsize=(9, 3))
    units = {"members": ("ms per member", 1e3), "rows": ("µs per row", 1e6)}
    for axes, kind in zip(every, ("members", "rows", "processes"), strict=True):
        rows = [r for r in found["rows"] if r["name"].startswith(kind)]
        numbers = [int(r["name"].split()[1]) for r in rows]
        label, factor = units.get(kind, ("seconds", 1.0))
        per = numbers if kind in units else [1] * len(numbers)
        for index, style in ((0, "o-"), (1, "_"), (2, "_")):
            values = [factor * r["seconds"][index] / n for r, n in zip(rows, per, strict=True)]
            axes.plot(numbers, values, style, color="#1f6fb2")
        axes.set_xscale("log", base=10 if kind == "rows" else 2)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(kind)
        axes.set_ylabel(label)
        axes.set_xticks(numbers, [f"{n:,}" if n < 1000 else f"{n:.0e}" for n in numbers])
    return figure
