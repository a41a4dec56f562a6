"""Troubles of the strap and its radio, and the technical alarms that they call for or allow."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.assembly import ReorderLimits
from monitor.link_health import LOOKED_EVERY_S, LOSS_FROM, LOSS_OVER_S
from monitor.quality import EVENT_AFTER_S
from monitor.watch import SILENT_AFTER_S
from simulators.body import Touched
from simulators.ledger import TroubleKind
from simulators.scenario_straps import Life
from simulators.strap import BATTERY_TOLD_EVERY_S
from simulators.verdict_hidden import LOSSES, OTHER_STRAP, Hidden
from simulators.verdict_raised import NEAR_S, Event, Raised, settled

AFTER_S: Final = 12.0
"""How long after a trouble began or ended a technical alarm may still be about it."""

_OF_TROUBLE: Final[dict[TroubleKind, frozenset[str]]] = {
    "lead_off": frozenset({"lead_off"}),
    "saturation": frozenset({"railed", "flat"}),
    "contact_lost": frozenset({"flat", "noisy", "railed", "lead_off"}),
    "noise": frozenset({"noisy"}),
    "dropout": frozenset({"strap_silent", "packet_loss"}),
    "dropout_lost": frozenset({"strap_silent", "packet_loss"}),
    "samples_skipped": frozenset({"packet_loss", "strap_silent"}),
    "battery_low": frozenset({"battery_low"}),
    "battery_empty": frozenset({"strap_silent"}),
    "reboot": frozenset({"strap_silent"}),
}
"""Technical alarms that a trouble may bring."""
_WITHOUT_A_HEART: Final = frozenset({"pause", "long_pause", "asystole", "bradycardia"})
"""What a monitor must say where the signal holds no heartbeat, though only the strap is to blame: asystole must never
hide behind a veto."""
_SILENCE: Final = frozenset({"dropout", "dropout_lost"})
_LOST_SHARE: Final = LOSS_FROM + LOOKED_EVERY_S / LOSS_OVER_S
"""Whose packets are lost to this share must be told so: the monitor looks once a second, so at its own limit it may
or may not."""
_LOSS_KNOWN_AFTER_S: Final = ReorderLimits().wait_s + 2.0 * LOOKED_EVERY_S
"""A loss is known once its packets are given up, and told at the next look."""


def trouble_events(life: Life, hidden: list[Hidden], raised: list[Raised]) -> Iterator[Event]:
    """Yield the technical alarms that troubles call for, and what became of them.

    Parameters
    ----------
    life : Life
        Whose troubles.
    hidden : list of (int, int, str)
        Where nobody could see, and why.
    raised : list of Raised
        The athlete's alarms; those that a trouble calls for or allows are marked as right.
    """
    for touched in life.troubles:
        at_s, end_s = life.session_s(touched.first_sample), life.session_s(touched.end_sample)
        kinds = _OF_TROUBLE.get(touched.trouble, frozenset())
        if touched.trouble in {"saturation", "contact_lost"} and touched.hides:
            kinds |= _WITHOUT_A_HEART
        wanted = _called_for(life, touched.trouble, end_s - at_s, touched)
        finder: Raised | None = None
        for alarm in raised:
            if alarm.alarm.kind in kinds and at_s - NEAR_S <= alarm.at_s <= end_s + AFTER_S:
                alarm.right = True
                if alarm.alarm.technical:
                    finder = finder or alarm
        if wanted is None:
            continue
        event = Event(
            kind=wanted,
            athlete=life.strap.athlete,
            at_s=at_s,
            end_s=end_s,
            status="missed",
            why=touched.trouble,
        )
        yield settled(event, finder, _unheard(touched, hidden))


def loss_events(life: Life, hidden: list[Hidden], raised: list[Raised]) -> Iterator[Event]:
    """Yield what must be told of packets that were lost, and what became of it; allow the word of it where any were.

    Parameters
    ----------
    life : Life
        Whose packets.
    hidden : list of (int, int, str)
        Where nobody could see, and why.
    raised : list of Raised
        The boot's alarms.
    """
    lost = _lost_samples(life, hidden)
    lossy = [alarm for alarm in raised if alarm.alarm.kind == "packet_loss"]
    silent = [alarm for alarm in raised if alarm.alarm.kind == "strap_silent"]
    first_lost = int(np.argmax(lost)) if lost.any() else life.end_sample
    for alarm in lossy:
        alarm.right |= first_lost <= alarm.alarm.known_sample

    def event(kind: str, onset: int, end: int) -> Event:
        return Event(
            kind=kind,
            athlete=life.strap.athlete,
            at_s=life.session_s(onset),
            end_s=life.session_s(end),
            status="missed",
            why="loss",
        )

    onset = _lossy_from(life, lost)
    if onset is not None:
        # It may be told earlier: where the share is reached that the monitor itself looks for.
        early = onset - round(LOSS_OVER_S * life.rate_hz)
        finder = next((alarm for alarm in lossy if early <= alarm.alarm.episode), None)
        is_last = len(lost) - onset < _LOSS_KNOWN_AFTER_S * life.rate_hz
        yield settled(event("packet_loss", onset, len(lost)), finder, "end of signal" if is_last else None)
    planned = [touched for touched in life.troubles if touched.trouble in _SILENCE]
    for first, end in _runs(lost):
        length_s = (end - first) / life.rate_hz
        near = (life.session_s(first) - NEAR_S, life.session_s(end) + NEAR_S)
        told = [alarm for alarm in silent if near[0] <= alarm.at_s <= near[1]]
        # Silence reaches from one packet's arrival to the next's.
        if length_s >= SILENT_AFTER_S * life.strap.speed - 2 * life.strap.packet_s:
            for alarm in told:
                alarm.right = True
        must_be_told = length_s >= (SILENT_AFTER_S + 1.0) * life.strap.speed
        if must_be_told and not any(one.first_sample < end and one.end_sample > first for one in planned):
            yield settled(event("strap_silent", first, end), next(iter(told), None), None)


def _lost_samples(life: Life, hidden: list[Hidden]) -> NDArray[np.bool_]:
    """Return which samples were lost, up to the last that arrived; what is lost at an edge nobody knows of."""
    lost = np.zeros(life.end_sample, np.bool_)
    for first, end, cause in hidden:
        if cause in LOSSES:
            lost[max(first, 0) : end] = True
    arrived = np.flatnonzero(~lost)
    for first, end, cause in hidden:
        if cause == OTHER_STRAP:
            lost[first:end] = False
    if len(arrived) == 0:
        return lost[:0]
    lost[: arrived[0]] = False
    return lost[: arrived[-1] + 1]


def _lossy_from(life: Life, lost: NDArray[np.bool_]) -> int | None:
    """Return the first sample that arrived when so much of the last 30 s was lost that it must be told."""
    window = round(LOSS_OVER_S * life.rate_hz)
    count = np.concatenate([[0], np.cumsum(lost)])
    after = np.arange(1, len(count))
    share = (count[after] - count[np.maximum(after - window, 0)]) / window
    # A gap is known once something comes after it.
    lossy = np.flatnonzero((share >= _LOST_SHARE) & ~lost)
    return int(lossy[0]) if len(lossy) else None


def _runs(lost: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the stretches in which nothing arrived: first sample, and first after."""
    edges = np.flatnonzero(np.diff(lost.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(end)) for first, end in edges.reshape(-1, 2)]


