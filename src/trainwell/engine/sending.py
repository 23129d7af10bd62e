"""Examples on their way to workers: large arrays lie beside the rest, so that nobody copies them.

Tensors become arrays, arrays become buffers of bytes. joblib maps large buffers into memory, one
copy for all processes of a machine; Ray keeps one copy per machine in its object store. What lies
in a mapped file already is opened again by its name.
"""

from __future__ import annotations

import io
import os
import pickle
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainwell.engine.members import Examples
from trainwell.errors import UserError

Array = npt.NDArray[Any]


class Sent:
    """Examples in a form that is cheap to hand over; `examples` puts them together again."""

    def __init__(self, examples: Examples, here: bool = True) -> None:
        """here: for workers of this machine, which also see files that have no name any more."""
        found: list[pickle.PickleBuffer] = []
        stream = io.BytesIO()
        _Pickler(stream, here, found.append).dump(examples)
        self.rest = stream.getvalue()
        # Always the same arrays: joblib maps an array once, however many tasks it is part of.
        self.arrays = [np.asarray(buffer.raw(), np.uint8) for buffer in found]

    def examples(self) -> Examples:
        """The examples, whose arrays are those of this object."""
        found: Examples = pickle.loads(self.rest, buffers=self.arrays)
        return found


class _Pickler(pickle.Pickler):
    def __init__(
        self, stream: io.BytesIO, here: bool, keep: Callable[[pickle.PickleBuffer], Any]
    ) -> None:
        super().__init__(stream, protocol=5, buffer_callback=keep)
        self.here = here

    def reducer_override(self, value: Any) -> Any:
        """Tensors as arrays, mapped arrays as the names of their files."""
        if type(value) is Tensor:
            return tensor_of, (value.detach().cpu().contiguous().numpy(),)
        if isinstance(value, np.ndarray):
            place = place_of(value, self.here)
            if place is not None:
                return mapped, place
        return NotImplemented


def tensor_of(array: Array) -> Tensor:
    """A tensor on the array's memory, which may be read-only: nothing writes to examples."""
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def place_of(array: Array, here: bool) -> tuple[str, str, int, tuple[int, ...], str] | None:
    """File, dtype, offset, shape and order of an array that lies in a mapped file; else None.

    here: also of a file without a name, which other processes of this machine can open as long as
    this process lives (on Linux).
    """
    base: Any = array
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    order = "C" if array.flags.c_contiguous else "F" if array.flags.f_contiguous else ""
    if base is None or not order:
        return None
    path = base.filename
    if not path or not Path(path).is_file():
        path = _descriptor(base) if here else None
    if path is None:
        return None
    while isinstance(base.base, np.memmap):  # a slice of a map says its whole map's offset
        base = base.base
    ahead = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return str(path), array.dtype.str, base.offset + ahead, array.shape, order


def _descriptor(array: Array) -> str | None:
    """The open file that an array is mapped from, as a path; None where the system has none."""
    address = array.__array_interface__["data"][0]
    try:
        for line in Path("/proc/self/maps").read_text().splitlines():
            ends, _, _, _, inode, *_ = line.split()
            low, high = (int(end, 16) for end in ends.split("-"))
            if low <= address < high:
                break
        else:
            return None
        for open_file in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if int(inode) and open_file.stat().st_ino == int(inode):
                    return f"/proc/{os.getpid()}/fd/{open_file.name}"
    except OSError:
        pass  # not Linux
    return None


def mapped(path: str, dtype: str, offset: int, shape: tuple[int, ...], order: Any) -> Array:
    """A file's array, mapped read-only; raises UserError where a worker does not see the file."""
    try:
        found: Array = np.memmap(path, dtype, "r", offset, shape, order).view(np.ndarray)
        return found
    except (OSError, ValueError) as error:
        todo = "Put the data where all machines see them under the same path."
        raise UserError(path, f"a worker cannot open the data ({error})", todo) from None
