"""An hour of 300 athletes with faults at random: ``make soak``, or ``python -m benchmarks.faults.soak --minutes 60``.

Mosquitto, Redis, the monitor and the straps run on this machine, with networks between them that can be cut. Beside
them stands what an undisturbed watch says of the same hearts; every difference has to have a cause, and what the
monitor holds (memory, file handles, threads, tasks) must not grow.

Every few minutes the straps pause, all so far is judged, and the report written. What has been judged stays in
``--work``: a soak that was broken off goes on from there, with a monitor of its own for the minutes that are left. What
a monitor holds is compared within such a stretch. A soak of another commit's monitor begins anew.
"""

import argparse
import asyncio
import json
import os
import shutil
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from benchmarks.faults.provenance import commit, machine, version
from benchmarks.faults.soak_squad import PACKET_S, Undisturbed, hearts, undisturbed
from benchmarks.faults.soak_stretch import SoakStretch
from models.runtime import load_classifier

SEED: Final = 8
_LEAST_MINUTES: Final = 2.0
"""A rest shorter than this is not worth a monitor's start."""
_UNHURRIED: Final = 5
_COUNTED: Final = ("faults", "packets", "beats", "alarms", "technical")


def main() -> int:
    """Run a soak, or what is left of it, and write its report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--athletes", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--judged-every", type=float, default=10.0, metavar="MINUTES")
    parser.add_argument("--rest", type=float, nargs=2, default=(10.0, 40.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--work", type=Path, default=Path("build/soak"))
    parser.add_argument("--out", type=Path, default=Path("docs/reports/soak.json"))
    options = parser.parse_args()
    stretches = judged_before(options)
    # Each stretch that is broken off draws other faults.
    options.seed += len(stretches)
    left = options.minutes - sum(stretch["minutes"] for stretch in stretches)
    if left >= min(_LEAST_MINUTES, options.minutes):
        stretches = _stretch(options, left, stretches)
    report = _write_report(options, stretches)
    print(f"{options.out}: {'passed' if report['passed'] else 'FAILED'}")
    for failure in report["failures"]:
        print(f"  {failure}")
    return 0 if report["passed"] else 1


def judged_before(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the stretches of this very soak that were judged before; those of another are removed."""
    this = [version(), options.athletes, options.minutes, *options.rest, options.seed]
    whose = options.work / "soak.json"
    if not whose.is_file() or json.loads(whose.read_text(encoding="utf-8")) != this:
        shutil.rmtree(options.work, ignore_errors=True)
        options.work.mkdir(parents=True)
        whose.write_text(json.dumps(this), encoding="utf-8")
    files = sorted(options.work.glob("stretch-*.json"), key=lambda file: int(file.stem.split("-")[1]))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def _stretch(
    options: argparse.Namespace, minutes: float, before: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Run a stretch and return what came of it behind those before it; what is judged meanwhile is kept."""
    # The hearts stay the same: only what goes wrong is drawn anew.
    records = hearts(SEED)
    provenance = {"commit": commit(), "machine": machine()}
    begun = time.time()
    file = options.work / f"stretch-{len(before) + 1}.json"
    stretches = before

    def keep(judged: dict[str, Any]) -> None:
        nonlocal stretches
        whole = provenance | {"seconds": round(judged["at"] - begun, 1)} | judged
        new = file.with_suffix(".new")
        new.write_text(json.dumps(whole, allow_nan=False), encoding="utf-8")
        new.replace(file)
        stretches = [*before, whole]
        _write_report(options, stretches)
        print(f"{judged['minutes']:.1f} minutes judged: {len(judged['failures'])} failures", flush=True)

    # It takes minutes: meanwhile the straps send already.
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as beside:
        expected = beside.submit(_undisturbed, round((60.0 * minutes + 5.0) / PACKET_S))
        stretch = SoakStretch(options, minutes=minutes, records=records, expected=expected, on_judged=keep)
        asyncio.run(stretch.run())
    return stretches


def _undisturbed(packets: int) -> list[Undisturbed]:
    os.nice(_UNHURRIED)
    return undisturbed(hearts(SEED), packets, load_classifier())


def _write_report(options: argparse.Namespace, stretches: list[dict[str, Any]]) -> dict[str, Any]:
    report = report_of(options, stretches)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return report


def report_of(options: argparse.Namespace, stretches: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the report on what has been judged so far; it passes when that is all, and nothing has failed."""
    counted: dict[str, Counter[str]] = {name: Counter() for name in _COUNTED}
    for stretch in stretches:
        for name, counts in counted.items():
            counts.update(stretch[name])
    failures = [failure for stretch in stretches for failure in stretch["failures"]]
    minutes = sum(stretch["minutes"] for stretch in stretches)
    left = options.minutes - minutes
    last = stretches[-1]
    return {
        "command": "make soak",
        "commit": last["commit"],
        "machine": last["machine"],
        "athletes": options.athletes,
        "minutes": round(minutes, 1),
        "wanted_minutes": options.minutes,
        "seconds": round(sum(stretch["seconds"] for stretch in stretches), 1),
        "passed": not failures and left < _LEAST_MINUTES,
        "failures": failures,
        **{name: dict(sorted(counts.items())) for name, counts in counted.items()},
        "packets_dropped": sum(stretch["monitor"]["packets_dropped"] for stretch in stretches),
        "stretches": stretches,
    }


if __name__ == "__main__":
    raise SystemExit(main())
