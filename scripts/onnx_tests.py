"""Writes ONNX's own tests as folders: those of its operators, and the light models of its package.

onnx_tests.py FOLDER  writes FOLDER/node/TEST and FOLDER/light/MODEL with model.onnx and test_data_set_0/*.pb
"""

import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases


def write(path, value):
    if isinstance(value, np.ndarray | np.generic):
        value = numpy_helper.from_array(np.asarray(value))
    # Sequences and optional values are no tensors; the importer refuses the model before it reads them.
    if isinstance(value, onnx.TensorProto):
        path.write_bytes(value.SerializeToString())


def node_tests(folder):
    for case in collect_testcases(None):
        place = folder / case.name
        place.mkdir(parents=True)
        (place / "model.onnx").write_bytes(case.model.SerializeToString())
        for i, (inputs, outputs) in enumerate(case.data_sets):
            data = place / f"test_data_set_{i}"
            data.mkdir()
            for what, values in (("input", inputs), ("output", outputs)):
                for j, value in enumerate(values):
                    write(data / f"{what}_{j}.pb", value)


def light_models(folder):
    """Models whose weights are computed, with the outputs for the input of ONNX's test runner."""
    for path in sorted((pathlib.Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx")):
        place = folder / path.stem
        data = place / "test_data_set_0"
        data.mkdir(parents=True)
        shutil.copy(path, place / "model.onnx")
        shutil.copy(path.with_name(f"{path.stem}_output_0.pb"), data / "output_0.pb")
        graph = onnx.load(path).graph
        stored = {tensor.name for tensor in graph.initializer}
        (given,) = (info for info in graph.input if info.name not in stored)
        shape = [dim.dim_value for dim in given.type.tensor_type.shape.dim]
        n = np.prod(shape)
        write(data / "input_0.pb", (np.arange(n).reshape(shape) / n).astype(np.float32))


node_tests(pathlib.Path(sys.argv[1]) / "node")
light_models(pathlib.Path(sys.argv[1]) / "light")
