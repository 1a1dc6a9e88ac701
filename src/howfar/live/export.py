"""A model as an ONNX file whose increments can be read, and scaled, from outside PyTorch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from howfar.errors import ConfigError, MissingExtraError, NotMeasurableError
from howfar.files import check_writable, write_file
from howfar.foreign import first_line
from howfar.live.graph import Graph
from howfar.positions import movable
from howfar.positions.mode import evaluation_mode

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

INPUTS = ("token_ids", "multipliers")
OUTPUTS = ("logits", "increments")
PAST = ("past_positions", "past_key_values")
PRESENT = ("present_positions", "present")
OPSET = 18
TOLERANCE = 1e-4  # of surprisal (relative above one nat) and of increments (relative)
CHECKED_LENGTHS = (2, 17, 200)
EXAMPLE_LENGTHS = (5, 7)  # tokens before and in the piece that the export traces
HALVED_FROM = 1024  # tensors with at least this many values are stored in half precision if that is exact


@dataclass(frozen=True)
class Exported:
    """An exported graph, and its difference from the model in PyTorch.

    Attributes:
        num_bytes: Size of the file.
        surprisal_error: Largest difference in surprisal over the compared sequences, in nats, or relative
            to the surprisal if that is more than one nat.
        increment_error: Largest relative difference of an increment.
    """

    num_bytes: int
    surprisal_error: float
    increment_error: float


def export_onnx(model: PreTrainedModel, path: str | Path) -> Exported:
    """Write a model as an ONNX graph, and compare the graph with PyTorch first.

    Inputs: `token_ids`, int64 `[1, token]`, and `multipliers`, float32 `[layer, token]`, by which the layers'
    increments are multiplied (ones change nothing). Outputs: `logits`, float32 `[1, token, vocabulary]`, and
    `increments`, float32 `[layer, head, token]`, in positions, as they were used. `layer` runs over the layers with
    rotary positions. A model with plain positions takes multipliers too: its increments are 1.

    The tokens continue a text, whose state is the other inputs: `past_positions`, float64, and
    `past_key_values.LAYER.key` and `.value`, float32, all with 0 tokens at the start of a text. The other outputs,
    `present_positions`, `present.LAYER.key` and `.value`, are the state that includes the new tokens. To go
    back to an earlier token, cut all of them along `past_token`. A model that keeps more of a text than keys and
    values, or whose frequencies change with its length, has no state: its graph reads whole texts.

    Args:
        model: A causal language model with rotary positions.
        path: The file to write.

    Raises:
        ConfigError: The model cannot be exported.
        MissingExtraError: A package for the export is not installed.
        NotMeasurableError: The graph's output differs from the model's.
        OutputError: The file cannot be written.
    """
    if not all(find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")):
        raise MissingExtraError(
            "exporting to ONNX needs more packages; "
            "in the clone of howfar, run: pip install -c constraints.txt '.[onnx]'"
        )
    check_writable(path)
    _check_place(model)
    with evaluation_mode(model), movable(model) as increments, torch.no_grad():
        for layer, source in increments.key_sources.items():
            raise ConfigError(
                f"layer {layer} of this {type(model).__name__} attends to the keys of layer {source}, so the layers "
                "cannot be moved one at a time; export another architecture"
            )
        context = int(model.config.get_text_config().max_position_embeddings)
        try:
            graph = Graph(model, increments).eval()
            content = _export(graph, context)
        except Exception as error:  # whatever the exporter raises for an unknown operation
            cause = first_line(error.__cause__ or error)
            raise ConfigError(
                f"{type(model).__name__} cannot be exported to ONNX: {cause}; export another architecture"
            ) from error
        differences = _compare(graph, content, context)
    if max(differences) > TOLERANCE:
        raise NotMeasurableError(
            f"the exported graph is not the model: surprisal differs by up to {differences[0]:.1e}, increments by "
            f"{differences[1]:.1e} of their mean size, more than {TOLERANCE:.0e}; nothing was written"
        )
    write_file(path, content)
    return Exported(len(content), *differences)


def _export(graph: Graph, context: int) -> bytes:
    """The graph as an ONNX file's content, for texts of any length up to the model's context."""
    from torch.export import Dim

    token, past = Dim("token", min=1, max=context), Dim("past_token", min=0, max=context)
    arguments: tuple[Any, ...] = _arguments(graph, EXAMPLE_LENGTHS[1])
    shapes: tuple[Any, ...] = ({1: token}, {1: token})
    if graph.can_continue:
        arguments = (*arguments, graph.state_like(EXAMPLE_LENGTHS[0]))
        shapes = (*shapes, tuple({axis: past} for axis in graph.token_axes))
    with warnings.catch_warnings(), _quiet("torch.onnx", "onnxscript"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            arguments,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=(*INPUTS, *graph.names(*PAST)),
            output_names=(*OUTPUTS, *graph.names(*PRESENT)),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return _with_half_weights(program.model_proto)


def _with_half_weights(proto: Any) -> bytes:
    """Store weights that float16 holds exactly in float16, and cast them in the graph; a runtime folds the casts."""
    import onnx

    casts = []
    for tensor in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < HALVED_FROM:
            continue
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if not np.array_equal(halves.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(halves, f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def _compare(graph: Graph, content: bytes, context: int) -> tuple[float, float]:
    """Largest differences between a graph, also piece by piece, and its model, which reads each text as a whole.

    Returns:
        Of surprisal, and of increments over a layer's mean size.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    surprisal_error = increment_error = 0.0
    for length in (min(length, context) for length in CHECKED_LENGTHS):
        token_ids, multipliers = _arguments(graph, length)
        logits, increments = (tensor.numpy() for tensor in graph.read(token_ids, multipliers))
        size = np.abs(increments).mean(axis=-1, keepdims=True) + 1e-3  # signed ones come close to 0
        wanted = _surprisal(logits, token_ids.numpy())
        for pieces in _divisions(length) if graph.can_continue else [(length,)]:
            got_logits, got_increments = _run(session, graph, token_ids, multipliers, pieces)
            difference = np.abs(_surprisal(got_logits, token_ids.numpy()) - wanted) / np.maximum(1, wanted)
            surprisal_error = max(surprisal_error, difference.max())
            increment_error = max(increment_error, (np.abs(got_increments - increments) / size).max())
    return float(surprisal_error), float(increment_error)


