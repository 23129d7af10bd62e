"""Weights of a safetensors file, read without any package but torch."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name. The file has the length of a JSON header, the header, and the numbers."""
    content = bytearray(Path(path).read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    found: dict[str, Tensor] = {}
    for name, entry in json.loads(content[8:start].decode()).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        part, kind = content[start + begin : start + end], TYPES[entry["dtype"]]
        values = torch.frombuffer(part, dtype=kind) if part else torch.empty(0, dtype=kind)
        found[name] = values.reshape(entry["shape"])
    return found
