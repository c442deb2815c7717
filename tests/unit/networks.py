"""An ONNX network, made by hand, that is read in milliseconds."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from pacs_ai_training.card import rewrite_card

SIDE = 32
WEIGHT, OFFSET = 3.0, -1.0


def mean_network(path: Path, shape: Sequence[object], *, outputs: int = 1, sigmoid: bool = False) -> Path:
    """Says WEIGHT times the mean of the image plus OFFSET, of each output; its sigmoid where that is asked for."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "axis"], ["column"]),
        helper.make_node("Mul", ["column", "weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["said" if not sigmoid else "logit"]),
    ]
    if sigmoid:
        nodes.append(helper.make_node("Sigmoid", ["logit"], ["said"]))
    constants = [
        numpy_helper.from_array(np.array([1], np.int64), "axis"),
        numpy_helper.from_array(np.full(outputs, WEIGHT, np.float32), "weight"),
        numpy_helper.from_array(np.full(outputs, OFFSET, np.float32), "offset"),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("said", TensorProto.FLOAT, [shape[0], outputs])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def model_folder(path: Path, **changes: object) -> Path:
    document = {
        "name": "mean",
        "version": "1",
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input": {"rows": SIDE},
        "calibration": {"temperature": 1.0},
        "operating_point": {"threshold": 0.5},
        "population": {},
    }
    return rewrite_card(path.parent, document | changes).parent
