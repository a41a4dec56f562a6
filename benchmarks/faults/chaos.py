"""Every fault there is, one after the other, in its long version: ``make chaos``.

What has been tried stays in ``build/chaos``, one file a trial, so that it goes on where it was interrupted; a trial of
another commit's monitor is tried again. The report is ``docs/reports/chaos.json``, the page ``docs/faults.md``.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.faults.catalogue import FAULTS, Fault
from benchmarks.faults.faults_page import write_page
from benchmarks.faults.monitor_faults import NotHereError
from benchmarks.faults.provenance import commit, machine, version
from benchmarks.faults.trial_monitors import shipped_classifier
from benchmarks.faults.trial_stage import Conditions

_WORK: Final = Path("build/chaos")


def main() -> int:
    """Try what has not been tried, and write the report and the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="only these; all by default")
    parser.add_argument("--short", action="store_true", help="the versions of make test; writes no report")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so long")
    parser.add_argument("--out", type=Path, default=Path("docs/reports/chaos.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/faults.md"))
    arguments = parser.parse_args()
    names = {fault.name for fault in FAULTS}
    unknown = set(arguments.faults) - names
    if unknown:
        parser.error(f"no fault is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    begun = time.monotonic()
    shipped_classifier()
    monitor = version()
    results: list[dict[str, Any]] = []
    for fault in FAULTS:
        for seed in range(1, fault.repeats + 1):
            chosen = not arguments.faults or fault.name in arguments.faults
            late = time.monotonic() - begun > 60.0 * arguments.minutes
            found = _tried(fault, seed, monitor, may_try=chosen and not late, long=not arguments.short)
            if found is not None:
                results.append(found)
    if not arguments.short:
        report = _report(results)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        write_page(arguments.page)
        print(
            f"{arguments.out}: {report['passed']} of {report['tried']} passed, {len(report['missing'])} not tried"
        )
    return 0 if all(result["passed"] or result["skipped"] for result in results) else 1


def _tried(fault: Fault, seed: int, monitor: str, *, may_try: bool, long: bool) -> dict[str, Any] | None:
    """Return what came of a trial, now or before; None if it has not been tried."""
    file = _WORK / monitor / f"{fault.name}-{seed}{'' if long else '-short'}.json"
    if file.is_file() and long:
        known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if known["passed"] or not may_try:
            return known
    if not may_try:
        return None
    begun = time.monotonic()
    result: dict[str, Any] = {
        "number": fault.number, "fault": fault.name, "seed": seed, "passed": False, "skipped": "",
        "failures": [], "measured": {}, "commit": commit(),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="strapwatch-chaos-") as folder:
        try:
            outcome = asyncio.run(fault.run(Conditions(folder=Path(folder), long=long, seed=seed)))
        except NotHereError as error:
            result["skipped"] = str(error)
        except Exception as error:  # noqa: BLE001 - one trial that breaks down must not end the others
            result["failures"] = [f"the trial broke down: {type(error).__name__}: {error}"]
        else:
            result |= {
                "passed": not outcome.failures,
                "failures": outcome.failures,
                "measured": outcome.measured,
            }
    result["seconds"] = round(time.monotonic() - begun, 1)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result), encoding="utf-8")
    word = (
        "passed" if result["passed"] else f"skipped: {result['skipped']}" if result["skipped"] else "FAILED"
    )
    print(f"{fault.number:2d} {fault.name} {seed}: {word} ({result['seconds']:.0f} s)", flush=True)
    for failure in result["failures"]:
        print(f"     {failure}", flush=True)
    return result


def _report(results: list[dict[str, Any]]) -> dict[str, Any]:
    tried = {(result["fault"], result["seed"]) for result in results}
    return {
        "command": "make chaos",
        "commit": commit(),
        "machine": machine(),
        "seconds": round(sum(result["seconds"] for result in results), 1),
        "tried": len(results),
        "passed": sum(result["passed"] for result in results),
        "skipped": sum(bool(result["skipped"]) for result in results),
        "missing": [
            f"{fault.name} {seed}"
            for fault in FAULTS
            for seed in range(1, fault.repeats + 1)
            if (fault.name, seed) not in tried
        ],
        "trials": results,
    }


if __name__ == "__main__":
    raise SystemExit(main())