def _divisions(length: int) -> set[tuple[int, ...]]:
    """Lengths of pieces in which a text is read."""
    return {(length,), (1, length - 1), (length // 2, length - length // 2), (length - 1, 1)}


def _run(
    session: Any, graph: Graph, token_ids: Tensor, multipliers: Tensor, pieces: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and increments of a text that a session reads in pieces of these lengths."""
    state = [tensor.numpy() for tensor in graph.state_like(0)]
    found = []
    for new_ids, new_multipliers in zip(token_ids.split(pieces, dim=1), multipliers.split(pieces, dim=1), strict=True):
        feed = dict(zip(INPUTS, (new_ids.numpy(), new_multipliers.numpy()), strict=True))
        feed |= zip(graph.names(*PAST), state, strict=True)
        logits, increments, *state = session.run(None, feed)
        found.append((logits, increments))
    logits_of_pieces, increments_of_pieces = zip(*found, strict=True)
    return np.concatenate(logits_of_pieces, axis=1), np.concatenate(increments_of_pieces, axis=2)


def _surprisal(logits: NDArray[np.float32], token_ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Surprisal of every token except the first, in nats."""
    from scipy.special import log_softmax

    predicted = log_softmax(logits[0, :-1].astype(np.float64), axis=-1)
    return -np.take_along_axis(predicted, token_ids[0, 1:, None], axis=-1)[:, 0]


def _arguments(graph: Graph, length: int) -> tuple[Tensor, Tensor]:
    """Arbitrary tokens, and multipliers between a half and one and a half."""
    generator = torch.Generator().manual_seed(length)
    vocabulary_size = int(graph.model.get_input_embeddings().weight.shape[0])
    token_ids = torch.randint(0, vocabulary_size, (1, length), generator=generator)
    return token_ids, 0.5 + torch.rand(len(graph.row_of_layer), length, generator=generator)


def _check_place(model: PreTrainedModel) -> None:
    """Check that a model is on the CPU in float32, as the graph will be.

    Raises:
        ConfigError: It is on another device, or of another type.
    """
    if model.device.type != "cpu" or model.dtype != torch.float32:
        raise ConfigError(
            f"the model is on {model.device} in {str(model.dtype).removeprefix('torch.')}; "
            "load it on the CPU in float32 to export it"
        )


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Silence libraries that print details of the export on standard error."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
