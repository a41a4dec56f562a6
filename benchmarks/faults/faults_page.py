"""The page about faults, written from the catalogue and the reports: ``python -m benchmarks.faults.faults_page``."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from benchmarks.faults.catalogue import FAULTS, SHORT

REPORTS: Final = Path(__file__).parents[2] / "docs" / "reports"
_HEAD: Final = """\
# When things break

Written by `python -m benchmarks.faults.faults_page` from the catalogue of faults and the reports in
[reports](reports); `tests/faults/test_faults_page.py` holds it to them.

Each fault is tried against the real Mosquitto and Redis, with networks between straps, broker, monitor and server that
can be cut and slowed down (`benchmarks/faults`). Straps are the simulator's, so its ledger knows what became of every
packet, and what the truth is. Beside that stands what an undisturbed watch says of the same straps in virtual time. A
trial passes if every packet is taken or counted, every event of the truth has its alarm or a cause, no transition of an
alarm stands in the Stream twice, and every beat and alarm of whoever the fault does not touch is that of the
undisturbed watch, to the sample and to the name. Beats wait for a server that cannot be reached, the newest 10,000 of
all athletes; what finds no room, and what a server that answers refuses, is not written, and must be no more than the
monitor's heartbeat says (`unwritten`; in the soak that also counts beats of straps with bad radio, which are not
among the expected).

```console
make chaos                       # all of it; resumes from build/chaos
make chaos ARGS=broker-killed    # one
make fuzz
make soak
```
"""


def write_page(path: Path) -> None:
    """Write the page."""
    path.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page."""
    parts = [_HEAD, *_chaos(_read("chaos")), *_fuzz(_read("fuzz")), *_soak(_read("soak"))]
    return "\n".join(parts).rstrip() + "\n"


def _read(name: str) -> dict[str, Any] | None:
    file = REPORTS / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _whence(report: dict[str, Any]) -> str:
    machine = report["machine"]
    return (
        f"`{report['command']}` at {report['commit'][:9]}, {report['seconds'] / 60:.0f} minutes, "
        f"{machine['cores']} cores ({machine['system']}, {machine['processor']}, Python {machine['python']})"
    )


def _chaos(report: dict[str, Any] | None) -> list[str]:
    lines = ["## Fifteen kinds of faults", ""]
    trials: dict[str, list[dict[str, Any]]] = defaultdict(list)
    if report is None:
        lines += ["Not run yet.", ""]
    else:
        missing = len(report["missing"])
        lines += [
            f"{_whence(report)}: {report['passed']} of {report['tried']} trials passed"
            + (f", {report['skipped']} skipped" if report["skipped"] else "")
            + (f", {missing} not run" if missing else "")
            + ". Details of each are in [chaos.json](reports/chaos.json).",
            "",
        ]
        for trial in report["trials"]:
            trials[trial["fault"]].append(trial)
    lines += ["| | fault | what is done | what must happen | measured |", "|---|---|---|---|---|"]
    for fault in FAULTS:
        found = trials[fault.name]
        lines.append(
            f"| {fault.number} | `{fault.name}` | {fault.done} | {fault.must} | {_measured(found)} |"
        )
    lines += ["", "Their short versions in `make test`, below `tests/`:", ""]
    for number, tests in SHORT.items():
        lines.append(f"{number}. " + ", ".join(f"`{name}`" for name in tests))
    return [*lines, ""]


def _measured(trials: list[dict[str, Any]]) -> str:
    if not trials:
        return "not run"
    passed = sum(trial["passed"] for trial in trials)
    if trials[0]["skipped"]:
        return f"skipped: {trials[0]['skipped']}"
    words = [f"**{'passed' if passed == len(trials) else 'failed'}**" + (
        f" {passed} of {len(trials)}" if len(trials) > 1 else ""
    )]  # fmt: skip
    totals: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for trial in trials:
        for group in ("beats", "packets"):
            for name, count in trial["measured"].get(group, {}).items():
                totals[group][name] += count
    if totals["beats"]:
        words.append(", ".join(f"{count} beats {name}" for name, count in totals["beats"].items()))
    if totals["packets"]:
        names = ("made", "counted lost", "sent again", "unaccounted")
        words.append("packets: " + ", ".join(f"{totals['packets'][name]} {name}" for name in names))
    for name, value in trials[0]["measured"].items():
        if isinstance(value, int | float) and value is not None:
            total = sum(trial["measured"].get(name, 0) or 0 for trial in trials) if name == "kills" else value
            words.append(f"{name.replace('_', ' ')}: {total}")
    failures = sorted({failure for trial in trials for failure in trial["failures"]})
    return "; ".join([*words, *failures]).replace("|", "\\|")


def _fuzz(report: dict[str, Any] | None) -> list[str]:
    lines = ["## Inputs that a fuzzer makes up", ""]
    if report is None:
        return [*lines, "Not run yet.", ""]
    lines += [
        f"{_whence(report)}: {report['inputs']:,} inputs, "
        + ("none of which raised, broke an invariant or took more memory than its bound." if report["passed"]
           else "with crashes, see the report."),
        "",
        "| target | inputs | accepted | branches seen | most memory an input took | at |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [
        f"| {name} | {target['inputs']:,} | {target['accepted']:,} | {target['branches']} "
        f"| {target['most_bytes'] / 1024:,.0f} kB | {target.get('commit', report['commit'])[:9]} |"
        for name, target in report["targets"].items()
    ]
    return [*lines, ""]


def _soak(report: dict[str, Any] | None) -> list[str]:
    lines = ["## Hundreds of athletes, and faults at random", ""]
    if report is None:
        return [*lines, "Not run yet.", ""]
    faults = ", ".join(f"{name} {count}" for name, count in report["faults"].items())
    stretches = report["stretches"]
    unfinished = not report["passed"] and not report["failures"]
    said = "Passed" if report["passed"] else "Nothing has failed so far" if unfinished else "Failed"
    lines += [
        (
            f"{_whence(report)}: {report['athletes']} athletes for {report['minutes']:g} minutes"
            + (f" of {report['wanted_minutes']:g} so far" if unfinished else "")
            + (f", in {len(stretches)} stretches because it was broken off" if len(stretches) > 1 else "")
            + f", {sum(report['faults'].values())} faults ({faults}). "
            f"**{said}.**"
        ),
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {_counts(report[name])} |" for name in ("packets", "beats", "alarms")),
        f"| packets that the monitor itself dropped, as it tells | {report['packets_dropped']:,} |",
    ]
    for stretch in stretches:
        held = stretch["held"]
        whose = f" ({stretch['minutes']:.0f} minutes)" if len(stretches) > 1 else ""
        lines += [
            (
                f"| memory{whose} | {held['resident_bytes']['begin'] / 2**20:.0f} MB once warm, "
                f"{held['resident_bytes']['end'] / 2**20:.0f} MB at the end: {held['memory_growth']:+.1%} |"
            ),
            *(
                f"| {name}{whose} | {held[name]['begin']:g} and {held[name]['end']:g}, at most {held[name]['most']:g} |"
                for name in ("handles", "threads", "tasks")
            ),
        ]
    lines.append("")
    if report["failures"]:
        lines += ["What failed:", "", *(f"- {failure}" for failure in report["failures"][:20]), ""]
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


if __name__ == "__main__":
    write_page(Path(__file__).parents[2] / "docs" / "faults.md")
