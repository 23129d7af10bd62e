"""The script predict.py that lies beside an exported model: one file, nothing of trainwell."""

from __future__ import annotations

import inspect

from trainwell.data import audio as our_audio
from trainwell.data import clips as our_clips
from trainwell.data import images as our_images
from trainwell.data.dataset import Schema
from trainwell.export.source import body, definitions
from trainwell.export.standalone import audio, files, images, main, table

PICTURES = (
    "IMAGE_SUFFIXES",
    "FORMATS",
    "load_image",
    "to_plain",
    "_to_bytes",
    "_fit",
    "stack_images",
)
SOUNDS = (
    "AUDIO_SUFFIXES",
    "LEAST_RATE",
    "MOST_SECONDS",
    "MOST_BYTES",
    "LOUDEST",
    "_implausible",
    "load_clip",
)


def predict_script(schema: Schema) -> str:
    """The text of the script: the reader of this kind of data, and the main part.

    Pictures and clips are read by the very functions that read the training data.
    """
    reader = {"table": table, "images": images, "audio": audio}[schema.kind]
    ours: list[str] = []
    if schema.kind == "images":
        ours = definitions(our_images, PICTURES)
    elif schema.kind == "audio":
        ours = definitions(our_clips, ("MOST_RATE",)) + definitions(our_audio, SOUNDS)
        ours += definitions(our_clips, ("loudest_start", "fit_clip"))
    parts = [
        f'"""{inspect.getdoc(main)}\n"""\n\nfrom __future__ import annotations\n',
        *(["import math", "", "import numpy.typing as npt", ""] if ours else []),
        *([body(files)] if ours else []),
        body(reader),
        *(f"\n\n{text}" for text in ours),
        f"\n\n{body(main)}",
    ]
    return "\n".join(parts)
