"""All alarms on one screen: those that are active, or all there were, and the chosen one with its strip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.contract import Strip
from monitor.dashboard import palette
from monitor.dashboard.alarm_list import clock, short_clock
from monitor.dashboard.drawing import Line, clip, fit, spread, stack, wrap
from monitor.dashboard.ledger import AlarmRecord, describe
from monitor.dashboard.palette import DIM, PLAIN, paint
from monitor.dashboard.pieces import kind_words
from monitor.dashboard.snapshot import CANARY_MISSING_S, AthleteView, Snapshot, duration, urgency
from monitor.dashboard.strip_lines import NAMES, Marks, Ribbon, strip_lines
from monitor.live_state import ActiveAlarm
from monitor.responses import Feedback

DOTS_PER_S: Final = 25.0
"""Horizontal scale of a strip: 40 ms a dot, the small square of ECG paper."""
_BEFORE_ONSET_S: Final = 1.5
_WIDE: Final = 110
"""Screen width from which the list has room for seconds, long names and long kinds."""
_HEADING: Final = paint(palette.BRIGHT, bold=True)
_CHOSEN: Final = paint(palette.BRIGHT, on=palette.SELECTED_BAR, bold=True)
_VERDICTS: Final = {"true": "true alarm", "false": "FALSE alarm", "comment": "commented"}


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """One alarm in the list.

    Attributes
    ----------
    view : AthleteView
        Whose.
    active : ActiveAlarm or None
        As the athlete's state lists it; None once it is over.
    record : AlarmRecord or None
        Its transitions; None where the Stream no longer holds them.
    """

    view: AthleteView
    active: ActiveAlarm | None
    record: AlarmRecord | None

    @property
    def identity(self) -> str:
        """The alarm's identity."""
        return self._alarm.identity

    @property
    def _alarm(self) -> ActiveAlarm:
        if self.active is not None:
            return self.active
        assert self.record is not None  # noqa: S101 - a row is made from one or the other
        return self.record.as_active()

    @property
    def alarm(self) -> ActiveAlarm:
        """As it is, or as it last was."""
        return self._alarm


def active_rows(snapshot: Snapshot) -> list[AlarmRow]:
    """Return the alarms that are active, the most urgent first; nobody's is left out."""
    rows = []
    for view in snapshot.athletes:
        known = {record.identity: record for record in view.history}
        rows += [AlarmRow(view, alarm, known.get(alarm.identity)) for alarm in view.alarms]
    return sorted(rows, key=lambda row: (row.alarm.acknowledged_by != "", urgency(row.alarm)))


def history_rows(snapshot: Snapshot) -> list[AlarmRow]:
    """Return all alarms that are known, the newest first."""
    rows = []
    for view in snapshot.athletes:
        active = {alarm.identity: alarm for alarm in view.alarms}
        rows += [AlarmRow(view, active.get(record.identity), record) for record in view.history]
    return sorted(rows, key=lambda row: row.alarm.raised_at, reverse=True)


