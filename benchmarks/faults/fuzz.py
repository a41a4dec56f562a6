"""Inputs that a fuzzer makes up, by the million: ``make fuzz``, or ``python -m benchmarks.faults.fuzz``.

Three targets (`benchmarks.faults.fuzz_target`): what the wire's decoders make of any bytes and of messages that are
nearly right, what the assembly makes of packets in any order, and what a whole watch makes of them. An input that
raises anything but a refusal, breaks an invariant or takes more memory than its bound ends the run and is kept. It goes
on where it stopped: the corpora and the counts stay in ``build/fuzz``.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.faults.provenance import commit, machine
from monitor.wire import MAX_PACKET_BYTES, encode
from simulators.strap import Strap
from simulators.synthetic_team import synthetic_team

WANTED: Final = {"wire": 1_000_000, "assembly": 400_000, "watch": 10_000}
_ROUND: Final = {"wire": 50_000, "assembly": 50_000, "watch": 500}
_WORK: Final = Path("build/fuzz")
_FOUND: Final = re.compile(r"cov: (\d+) ft: (\d+)")
_MEGABYTES: Final = 2048
_LONGEST: Final = MAX_PACKET_BYTES + 4_464
_SHORT: Final = 2_048


def main() -> int:
    """Fuzz until every target has had its inputs, and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "targets", nargs="*", choices=[*WANTED, []], metavar="TARGET",
        help=f"only these, the others' part of the report stays as it is; all by default: {', '.join(WANTED)}",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("docs/reports/fuzz.json"))
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of inputs")
    parser.add_argument("--anew", action="store_true", help="forget what former runs have done")
    arguments = parser.parse_args()
    if arguments.anew:
        shutil.rmtree(_WORK, ignore_errors=True)
    before = json.loads(arguments.out.read_text(encoding="utf-8"))["targets"] if arguments.targets else {}
    targets = {
        name: _fuzz(name, round(count * arguments.share))
        if name in (arguments.targets or WANTED)
        else before[name]
        for name, count in WANTED.items()
    }
    report = {
        "command": "make fuzz",
        "commit": commit(),
        "machine": machine(),
        "seconds": round(sum(target["seconds"] for target in targets.values()), 1),
        "inputs": sum(target["inputs"] for target in targets.values()),
        "passed": not any(target["crash"] for target in targets.values()),
        "largest_input_bytes": _LONGEST,
        "targets": targets,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"{arguments.out}: {report['inputs']:,} inputs, {'no crash' if report['passed'] else 'CRASHES'}")
    return 0 if report["passed"] else 1


def _fuzz(name: str, wanted: int) -> dict[str, Any]:
    folder = _WORK / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    state_file = folder / "done.json"
    done: dict[str, Any] = {
        "inputs": 0, "accepted": 0, "most_bytes": 0, "seconds": 0.0, "rounds": 0,
        "branches": 0, "features": 0, "crash": "", "commit": "",
    }  # fmt: skip
    if state_file.is_file():
        done = json.loads(state_file.read_text(encoding="utf-8"))
    elif name == "wire":
        for number, seed in enumerate(_seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
    while done["inputs"] < wanted and not done["crash"]:
        counts_file = folder / "counts.json"
        counts_file.unlink(missing_ok=True)
        begun = time.monotonic()
        result = subprocess.run(
            [
                sys.executable, "-m", "benchmarks.faults.fuzz_target", name, str(counts_file),
                f"-runs={min(_ROUND[name], wanted - done['inputs'])}", f"-seed={done['rounds'] + 1}",
                f"-max_len={_longest(name, done['rounds'])}",
                f"-rss_limit_mb={_MEGABYTES}", f"-artifact_prefix={folder}/", str(corpus),
            ],
            capture_output=True, text=True, check=False, errors="replace",
        )  # fmt: skip
        done["seconds"] = round(done["seconds"] + time.monotonic() - begun, 1)
        done["rounds"] += 1
        if counts_file.is_file():
            counted = json.loads(counts_file.read_text(encoding="utf-8"))
            done["inputs"] += counted["inputs"]
            done["accepted"] += counted["accepted"]
            done["most_bytes"] = max(done["most_bytes"], counted["most_bytes"])
        for branches, features in _FOUND.findall(result.stderr):
            done["branches"] = max(done["branches"], int(branches))
            done["features"] = max(done["features"], int(features))
        done["commit"] = commit()
        if result.returncode != 0:
            done["crash"] = "\n".join(result.stderr.splitlines()[-40:])
            print(done["crash"], flush=True)
        done["corpus"] = sum(1 for _ in corpus.iterdir())
        state_file.write_text(json.dumps(done), encoding="utf-8")
        print(f"{name}: {done['inputs']:,} of {wanted:,} inputs, {done['branches']} branches", flush=True)
    return done


def _longest(name: str, round_number: int) -> int:
    """Return how long an input may be: short ones go fast, and every tenth round tries what is too long."""
    return _LONGEST if name == "wire" and round_number % 10 == 9 else _SHORT


def _seeds() -> list[bytes]:
    """Return valid messages, each behind the byte that sends it to its own decoder."""
    record = synthetic_team(1, seconds=3.0, seed=1)[0]
    strap = Strap(record=record, team="t", athlete="a", strap="s", boot=1)
    packets = list(strap.packets(start_at=0.0))
    truths = [packet.truth for packet in packets if packet.truth is not None]
    seeds = [(encode(packet.packet), 0) for packet in packets[:4]]
    seeds += [(encode(strap.status(online=online)), 1) for online in (True, False)]
    seeds += [(encode(truth), 2) for truth in truths[:4]]
    # What the target takes last from its bytes are its numbers: the last byte says which decoder.
    return [payload + bytes([which]) for payload, which in seeds]


if __name__ == "__main__":
    raise SystemExit(main())