def _unheard(touched: Touched, hidden: list[Hidden]) -> str | None:
    """Return why nobody heard of a battery: another strap by the same name was listened to."""
    if touched.trouble not in {"battery_low", "battery_empty"}:
        return None
    for first, end, cause in hidden:
        if cause == OTHER_STRAP and first <= touched.end_sample and end >= touched.first_sample:
            return cause
    return None


def _called_for(life: Life, trouble: TroubleKind, length_s: float, touched: Touched) -> str | None:
    """Return the alarm that a trouble of this length has to bring, or None."""
    hides = touched.hides and not touched.detail.get("floating_mv")
    wanted: str | None = None
    packet_s = life.strap.packet_s
    if trouble == "lead_off" and length_s >= packet_s:
        wanted = "lead_off"
    elif trouble == "saturation" and hides and length_s >= EVENT_AFTER_S["railed"] + 2 * packet_s:
        wanted = "railed"
    elif trouble == "contact_lost" and hides and length_s >= EVENT_AFTER_S["flat"] + 1.0 + 2 * packet_s:
        wanted = "flat"
    elif (
        trouble in _SILENCE and length_s / life.strap.speed >= SILENT_AFTER_S + 1.0
    ) or trouble == "battery_empty":
        wanted = "strap_silent"
    elif trouble == "battery_low" and length_s >= BATTERY_TOLD_EVERY_S + 2 * packet_s:
        wanted = "battery_low"
    return wanted
