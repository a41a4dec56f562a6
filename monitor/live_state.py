"""What the monitor keeps in Redis, and how it is written there: names of keys, and the records behind them.

Both sides use this module: the monitor's sink writes, dashboards, receivers and scorers read. Every name begins with
``strapwatch:``; the team stands in braces so that a cluster keeps a team's keys together.

========================================  =======================================================================
``strapwatch:alarms:{team}``              Stream; field ``alarm``: a MessagePack `monitor.contract.Alarm`, beside the
                                          plain fields ``identity`` and ``transition``
``strapwatch:beats:{team}:<athlete>``     Stream, capped; fields of `BeatEntry`
``strapwatch:athlete:{team}:<athlete>``   Hash with a time to live; field ``state``: a MessagePack `AthleteState`; the
                                          others say which monitor writes it, see ``monitor/sinks/writer.lua``
``strapwatch:wave:{team}:<athlete>``      pub/sub; MessagePack `WaveMessage`, sent only while somebody listens
``strapwatch:teams``                      Set of the teams ever seen
``strapwatch:monitor:<id>``               String with a time to live: a MessagePack `MonitorState`
``strapwatch:commands:{team}``            Stream, capped; field ``command``: a `monitor.responses.Command`
``strapwatch:audit:{team}``               Stream, capped; field ``entry``: a `monitor.responses.AuditEntry`
``strapwatch:feedback:{team}``            Stream, capped; field ``feedback``: a `monitor.responses.Feedback`
``strapwatch:held:{team}:<identity>``     String with a time to live: some monitor sees the condition of this alarm
``strapwatch:evidence:{team}:<identity>`` String with a time to live: see `monitor.sinks.evidence`
``strapwatch:answered:{team}:<identity>`` the same of an alarm that somebody has called true or false
``strapwatch:review:{team}:<athlete>``    Hash with a time to live, by boot: see `monitor.sinks.review`
``strapwatch:receiver:<name>``            String with a time to live: a `monitor.responses.ReceiverState`
``strapwatch:told:<name>``                Sorted Set with a time to live: see `monitor.receivers.told`
``strapwatch:score:{team}:<athlete>``     String with a time to live: a `monitor.scores.AthleteScore`, from a scorer
``strapwatch:misses:{team}``              Stream, capped; field ``miss``: a `monitor.scores.Miss`, from a scorer
``strapwatch:scorer:<id>``                String with a time to live: a `monitor.scores.ScorerState`
``strapwatch:alarms:{~canary}``           Stream, capped: test alarms, one a monitor every `CANARY_EVERY_S`
========================================  =======================================================================
"""

from typing import Final

import msgspec

from monitor.contract import PRIORITIES, Priority

PREFIX: Final = "strapwatch:"
TEAMS_KEY: Final = "strapwatch:teams"
MONITOR_PATTERN: Final = "strapwatch:monitor:*"
ATHLETE_PATTERN: Final = "strapwatch:athlete:*"
ATHLETE_TTL_S: Final = 60
MONITOR_TTL_S: Final = 5
ENDED_TTL_S: Final = 24 * 3600
"""How long it can be read that a monitor was ended in order."""
BEATS_KEPT: Final = 20_000
HELD_TTL_S: Final = 10
"""A monitor that sees an alarm's condition says so more often than this; until then it is believed to go on."""
BEATS_KEPT_S: Final = 7 * 24 * 3600
"""An athlete's beats are forgotten so long after the last of them."""
CANARY_TEAM: Final = "~canary"
"""No team can be called so; its Stream holds test alarms only."""
CANARY_EVERY_S: Final = 15.0


def alarms_key(team: str) -> str:
    """Return the Stream of a team's alarms."""
    return f"{PREFIX}alarms:{{{team}}}"


def alarms_seen_key(team: str) -> str:
    """Return the beginning of the keys by which the script recognises a transition it has already added."""
    return f"{PREFIX}alarms-seen:{{{team}}}"


def beats_key(team: str, athlete: str) -> str:
    """Return the Stream of an athlete's beats."""
    return f"{PREFIX}beats:{{{team}}}:{athlete}"


def athlete_key(team: str, athlete: str) -> str:
    """Return the Hash with an athlete's present state."""
    return f"{PREFIX}athlete:{{{team}}}:{athlete}"


def wave_key(team: str, athlete: str) -> str:
    """Return the channel on which an athlete's waveform is published."""
    return f"{PREFIX}wave:{{{team}}}:{athlete}"


def monitor_key(monitor_id: str) -> str:
    """Return the key of a monitor's heartbeat."""
    return f"{PREFIX}monitor:{monitor_id}"


