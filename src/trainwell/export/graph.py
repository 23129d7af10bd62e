"""A trained model as an ONNX graph: raw rows, pictures or clips in, probabilities out."""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainwell.data.dataset import AudioSchema, ImageSchema, Schema, TableSchema
from trainwell.errors import UserError
from trainwell.export.layers import rewrite
from trainwell.export.whole import whole
from trainwell.model import Model

OPSET = 20
CARD = "trainwell"  # key of the model's description among the metadata


def to_onnx(model: Model, card: Mapping[str, Any]) -> bytes:
    """The bytes of an ONNX file that holds the whole model, and the card as its metadata.

    Inputs, with a free first dimension: a table's `numbers` (B, n) and `words` (B, q) in the order
    that the card says; `pixels` uint8 (B, H, W, C); `samples` int16 (B, T). Output:
    `probabilities` float32 (B, C). Raises UserError where a network of one's own cannot be traced.
    """
    import onnx

    needs_onnx()
    module = _Front(model)
    example = _example(model.schema)
    rewrite(module, example)
    batch = torch.export.Dim("batch", min=1, max=1 << 30)
    name = {"table": "numbers", "images": "pixels", "audio": "samples"}[model.schema.kind]
    try:
        with _quiet(), torch.inference_mode(False), torch.no_grad():
            program = torch.onnx.export(
                module,
                (example,),
                input_names=[name],
                output_names=["probabilities"],
                dynamic_shapes=({0: batch},),
                opset_version=OPSET,
                dynamo=True,
                # Its rewriting drops what it takes for an addition of nothing, up to 1e-8: the
                # floor below a logarithm, for one. Runtimes optimise when they load the file.
                optimize=False,
                verbose=False,
            )
            assert program is not None
            graph = program.model_proto
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, NotImplementedError) as error:
        problem = f"the network cannot be written as an ONNX graph ({_first_line(error)})"
        raise UserError("export", problem, "Change its forward, or use --torch.") from error
    graph.producer_name = "trainwell"
    if isinstance(model.schema, TableSchema) and any(f.levels for f in model.schema.features):
        _add_words(graph, model.schema)
    entry = graph.metadata_props.add()
    entry.key, entry.value = CARD, json.dumps(card)
    onnx.checker.check_model(graph)
    content: bytes = graph.SerializeToString()
    return content


def needs_onnx() -> None:
    """Raise UserError where what exports to ONNX is not installed."""
    for name in ("onnx", "onnxruntime", "onnxscript"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            problem = f"needs the package {name}, which cannot be imported ({error})"
            todo = 'Install it with: pip install "trainwell[onnx]"'
            raise UserError("export --onnx", problem, todo) from None


class _Front(nn.Module):
    """The whole model, for pictures with their channels behind, as files and cameras have them."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = whole(model)
        self.pictures = isinstance(model.schema, ImageSchema)

    def forward(self, raw: Tensor) -> Tensor:
        return self.model(raw.permute(0, 3, 1, 2) if self.pictures else raw)  # type: ignore[no-any-return]


def _example(schema: Schema) -> Tensor:
    """A batch of two raw examples."""
    if isinstance(schema, TableSchema):
        return torch.zeros((2, *schema.shape), dtype=getattr(torch, schema.precision))
    if isinstance(schema, ImageSchema):
        return torch.zeros((2, schema.height, schema.width, schema.channels), dtype=torch.uint8)
    assert isinstance(schema, AudioSchema)
    return torch.zeros((2, schema.samples), dtype=torch.int16)


def _add_words(graph: Any, schema: TableSchema) -> None:
    """Let the graph take the words of categories themselves, besides the numbers."""
    from onnx import TensorProto, helper

    features, body = schema.features, graph.graph
    numbers = [j for j, f in enumerate(features) if not f.levels]
    words = [j for j, f in enumerate(features) if f.levels]
    kind = TensorProto.DOUBLE if schema.precision == "float64" else TensorProto.FLOAT
    nodes, columns, constants = [], [], []
    for place, j in enumerate(words):
        constants.append(helper.make_tensor(f"word_place_{place}", TensorProto.INT64, [1], [place]))
        nodes.append(
            helper.make_node("Gather", ["words", f"word_place_{place}"], [f"word_{place}"], axis=1)
        )
        levels = features[j].levels
        nodes.append(
            helper.make_node(
                "LabelEncoder",
                [f"word_{place}"],
                [f"level_{place}"],
                domain="ai.onnx.ml",
                keys_strings=list(levels),
                values_floats=[float(code) for code in range(len(levels))],
                default_float=float("nan"),  # a word that training did not see, or none
            )
        )
        nodes.append(helper.make_node("Cast", [f"level_{place}"], [f"code_{place}"], to=kind))
        columns.append(f"code_{place}")
    inputs = [helper.make_tensor_value_info("words", TensorProto.STRING, ["batch", len(words)])]
    if numbers:
        inputs.insert(0, helper.make_tensor_value_info("numbers", kind, ["batch", len(numbers)]))
        columns.insert(0, "numbers")
    together = [*numbers, *words]
    order = [together.index(j) for j in range(len(features))]
    constants.append(helper.make_tensor("column_order", TensorProto.INT64, [len(order)], order))
    nodes.append(helper.make_node("Concat", columns, ["columns_together"], axis=1))
    nodes.append(helper.make_node("Gather", ["columns_together", "column_order"], ["row"], axis=1))
    for node in body.node:
        for place, name in enumerate(node.input):
            if name == "numbers":
                node.input[place] = "row"
    own = list(body.node)
    del body.node[:], body.input[:]
    body.node.extend([*nodes, *own])
    body.input.extend(inputs)
    body.initializer.extend(constants)
    graph.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says about packages and operators that nothing here needs."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
