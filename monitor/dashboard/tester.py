"""The tester's view: beats against truth, per athlete and for all, and what was lost why. Values in, lines out."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from monitor.boot_scorer import AT_START, BESIDE_LOSS, NO_MONITOR, UNEXPLAINED
from monitor.contract import AAMI_CLASSES
from monitor.dashboard import palette
from monitor.dashboard.alarm_list import clock
from monitor.dashboard.drawing import Line, clip, fit, spread, stack
from monitor.dashboard.palette import DIM, PLAIN, paint
from monitor.dashboard.pieces import TRAINED_ON
from monitor.dashboard.snapshot import MONITOR_GONE_S, Key, duration
from monitor.dashboard.tester_feed import Verdicts
from monitor.scores import AthleteScore, Latency, Miss
from monitor.scoring import ClassCounts, QrsCounts

SIDE: Final = 64
"""Cells of the confusion table and the losses beside the lists on a wide screen."""
_WIDE: Final = 140
_TABLE_HEIGHT: Final = 9
_HEADING: Final = paint(palette.BRIGHT, bold=True)
_WORSE: Final = paint(palette.CAUTION, bold=True)
_CHOSEN: Final = paint(palette.BRIGHT, on=palette.SELECTED_BAR, bold=True)

_CAUSE_WORDS: Final = {
    "lost": "lost by radio",
    "lost_in_burst": "lost in a burst",
    "lost_in_dropout": "lost in dropout",
    "unsent": "never sent",
    BESIDE_LOSS: "beside a loss",
    AT_START: "just started",
    NO_MONITOR: "no monitor",
    UNEXPLAINED: "unexplained",
}
_LOSSES: Final = ("lost", "lost_in_burst", "lost_in_dropout", "unsent")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class TesterChoice:
    """What is chosen in the tester's view.

    Attributes
    ----------
    of_misses : bool
        The cursor is in the list of misses, not of athletes.
    athlete : Key or None
        The athlete under the cursor; None for all.
    miss : int
        Index of the miss under the cursor.
    trained_on : frozenset of Key
        Athletes whose recording the classifier was trained on: they are marked, for their figures flatter it.
    """

    of_misses: bool = False
    athlete: Key | None = None
    miss: int = 0
    trained_on: frozenset[Key] = frozenset()


def key_of(score: AthleteScore | Miss) -> Key:
    """Return whose it is."""
    return Key(score.team, score.athlete)


def worst_first(scores: Iterable[AthleteScore]) -> list[AthleteScore]:
    """Return the scores with most unexplained misses and false beats first, then by name."""
    return sorted(scores, key=lambda score: (-_own(score), score.team, score.athlete))


def misses_of(verdicts: Verdicts, athlete: Key | None) -> list[Miss]:
    """Return an athlete's misses, or all, the newest first."""
    return [miss for miss in verdicts.misses if athlete is None or key_of(miss) == athlete]


