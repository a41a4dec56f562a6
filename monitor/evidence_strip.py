"""The strip of an alarm, ready for paper or a terminal, and what stands beside it."""

import datetime as dt
from dataclasses import replace
from typing import Final

import numpy as np

from monitor.contract import UNSURE, WINDOW_POINTS, WINDOW_S, Alarm, FloatArray, Strip
from monitor.dashboard.alarm_list import clock
from monitor.dashboard.pieces import kind_words
from monitor.evidence import millivolts
from monitor.strip_drawing import ROW_S, BeatMark, PaperStrip, Tone, terminal_strip

INBOX_BEFORE_S: Final = 4.0
INBOX_AFTER_S: Final = 6.0
MARK_REACH_S: Final = 0.08
"""A beat's mark stands on the highest point this near to its R peak as the detector gives it."""
DOWNWARD_FROM: Final = 1.5
"""Or on the lowest, where the complex goes down by so many times more than up."""
_TONES: Final[dict[str, Tone]] = {"V": "missed", "S": "extra", "F": "extra"}
_USUAL_ROWS: Final = 4


def paper_strip(alarm: Alarm, strip: Strip) -> PaperStrip:
    """Return a strip for the drawing; its clock reads 0 at the onset."""
    when = dt.datetime.fromtimestamp(alarm.onset_at or alarm.at).astimezone()
    signal = millivolts(strip.microvolts)
    return PaperStrip(
        millivolts=signal,
        rate_hz=strip.rate_hz,
        first_sample=strip.first_sample,
        title=f"{alarm.athlete}  {kind_words(alarm.kind)}: {alarm.message}",
        caption=f"onset {when:%Y-%m-%d %H:%M:%S} at sample {alarm.episode}, 0 s on the scale; {_state(alarm)}",
        beats=tuple(
            BeatMark(_peak(signal, strip, r), "?" if label == UNSURE else label, _TONES.get(label, "plain"))
            for r, label, _ in strip.beats
        ),
        clock_s=(strip.first_sample - alarm.episode) / strip.rate_hz,
    )


def _peak(signal: FloatArray, strip: Strip, r_sample: int) -> int:
    """Return where the eye sees the peak of a beat: the detector puts the beats of wide complexes on their slope."""
    reach, at = round(MARK_REACH_S * strip.rate_hz), r_sample - strip.first_sample
    begin = max(at - reach, 0)
    near = signal[begin : at + reach + 1]
    if not 0 <= at < len(signal):
        return r_sample
    level = float(np.median(signal[max(at - 4 * reach, 0) : at + 4 * reach]))
    up, down = float(near.max()) - level, level - float(near.min())
    found = int(near.argmin()) if down > DOWNWARD_FROM * up else int(near.argmax())
    return strip.first_sample + begin + found


def printed_strip(alarm: Alarm, strip: Strip) -> PaperStrip:
    """Return a strip for paper, which has no lines beside it: what is known stands in its caption."""
    paper = paper_strip(alarm, strip)
    return replace(paper, caption="; ".join([paper.caption, *known_lines(alarm)]))


def part(strip: Strip, begin: int, end: int) -> Strip:
    """Return what of a strip lies between two samples; all of it, if nothing does."""
    first = max(begin, strip.first_sample)
    stop = min(end, strip.first_sample + len(strip.microvolts) // 2)
    if stop <= first:
        return strip
    content = strip.microvolts[2 * (first - strip.first_sample) : 2 * (stop - strip.first_sample)]
    beats = [beat for beat in strip.beats if first <= beat[0] < stop]
    return Strip(first_sample=first, rate_hz=strip.rate_hz, microvolts=content, beats=beats)


def around_onset(alarm: Alarm, strip: Strip) -> Strip:
    """Return the seconds of a strip in which its alarm began: what fits a line of a terminal and can be read."""
    length = round((INBOX_BEFORE_S + INBOX_AFTER_S) * strip.rate_hz)
    end = strip.first_sample + len(strip.microvolts) // 2
    begin = max(strip.first_sample, min(alarm.episode - round(INBOX_BEFORE_S * strip.rate_hz), end - length))
    return part(strip, begin, begin + length)


def terminal_rows(alarm: Alarm, strip: Strip, width: int) -> list[str]:
    """Return the whole strip as text, `ROW_S` a row, with what is known beside it and the athlete's usual beat."""
    whole = paper_strip(alarm, strip)
    lines = [whole.title, whole.caption, *known_lines(alarm)]
    step = round(ROW_S * strip.rate_hz)
    end = strip.first_sample + len(strip.microvolts) // 2
    for begin in range(strip.first_sample, end, step):
        row = paper_strip(alarm, part(strip, begin, begin + step))
        columns = max(20, round(width * len(row.millivolts) / step))
        lines += ["", *terminal_strip(bare(row), width=min(columns, width))]
    return [*lines, *_usual_lines(alarm, width)]


def known_lines(alarm: Alarm) -> list[str]:
    """Return what was known when the alarm was raised, in words."""
    known = alarm.evidence
    if known is None:
        return []
    if not known.times_before:
        before = "for the first time in this session"
    else:
        last = f", last at {clock(known.last_before_at)}" if known.last_before_at else ""
        times = "once" if known.times_before == 1 else f"{known.times_before} times"
        before = f"{times} before in this session{last}"
    phases = {"rest": "at rest", "effort": "during effort", "recovery": "in recovery"}
    return [f"{phases[known.phase]}; {before}"]


def _usual_lines(alarm: Alarm, width: int) -> list[str]:
    known = alarm.evidence
    if known is None or not known.usual_microvolts:
        return ["", "the athlete's usual beat is not known yet"]
    usual = PaperStrip(
        millivolts=millivolts(known.usual_microvolts),
        rate_hz=WINDOW_POINTS / (2 * WINDOW_S),
        clock_s=-WINDOW_S,
    )
    columns = min(width, max(20, round(width * 2 * WINDOW_S / ROW_S)))
    return ["", "the athlete's usual beat", *terminal_strip(usual, width=columns, rows=_USUAL_ROWS)]


def bare(strip: PaperStrip) -> PaperStrip:
    """Return a strip without its words."""
    return PaperStrip(
        millivolts=strip.millivolts,
        rate_hz=strip.rate_hz,
        first_sample=strip.first_sample,
        beats=strip.beats,
        clock_s=strip.clock_s,
    )


def _state(alarm: Alarm) -> str:
    rate = "" if alarm.rate_bpm is None else f"{alarm.rate_bpm:.0f} bpm, "
    whole = "" if alarm.transition == "completed" else ", not complete yet"
    model = f"model {alarm.model or 'unknown'}, settings {alarm.settings_hash or 'unknown'}"
    return f"{rate}quality {100 * alarm.quality:.0f} %{whole}; {model}"
