"""What the scorer keeps in Redis for testers: scores against truth, losses by cause, and where the misses were.

Names of keys and the records behind them, as in `monitor.live_state`, whose page lists all keys. The monitor neither
writes nor reads any of it.
"""

from typing import Final

import msgspec

from monitor.live_state import PREFIX

SCORE_PATTERN: Final = "strapwatch:score:*"
SCORER_PATTERN: Final = "strapwatch:scorer:*"
SCORE_TTL_S: Final = 60
SCORER_TTL_S: Final = 5
MISSES_KEPT: Final = 500


def score_key(team: str, athlete: str) -> str:
    """Return the key of an athlete's score."""
    return f"{PREFIX}score:{{{team}}}:{athlete}"


def scorer_key(scorer_id: str) -> str:
    """Return the key of a scorer's heartbeat."""
    return f"{PREFIX}scorer:{scorer_id}"


def misses_key(team: str) -> str:
    """Return the Stream of a team's misses."""
    return f"{PREFIX}misses:{{{team}}}"


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long beats took from the schedule of their last packet to Redis, in seconds.

    Attributes
    ----------
    p50, p99 : float or None
        None without a beat.
    n : int
        Beats it rests on: the latest only.
    """

    p50: float | None = None
    p99: float | None = None
    n: int = 0


class AthleteScore(msgspec.Struct, frozen=True, kw_only=True):
    """How an athlete's beats compare with truth so far.

    Attributes
    ----------
    team, athlete : str
        Pseudonyms.
    at : float
        Unix time in seconds.
    tp, fp, fn : int
        Beats found, false beats, missed beats, by EC57's matching within 150 ms.
    table : list of list of int, ``[6][7]``
        See `monitor.scoring.ClassCounts`.
    scored_s : float
        Seconds of signal that this rests on.
    dropped : int
        Beats that could not be scored because the other side stayed silent for too long.
    missed_by_cause, false_by_cause : dict of str to int
        See `monitor.boot_scorer.LiveScore`.
    latency : Latency
        Of the latest beats.
    ledger : dict of str to int
        Packets by cause, as the simulator's ledger counts them; empty where it has told none.
    received, duplicate, refused, lost : int
        Packets as the monitor counts them.
    unaccounted, before : int
        Packets that went to the broker and never showed up in the monitor's counters: the least of the last seconds,
        so that what is under way is not among them; and how many of that kind there were when the monitor came.
    """

    team: str
    athlete: str
    at: float
    tp: int
    fp: int
    fn: int
    table: list[list[int]]
    scored_s: float
    dropped: int
    missed_by_cause: dict[str, int]
    false_by_cause: dict[str, int]
    latency: Latency
    ledger: dict[str, int]
    received: int
    duplicate: int
    refused: int
    lost: int
    unaccounted: int
    before: int = 0


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """A place where monitor and reference differ, with the signal around it.

    Attributes
    ----------
    team, athlete : str
        Whose.
    boot, r_sample : int
        Where.
    at : float
        Unix time, in seconds, of `r_sample` by the strap's schedule; 0 where unknown.
    kind : str
        ``"missed"``, ``"false"`` or ``"misnamed"``, see `monitor.boot_scorer.Finding`.
    reference, called, cause : str
        See there.
    rate_hz : float
        Sampling rate.
    first_sample : int
        Where the strip begins.
    microvolts : bytes
        Little-endian int16 as the strap sent it, unfiltered; `HOLE` where nothing came. Empty where no strip was kept.
    truth : list of [r_sample, class]
        Reference beats in the strip.
    beats : list of [r_sample, label]
        The monitor's beats in it.
    troubles : list of [first_sample, end_sample, cause]
        What the ledger says of it.
    """

    team: str
    athlete: str
    boot: int
    r_sample: int
    at: float
    kind: str
    reference: str
    called: str
    cause: str
    rate_hz: float
    first_sample: int = 0
    microvolts: bytes = b""
    truth: list[tuple[int, str]] = []
    beats: list[tuple[int, str]] = []
    troubles: list[tuple[int, int, str]] = []


HOLE: Final = -32768
"""Stands in `Miss.microvolts` for a sample that never came."""


class ScorerState(msgspec.Struct, frozen=True, kw_only=True):
    """A scorer's heartbeat.

    Attributes
    ----------
    scorer_id : str
        Its name.
    at : float
        Unix time in seconds.
    broker_connected : bool
        Whether truth can arrive.
    athletes : int
        Athletes whose truth it has heard.
    latency, alarm_latency : Latency
        Of the latest beats of all athletes, and from the last R peak of an alarm's evidence to its entry.
    dropped : int
        Messages that it could not take in.
    """

    scorer_id: str
    at: float
    broker_connected: bool
    athletes: int
    latency: Latency
    alarm_latency: Latency
    dropped: int
