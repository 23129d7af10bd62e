"""Arrays in .npy and .npz files and in folders of .npy files; large ones are mapped, not read."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from trainwell.data.bulk import map_file, read_limit, scratch_file
from trainwell.errors import DataError

Array = npt.NDArray[Any]
# What damaged files make numpy and zipfile raise (RuntimeError: encrypted, or unknown packing).
_DAMAGED = (
    *(OSError, ValueError, EOFError, RuntimeError, KeyError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, SyntaxError, tokenize.TokenError),
)
_MAGIC = b"\x93NUMPY"
_PIECE = 1 << 20  # bytes unpacked at a time


def load_arrays(path: Path, limit: int | None = None) -> dict[str, Array]:
    """The arrays of an .npz file, an .npy file ("x") or a folder of .npy files, keys in lower case.

    Arrays of more than `limit` bytes (None: a share of the memory there is) are read-only maps:
    of the file itself, or, where they are compressed, of a scratch file that goes with them.
    Objects are never unpickled. Raises DataError for damaged files and for arrays of objects.
    """
    limit = read_limit() if limit is None else limit
    if path.is_dir():
        return {key: _load_file(file, limit)["x"] for key, file in array_files(path).items()}
    return _load_file(path, limit)


def array_files(folder: Path) -> dict[str, Path]:
    """The .npy files of a folder by their names without ending, in lower case."""
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".npy" and p.is_file())
    return {file.stem.lower(): file for file in files if not file.name.startswith(".")}


def is_array_folder(folder: Path) -> bool:
    """Whether a folder holds inputs as X.npy or x_train.npy."""
    return bool({"x", "x_train"} & array_files(folder).keys())


def _load_file(path: Path, limit: int) -> dict[str, Array]:
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) == _MAGIC:
                size = path.stat().st_size
                return {"x": _array_at(file, 0, size, limit)}
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                found: dict[str, Array] = {}
                for info in archive.infolist():
                    key = info.filename.removesuffix(".npy").lower()
                    if key in found:
                        raise _twice(path, key)
                    found[key] = _member(file, archive, info, limit)
                return found
    except _DAMAGED as error:
        if "allow_pickle" in str(error) or "pickled" in str(error):
            raise DataError(
                path.name,
                "expected arrays of numbers or words, got an array of Python objects, which is "
                "not read: it could run any program",
                "Save it again with dtype float, int or str.",
            ) from error
        if isinstance(error, MemoryError):
            raise DataError(
                path.name,
                f"does not fit into memory ({error})",
                "Free some memory, or save it uncompressed (np.savez, np.save): then it is mapped.",
            ) from error
        kind = path.suffix.lower() if path.suffix.lower() == ".npy" else ".npz"
        raise DataError(
            path.name, f"cannot be read as {kind} ({error})", "Write the file again."
        ) from error


def _twice(path: Path, key: str) -> DataError:
    problem = f'holds an array called "{key}" twice (capitals do not count)'
    return DataError(path.name, problem, "Rename or remove one of them.")


def _member(file: IO[bytes], archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> Array:
    """One array of an .npz file."""
    if info.file_size <= limit:
        with archive.open(info) as member:
            return _array_at(member, 0, info.file_size, limit)
    if info.compress_type == zipfile.ZIP_STORED:
        with archive.open(info) as member:
            while member.read(_PIECE):  # compares the checksum at the end
                pass
        return _array_at(file, _start(file, info), info.file_size, limit)
    # Of no use to another run, which would unpack it again in seconds: so it is not kept.
    with archive.open(info) as member, scratch_file(info.file_size) as unpacked:
        while piece := member.read(_PIECE):
            unpacked.write(piece)
        unpacked.flush()
        return _array_at(unpacked, 0, info.file_size, limit)


def _start(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin: after its own header, whose length varies."""
    file.seek(info.header_offset)
    header = file.read(30)
    name, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return info.header_offset + len(header) + name + extra


def _array_at(file: IO[bytes], start: int, size: int, limit: int) -> Array:
    """The array in .npy form at `start`, `size` bytes long: read up to `limit` bytes, else mapped.

    Raises ValueError when it holds objects, or fewer numbers than its header promises.
    """
    form = np.lib.format
    file.seek(start)
    version = form.read_magic(file)
    if version > (3, 0):
        raise ValueError(f"format {version} is not known")
    read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
    shape, by_column, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("pickled objects")
    here = file.tell()
    promised, held = math.prod(shape) * dtype.itemsize, start + size - here
    if promised > held:
        raise ValueError(f"its header promises {promised} bytes of numbers, it holds {held}")
    if promised > limit:
        return map_file(file, dtype, here, shape, "F" if by_column else "C")
    file.seek(start)
    array: Array = form.read_array(file, allow_pickle=False)
    return array
