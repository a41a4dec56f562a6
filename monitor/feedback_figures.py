"""How often alarms were right by what was answered to them, kind by kind: a season's figures."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec

from monitor.contract import PRIORITIES, Alarm
from monitor.responses import Feedback

CONFIDENCE: Final = 0.95


class KindFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered to the alarms of one kind.

    Attributes
    ----------
    kind, priority : str
        Of the alarms; the priority is the highest that one of them was raised with.
    alarms : int
        Raised, as far as the server still knows.
    right, wrong : int
        Of these, whose last answer is "true", and "false".
    otherwise : int
        Of those that were right, how many are something else by the words that came with the answer.
    ppv : float or None
        Positive predictivity: share of those answered that were right; None where none was answered.
    lower, upper : float
        Within these it lies with 95 % confidence (exact, after Clopper and Pearson, 1934).
    """

    kind: str
    priority: str
    alarms: int
    right: int
    wrong: int
    otherwise: int
    ppv: float | None
    lower: float
    upper: float


def last_answers(feedback: Iterable[Feedback]) -> list[Feedback]:
    """Return of each alarm the answer that was given last, true or false, the earliest alarm first.

    What was commented after it stands with it.
    """
    last: dict[str, Feedback] = {}
    for said in sorted(feedback, key=lambda one: one.at):
        known = last.get(said.identity)
        if said.verdict != "comment":
            last[said.identity] = said
        elif known is not None:
            words = "; ".join(part for part in (known.comment, said.comment) if part)
            last[said.identity] = msgspec.structs.replace(known, comment=words)
    return sorted(last.values(), key=lambda said: said.alarm.at if said.alarm is not None else said.at)


def kind_figures(alarms: Iterable[Alarm], feedback: Iterable[Feedback]) -> list[KindFigures]:
    """Return the figures of each kind, the most urgent first.

    Parameters
    ----------
    alarms : iterable of Alarm
        Transitions that are known; those of the strap that nobody answers are left out.
    feedback : iterable of Feedback
        All that was said; each may bring an alarm that is no longer among `alarms`.
    """
    answers = last_answers(feedback)
    priority: dict[str, str] = {}
    raised: dict[str, set[str]] = defaultdict(set)
    for alarm in (*alarms, *(said.alarm for said in answers if said.alarm is not None)):
        known = priority.setdefault(alarm.kind, alarm.priority)
        priority[alarm.kind] = min(known, alarm.priority, key=PRIORITIES.index)
        raised[alarm.kind].add(alarm.identity)
    of_kind: dict[str, list[Feedback]] = defaultdict(list)
    for said in answers:
        of_kind[_kind(said)].append(said)
    found = [
        _figures(kind, priority.get(kind, PRIORITIES[-1]), len(raised[kind]), of_kind[kind])
        for kind in {*raised, *of_kind}
    ]
    return sorted(found, key=lambda one: (PRIORITIES.index(one.priority), -one.alarms, one.kind))


def binomial_bounds(right: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the two-sided confidence bounds of a share (exact, after Clopper and Pearson, 1934)."""
    from scipy.stats import beta

    tail = (1.0 - confidence) / 2.0
    lower = float(beta.ppf(tail, right, of - right + 1)) if right else 0.0
    upper = float(beta.ppf(1.0 - tail, right + 1, of - right)) if right < of else 1.0
    return lower, upper


def figure_lines(figures: Iterable[KindFigures]) -> list[str]:
    """Return the figures as lines of text, in columns."""
    rows = [("kind", "priority", "alarms", "true", "otherwise", "false", "+P", "95 % bounds")]
    for one in figures:
        answered = one.ppv is not None
        rows.append(
            (
                one.kind,
                one.priority,
                str(one.alarms),
                str(one.right),
                str(one.otherwise),
                str(one.wrong),
                f"{one.ppv:.3f}" if one.ppv is not None else "",
                f"{one.lower:.3f} to {one.upper:.3f}" if answered else "not answered",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column in (0, 1, 7) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _figures(kind: str, priority: str, alarms: int, answers: list[Feedback]) -> KindFigures:
    right = [said for said in answers if said.verdict == "true"]
    lower, upper = binomial_bounds(len(right), len(answers)) if answers else (0.0, 1.0)
    return KindFigures(
        kind=kind,
        priority=priority,
        alarms=max(alarms, len(answers)),
        right=len(right),
        wrong=len(answers) - len(right),
        otherwise=sum(_is_otherwise(kind, said.finding) for said in right),
        ppv=len(right) / len(answers) if answers else None,
        lower=lower,
        upper=upper,
    )


def _is_otherwise(kind: str, finding: str) -> bool:
    words = set(re.findall(r"[a-z]+", finding.lower()))
    return bool(words) and not words & set(kind.split("_"))


def _kind(said: Feedback) -> str:
    return said.alarm.kind if said.alarm is not None else said.identity.split(".")[-2]
