"""What a training step costs through compiled layers, beside torch's own layers in one run.

``python -m benchmarks.training [--json FILE]``; one thread, processor seconds of the middle step, batches of 256. The
four networks of the reproduction, and a GRU by itself at the sizes of the reproduction and of the product.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.compiled_layers import gru, keep_freed_memory
from models.reproduction.networks import NETWORKS, build

BATCH = 256
GRUS = ((16, 300), (64, 75), (32, 7))
"""Units and steps."""


def seconds(step: Callable[[], object], *, times: int = 9) -> float:
    """Return the processor seconds of the middle one of some steps, after two that warm up."""
    spent = []
    for _ in range(times + 2):
        begun = time.process_time()
        step()
        spent.append(time.process_time() - begun)
    return statistics.median(spent[2:])


def network_step(name: str, *, compiled: bool) -> Callable[[], object]:
    """Return a training step of a network of the reproduction."""
    torch.manual_seed(1)
    network = build(name, compiled=compiled)
    optimizer = torch.optim.AdamW(network.parameters())
    window, label = torch.randn(BATCH, 600), torch.randint(0, 5, (BATCH,))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss: Tensor = functional.cross_entropy(network(window), label)
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it without annotations
        optimizer.step()

    return step


def gru_step(units: int, steps: int, *, compiled: bool) -> Callable[[], object]:
    """Return both passes of one GRU."""
    torch.manual_seed(1)
    layer = nn.GRU(units, units)
    signal = torch.randn(steps, units, BATCH) if compiled else torch.randn(steps, BATCH, units)
    signal.requires_grad_()

    def step() -> None:
        states = gru(signal, layer) if compiled else layer(signal)[0]
        torch.autograd.grad(states, [signal, *layer.parameters()], torch.ones_like(states))

    return step


def measure() -> dict[str, dict[str, float]]:
    """Return milliseconds of both ways and their ratio, by what was stepped."""
    ways: dict[str, Callable[[bool], Callable[[], object]]] = {
        name: lambda compiled, name=name: network_step(name, compiled=compiled)  # type: ignore[misc] # bound early
        for name in NETWORKS
    }
    for units, steps in GRUS:
        ways[f"one GRU, {units} units, {steps} steps"] = lambda compiled, units=units, steps=steps: gru_step(  # type: ignore[misc] # bound early
            units, steps, compiled=compiled
        )
    result = {}
    for name, way in ways.items():
        torchs, ours = (1000 * seconds(way(compiled)) for compiled in (False, True))
        result[name] = {
            "torch_ms": round(torchs, 1),
            "compiled_ms": round(ours, 1),
            "ratio": round(torchs / ours, 2),
        }
    return result


def main() -> None:
    """Print the table, and write it where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    found = measure()
    for name, row in found.items():
        print(
            f"{name:32} torch {row['torch_ms']:8.1f} ms  compiled {row['compiled_ms']:8.1f} ms  "
            f"{row['ratio']:5.2f} times as fast"
        )
    if wanted.json:
        wanted.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