def tester_lines(
    verdicts: Verdicts, choice: TesterChoice, width: int, height: int, *, name: Callable[[Key], str]
) -> list[Line]:
    """Draw the tester's view.

    Parameters
    ----------
    verdicts : Verdicts
        What the scorer has found.
    choice : TesterChoice
        Where the cursor is.
    width, height : int
        Cells.
    name : callable
        Returns what an athlete is called on screen.

    Returns
    -------
    list of Line
        Exactly `height` lines of `width` cells.
    """
    head = [_scorer_line(verdicts, width), _fleet_line(verdicts.scores, choice, width)]
    room = height - len(head)
    if not verdicts.scores:
        return stack([*head, Line(), *_nothing(verdicts, width)], width, height)
    chosen = [s for s in verdicts.scores if choice.athlete is None or key_of(s) == choice.athlete]
    title = name(choice.athlete) if choice.athlete is not None and chosen else "all athletes"
    chosen = chosen or list(verdicts.scores)
    misses = misses_of(verdicts, choice.athlete)
    if width >= _WIDE:
        left_width = width - SIDE - 3
        upper = min(len(verdicts.scores) + 2, room // 2)
        left = [
            *stack(_athletes(verdicts, choice, left_width, upper, name), left_width, upper),
            *stack(
                miss_list_lines(misses, choice, title, left_width, room - upper, name),
                left_width,
                room - upper,
            ),
        ]
        right = stack([*_confusion(chosen, title, SIDE), Line(), *_losses(chosen, SIDE)], SIDE, room)
        body = [Line().extend(a).add(" │ ", palette.GONE).extend(b) for a, b in zip(left, right, strict=True)]
        return stack([*head, *body], width, height)
    lower = min(_TABLE_HEIGHT, max(0, room - 5))
    upper = room - lower
    if choice.of_misses:
        above = miss_list_lines(misses, choice, title, width, upper, name)
    else:
        above = _athletes(verdicts, choice, width, upper, name)
    table_width = 45
    table = stack(_confusion(chosen, title, table_width), table_width, lower)
    side = width - table_width - 2
    causes = stack(_losses(chosen, side), side, lower)
    beside = [Line().extend(a).add("│ ", palette.GONE).extend(b) for a, b in zip(table, causes, strict=True)]
    return stack([*head, *stack(above, width, upper), *beside], width, height)


def cause_words(cause: str) -> str:
    """Return a cause of the ledger as words."""
    return _CAUSE_WORDS.get(cause, cause.replace("_", " "))


def miss_words(miss: Miss) -> str:
    """Return what differs, in a few words."""
    if miss.kind == "missed":
        return f"missed {miss.reference}"
    if miss.kind == "false":
        return f"false {_label(miss.called)}"
    return f"{miss.reference} called {_label(miss.called)}"


def _scorer_line(verdicts: Verdicts, width: int) -> Line:
    left = Line((" Against truth  ", _HEADING))
    live = [(state, age) for state, age in verdicts.scorers if age <= MONITOR_GONE_S]
    if live:
        state = live[0][0]
        words = "scorer live" if state.broker_connected else "scorer: broker away"
        left.add(words, paint(palette.TRACE) if state.broker_connected else _WORSE)
        right = Line((_latency_words("beats", state.latency) + "  ", DIM))
        right.add(_latency_words("alarms", state.alarm_latency) + " ", DIM)
        if left.width + right.width + 1 > width:
            right = Line((_latency_words("beats", state.latency) + " ", DIM))
        return spread(left, right, width)
    if not verdicts.read:
        return left.add("reading the scores", DIM).fill(width)
    age = min((age for _, age in verdicts.scorers), default=None)
    gone = "no scorer running" if age is None else f"scorer gone {duration(age)}: what is shown is old"
    return left.add(gone, _WORSE).fill(width)


def _latency_words(what: str, latency: Latency) -> str:
    if latency.p50 is None or latency.p99 is None:
        return f"{what}: no latency yet"
    return f"{what} p50 {_seconds(latency.p50)} p99 {_seconds(latency.p99)}"


def _seconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 0.9995 else f"{seconds:.2f} s"


def _nothing(verdicts: Verdicts, width: int) -> list[Line]:
    if any(age <= MONITOR_GONE_S for _, age in verdicts.scorers):
        words = ["Nobody tells truth yet: only simulated straps do (strapwatch simulate, strapwatch demo)."]
    else:
        words = [
            "Scores come from a scorer beside the monitor, which the demo runs by itself. Otherwise:",
            "  strapwatch score --broker mqtt://HOST:1883 --redis redis://HOST:6379",
        ]
    return [Line((f" {fit(text, width - 1)}", PLAIN)) for text in words]


def _fleet_line(scores: Sequence[AthleteScore], choice: TesterChoice, width: int) -> Line:
    if not scores:
        return Line()
    chosen = choice.athlete is None
    qrs, classes = _together(scores)
    v = classes.ec57()["V"]
    own, words = (
        sum(map(_own, scores)),
        Line((f"{'▶' if chosen else ' '}All  ", _CHOSEN if chosen else _HEADING)),
    )
    words.add(f"Se {_share(qrs.se)} +P {_share(qrs.ppv)}", _HEADING)
    words.add(f"  V {_share(v.se)}/{_share(v.ppv)}", paint(palette.label_colour("V")))
    words.add(f"  unexplained {own:,}", _WORSE if own else DIM)
    if known := sum(key_of(score) in choice.trained_on for score in scores):
        words.add(f"  * {known} trained on", paint(palette.CAUTION))
    for text in (
        f"  missed {qrs.fn:,} false {qrs.fp:,}",
        f"  of {qrs.tp + qrs.fn:,} beats of {len(scores)} athletes",
    ):
        words.add(text if words.width + len(text) <= width else "", DIM)
    return words.fill(width)


def _athletes(
    verdicts: Verdicts, choice: TesterChoice, width: int, height: int, name: Callable[[Key], str]
) -> list[Line]:
    head = f" {'athlete':<13}{'Se':>7}{'+P':>8}{'beats':>8}{'missed':>7}{'false':>6}{'unexpl':>7}{'V Se':>8}{'V +P':>8}"
    heading = Line((head, DIM))
    if width >= 100:
        heading.add(f"{'p50':>8}{'p99':>9}{'lost':>7}", DIM)
    ranked = worst_first(verdicts.scores)
    at = next((n for n, score in enumerate(ranked) if key_of(score) == choice.athlete), 0)
    lines = [heading]
    for score in _around(ranked, at, height - 1):
        chosen = key_of(score) == choice.athlete
        style = _CHOSEN if chosen and not choice.of_misses else _HEADING if chosen else PLAIN
        qrs = QrsCounts(score.tp, score.fp, score.fn)
        v = _classes(score).ec57()["V"]
        mark = "*" if key_of(score) in choice.trained_on else ""
        line = Line(
            (f"{'▶' if chosen else ' '}{clip(name(key_of(score)), 12 - len(mark)) + mark:<13}", style)
        )
        line.add(f"{_share(qrs.se):>7}{_share(qrs.ppv):>8}{score.tp + score.fn:>8,}", style)
        line.add(f"{score.fn:>7,}{score.fp:>6,}", style)
        line.add(f"{_own(score):>7,}", style if not _own(score) or style is _CHOSEN else _WORSE)
        line.add(f"{_share(v.se):>8}{_share(v.ppv):>8}", style)
        if width >= 100:
            lag = score.latency
            line.add(f"{_short(lag.p50):>8}{_short(lag.p99):>9}{_lost(score):>7,}", style)
            line.add(f"  {TRAINED_ON}" if mark else "", paint(palette.CAUTION))
        lines.append(line)
    return lines


def miss_list_lines(
    misses: Sequence[Miss],
    choice: TesterChoice,
    title: str,
    width: int,
    height: int,
    name: Callable[[Key], str],
) -> list[Line]:
    """Draw a list of misses around the chosen one, under a heading that says whose they are; at most `height` lines."""
    heading = Line((f" {len(misses)} differences of {title}, newest first", DIM))
    if not misses:
        return [heading, Line((" none so far", DIM))]
    lines = [heading]
    visible = _around(misses, choice.miss, height - 1)
    clocks = [clock(miss.at) if miss.at else "unknown" for miss in visible]
    cells = max(map(len, clocks), default=0)
    for miss, at in zip(visible, clocks, strict=True):
        chosen = choice.of_misses and miss is misses[min(choice.miss, len(misses) - 1)]
        style = _CHOSEN if chosen else PLAIN
        line = Line((f"{'▶' if chosen else ' '}{at:>{cells}}  {clip(name(key_of(miss)), 12):<13}", style))
        line.add(f"{miss_words(miss):<17}", style)
        own = miss.cause == UNEXPLAINED and miss.kind != "misnamed" and not chosen
        line.add(f"{cause_words(miss.cause):<16}", _WORSE if own else style)
        line.add("" if miss.microvolts else "  no strip", DIM)
        lines.append(line.fill(width, style if chosen else PLAIN))
    return lines


def _confusion(scores: Sequence[AthleteScore], title: str, width: int) -> list[Line]:
    """Return the table of reference class against given label, as wide as there is room for."""
    cell = min(8, (width - 8) // 7)
    table = _together(scores)[1].table
    head = Line((f"{'ref':<8}", DIM))
    for column in (*AAMI_CLASSES, "?"):
        head.add(f"{column:>{cell}}", palette.label_style("unsure" if column == "?" else column))
    head.add(f"{'miss':>{cell}}", DIM)
    lines = [Line((fit(f"called, {title}", width), _HEADING)), head]
    for row, label in enumerate((*AAMI_CLASSES, "no beat")):
        style = palette.label_style(label) if label in AAMI_CLASSES else DIM
        line = Line((f"{label:<8}", style))
        for position, count in enumerate(table[row].tolist()):
            right = row == position
            zero = count == 0
            impossible = row == len(AAMI_CLASSES) and position == table.shape[1] - 1
            text = "" if impossible else _count(count, cell)
            ink = paint(palette.FAINT) if zero else _HEADING if right else _WORSE
            line.add(f"{text:>{cell}}", ink)
        lines.append(line)
    return lines


def _losses(scores: Sequence[AthleteScore], width: int) -> list[Line]:
    """Return what was lost by cause: packets as the ledger counts them, beats as the scorer does; and the balance."""
    ledger: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    false: Counter[str] = Counter()
    for score in scores:
        ledger.update(score.ledger)
        missed.update(score.missed_by_cause)
        false.update(score.false_by_cause)
    causes = [c for c in _LOSSES if ledger[c] or missed[c]]
    causes += sorted((missed.keys() | false.keys()) - {*_LOSSES, UNEXPLAINED})
    narrow = width < 36
    cells = (6, 6, 6) if narrow else (9, 8, 8)
    titles = ("pkts", "miss", "false") if narrow else ("packets", "missed", "false")
    lines = [Line((f"{'why':<15}" + "".join(f"{t:>{c}}" for t, c in zip(titles, cells, strict=True)), DIM))]
    for cause in [*causes, UNEXPLAINED]:
        packets = f"{ledger[cause]:,}" if cause in _LOSSES else "-"
        style = _WORSE if cause == UNEXPLAINED and (missed[cause] or false[cause]) else PLAIN
        words = f"{cause_words(cause):<15}{packets:>{cells[0]}}{missed[cause]:>{cells[1]},}{false[cause]:>{cells[2]},}"
        lines.append(Line((words, style)))
    return [*lines, *_balance(scores, ledger, width)]


def _balance(scores: Sequence[AthleteScore], ledger: "Counter[str]", width: int) -> list[Line]:
    if not ledger:
        return [Line((fit("no ledger has been told", width), DIM))]
    out = ledger["sent"] + ledger["duplicated"] + ledger["resent"]
    received = sum(score.received + score.refused for score in scores)
    lost = sum(ledger[cause] for cause in _LOSSES)
    counted = sum(score.lost for score in scores)
    unaccounted = sum(score.unaccounted for score in scores)
    if unaccounted:
        words, style = f"{unaccounted:,} packets unaccounted for", _WORSE
    else:
        words, style = "every packet accounted for", paint(palette.TRACE)
    lines = [Line((fit(words, width), style))]
    lines.append(Line((fit(f"out {out:,}, monitor has {received:,}", width), DIM)))
    if before := sum(score.before for score in scores):
        lines.append(Line((fit(f"{before:,} out before the monitor came", width), DIM)))
    lines.append(Line((fit(f"lost {lost:,}, monitor says {counted:,}", width), DIM)))
    return lines


def _together(scores: Sequence[AthleteScore]) -> tuple[QrsCounts, ClassCounts]:
    qrs, classes = QrsCounts(), ClassCounts()
    for score in scores:
        qrs += QrsCounts(score.tp, score.fp, score.fn)
        classes += _classes(score)
    return qrs, classes


def _classes(score: AthleteScore) -> ClassCounts:
    return ClassCounts(np.array(score.table, np.int64).reshape(6, 7))


def _own(score: AthleteScore) -> int:
    return score.missed_by_cause.get(UNEXPLAINED, 0) + score.false_by_cause.get(UNEXPLAINED, 0)


def _lost(score: AthleteScore) -> int:
    return sum(score.ledger.get(cause, 0) for cause in _LOSSES)


def _around(items: Sequence[_Item], at: int, room: int) -> Sequence[_Item]:
    """Return `room` items with the one at `at` among them."""
    begin = min(max(0, at - room // 2), max(0, len(items) - room))
    return items[begin : begin + max(0, room)]


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.4f}"


def _short(seconds: float | None) -> str:
    return "-" if seconds is None else _seconds(seconds)


def _count(count: int, cell: int) -> str:
    text = f"{count:,}"
    return text if len(text) < cell else f"{count}" if len(str(count)) < cell else f"{count // 1000}k"


def _label(label: str) -> str:
    return "?" if label == "unsure" else label
