"""Checks exported models: onnx's checker, and the outputs of onnxruntime beside those of chainrule."""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime


def load(path):
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return onnx.numpy_helper.to_array(tensor)


folder, tolerance, wrong = pathlib.Path(sys.argv[1]), 1e-5, 0
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
for path in sorted(folder.glob("*.onnx")):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    worst = []
    for batch in (1, 5):
        x, y = (load(folder / f"{path.stem}.{batch}.{what}.pb") for what in ("input", "output"))
        (found,) = session.run(None, {"input": x})
        worst.append(float(np.max(np.abs(found - y) / (1 + np.abs(y)))) if found.shape == y.shape else float("inf"))
    verdict = "ok" if max(worst) <= tolerance else "WRONG"
    wrong += verdict != "ok"
    print(f"{path.stem:16} {verdict:6} largest difference {worst[0]:.1e} at batch 1, {worst[1]:.1e} at batch 5")
sys.exit(wrong > 0)
