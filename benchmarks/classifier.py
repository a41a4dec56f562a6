"""How fast each runtime classifies, beside eager torch in one run, and whether they agree.

``python -m benchmarks.classifier [--json FILE]``; one thread. ONNX Runtime needs ``onnx`` to be made from torch and is
left out where that is missing; OpenVINO runs where it is installed.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch

from models.encoding import CONTEXT_WIDTH
from models.runtime import load_classifier
from monitor.contract import FloatArray

BATCHES = (1, 16, 64, 256)
Run = Callable[[FloatArray, FloatArray], FloatArray]


def timed(call: Callable[[], object], *, times: int = 20) -> float:
    """Return the processor seconds of the quickest of some calls."""
    call()
    best = float("inf")
    for _ in range(times):
        begun = time.process_time()
        call()
        best = min(best, time.process_time() - begun)
    return best


def openvino(network: torch.nn.Module, window: FloatArray, context: FloatArray) -> Run | None:
    """Return OpenVINO's version of a torch network; None where it is not installed."""
    try:
        import openvino as ov
    except ImportError:
        return None
    model = ov.convert_model(network, example_input=(torch.from_numpy(window), torch.from_numpy(context)))
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()

    def run(window: FloatArray, context: FloatArray) -> FloatArray:
        answer: FloatArray = request.infer([window, context])[0]
        return answer

    return run


def measure() -> dict[str, dict[str, dict[str, float]]]:
    """Return beats a second, milliseconds a batch and the largest difference of probabilities, by runtime and batch."""
    by_torch, by_numpy = load_classifier(device="torch"), load_classifier(device="cpu")
    random = np.random.default_rng(0)
    result: dict[str, dict[str, dict[str, float]]] = {}
    for beats in BATCHES:
        window = random.standard_normal((beats, 2, 600)).astype(np.float32)
        context = random.uniform(-1, 1, (beats, CONTEXT_WIDTH)).astype(np.float32)
        backend: Any = by_torch._backend  # noqa: SLF001 - the runtimes are what is compared
        runs: dict[str, Run | None] = {
            "torch eager": by_torch._backend.logits,  # noqa: SLF001
            "numpy (default)": by_numpy._backend.logits,  # noqa: SLF001
            "openvino": openvino(backend._network, window, context),  # noqa: SLF001
        }
        expected = _softmax(backend.logits(window, context))
        for name, run in runs.items():
            if run is None:
                continue
            seconds = timed(partial(run, window, context))
            off = float(np.abs(_softmax(run(window, context)) - expected).max())
            result.setdefault(name, {})[str(beats)] = {
                "beats_per_second": round(beats / seconds),
                "milliseconds": round(seconds * 1e3, 3),
                "largest_difference": off,
            }
    return result


def _softmax(logits: FloatArray) -> FloatArray:
    from models.softmax import softmax

    return softmax(logits)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result = measure()
    for name, row in result.items():
        print(
            f"{name:16}"
            + "".join(
                f"  {beats:>4}: {v['beats_per_second']:6,}/s {v['milliseconds']:7.2f} ms"
                for beats, v in row.items()
            )
            + f"  differs by {max(v['largest_difference'] for v in row.values()):.1e}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
