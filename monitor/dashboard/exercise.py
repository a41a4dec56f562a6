"""What exercise does to one athlete's heart: ventricular beats by phase and zone, and RR statistics, as lines."""

from typing import Final

from monitor.contract import EFFORT_PHASES
from monitor.dashboard import palette
from monitor.dashboard.drawing import Line, fit, spread, stack, wrap
from monitor.dashboard.palette import DIM, PLAIN, paint
from monitor.dashboard.pieces import OLD, bar, rate_text
from monitor.dashboard.snapshot import AthleteView, Life, duration
from monitor.live_state import ExerciseState

ZONES: Final = 6
RISING: Final = "ventricular_burden_rising"
MOST_CORRECTED: Final = 0.03
"""Above this share of corrected intervals the monitor hides what depends on every interval."""
_CELL: Final = 7
_HEADING: Final = paint(palette.BRIGHT, bold=True)
_GRAVE: Final = paint(palette.BAD, bold=True)

Cell = tuple[int, int, float]
"""Beats, ventricular ones, seconds."""


def exercise_lines(view: AthleteView, width: int, height: int) -> list[Line]:
    """Draw the exercise panel.

    Parameters
    ----------
    view : AthleteView
        The athlete.
    width, height : int
        Cells.

    Returns
    -------
    list of Line
        Exactly `height` lines of `width` cells.
    """
    exercise = view.state.exercise
    inner = width - 2
    lines = [_title(view, inner)]
    if exercise is None:
        lines += [Line(), Line(("not measured yet", PLAIN))]
    else:
        lines += [_now(view, exercise, inner), Line(), *_burden(view, exercise, inner)]
        lines += [Line(), *_intervals(exercise, inner)]
    return [Line((" ", PLAIN)).extend(line).fill(width) for line in stack(lines, inner, height)]


def verdict(view: AthleteView) -> tuple[str, bool]:
    """Return in words whether ventricular beats become more frequent with effort, and whether they do."""
    exercise = view.state.exercise
    if any(alarm.kind == RISING and not alarm.cleared for alarm in view.alarms):
        return "RISING WITH EFFORT: stop, and tell the physician", True
    if exercise is None or not exercise.comparable:
        return "rising? not measured yet: too little seen at rest or effort", False
    return "not rising with effort so far", False


def _title(view: AthleteView, width: int) -> Line:
    left = Line((f"{view.name}  ", _HEADING), ("exercise", DIM))
    if view.life is not Life.LIVE:
        return spread(left, Line((f" {view.life_words} ", OLD)), width)
    return left


def _now(view: AthleteView, exercise: ExerciseState, width: int) -> Line:
    zone = f"zone {exercise.zone}" if exercise.zone else "below zone 1"
    words = f"now: {exercise.phase}, {zone}, {rate_text(view).strip()} bpm"
    return Line((fit(words, width), PLAIN))


def _burden(view: AthleteView, exercise: ExerciseState, width: int) -> list[Line]:
    words, rising = verdict(view)
    style = _GRAVE if rising else PLAIN
    lines = [Line(("Ventricular beats an hour, ", _HEADING), (fit(words, width - 27), style))]
    zones = "".join(f"{f'zone {zone}' if zone else 'below':>{_CELL}}" for zone in range(ZONES))
    lines.append(Line((fit(f"{'':<10}{'all':>8}{zones}{'V':>7}{'seen':>9}", width), DIM)))
    sums = {phase: _sum(exercise, phase) for phase in EFFORT_PHASES}
    most = max((rate for cell in sums.values() if (rate := _per_hour(cell)) is not None), default=0.0)
    for phase in EFFORT_PHASES:
        total = sums[phase]
        line = Line((f"{phase:<10}", _HEADING if phase == exercise.phase else PLAIN))
        line.add(f"{_rate(total):>8}", _HEADING)
        for zone in range(ZONES):
            cell = _sum(exercise, phase, zone)
            line.add(f"{_rate(cell):>{_CELL}}", PLAIN if cell[2] else paint(palette.FAINT))
        line.add(f"{total[1]:>7,}{duration(total[2]) if total[2] else '-':>9}", DIM)
        rate = _per_hour(total)
        if rate is not None and most > 0.0 and line.width + 14 <= width:
            line.add("  ").extend(
                bar(rate / most, min(30, width - line.width - 2), palette.label_colour("V"))
            )
        lines.append(line)
    return lines


def _intervals(exercise: ExerciseState, width: int) -> list[Line]:
    share = exercise.corrected_share
    lines = [Line(("RR intervals of the last two minutes", _HEADING))]
    if share is None or exercise.mean_bpm is None:
        return [*lines, Line(("not measured yet", PLAIN))]
    words = (
        f"{exercise.rr_intervals} intervals, {share:.1%} corrected, {exercise.mean_bpm:.0f} bpm on average"
    )
    lines.append(Line((fit(words, width), PLAIN)))
    if exercise.rmssd_ms is None or exercise.sdnn_ms is None:
        if share > MOST_CORRECTED:
            why = (
                f"RMSSD, SDNN and DFA alpha 1 are hidden: {share:.1%} of the intervals had to be corrected, more than "
                f"{MOST_CORRECTED:.0%}, so they would speak of ectopy and noise"
            )
        else:
            why = "RMSSD, SDNN and DFA alpha 1: not measured yet, too few intervals"
        lines += [Line((part, DIM)) for part in wrap(why, width, 2)]
    else:
        alpha = "not measured yet" if exercise.dfa_alpha1 is None else f"{exercise.dfa_alpha1:.2f}"
        words = f"RMSSD {exercise.rmssd_ms:.1f} ms   SDNN {exercise.sdnn_ms:.1f} ms   DFA alpha 1 {alpha}"
        lines.append(Line((fit(words, width), PLAIN)))
    if exercise.fibrillation_share is not None:
        grave = exercise.fibrillation_share > 0.0
        words = f"atrial fibrillation: {exercise.fibrillation_share:.1%} of the time"
        lines.append(Line((words, PLAIN if grave else DIM)))
    return lines


def _sum(exercise: ExerciseState, phase: str, zone: int | None = None) -> Cell:
    beats, ventricular, seconds = 0, 0, 0.0
    for its_phase, its_zone, its_beats, its_ventricular, its_seconds in exercise.burden:
        if its_phase == phase and zone in (None, its_zone):
            beats, ventricular, seconds = (
                beats + its_beats,
                ventricular + its_ventricular,
                seconds + its_seconds,
            )
    return beats, ventricular, seconds


def _per_hour(cell: Cell) -> float | None:
    return 3600.0 * cell[1] / cell[2] if cell[2] > 0.0 else None


def _rate(cell: Cell) -> str:
    rate = _per_hour(cell)
    return "-" if rate is None else f"{rate:,.0f}"
