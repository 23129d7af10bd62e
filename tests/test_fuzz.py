"""Whatever the bytes: a value, or a message for the user, and nothing else."""

from __future__ import annotations

import functools
import io
import json
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus import pictures, sounds
from corpus.models import once
from trainwell import model as models
from trainwell.callstring import parse
from trainwell.data.audio import load_clip
from trainwell.data.images import load_images
from trainwell.data.npyfile import load_arrays
from trainwell.data.read import read
from trainwell.diagnosing import diagnose
from trainwell.errors import RecipeError, UserError
from trainwell.recipe import Recipe, from_toml, to_toml
from trainwell.request import load_request

FEW = settings(max_examples=30, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=100, suppress_health_check=list(HealthCheck))
BITS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8)
NUMBERS = ("0", "1", "-1", "2.5", "1e999", "nan", "inf", "", "1_0", "٣", "0x1", "1,5", "9" * 30)
CELLS = st.one_of(st.sampled_from(NUMBERS), st.text(max_size=4))
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=8)
HINTS = get_type_hints(Recipe, include_extras=True)
WORDS = ("Adam", "Mlp", "(", ")", ",", "=", "hidden", "lr", "1", "-", "1e9", "[", "]", "'", "None")
RUNS = functools.cache(lambda: once() / "run")


def changed(content: bytes, flips: list[tuple[int, int]], cut: float) -> bytes:
    """The bytes with some replaced, and the end cut off."""
    out = bytearray(content)
    for at, value in flips:
        if out:
            out[at % len(out)] = value
    return bytes(out[: round(cut * len(out))])


