"""What a run says of itself: lines to read, values for JSON, and a strip of every miss."""

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.contract import UNSURE
from monitor.strip_drawing import BeatMark, PaperStrip, Span, Tone, terminal_strip, write_strip
from simulators.scenario_seen import Seen
from simulators.scenario_straps import Life
from simulators.verdict import Verdict
from simulators.verdict_raised import Event

MOST_STRIPS: Final = 40
MOST_LINES: Final = 60
STRIPS_IN_TERMINAL: Final = 3
_AROUND_S: Final = 4.0
_LONGEST_S: Final = 20.0
_STYLE: Final = {
    "found": "green",
    "missed": "bold red",
    "explained": "blue",
    "optional": "dim",
    "false": "bold yellow",
}
_TONE: Final[dict[str, Tone]] = {"missed": "missed", "false": "extra", "explained": "explained"}


def strips_of(verdict: Verdict, lives: list[Life], seen: Seen) -> list[tuple[str, PaperStrip]]:
    """Return a name and a strip of each miss and each false alarm, at most `MOST_STRIPS`.

    Parameters
    ----------
    verdict : Verdict
        What was missed.
    lives : list of Life
        Who sent what.
    seen : Seen
        What was told, to be written above the signal.
    """
    strips = []
    events = [event for event in verdict.events if event.status == "missed"] + verdict.false_alarms
    for event in events:
        life = _life_at(lives, event.athlete, event.at_s)
        if life is not None:
            first, end = life.sample(event.at_s), life.sample(event.end_s)
            span = Span(first, end, f"{event.kind} {event.status}", _TONE[event.status])
            title = f"{event.athlete}: {event.kind} {event.status} at {event.at_s:.1f} s"
            strips.append((_name(event), _strip(life, seen, first, end, title, life.strap.record.name, span)))
    for beats in verdict.beats:
        for what, samples in (("beat missed", beats.missed), ("beat where there is none", beats.extra)):
            for r_sample in samples.tolist():
                life, at_s = beats.life, beats.life.session_s(r_sample)
                tone: Tone = "missed" if what == "beat missed" else "extra"
                near = round(0.15 * life.rate_hz)
                span = Span(r_sample - near, r_sample + near, what, tone)
                title = f"{life.strap.athlete}: {what} at {at_s:.2f} s"
                name = f"{life.strap.athlete}-{what.replace(' ', '-')}-{at_s:.2f}s"
                strips.append(
                    (name, _strip(life, seen, r_sample, r_sample, title, life.strap.record.name, span))
                )
    return strips[:MOST_STRIPS]


def write_strips(strips: list[tuple[str, PaperStrip]], folder: Path) -> list[Path]:
    """Draw strips as PNG files into a folder, which is made if need be, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_strip(strip, folder / f"{number:02d}-{name}.png")
        for number, (name, strip) in enumerate(strips, 1)
    ]


def print_verdict(verdict: Verdict, strips: list[tuple[str, PaperStrip]], console: Console) -> None:
    """Print a verdict with every event, and the first strips of what was missed."""
    scenario, counts = verdict.scenario, verdict.beat_counts()
    console.print(Text(scenario.title, style="bold"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("time", "athlete", "event", "verdict", "why", "delay"):
        table.add_column(name, justify="right" if name in {"time", "delay"} else "left", no_wrap=True)
    rows = [*verdict.events, *verdict.false_alarms]
    for event in rows[:MOST_LINES]:
        table.add_row(
            f"{event.at_s:.1f} s",
            event.athlete,
            event.kind,
            Text("false alarm" if event.status == "false" else event.status, style=_STYLE[event.status]),
            event.why,
            "" if event.delay_s is None else f"{event.delay_s:.2f} s",
        )
    if rows:
        console.print(table)
    if len(rows) > MOST_LINES:
        console.print(f"and {len(rows) - MOST_LINES} more events (--json has them all)")
    explained = ", ".join(f"{count} {cause}" for cause, count in verdict.explained_beats().items())
    console.print(
        f"beats: {counts['truth']} in the truth, {counts['found']} found, {counts['missed']} missed, "
        f"{counts['explained']} explained{f' ({explained})' if explained else ''}, {counts['extra']} extra, "
        f"{counts['wrong_class']} of the found under another name"
    )
    totals = packet_totals(verdict)
    console.print(
        f"packets: {totals['packets']} made, {totals['taken']} taken, {totals['counted_lost']} counted lost, "
        f"{totals['at_an_edge']} lost at an edge, {totals['duplicate']} repeated, {totals['late']} late, "
        f"{totals['other']} of another strap; unaccounted: {totals['difference']}"
    )
    console.print(
        f"latency: beats {_quantiles_text(verdict.latency_s)}, alarms {_quantiles_text(verdict.alarm_latency_s)}"
    )
    for _, strip in strips[:STRIPS_IN_TERMINAL]:
        console.print()
        for line in terminal_strip(strip, width=min(max(console.width - 1, 40), 160)):
            console.print(Text(line))
    console.print()
    if verdict.passed:
        console.print(Text("PASSED", style="bold green"))
    for failure in verdict.failures:
        console.print(Text(f"MISS: {failure}", style="bold red"))


def packet_totals(verdict: Verdict) -> dict[str, int]:
    """Return the sum of all athletes' packet accounts."""
    names = "packets sent lost repeats resent redelivered at_an_edge skipped received taken"
    names += " duplicate late other counted_lost difference"
    return {name: sum(getattr(account, name) for account in verdict.accounts) for name in names.split()}


