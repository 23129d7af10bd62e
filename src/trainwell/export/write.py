"""The job of `trainwell export`: write the files, check them, keep them only if they are right."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainwell.errors import UserError
from trainwell.export.card import card, inputs_of
from trainwell.export.check import Parity, compare, onnx_runner, torch_runner
from trainwell.export.graph import needs_onnx, to_onnx
from trainwell.export.plain import module_text
from trainwell.export.script import predict_script
from trainwell.export.trial import trials
from trainwell.export.whole import whole
from trainwell.files import write_whole
from trainwell.model import load
from trainwell.run import load_run

OUR_FIRST_WORDS = (
    b'"""Label new data with an exported model',
    b'"""A classifier as a plain PyTorch',
)


@dataclass(frozen=True)
class Exported:
    """What was written where, and how the check went."""

    files: tuple[Path, ...]
    parity: Parity
    networks: int
    inputs: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; the first file is the model."""
        return {
            "files": [str(path) for path in self.files],
            "checked": self.parity.checked,
            "real": self.parity.real,
            "open": self.parity.open,
            "max_difference": self.parity.max_difference,
            "networks": self.networks,
            "inputs": list(self.inputs),
        }


def export_onnx(
    run: str | Path, path: str | Path, *, check: Any = None, trust: bool = False
) -> Exported:
    """Write the model of a run as one ONNX file, with predict.py beside it, and check both.

    check: data whose inputs the file is tried on, besides made-up ones; None: those the run was
    trained on, where they can still be read. Raises UserError where onnx is not installed, where
    a file cannot be written, and where the graph does not give the model's probabilities to 1e-5:
    then nothing is written.
    """
    needs_onnx()
    folder, path = Path(run), Path(path)
    model = load(folder, trust)
    script = path.with_name("predict.py")
    _spare(script, model.schema.kind)
    content = to_onnx(model, card(model, folder))
    inputs, real, words = trials(model, _command(folder), check)
    parity = compare(model, onnx_runner(content, model), inputs, real, words)
    _write(path, content)
    _write(script, predict_script(model.schema).encode())
    return Exported((path, script), parity, len(model.parts), tuple(inputs_of(model.schema)))


def export_torch(
    run: str | Path, folder: str | Path, *, check: Any = None, trust: bool = False
) -> Exported:
    """Write the model of a run as a folder that needs only torch and numpy, and check it.

    model.py (a plain nn.Module), weights.safetensors, card.json and predict.py. check and trust as
    for `export_onnx`. Raises UserError where a layer's code is not trainwell's or torch's.
    """
    from safetensors.torch import save

    run, folder = Path(run), Path(folder)
    model = load(run, trust)
    vote, said = whole(model), card(model, run)
    shape = " × ".join(map(str, model.schema.shape))
    kind = {"table": "rows", "images": "uint8 pictures", "audio": "int16 clips"}[said["kind"]]
    weights = {name: t.clone().contiguous() for name, t in vote.state_dict().items()}
    content = {
        "model.py": module_text(vote, f"{kind}, (B, {shape})").encode(),
        "weights.safetensors": save(weights),
        "card.json": (json.dumps(said, indent=1) + "\n").encode(),
        "predict.py": predict_script(model.schema).encode(),
    }
    files = tuple(folder / name for name in content)
    for script in (folder / "predict.py", folder / "model.py"):
        _spare(script, model.schema.kind)
    try:
        for file, text in zip(files, content.values(), strict=True):
            _write(file, text)
        inputs, real, words = trials(model, _command(run), check)
        parity = compare(model, torch_runner(folder), inputs, real, words)
    except BaseException:
        _remove(*files)
        raise
    return Exported(files, parity, len(model.parts), tuple(said["inputs"]))


def _command(run: Path) -> str:
    """How the run was started, as it says itself."""
    with suppress(UserError):
        return str(load_run(run).result.get("command") or "")
    return ""


def _spare(script: Path, kind: str) -> None:
    """Raise UserError where a file of that name is there that no export of such data has written.

    Scripts of models for one kind of data are alike; that for another kind would be lost.
    """
    if not script.is_file():
        return
    there = script.read_bytes()
    todo = "Export into a folder of its own."
    if not there.startswith(OUR_FIRST_WORDS):
        raise UserError(str(script), "is there already, and no export has written it", todo)
    if b'KIND = "' in there and f'KIND = "{kind}"'.encode() not in there:
        raise UserError(str(script), f"belongs to a model of other data than {kind}", todo)


def _remove(*files: Path) -> None:
    for file in files:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        raise UserError(str(path), problem, "Name another file.") from None