def held_key(team: str, identity: str) -> str:
    """Return the key that is there as long as some monitor sees the condition of an alarm."""
    return f"{PREFIX}held:{{{team}}}:{identity}"


class BeatEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One beat in the beats Stream (MessagePack in the field ``beat``).

    Attributes
    ----------
    boot, r_sample, known_sample : int
        Where the beat lies and when it was known.
    label : str
        AAMI class or ``"unsure"``.
    probabilities : tuple of float
        Of the classes in `monitor.contract.AAMI_CLASSES`; empty where the beat was not classified.
    quality : float
        0 to 1.
    rr_s : float or None
        Seconds since the R peak before; None after a gap.
    due_at : float
        Unix time, in seconds, at which the packet with the last sample that this beat needed was due by the strap's
        schedule; the Stream's own entry time less this is the latency.
    """

    boot: int
    r_sample: int
    known_sample: int
    label: str
    probabilities: tuple[float, ...]
    quality: float
    rr_s: float | None
    due_at: float


class ActiveAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that has not ended, as the athlete's state lists it.

    Attributes
    ----------
    identity, kind, priority, technical, message, action : see `monitor.contract.Alarm`
    raised_at : float
        Unix time in seconds.
    acknowledged_by : str
        Empty until somebody has.
    cleared : bool
        The condition is over, but the alarm stays until acknowledged.
    acknowledged_at : float
        Unix time in seconds; 0 until somebody has.
    strap : str
        The strap that saw it.
    escalated : bool
        Its priority has risen since it was raised.
    answer_by : float
        Unix time, in seconds, at which the alarm leaves the building unless somebody acknowledges it; 0 if it does not.
    unanswered : bool
        Nobody acknowledged it in time: it has left the building.
    repeats : int
        How often the condition came back so soon that it was not told again.
    """

    identity: str
    kind: str
    priority: Priority
    technical: bool
    message: str
    action: str
    raised_at: float
    acknowledged_by: str = ""
    cleared: bool = False
    acknowledged_at: float = 0.0
    strap: str = ""
    escalated: bool = False
    answer_by: float = 0.0
    unanswered: bool = False
    repeats: int = 0


class ExerciseState(msgspec.Struct, frozen=True, kw_only=True):
    """What exercise does to an athlete's heart so far, as the rhythm stage counts it.

    Attributes
    ----------
    phase : str
        One of `monitor.contract.EFFORT_PHASES`, now.
    zone : int
        Heart-rate zone now, 0 to 5; see `monitor.rhythm.rate.ZONES_FROM`.
    burden : list of [phase, zone, beats, ventricular, seconds]
        Trusted beats, ventricular ones among them, and for how long beats were seen, by phase and zone.
    rr_intervals : int
        RR intervals in the last two minutes.
    corrected_share : float or None
        Share of them that had to be corrected, 0 to 1; None without any.
    mean_bpm, rmssd_ms, sdnn_ms, dfa_alpha1 : float or None
        See `monitor.rhythm.rr_statistics.RRStatistics`: hidden where more than 3 % were corrected.
    fibrillation_share : float or None
        Share of the session's time in atrial fibrillation, 0 to 1; None before any beat.
    comparable : bool
        Enough was seen at rest and at effort to say whether ventricular beats become more frequent with it.
    """

    phase: str
    zone: int
    burden: list[tuple[str, int, int, int, float]]
    rr_intervals: int
    corrected_share: float | None
    mean_bpm: float | None
    rmssd_ms: float | None
    sdnn_ms: float | None
    dfa_alpha1: float | None
    fibrillation_share: float | None
    comparable: bool = False