def only_words(work: Callable[[], Any], *expected: type[Exception]) -> Any:
    """What the work gives, or None where it tells the user why not; anything else fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return work()
        except (UserError, *expected) as error:
            assert str(error).strip() and "Traceback" not in str(error)
            return None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def table(path: Path) -> None:
    data = only_words(lambda: read(path))
    if data is not None:
        assert len(data) == len(data.labels) == len(data.names) and len(data.classes) >= 2
        assert not np.isinf(data.inputs).any()
        assert set(np.unique(data.labels)) <= set(range(len(data.classes)))


@FEW
@given(content=st.binary(max_size=200), head=st.sampled_from([b"", b"a,class\n", b"\xff\xfe"]))
def test_bytes_as_a_table(place: Path, content: bytes, head: bytes) -> None:
    (place / "t.csv").write_bytes(head + content)
    table(place / "t.csv")


@FEW
@given(rows=TABLES, mark=st.sampled_from(",;\t|"), end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_odd_cells_as_a_table(place: Path, rows: list[list[str]], mark: str, end: str) -> None:
    lines = [mark.join(row) for row in [["a", "b", "class"], *rows]]
    (place / "t.csv").write_bytes(end.join(lines).encode("utf-8", "surrogatepass"))
    table(place / "t.csv")


@functools.cache
def arrays() -> bytes:
    out = io.BytesIO()
    np.savez(out, X=np.random.default_rng(0).normal(size=(20, 3)), y=np.arange(20) % 2)
    return out.getvalue()


@MANY
@given(flips=BITS, cut=st.floats(0, 1))
def test_changed_bytes_of_an_npz(place: Path, flips: list[tuple[int, int]], cut: float) -> None:
    (place / "t.npz").write_bytes(changed(arrays(), flips, cut))
    only_words(lambda: load_arrays(place / "t.npz"))
    table(place / "t.npz")


@MANY
@given(
    kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]),
    flips=BITS,
    cut=st.floats(0, 1),
)
def test_changed_bytes_of_a_picture(
    place: Path, kind: str, flips: list[tuple[int, int]], cut: float
) -> None:
    (place / "x.png").write_bytes(changed(pictures.encoded(pictures.GREY, kind), flips, cut))
    found, reasons = load_images([place / "x.png"], 12, 12)
    assert len(found) == (not reasons[0]) and found.shape[2:] == (12, 12)


@MANY
@given(
    kind=st.sampled_from(["WAV", "FLAC", "OGG", "AIFF"]), flips=BITS, cut=st.floats(0, 1),
    number=st.integers(0, 2**32 - 1), at=st.integers(0, 60),
)  # fmt: skip
def test_changed_headers_of_a_clip(
    place: Path, kind: str, flips: list[tuple[int, int]], cut: float, number: int, at: int
) -> None:
    content = bytearray(changed(sounds.encoded(sounds.GOOD, form=kind), flips, cut))
    if len(content) > at + 4:
        struct.pack_into("<I", content, at, number)
    (place / "x.wav").write_bytes(content)
    clip = only_words(lambda: load_clip(place / "x.wav", 8000), ValueError, OSError)
    assert clip is None or (clip.dtype == np.int16 and clip.ndim == 1)


@MANY
@given(
    text=st.one_of(
        st.text(max_size=40), st.lists(st.sampled_from(WORDS), max_size=14).map("".join)
    ),
    field=st.sampled_from(sorted(HINTS)),
)
def test_texts_as_values_of_a_recipe(text: str, field: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "1if" is a SyntaxWarning
        value, mistakes = parse(text, HINTS[field], field)
    if not mistakes:
        kept = Recipe(**{field: value})
        assert from_toml(to_toml(kept), Recipe(), "again") == kept


KEYS = ("schema", "classes", "folds", "networks", "0", "recipe", "fold")
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=2)
    ),
    max_leaves=5,
)


@MANY
@given(content=st.dictionaries(st.sampled_from([*HINTS, "x"]), VALUES, max_size=4), raw=st.text())
def test_recipe_files(content: dict[str, Any], raw: str) -> None:
    lines = [f"{name} = {json.dumps(value)}" for name, value in content.items()]
    for text in ("\n".join(lines), raw, raw + "\n" + "\n".join(lines)):
        only_words(lambda text=text: from_toml(text, Recipe(), "r.toml"), RecipeError)


@FEW
@given(flips=BITS, cut=st.floats(0, 1), file=st.sampled_from(["model.json", "weights.safetensors"]))
def test_changed_bytes_of_a_model(
    place: Path, flips: list[tuple[int, int]], cut: float, file: str
) -> None:
    for name in ("model.json", "weights.safetensors"):
        content = (RUNS() / "model" / name).read_bytes()
        other = changed(content, flips, cut) if name == file else content
        (place / name).write_bytes(other)
    loaded = only_words(lambda: models.load(place))
    # Whatever is loaded is what was saved: a changed byte never passes.
    same = all((RUNS() / "model" / n).read_bytes() == (place / n).read_bytes()
               for n in ("model.json", "weights.safetensors"))  # fmt: skip
    assert loaded is None or same


@FEW
@given(path=st.lists(st.sampled_from(KEYS),
                     min_size=1, max_size=4), value=VALUES)  # fmt: skip
def test_changed_cards_of_a_model(place: Path, path: list[str], value: Any) -> None:
    card = json.loads((RUNS() / "model" / "model.json").read_text("utf-8"))
    inner: Any = card
    for step in path[:-1]:
        key: Any = int(step) if isinstance(inner, list) and step.isdigit() else step
        try:
            inner = inner[key]
        except (KeyError, IndexError, TypeError):
            break
    last: Any = int(path[-1]) if isinstance(inner, list) and path[-1].isdigit() else path[-1]
    if isinstance(inner, dict) or (isinstance(inner, list) and isinstance(last, int) and inner):
        inner[last] = value
    (place / "model.json").write_text(json.dumps(card), "utf-8")
    (place / "weights.safetensors").write_bytes(
        (RUNS() / "model" / "weights.safetensors").read_bytes()
    )
    only_words(lambda: models.load(place))


@MANY
@given(text=st.one_of(st.text(), TABLES.map(lambda rows: "\n".join(map(",".join, rows)))),
       head=st.sampled_from(["", "epoch,loss,val_loss\n", '{"loss": [1, 2]}', "[{"]))  # fmt: skip
def test_histories_of_others(place: Path, text: str, head: str) -> None:
    (place / "h.csv").write_text(head + text, "utf-8", "surrogatepass")
    only_words(lambda: diagnose(place / "h.csv"))


@MANY
@given(
    value=st.dictionaries(
        st.sampled_from(["format", "source", "folds", "settings", "test", "x"]), VALUES
    )
)
def test_requests_of_runs(place: Path, value: dict[str, Any]) -> None:
    (place / "b" / "checkpoint").mkdir(parents=True, exist_ok=True)
    (place / "b" / "checkpoint" / "request.json").write_text(json.dumps(value), "utf-8")
    only_words(lambda: load_request(place / "b"))


def test_the_harness_sees_what_it_must() -> None:
    with pytest.raises(KeyError):
        only_words(lambda: {}["a"])
    assert only_words(lambda: 3) == 3
