"""Arrays: .npz and .npy files that are damaged, lie, hold objects or have odd shapes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from corpus.case import Case, Ended, fit, reads
from corpus.tables import put

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)
Y = np.arange(40) % 2
X = RNG.normal(size=(40, 3)) + Y[:, None]
FIRST = tuple(np.float32(X[0]).tolist())
FIT = fit("t.npz")
DEEP = np.array([{"x": 1}, "y"] * 20, object)


def npz(**arrays: Any) -> Callable[[Path], object]:
    """Writes t.npz."""
    return lambda folder: np.savez(folder / "t.npz", **arrays)


def npy(array: Array) -> bytes:
    """The bytes of a .npy file."""
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def members(parts: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> Callable[[Path], object]:
    """Writes t.npz out of members as they are."""

    def write(folder: Path) -> None:
        with zipfile.ZipFile(folder / "t.npz", "w", packing) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)

    return write


def header(text: str, numbers: bytes = b"") -> bytes:
    """A .npy file with a header of one's own."""
    line = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + numbers


def promised(shape: str, dtype: str = "<f8") -> Callable[[Path], object]:
    """Writes inputs whose header promises a shape."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    return members({"X.npy": header(text, bytes(960)), "y.npy": npy(Y)})


def cut(share: float) -> Callable[[Path], object]:
    """Writes the first part of a good file."""

    def write(folder: Path) -> None:
        npz(X=X, y=Y)(folder)
        data = (folder / "t.npz").read_bytes()
        (folder / "t.npz").write_bytes(data[: int(share * len(data))])

    return write


def flipped(folder: Path) -> None:
    npz(X=X, y=Y)(folder)
    data = bytearray((folder / "t.npz").read_bytes())
    data[400] ^= 255
    (folder / "t.npz").write_bytes(bytes(data))


def nothing_beside(ended: Ended) -> None:
    reads("t.npz", 40)(ended)
    assert not (ended.folder.parent / "evil.npy").exists()


def bad(
    name: str, make: Callable[[Path], object], *says: str, options: tuple[str, ...] = ()
) -> Case:
    return Case(name, make, fit("t.npz", *options), "error", ("t.npz", *says))


def good(name: str, make: Callable[[Path], object], seen: Callable[[Ended], object]) -> Case:
    return Case(name, make, FIT, "fine", seen=seen)


AUDIO = ("--kind", "audio")
CASES = [
    good("good arrays", npz(X=X, y=Y), reads("t.npz", 40, ("0", "1"), first=FIRST)),
    bad("half of the file", cut(0.5), "cannot be read"),
    bad("all but the last byte", cut(0.9999), "cannot be read"),
    Case("no byte", put(b"", "t.npz"), FIT, "error", ("t.npz", "cannot be read")),
    Case("text called npz", put("a,b\n1,2\n", "t.npz"), FIT, "error", ("t.npz", "cannot be read")),
    bad("a flipped byte", flipped, "cannot be read"),
    bad("no arrays", members({}), "(none)"),
    bad("members that are no arrays", members({"X.npy": b"x", "y.npy": b"y"}), "cannot be read"),
    bad("objects for inputs", npz(X=DEEP, y=Y), "Python objects"),
    bad("objects for labels", npz(X=X, y=DEEP), "Python objects"),
    bad("objects among the rest", npz(X=X, y=Y, z=DEEP), "Python objects"),
    Case("a pickle called npz", put(b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00]\x94.", "t.npz"), FIT,
         "error", ("t.npz", "cannot be read")),
    bad("a header of objects", promised("(40, 3)", "|O"), "Python objects"),
    bad("a header that promises a terabyte", promised("(40, 3000000000)"), "promises"),
    bad("a header that promises 10^40 numbers", promised(f"({10**20}, {10**20})"), "cannot be read"),
    bad("a negative shape", promised("(-40, -3)"), "cannot be read"),
    bad("a shape that is none", promised("'x'"), "cannot be read"),
    bad("a header with an open bracket", members({"X.npy": header("{'descr': 3L, ((")}), "cannot be read"),
    bad("a header that is code", promised("__import__('os')"), "cannot be read"),
    bad("a type that is none", promised("(40, 3)", "x9"), "cannot be read"),
    bad("an empty type", promised("(40, 3)", "V0")),
    bad("an unknown version", members({"X.npy": b"\x93NUMPY\x09\x00", "y.npy": npy(Y)}), "not known"),
    bad("a header of 4 GB", members({"X.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "y.npy": npy(Y)}),
        "cannot be read"),
    good("much that is packed", members({"X.npy": npy(np.repeat(X, 3000, axis=1)), "y.npy": npy(Y)},
         zipfile.ZIP_DEFLATED), reads("t.npz", 40, shape=(9000,))),
    good("names that lead elsewhere", members({"../evil.npy": npy(X), "X.npy": npy(X), "y.npy": npy(Y)}),
         nothing_beside),
    bad("two names that differ in case", npz(X=X, x=X + 1, y=Y), '"x"', "twice"),
    bad("labels for fewer rows", npz(X=X, y=Y[:30]), "expected 40 values", "got 30"),
    bad("labels in columns", npz(X=X, y=np.eye(2)[Y]), "one value per row"),
    good("labels in one column", npz(X=X, y=Y[:, None]), reads("t.npz", 40, ("0", "1"))),
    bad("labels that are missing", npz(X=X, y=np.where(Y, 1.0, np.nan)), "labels", "row 0"),
    bad("infinite labels", npz(X=X, y=np.where(np.arange(40) == 7, np.inf, Y)), "row 7", "finite"),
    bad("labels with fractions", npz(X=X, y=X[:, 0]), "expected classes"),
    bad("one class", npz(X=X, y=Y * 0), "two classes"),
    bad("blank words for labels", npz(X=X, y=np.array(["ash", ""])[Y]), "labels", "row 1"),
    good("truth values for labels", npz(X=X, y=Y > 0), reads("t.npz", 40, ("False", "True"))),
    good("labels beyond 2^63", npz(X=X, y=Y.astype(np.uint64) + 2**63),
         reads("t.npz", 40, (str(2**63), str(2**63 + 1)))),
    bad("an infinite input", npz(X=np.where(np.arange(120).reshape(40, 3) == 5, np.inf, X), y=Y),
        "row 1, column x2", "finite"),
    good("missing inputs", npz(X=np.where(X > 2, np.nan, X), y=Y), reads("t.npz", 40)),
    bad("nothing but missing inputs", npz(X=X * np.nan, y=Y), "no value"),
    bad("complex inputs", npz(X=X * 1j, y=Y), "complex"),
    bad("words for inputs", npz(X=X.astype(str), y=Y), "Convert"),
    bad("dates for inputs", npz(X=np.zeros((40, 3), "datetime64[s]"), y=Y), "Convert"),
    bad("inputs of five axes", npz(X=np.zeros((40, 1, 1, 2, 2)), y=Y), "(40, 1, 1, 2, 2)"),
    bad("no rows", npz(X=X[:0], y=Y[:0]), "rows"),
    bad("no columns", npz(X=X[:, :0], y=Y), "(40, 0)"),
    bad("one row", npz(X=X[:1], y=Y[:1])),
    bad("pictures of seven channels", npz(X=np.zeros((40, 7, 9, 9), np.uint8), y=Y), "1 to 4 channels"),
    bad("pictures of fractions", npz(X=np.zeros((40, 1, 9, 9)), y=Y), "uint8"),
    good("pictures of one pixel", npz(X=(Y * 200).astype(np.uint8)[:, None, None] + np.arange(40, dtype=np.uint8)[:, None, None], y=Y),
         reads("t.npz", 40, shape=(1, 1, 1))),
    bad("sound without a rate", npz(X=X, y=Y), "rate", options=AUDIO),
    bad("sound of no samples a second", npz(X=X / 9, y=Y, rate=0), "rate", options=AUDIO),
    bad("sound of a negative rate", npz(X=X / 9, y=Y, rate=-8000), "rate", options=AUDIO),
    bad("sound of a rate in words", npz(X=X / 9, y=Y, rate="fast"), "rate", options=AUDIO),
    bad("sound of two rates", npz(X=X / 9, y=Y, rate=[1, 2]), "rate", options=AUDIO),
    bad("sound of a rate that is no number", npz(X=X / 9, y=Y, rate=np.nan), "rate", options=AUDIO),
    bad("sound louder than 1", npz(X=X * 9, y=Y, rate=8000), "between -1 and 1", options=AUDIO),
    bad("groups for fewer rows", npz(X=X, y=Y, groups=Y[:3]), "groups"),
    bad("test rows of another width", npz(x_train=X, y_train=Y, x_test=X[:, :2], y_test=Y), "x_test"),
    bad("training labels without rows", npz(x_train=X, y_train=Y[:0]), "labels"),
    bad("a single number for inputs", npz(X=np.float64(3), y=Y), "t.npz"),
    bad("a single number for test inputs", npz(x_train=X, y_train=Y, x_test=np.float64(3), y_test=Y),
        "x_test"),
    bad("rows of structures", npz(X=np.zeros(40, "f4,f4"), y=Y), "Convert"),
]  # fmt: skip