def as_values(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain values for JSON."""
    return {
        "title": verdict.scenario.title,
        "passed": verdict.passed,
        "failures": verdict.failures,
        "beats": verdict.beat_counts() | {"explained_by": verdict.explained_beats()},
        "missed_beats": [
            {
                "athlete": beats.life.strap.athlete,
                "boot": beats.life.strap.boot,
                "r_sample": r_sample,
                "at_s": round(beats.life.session_s(r_sample), 3),
            }
            for beats in verdict.beats
            for r_sample in beats.missed.tolist()
        ],
        "events": [_event_values(event) for event in verdict.events],
        "false_alarms": [_event_values(event) for event in verdict.false_alarms],
        "packets": packet_totals(verdict)
        | {
            "by_athlete": {
                account.athlete: {"taken": account.taken, "difference": account.difference}
                for account in verdict.accounts
            }
        },
        "latency_s": _quantiles(verdict.latency_s),
        "alarm_latency_s": _quantiles(verdict.alarm_latency_s),
        "notice": "research software, not a medical device",
    }


def _event_values(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "athlete": event.athlete,
        "at_s": round(event.at_s, 3),
        "end_s": round(event.end_s, 3),
        "status": event.status,
        "why": event.why,
        "alarm": event.alarm or None,
        "delay_s": event.delay_s,
    }


def _strip(life: Life, seen: Seen, first: int, end: int, title: str, caption: str, span: Span) -> PaperStrip:
    """Return the signal around a stretch as it was sent, what was told above it and the truth below."""
    around, longest = round(_AROUND_S * life.rate_hz), round(_LONGEST_S * life.rate_hz)
    begin = max(first - around, 0)
    after = min(end + around, begin + longest, life.end_sample)
    begin = min(begin, max(after - 2 * around, 0))
    record = life.strap.record
    told = [beat for _, beat in seen.beats.get(life.strap.athlete, []) if beat.boot == life.strap.boot]
    marks = [
        BeatMark(beat.r_sample, "?" if beat.label == UNSURE else beat.label)
        for beat in told
        if begin <= beat.r_sample < after
    ]
    if life.truth is not None:
        here = life.truth.between(begin, after)
        marks += [
            BeatMark(r_sample, name, "found", below=True)
            for r_sample, name in zip(here.r_samples.tolist(), here.class_names, strict=True)
        ]
    millivolts = record.millivolts[begin:after]
    level = np.nanmedian(millivolts) if np.isfinite(millivolts).any() else 0.0
    return PaperStrip(
        millivolts=(millivolts - np.float32(level)).astype(np.float32),
        rate_hz=life.rate_hz,
        first_sample=begin,
        title=title,
        caption=f"{caption}; above: what the monitor told, below: the truth",
        beats=tuple(marks),
        spans=(span,),
        clock_s=life.session_s(begin),
    )


def _life_at(lives: list[Life], athlete: str, at_s: float) -> Life | None:
    own = [life for life in lives if life.strap.athlete == athlete]
    begun = [life for life in own if life.strap.begins_s <= at_s]
    return begun[-1] if begun else (own[0] if own else None)


def _name(event: Event) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{event.athlete}-{event.kind}-{event.status}-{event.at_s:.1f}s")


def _quantiles(values: list[float]) -> dict[str, float | int | None]:
    if not values:
        return {"p50": None, "p99": None, "n": 0}
    p50, p99 = np.quantile(values, [0.5, 0.99]).tolist()
    return {"p50": round(p50, 4), "p99": round(p99, 4), "n": len(values)}


def _quantiles_text(values: list[float]) -> str:
    told = _quantiles(values)
    if told["p50"] is None or told["p99"] is None:
        return "none"
    return f"p50 {1000 * told['p50']:.0f} ms, p99 {1000 * told['p99']:.0f} ms (of {told['n']})"
