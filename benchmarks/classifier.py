"""How fast each runtime classifies, beside eager torch in one run, and whether they agree.

``python -m benchmarks.classifier [--json FILE]``; one thread, processor time. First the network alone, on encoded
beats, in every runtime there is (OpenVINO where it is installed); then the whole answer as live use needs it, from
windows and context through the network and the network in sequence to a label. Last how long a process takes from
nothing to a classifier that is ready, and the size of the weights.
"""

import argparse
import json
import os
import subprocess
import sys
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
from models.runtime import SHIPPED_WEIGHTS, Classifier, load_classifier
from models.softmax import softmax
from monitor.beat_sequence import SequenceBank
from monitor.classifier import classify
from monitor.contract import CONTEXT_FIELDS, UNSURE_LABEL, WINDOW_POINTS, Beats, FloatArray

BATCHES = (1, 16, 64, 256)
STARTS = 3
CLOSE = 2e-3
"""Runtimes may name a beat differently only where the two likeliest classes are closer than this."""
_RATE_HZ = 360.0
_READY = "from models.runtime import load_classifier; load_classifier(device='cpu')"
Run = Callable[[FloatArray, FloatArray], FloatArray]
Timings = dict[str, dict[str, dict[str, float]]]


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


def measure() -> Timings:
    """Return what the network alone takes, and how far each runtime's probabilities are from eager torch's."""
    by_torch, by_numpy = load_classifier(device="torch"), load_classifier(device="cpu")
    random = np.random.default_rng(0)
    result: Timings = {}
    for beats in BATCHES:
        window = random.standard_normal((beats, 2, WINDOW_POINTS)).astype(np.float32)
        context = random.uniform(-1, 1, (beats, CONTEXT_WIDTH)).astype(np.float32)
        backend: Any = by_torch._backend  # noqa: SLF001 - the runtimes are what is compared
        runs: dict[str, Run | None] = {
            "torch eager": by_torch._backend.logits,  # noqa: SLF001
            "numpy (default)": by_numpy._backend.logits,  # noqa: SLF001
            "openvino": openvino(backend._network, window, context),  # noqa: SLF001
        }
        expected = softmax(backend.logits(window, context))
        for name, run in runs.items():
            if run is not None:
                told = _told(beats, timed(partial(run, window, context)))
                told |= _differences(expected, softmax(run(window, context)))
                result.setdefault(name, {})[str(beats)] = told
    return result


def measure_whole() -> Timings:
    """Return what the whole answer takes, from windows to labels, by either runtime."""
    classifiers = {
        "torch eager": load_classifier(device="torch"),
        "numpy (default)": load_classifier(device="cpu"),
    }
    result: Timings = {}
    for beats in BATCHES:
        made_up = _beats(beats)
        expected = _answer(classifiers["torch eager"], made_up)().probabilities
        for name, classifier in classifiers.items():
            told = _told(beats, timed(_answer(classifier, made_up)))
            told |= _differences(expected, _answer(classifier, made_up)().probabilities)
            result.setdefault(name, {})[str(beats)] = told
    return result


def _answer(classifier: Classifier, beats: Beats) -> Callable[[], Beats]:
    """Return what gives one beat of each of as many athletes its class."""
    bank = SequenceBank(_RATE_HZ, capacity=len(beats), network=classifier.sequence)

    def answer() -> Beats:
        return bank.process(classify(classifier, beats))

    return answer


def _beats(count: int) -> Beats:
    random = np.random.default_rng(count)

    def noise(*shape: int) -> FloatArray:
        return random.standard_normal(shape).astype(np.float32)

    return Beats(
        rows=np.arange(count),
        r_sample=np.full(count, 10_000),
        known_sample=np.full(count, 10_299),
        rr_s=np.full(count, 0.8, np.float32),
        quality=np.ones(count, np.float32),
        complete=np.ones(count, np.bool_),
        window=noise(count, WINDOW_POINTS),
        template=noise(count, WINDOW_POINTS),
        context=random.uniform(0.2, 1.2, (count, len(CONTEXT_FIELDS))).astype(np.float32),
        probabilities=np.zeros((count, 5), np.float32),
        label=np.full(count, UNSURE_LABEL, np.int8),
    )


def _told(beats: int, seconds: float) -> dict[str, float]:
    return {"beats_per_second": round(beats / seconds), "milliseconds": round(seconds * 1e3, 3)}


def _differences(expected: FloatArray, found: FloatArray) -> dict[str, float]:
    """Return the largest difference of probabilities, and how many beats have another label though it is not close."""
    ordered = np.sort(expected, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > CLOSE
    other = clear & (expected.argmax(axis=1) != found.argmax(axis=1))
    return {"largest_difference": float(np.abs(expected - found).max()), "other_labels": int(other.sum())}


def start_seconds() -> float:
    """Return the wall seconds of the quickest of some processes that load the classifier and end."""
    times = []
    for _ in range(STARTS):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", _READY], check=True)
        times.append(time.perf_counter() - begun)
    return min(times)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"network alone": measure(), "whole answer": measure_whole()}
    for title, timings in result.items():
        print(title)
        for name, row in timings.items():
            speeds = "".join(
                f"  {beats:>4}: {v['beats_per_second']:6,}/s {v['milliseconds']:7.2f} ms"
                for beats, v in row.items()
            )
            furthest = max(v["largest_difference"] for v in row.values())
            others = sum(v["other_labels"] for v in row.values())
            print(f"  {name:16}{speeds}  differs by {furthest:.1e}, {others} other labels")
    result["start_seconds"] = round(start_seconds(), 2)
    result["weights_bytes"] = SHIPPED_WEIGHTS.stat().st_size
    print(f"ready after {result['start_seconds']} s; weights of {result['weights_bytes']:,} bytes")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
