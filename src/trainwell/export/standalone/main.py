"""Label new data with an exported model. Nothing of trainwell is needed.

    python predict.py INPUT [-o out.csv] [--model model.onnx]

An ONNX file needs numpy and onnxruntime; a folder with model.py needs numpy and torch. INPUT is a
CSV file, a picture or clip, a folder of them, or a .npy file of raw inputs.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trainwell.export.standalone.table import KIND, read

Run = Callable[[dict[str, Any]], Any]


def load(path: Path) -> tuple[dict[str, Any], Run]:
    """What the model says about itself, and what gives probabilities (b, C) for a batch."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        known = session.get_modelmeta().custom_metadata_map
        return json.loads(known["trainwell"]), lambda inputs: session.run(None, inputs)[0]
    spec = importlib.util.spec_from_file_location("model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.load(path.parent / "weights.safetensors")
    card = json.loads((path.parent / "card.json").read_text(encoding="utf-8"))

    def run(inputs: dict[str, Any]) -> Any:
        with module.torch.inference_mode():
            return network(module.torch.from_numpy(raw(inputs, card))).numpy()

    return card, run


def raw(inputs: dict[str, Any], card: dict[str, Any]) -> Any:
    """The same inputs as one array, as the PyTorch module takes them."""
    if "pixels" in inputs:
        return np.ascontiguousarray(inputs["pixels"].transpose(0, 3, 1, 2))
    if "samples" in inputs:
        return inputs["samples"]
    parts = {name: iter(values.T) for name, values in inputs.items()}
    columns = []
    for column in card["schema"]["columns"]:
        if column["type"] == "category":
            codes = {word: float(code) for code, word in enumerate(column["levels"])}
            columns.append([codes.get(word, np.nan) for word in next(parts["words"])])
        else:
            many = 4 if column["type"] == "date" else 1
            columns += [next(parts["numbers"]) for _ in range(many)]
    return np.array(columns, card["schema"]["precision"]).T.copy()


def beside() -> Path:
    """The model in the folder of this script."""
    folder = Path(__file__).resolve().parent
    found = [*sorted(folder.glob("*.onnx")), *folder.glob("model.py")]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} models lie beside this script: name one with --model")
    return found[0]


def label(given: argparse.Namespace) -> None:
    """Write a line for each input; SystemExit says what is wrong with them."""
    if not given.input.exists():
        raise SystemExit(f"{given.input}: there is no such file or folder")
    path = given.model or beside()
    if not path.exists():
        raise SystemExit(f"{path}: there is no such model")
    card, run = load(path)
    if card["kind"] != KIND:
        problem = f"the model takes {card['kind']}, this script reads {KIND}"
        raise SystemExit(f"{path}: {problem}; use the script of its own export")
    classes = card["classes"]
    to = given.out.open("w", encoding="utf-8", newline="") if given.out else sys.stdout
    writer = csv.writer(to, lineterminator="\n")
    count = 0
    for names, inputs, odd in read(given.input, card):
        if not count:
            mark = [] if odd is None else ["unusual"]
            writer.writerow(
                ["input", "label", "probability", *mark, *(f"p:{name}" for name in classes)]
            )
        for i, row in enumerate(run(inputs)):
            best = int(row.argmax())
            shares = [f"{p:.6f}" for p in row]
            own = [] if odd is None else [odd[i]]
            writer.writerow([names[i], classes[best], shares[best], *own, *shares])
        count += len(names)
    if given.out:
        to.close()
    if not count:
        raise SystemExit(f"{given.input}: nothing in it could be read")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("input", type=Path, help="CSV file, picture, clip, folder, or .npy")
    parser.add_argument("-o", "--out", type=Path, help="CSV file to write; default: print it")
    parser.add_argument("--model", type=Path, help="ONNX file or model.py; default: beside this")
    try:
        label(parser.parse_args())
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"error: {end.code}\n")
            sys.exit(2)
        raise


if __name__ == "__main__":
    main()
