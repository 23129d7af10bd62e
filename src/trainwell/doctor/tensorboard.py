"""Scalars out of TensorBoard's event files, without TensorBoard.

A file is a row of records (TFRecord framing): length, its checksum, bytes, their checksum. The
bytes are one protocol-buffer message "Event"; only its step and its scalars are looked at. The
last record of a training that is still running may be cut off: reading ends there.
Written from the public descriptions of TFRecord, of the wire format and of event.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainwell.errors import UserError

_FLOAT, _DOUBLE, _INT32, _INT64 = 1, 2, 3, 9  # DataType of a TensorProto
_PACKED = {_FLOAT: "<f", _DOUBLE: "<d", _INT32: "<i", _INT64: "<q"}
_FIELD = {_FLOAT: 5, _DOUBLE: 6, _INT32: 7, _INT64: 10}  # where a tensor's values stand


@dataclass(frozen=True)
class Scalar:
    """One number of a log."""

    tag: str
    step: int
    value: float


def is_event_file(path: Path) -> bool:
    """Whether a file is named as TensorBoard's writers name theirs."""
    return path.is_file() and "tfevents" in path.name


def scalars(path: Path) -> list[Scalar]:
    """All scalars of one event file, in the order they were written; raises UserError."""
    data = path.read_bytes()
    found: list[Scalar] = []
    count = 0
    for record in _records(data):
        count += 1
        found += _scalars(record)
    if not count:
        problem = "expected an event file of TensorBoard, found no whole record in it"
        raise UserError(str(path), problem, "Give the folder or file that the writer wrote.")
    return found


def _records(data: bytes) -> Iterator[bytes]:
    """The whole records; ends before one that is cut off or whose length is damaged."""
    place = 0
    while place + 12 <= len(data):
        length, check = struct.unpack_from("<QI", data, place)
        if _masked(data[place : place + 8]) != check:
            return
        end = place + 12 + length
        if end > len(data):
            return
        yield data[place + 12 : end]
        place = end + 4  # the checksum of the bytes is not looked at: a bad one spoils one point


def _table() -> tuple[int, ...]:
    values = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)
        values.append(number)
    return tuple(values)


_TABLE = _table()


def _masked(data: bytes) -> int:
    """TFRecord's checksum: CRC-32C, turned and shifted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of every field; fixed-width values as their bytes."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        if kind == 2:
            length, place = _varint(data, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if place + length > len(data):
            raise ValueError("cut off")
        yield key >> 3, data[place : place + length]
        place += length


def _scalars(event: bytes) -> list[Scalar]:
    step, found = 0, []
    try:
        for number, value in _fields(event):
            if number == 2 and isinstance(value, int):
                step = value - (1 << 64) if value >> 63 else value
            elif number == 5 and isinstance(value, bytes):  # Summary
                found += [_value(v) for n, v in _fields(value) if n == 1 and isinstance(v, bytes)]
    except (ValueError, IndexError, struct.error):
        return []  # one damaged record: the others are still good
    return [Scalar(tag, step, value) for tag, value in filter(None, found)]


def _value(data: bytes) -> tuple[str, float] | None:
    """Tag and number of a Summary.Value; None for pictures, texts and histograms."""
    tag, number = "", None
    for field, value in _fields(data):
        if isinstance(value, int):
            continue
        if field == 1:
            tag = value.decode("utf-8", "replace")
        elif field == 2:
            number = float(struct.unpack("<f", value)[0])
        elif field == 8:
            number = _tensor(value)
    return None if number is None else (tag, number)


def _tensor(data: bytes) -> float | None:
    """The number in a TensorProto that holds exactly one."""
    fields: dict[int, int | bytes] = dict(_fields(data))
    kind = fields.get(1, 0)
    if not isinstance(kind, int) or kind not in _PACKED:
        return None
    value = fields.get(4, fields.get(_FIELD[kind]))  # tensor_content, else the typed list
    if isinstance(value, int):
        return float(value)
    if value is None:
        return None
    if 4 not in fields and kind in (_INT32, _INT64):
        number, end = _varint(value, 0)
        return float(number) if end == len(value) else None
    form = _PACKED[kind]
    return float(struct.unpack(form, value)[0]) if len(value) == struct.calcsize(form) else None
