"""What the inbox shows of each alarm: its record, what was said of it, and in which order they lie there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from monitor.contract import PRIORITIES, Alarm
from monitor.dashboard.alarm_list import Listed, clock
from monitor.dashboard.ledger import AlarmRecord
from monitor.evidence_strip import around_onset, bare, known_lines, paper_strip
from monitor.responses import Feedback
from monitor.strip_drawing import terminal_strip

if TYPE_CHECKING:
    # Reading rosters needs pydantic, showing none does not.
    from monitor.roster import Person

_LEAST_WIDTH: Final = 20


@dataclass(frozen=True, slots=True)
class Letter:
    """An alarm in the inbox.

    Attributes
    ----------
    listed : Listed
        The alarm and how it stands.
    feedback : tuple of Feedback
        What was said of it, the oldest first.
    """

    listed: Listed
    feedback: tuple[Feedback, ...]

    @property
    def record(self) -> AlarmRecord:
        """All transitions of the alarm."""
        return self.listed.record

    @property
    def identity(self) -> str:
        """The alarm's identity."""
        return self.record.identity

    @property
    def unanswered(self) -> bool:
        """Whether it calls for somebody, and nobody has acknowledged it or said whether it is right."""
        calls = self.listed.is_active and self.record.latest.priority != "information"
        return calls and not self.record.acknowledged and not self.judged

    @property
    def judged(self) -> bool:
        """Whether somebody has called it true or false since it last became more urgent."""
        asked_at = max(
            (a.at for a in self.record.transitions if a.transition == "escalated"), default=float("-inf")
        )
        return any(said.verdict != "comment" and said.at >= asked_at for said in self.feedback)

    @property
    def state(self) -> str:
        """How it stands, in words."""
        late = self.unanswered and any(a.transition == "unanswered" for a in self.record.transitions)
        return f"UNANSWERED, {self.listed.state}" if late else self.listed.state

    @property
    def strip_alarm(self) -> Alarm | None:
        """The newest transition that has a strip."""
        return next((a for a in reversed(self.record.transitions) if a.strip is not None), None)


def letters(listed: Iterable[Listed], feedback: Mapping[str, Sequence[Feedback]]) -> list[Letter]:
    """Return the inbox: what nobody has answered first, the most urgent and oldest of it first; then the newest."""
    found = [Letter(one, tuple(feedback.get(one.record.identity, ()))) for one in listed]
    return sorted(
        found,
        key=lambda letter: (
            not letter.unanswered,
            PRIORITIES.index(letter.record.latest.priority) if letter.unanswered else 0,
            letter.record.raised_at if letter.unanswered else -letter.record.raised_at,
        ),
    )


def left_in_place(found: Sequence[Letter], shown: Sequence[str], identity: str) -> list[Letter]:
    """Return `found` with an alarm that has just been answered where it was, so that the eye finds it again.

    Parameters
    ----------
    found : sequence of Letter
        In the order of `letters`.
    shown : sequence of str
        Identities in the order in which they are shown now.
    identity : str
        The alarm that somebody looks at.
    """
    held = next((letter for letter in found if letter.identity == identity), None)
    if held is None or held.unanswered or identity not in shown:
        return list(found)
    below = set(shown[shown.index(identity) + 1 :])
    others = [letter for letter in found if letter is not held]
    place = next((n for n, letter in enumerate(others) if letter.identity in below), len(others))
    return [*others[:place], held, *others[place:]]


def details(letter: Letter, width: int, person: "Person | None" = None) -> list[str]:
    """Return all there is to know about an alarm, in lines.

    Parameters
    ----------
    letter : Letter
        The alarm.
    width : int
        Characters in a line.
    person : Person or None
        Who it is, where a roster knows.
    """
    latest = letter.record.latest
    who = (person.label if person is not None else "") or latest.athlete
    rate = "" if latest.rate_bpm is None else f", {latest.rate_bpm:.0f} bpm"
    lines = [
        f"{latest.priority.upper()}  {who}  {latest.message}",
        *([f"Note: {person.notes}"] if person is not None and person.notes else []),
        f"→ {latest.action}",
        f"{letter.state}{rate}, quality {100 * latest.quality:.0f} %",
        *known_lines(letter.strip_alarm or latest),
        "",
    ]
    lines += strip_lines(letter, width)
    lines += [
        f"{clock(a.at)}  {a.transition}{f' by {a.by}' if a.by else ''}, {a.priority}"
        for a in letter.record.transitions
    ]
    for said in letter.feedback:
        words = ", ".join(part for part in (said.finding, said.comment) if part)
        lines.append(f"{clock(said.at)}  {said.by}: {said.verdict}{f' - {words}' if words else ''}")
    lines += [
        "",
        letter.identity,
        f"model {latest.model or 'unknown'}, settings {latest.settings_hash or 'unknown'}",
    ]
    return lines


def strip_lines(letter: Letter, width: int) -> list[str]:
    """Return the strip that shows why, as text; one line that says so where there is none."""
    alarm = letter.strip_alarm
    if alarm is None or alarm.strip is None or not alarm.strip.microvolts:
        return ["no strip" if letter.record.latest.technical else "no strip yet", ""]
    seconds = around_onset(alarm, alarm.strip)
    drawn = bare(paper_strip(alarm, seconds))
    return [*terminal_strip(drawn, width=max(width, _LEAST_WIDTH)), ""]


def as_json(letter: Letter, listed_json: str) -> str:
    """Return an alarm as one line of JSON: what `strapwatch alerts --json` tells of it, and what was said of it."""
    told = msgspec.json.decode(listed_json)
    told["unanswered"] = any(a.transition == "unanswered" for a in letter.record.transitions)
    told["has_strip"] = letter.strip_alarm is not None
    told["feedback"] = [
        {"at": f.at, "by": f.by, "verdict": f.verdict, "finding": f.finding, "comment": f.comment}
        for f in letter.feedback
    ]
    return msgspec.json.encode(told).decode()