class AthleteState(msgspec.Struct, frozen=True, kw_only=True):
    """How an athlete is, right now.

    Attributes
    ----------
    team, athlete, strap : str
        Pseudonyms.
    online : bool
        False after the strap's last will or an orderly end.
    updated_at : float
        Unix time, in seconds, of this state.
    last_packet_at : float
        Unix time, in seconds, at which the last packet arrived.
    boot, last_sample : int
        How far the strap's samples have come.
    rate_hz : float
        Sampling rate.
    lead, source : str
        Lead; what a simulator replays, empty for a real strap.
    trained_on : bool
        The classifier was trained on this recording.
    rate_bpm : float or None
        Heart rate over the last beats.
    quality : float
        0 to 1.
    quality_category : str
        One of `monitor.contract.QUALITY_CATEGORIES`.
    coverage : float
        Share of the session's time that was monitored well, 0 to 1.
    recent_labels : list of str
        Labels of the last beats, newest last, at most 60.
    counts : dict of str to int
        Beats by label since the session began.
    packets_received, packets_lost, packets_duplicate, packets_refused : int
        Link counters.
    packets_dropped : int
        What the monitor itself had no time for; not among those lost.
    packets_late, packets_other : int
        Of those received, not used: given up before they came, and of another strap, boot or place than is listened
        to.
    alarms : list of ActiveAlarm
        Highest priority first.
    paused_until : float
        Unix time, in seconds, until which alarms make no sound; 0 or past if they do. A more urgent alarm than those
        of `paused_covers`, and every new one of high priority, ends the pause.
    paused_by, paused_covers : str
        Who paused, and the most urgent priority that the pause covers; empty without a pause.
    exercise : ExerciseState or None
        What exercise does, told anew every few seconds; None before.
    """

    team: str
    athlete: str
    strap: str
    online: bool
    updated_at: float
    last_packet_at: float
    boot: int
    last_sample: int
    rate_hz: float
    lead: str
    source: str
    trained_on: bool
    rate_bpm: float | None
    quality: float
    quality_category: str
    coverage: float
    recent_labels: list[str]
    counts: dict[str, int]
    packets_received: int
    packets_lost: int
    packets_duplicate: int
    packets_refused: int
    alarms: list[ActiveAlarm]
    packets_late: int = 0
    packets_other: int = 0
    packets_dropped: int = 0
    paused_until: float = 0.0
    paused_by: str = ""
    paused_covers: str = ""
    exercise: ExerciseState | None = None


class WaveMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of filtered signal for the eye.

    Attributes
    ----------
    boot, first_sample : int
        Where the stretch begins.
    rate_hz : float
        Sampling rate.
    microvolts : bytes
        Little-endian int16, classifier path, not denoised.
    peaks : list of int
        R peaks that became known with this stretch (they may lie before it).
    beats : list of [r_sample, label]
        Beats that were classified with this stretch (they lie before it).
    """

    boot: int
    first_sample: int
    rate_hz: float
    microvolts: bytes
    peaks: list[int]
    beats: list[tuple[int, str]]


class MonitorState(msgspec.Struct, frozen=True, kw_only=True):
    """A monitor's heartbeat.

    Attributes
    ----------
    monitor_id : str
        Its name.
    at, started_at : float
        Unix times in seconds.
    athletes : int
        Straps it watches.
    packets_received, packets_lost, packets_refused, packets_dropped, samples, beats, alarms : int
        Counters since start; ``dropped`` is what the monitor itself could not take in.
    broker_connected : bool
        Whether packets can arrive.
    outbox_waiting : int
        Alarms waiting for Redis.
    model, settings_hash : str
        What decides.
    refused : dict of str to int
        Refused packets by reason.
    ended : bool
        The monitor was ended in order: that it falls silent now is no loss of monitoring.
    resumed : str
        What a restart found and what it missed, in one sentence; empty where there was nothing to resume.
    unwritten : dict of str to int
        What Redis was not told since the start, by name: beats, states and the like of a time when it was away or
        refused. Alarms are not among them while they wait in the outbox.
    unsaved : dict of str to int
        What the disk did not take since the start: ``packets`` of the journal, ``snapshots`` (attempts), and
        ``alarms``, which wait in memory instead.
    beats_unnamed : int
        Beats that have no class because the classifier's backend failed, since the start.
    relief : int
        What is left out just now because there is too much to do: a step in `monitor.overload.STEPS`, 0 for nothing.
    late_s : float
        How long after its arrival the last packets' effect was told, in seconds.
    left_out : dict of str to int
        What was left out under load since the start: waveforms, and beats not denoised or not classified.
    """

    monitor_id: str
    at: float
    started_at: float
    athletes: int
    packets_received: int
    packets_lost: int
    packets_refused: int
    packets_dropped: int
    samples: int
    beats: int
    alarms: int
    broker_connected: bool
    outbox_waiting: int
    model: str
    settings_hash: str
    refused: dict[str, int]
    ended: bool = False
    resumed: str = ""
    unwritten: dict[str, int] = {}
    unsaved: dict[str, int] = {}
    beats_unnamed: int = 0
    relief: int = 0
    late_s: float = 0.0
    left_out: dict[str, int] = {}


def by_urgency(alarms: list[ActiveAlarm]) -> list[ActiveAlarm]:
    """Return alarms with the unacknowledged first, then by priority, then the oldest first."""
    return sorted(
        alarms,
        key=lambda alarm: (alarm.acknowledged_by != "", PRIORITIES.index(alarm.priority), alarm.raised_at),
    )
