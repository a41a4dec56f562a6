"""What the demo says at its end."""

from typing import Any

from monitor.demo.cast import Part
from monitor.demo.observer import Observer, all_labels
from monitor.latency import quantiles
from monitor.live_state import MonitorState


def summary(
    observer: Observer, parts: list[Part], straps: dict[str, Any], *, seconds: float
) -> dict[str, Any]:
    """Return the demo's result as plain values for JSON.

    Parameters
    ----------
    observer : Observer
        Has read to the end.
    parts : list of Part
        Who took part.
    straps : dict
        Summary of the simulated straps.
    seconds : float
        How long they ran.
    """
    seen = observer.seen
    monitor = seen.monitor
    kinds = sorted({alarm.kind for alarm in seen.raised})
    return {
        "athletes": len(parts),
        "seconds": round(seconds, 1),
        "packets": packet_counts(straps["packets"]["sent"], monitor),
        "samples": monitor.samples if monitor else 0,
        "beats": all_labels(seen.beats),
        "alarms": {kind: sum(alarm.kind == kind for alarm in seen.raised) for kind in kinds},
        "latency_s": latency(seen.latency_s),
        "r_peak_to_alarm_s": latency(seen.alarm_latency_s),
        "simulator_lateness_s": straps["lateness_s"],
        "model": monitor.model if monitor else "",
        "settings_hash": monitor.settings_hash if monitor else "",
        "by_athlete": {part.athlete: _athlete(observer, part) for part in parts},
        "notice": "research software, not a medical device",
    }


def packet_counts(sent: int | None, monitor: MonitorState | None) -> dict[str, int | None]:
    """Return what became of the packets; nothing is missing from their sum.

    Parameters
    ----------
    sent : int or None
        What the straps sent; None where they were ended too soon to say.
    monitor : MonitorState or None
        The monitor's last heartbeat, with its counters.
    """
    counts = {
        "received": monitor.packets_received if monitor else 0,
        "lost": monitor.packets_lost if monitor else 0,
        "dropped": monitor.packets_dropped if monitor else 0,
        "refused": monitor.packets_refused if monitor else 0,
    }
    # The broker had them, and the monitor had not told of them when its last heartbeat was read.
    on_their_way = None if sent is None else max(sent - sum(counts.values()), 0)
    return {"sent": sent, **counts, "on_their_way": on_their_way}


def latency(values: list[float]) -> dict[str, float | int | None]:
    """Return p50 and p99 of some seconds, and how many there were."""
    found = quantiles(values)
    if found is None:
        return {"p50": None, "p99": None, "n": 0}
    return {"p50": round(found[0], 4), "p99": round(found[1], 4), "n": len(values)}


def _athlete(observer: Observer, part: Part) -> dict[str, Any]:
    seen = observer.seen
    state = seen.states.get(part.athlete)
    return {
        "record": state.source if state else part.record,
        "start_s": part.start_s,
        "rate_hz": state.rate_hz if state else None,
        "trained_on_this": state.trained_on if state else None,
        "coverage": round(state.coverage, 3) if state else None,
        "beats": {label: count for label, count in seen.beats[part.athlete].items() if count},
        "alarms": sorted({a.kind for a in seen.raised if a.athlete == part.athlete}),
        **(observer.score(part.athlete) or {"se": None, "ppv": None, "beats_scored": 0}),
    }


def describe(result: dict[str, Any]) -> str:
    """Return a summary as text for a person."""
    packets, beat_latency, late = result["packets"], result["latency_s"], result["simulator_lateness_s"]
    alarm_latency = result["r_peak_to_alarm_s"]
    beats = ", ".join(f"{label} {count}" for label, count in result["beats"].items())
    alarms = ", ".join(f"{kind} {count}" for kind, count in result["alarms"].items()) or "none"
    sent = "unknown" if packets["sent"] is None else packets["sent"]
    own = f"p50 {_ms(beat_latency['p50'])}, p99 {_ms(beat_latency['p99'])}"
    to_alarm = f"p50 {_ms(alarm_latency['p50'])}, p99 {_ms(alarm_latency['p99'])}"
    lines = [
        f"{result['athletes']} athletes, {result['seconds']:g} s",
        f"packets   sent {sent}, received {packets['received']}, lost {packets['lost']}{_others(packets)}",
        f"samples   {result['samples']:,}",
        f"beats     {beats}",
        f"alarms    {alarms}",
        f"latency   {own} (schedule to Redis, {beat_latency['n']} beats)",
        f"          {to_alarm} (last R peak to alarm); simulator lateness p99 {_ms(late['p99'])}",
        "",
    ]
    for name, athlete in result["by_athlete"].items():
        score = "no truth" if athlete["se"] is None else f"Se {athlete['se']:.4f} +P {athlete['ppv']:.4f}"
        beats = " ".join(f"{label} {count}" for label, count in athlete["beats"].items())
        trained = "  [trained on this]" if athlete["trained_on_this"] else ""
        rate = f"{athlete['rate_hz']:g} Hz" if athlete["rate_hz"] else "no packets"
        lines.append(
            f"{name:8} {athlete['record']} from {athlete['start_s']:g} s, {rate}: {score}; {beats}{trained}"
        )
    return "\n".join([*lines, "", result["notice"]])


def _others(packets: dict[str, int | None]) -> str:
    """Return the counts that are seldom anything but 0, where they are."""
    named = {"dropped": "dropped", "refused": "refused", "on_their_way": "on their way when it ended"}
    return "".join(f", {packets[key]} {text}" for key, text in named.items() if packets[key])


def _ms(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{1000 * seconds:.0f} ms"