def alarm_screen_lines(
    snapshot: Snapshot,
    rows: Sequence[AlarmRow],
    at: int,
    width: int,
    height: int,
    *,
    chosen: bool,
    history: bool,
    said: Mapping[str, Feedback],
) -> list[Line]:
    """Draw the list of alarms and the chosen one below it.

    Parameters
    ----------
    snapshot : Snapshot
        Everything at this moment.
    rows : sequence of AlarmRow
        What is listed.
    at : int
        Index of the one under the cursor, or near which the cursor was.
    width, height : int
        Cells.
    chosen : bool
        Whether one is under the cursor.
    history : bool
        Whether the list is of all alarms or of the active ones.
    said : mapping of str to Feedback
        What was said of alarms, by identity.

    Returns
    -------
    list of Line
        Exactly `height` lines of `width` cells.
    """
    head = [_heading(snapshot, rows, width, history=history)]
    if not rows:
        none = "No alarm so far." if history else "No active alarm.  h shows all there were."
        return stack([*head, Line(), Line((f"  {none}", PLAIN))], width, height)
    room = height - len(head)
    upper = min(len(rows), max(3, room // 3))
    begin = min(max(0, at - upper // 2), len(rows) - upper)
    visible = rows[begin : begin + upper]
    oldest = min(rows, key=lambda row: row.alarm.raised_at)
    cells = max(len(_listed_clock(row, width)) for row in (oldest, *visible))
    listed = [
        _row(row, snapshot, width, cells, said, chosen=chosen and begin + n == at)
        for n, row in enumerate(visible)
    ]
    rule = Line(("─" * width, palette.GONE))
    below = room - upper - 1
    if not chosen:
        gone = " Nothing is chosen: the alarm that was chosen is no longer listed. ↑ ↓ choose another."
        return stack(
            [*head, *listed, rule, *(Line((part, PLAIN)) for part in wrap(gone, width, 2))], width, height
        )
    row = rows[at]
    return stack(
        [*head, *listed, rule, *_in_full(row, snapshot, said.get(row.identity), width, below)], width, height
    )


def _heading(snapshot: Snapshot, rows: Sequence[AlarmRow], width: int, *, history: bool) -> Line:
    title = " All alarms, newest first" if history else " Active alarms, most urgent first"
    left = Line((f"{title}: {len(rows)}", _HEADING))
    age_s = snapshot.canary_age_s
    if age_s is None:
        way = Line(("no test alarm yet ", DIM))
    elif age_s > CANARY_MISSING_S:
        way = Line((f" test alarm missing for {duration(age_s)} ", palette.alarm_fill("high")))
    else:
        way = Line((f"test alarm {duration(age_s)} ago ", DIM))
    names = ", ".join(
        f"{receiver.name}{' TROUBLE' if receiver.trouble else ''}" for receiver in snapshot.receivers
    )
    told = Line((f"goes to {names}  " if names else "no receiver beside the dashboards  ", DIM))
    right = told.extend(way)
    if left.width + right.width + 1 > width:
        right = way
    return spread(left, right, width)


def _listed_clock(row: AlarmRow, width: int) -> str:
    return clock(row.alarm.raised_at) if width >= _WIDE else short_clock(row.alarm.raised_at)


def _row(
    row: AlarmRow,
    snapshot: Snapshot,
    width: int,
    clock_cells: int,
    said: Mapping[str, Feedback],
    *,
    chosen: bool,
) -> Line:
    alarm = row.alarm
    calls = row.active is not None and not alarm.acknowledged_by
    style = _CHOSEN if chosen else PLAIN if row.active is not None else DIM
    line = Line(("▶" if chosen else " ", style))
    priority = palette.alarm_fill(alarm.priority) if calls else style
    line.add(f" {alarm.priority.upper()[:6]:<6} ", priority)
    names, what = (25, 34) if width >= _WIDE else (13, 25)
    at = f"{_listed_clock(row, width):>{clock_cells}}"
    line.add(f" {at} {clip(row.view.name, names - 1):<{names}}", style)
    line.add(f"{fit(kind_words(alarm.kind), what - 1):<{what}}", style)
    verdict = said.get(row.identity)
    words = state_words(row, snapshot) + (f", {_VERDICTS[verdict.verdict]}" if verdict else "")
    return line.add(fit(words, max(0, width - line.width)), style).fill(width, style)


def state_words(row: AlarmRow, snapshot: Snapshot) -> str:
    """Return how an alarm stands: what somebody did about it, and what happens unless somebody does."""
    alarm, view = row.alarm, row.view
    if row.active is None and row.record is not None:
        return describe(row.record, view.alarms)
    words = []
    if alarm.acknowledged_by:
        words.append(f"acknowledged by {alarm.acknowledged_by}")
    elif alarm.unanswered:
        words.append(
            "UNANSWERED, sent out" if snapshot.receivers else "UNANSWERED, no receiver to send it to"
        )
    else:
        words.append("new")
        left_s = alarm.answer_by - view.state.updated_at - view.age_s
        if alarm.answer_by > 0.0 and left_s > 0.0:
            words.append(f"answer within {duration(left_s)}")
    if alarm.cleared:
        words.append("over")
    if alarm.escalated:
        words.append("escalated")
    if alarm.repeats:
        words.append("came back once" if alarm.repeats == 1 else f"came back {alarm.repeats} times")
    if view.is_silenced(alarm):
        words.append(f"silent for {view.paused_words}")
    return ", ".join(words)


def _in_full(row: AlarmRow, snapshot: Snapshot, said: Feedback | None, width: int, height: int) -> list[Line]:
    alarm, person = row.alarm, row.view.person
    title = Line((f" {alarm.priority.upper()} ", palette.alarm_fill(alarm.priority))).add(
        f" {row.view.name}: {kind_words(alarm.kind)}", _HEADING
    )
    stands = Line((f" {clock(alarm.raised_at)}, {state_words(row, snapshot)}", DIM))
    # A date makes it too long for a narrow screen.
    together = title.width + 1 + stands.width <= width
    lines = [title.add(" ").extend(stands)] if together else [title, stands]
    lines += [Line((f" {part}", PLAIN)) for part in wrap(alarm.message, width - 2, 2)]
    lines.append(Line((f" → {alarm.action}", paint(palette.BRIGHT, bold=True))))
    if person is not None and person.notes:
        lines.append(Line((f" Note: {fit(person.notes, width - 8)}", paint(palette.CAUTION))))
    if said is not None:
        finding = f": {said.finding}" if said.finding else ""
        comment = f", {said.comment}" if said.comment else ""
        words = f" {_VERDICTS[said.verdict]}, says {said.by}{finding}{comment}"
        lines.append(Line((fit(words, width - 1), DIM)))
    told = row.record.told_with_strip if row.record is not None else None
    room = height - len(lines)
    if told is None or told.strip is None:
        words = "a technical alarm has no strip" if alarm.technical else "no strip has come yet"
        return [*lines, Line((f" {words}", DIM))][:height]
    shown = min(room, 16)
    drawn = strip_lines(_ribbon(told.strip, told.episode, width), width, shown)
    more = _life(row, room - len(drawn))
    return [*lines, *drawn, *more][:height]


def _ribbon(strip: Strip, onset: int, width: int) -> Ribbon:
    """Return as much of the strip as can be read at paper's scale, from just before the onset on."""
    microvolts = np.frombuffer(strip.microvolts, "<i2")
    most = int(2 * (width - NAMES - 1) / DOTS_PER_S * strip.rate_hz)
    from_onset = onset - strip.first_sample - round(_BEFORE_ONSET_S * strip.rate_hz)
    begin = max(0, min(from_onset, len(microvolts) - most))
    shown = microvolts[begin : begin + most].astype(np.float32) / np.float32(1000.0)
    first = strip.first_sample + begin
    beats = {r: label for r, label, _ in strip.beats if first <= r < first + len(shown)}
    return Ribbon(shown, strip.rate_hz, first, onset, Marks("beats", beats))


def _life(row: AlarmRow, room: int) -> list[Line]:
    """Return what became of the alarm, one line a transition."""
    if row.record is None or room < 2:
        return []
    lines = [Line()]
    for told in row.record.transitions[-(room - 1) :]:
        by = f" by {told.by}" if told.by else ""
        lines.append(Line((f" {clock(told.at)}  {told.transition}{by}", DIM)))
    return lines
