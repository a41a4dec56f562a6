"""What is told of an athlete: beats, states and waveforms, made from what the stages know."""

from typing import Final

import numpy as np

from monitor.athlete import Athlete
from monitor.contract import LABELS, Beats, EffortPhase, FloatArray, Peaks
from monitor.evidence import microvolts
from monitor.line import Line
from monitor.live_state import ActiveAlarm, AthleteState, BeatEntry, ExerciseState, WaveMessage
from monitor.rhythm.ventricular_burden import MIN_EFFORT_S, MIN_REST_S, Burden

EXERCISE_EVERY_S: Final = 5.0
"""How often an athlete's statistics of exercise are looked at anew, in seconds."""


def beat_entry(athlete: Athlete, beats: Beats, index: int) -> BeatEntry:
    """Return one of an athlete's beats as it goes into the Stream."""
    known = int(beats.known_sample[index])
    probabilities: list[float] = beats.probabilities[index].tolist()
    rr_s = float(beats.rr_s[index])
    return BeatEntry(
        boot=athlete.boot,
        r_sample=int(beats.r_sample[index]),
        known_sample=known,
        label=LABELS[int(beats.label[index])],
        probabilities=tuple(probabilities) if any(probabilities) else (),
        quality=float(beats.quality[index]),
        rr_s=None if np.isnan(rr_s) else rr_s,
        due_at=athlete.schedule.due_at(known),
    )


def athlete_state(
    athlete: Athlete,
    now: float,
    *,
    trained_on: bool,
    alarms: list[ActiveAlarm],
    pause: tuple[float, str, str] = (0.0, "", ""),
) -> AthleteState:
    """Return how an athlete is right now.

    Parameters
    ----------
    athlete : Athlete
        One with samples.
    now : float
        Unix time in seconds.
    trained_on : bool
        The classifier was trained on what is replayed.
    alarms : list of ActiveAlarm
        Most urgent first.
    pause : tuple of float, str and str
        Until when alarms make no sound, who paused, and what that covers.
    """
    line = athlete.line
    assert line is not None  # noqa: S101 - states are told of athletes with samples only
    quality, category, coverage = line.quality_of(athlete.row)
    rate_bpm = line.rhythm.rate_bpm(athlete.row)
    counters = athlete.assembly.counters
    return AthleteState(
        team=athlete.team,
        athlete=athlete.name,
        strap=athlete.assembly.strap,
        online=athlete.online,
        updated_at=now,
        last_packet_at=athlete.last_packet_at,
        boot=athlete.boot,
        last_sample=athlete.end_sample - 1,
        rate_hz=line.rate_hz,
        lead=athlete.assembly.lead,
        source=athlete.source,
        trained_on=trained_on,
        rate_bpm=None if np.isnan(rate_bpm) else rate_bpm,
        quality=quality,
        quality_category=category,
        coverage=coverage,
        recent_labels=list(athlete.recent),
        counts=dict(athlete.counts),
        packets_received=counters.received,
        packets_lost=athlete.lost,
        packets_dropped=athlete.dropped,
        packets_duplicate=counters.duplicate,
        packets_refused=athlete.refused,
        packets_late=counters.late,
        packets_other=counters.stale_boot
        + counters.other_strap
        + counters.inconsistent
        + counters.implausible,
        alarms=alarms,
        paused_until=pause[0],
        paused_by=pause[1],
        paused_covers=pause[2],
        exercise=_exercise(athlete, line, now),
    )


def _exercise(athlete: Athlete, line: Line, now: float) -> ExerciseState:
    """Return what exercise does, looked at now and then: the statistics change slowly and cost more than the rest."""
    if athlete.exercise is None or now - athlete.exercise_at >= EXERCISE_EVERY_S:
        rhythm, row = line.rhythm, athlete.row
        statistics, burden = rhythm.rr_statistics(row), rhythm.ventricular_burden(row)
        athlete.exercise_at = now
        athlete.exercise = ExerciseState(
            phase=rhythm.phase(row),
            zone=rhythm.zone(row),
            burden=[(cell.phase, cell.zone, cell.beats, cell.ventricular, cell.seconds) for cell in burden],
            rr_intervals=statistics.intervals,
            corrected_share=_known(statistics.corrected_share),
            mean_bpm=_known(statistics.rate_bpm),
            rmssd_ms=statistics.rmssd_ms,
            sdnn_ms=statistics.sdnn_ms,
            dfa_alpha1=statistics.dfa_alpha1,
            fibrillation_share=_known(rhythm.atrial_fibrillation_burden(row)),
            comparable=_seconds(burden, "rest") >= MIN_REST_S and _seconds(burden, "effort") >= MIN_EFFORT_S,
        )
    return athlete.exercise


def _seconds(burden: list[Burden], phase: EffortPhase) -> float:
    return sum(cell.seconds for cell in burden if cell.phase == phase)


def _known(number: float) -> float | None:
    return None if np.isnan(number) else number


def wave_message(
    athlete: Athlete, *, first_sample: int, filtered: FloatArray, peaks: Peaks, beats: Beats
) -> WaveMessage:
    """Return a stretch of an athlete's signal for the eye.

    Parameters
    ----------
    athlete : Athlete
        Whose.
    first_sample : int
        Where the stretch begins.
    filtered : ndarray of float32, shape ``[n]``
        Millivolt.
    peaks, beats : Peaks, Beats
        What became known with it, of all rows of the bank.
    """
    row = athlete.row
    own = beats.take(np.flatnonzero(beats.rows == row))
    return WaveMessage(
        boot=athlete.boot,
        first_sample=first_sample,
        rate_hz=athlete.rate_hz,
        microvolts=microvolts(filtered),
        peaks=peaks.r_sample[peaks.rows == row].tolist(),
        beats=[
            (r, LABELS[label]) for r, label in zip(own.r_sample.tolist(), own.label.tolist(), strict=True)
        ],
    )
