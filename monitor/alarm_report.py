"""What `strapwatch evaluate --alarms` reports: alarms of each record, and their sums over groups of records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from monitor.alarm_scoring import AlarmCounts
from monitor.recordings import is_listed

GROSS: Final = "gross"
RICHEST: Final = ("mitdb/203", "mitdb/232")
"""Records that hold a quarter of the ventricular runs, and most of the pauses and S beats."""


@dataclass(frozen=True, slots=True)
class AlarmScore:
    """One record's alarms.

    Attributes
    ----------
    name : str
        Folder and name, such as ``"mitdb/208"``.
    paced, trained_on : bool
        Why it stays out of the sums.
    counts : mapping of str to AlarmCounts
        By kind.
    """

    name: str
    paced: bool
    trained_on: bool
    counts: Mapping[str, AlarmCounts]


def groups(scores: Sequence[AlarmScore], ds2: Iterable[str] = ()) -> dict[str, list[AlarmScore]]:
    """Return the groups of records that are summed up: all, all without the two richest, DS2, DS2 without 232.

    Records of paced hearts, and those the model was trained on, are in none.
    """
    ds2 = frozenset(ds2)
    counted = [score for score in scores if not score.paced and not score.trained_on]
    wanted: dict[str, Callable[[AlarmScore], bool]] = {
        GROSS: lambda _score: True,
        "without_203_and_232": lambda score: not is_listed(score.name, RICHEST),
        "ds1": lambda score: score.name.startswith("mitdb/") and not is_listed(score.name, ds2),
        "ds2": lambda score: is_listed(score.name, ds2),
        "ds2_without_232": lambda score: (
            is_listed(score.name, ds2) and not is_listed(score.name, ("mitdb/232",))
        ),
    }
    return {name: [score for score in counted if takes(score)] for name, takes in wanted.items()}


def total(scores: Iterable[AlarmScore]) -> dict[str, AlarmCounts]:
    """Return the sums over records, by kind."""
    found: dict[str, list[AlarmCounts]] = {}
    for score in scores:
        for kind, counts in score.counts.items():
            found.setdefault(kind, []).append(counts)
    return {kind: reduce(add, parts) for kind, parts in found.items()}


def figures(counts: Mapping[str, AlarmCounts]) -> dict[str, dict[str, Any]]:
    """Return counts as plain values for JSON, by kind."""
    return {kind: of_kind.figures() for kind, of_kind in counts.items()}


def report(scores: Sequence[AlarmScore], ds2: Iterable[str] = ()) -> dict[str, Any]:
    """Return what goes into the JSON: ``alarms`` by kind, ``alarm_totals`` by group and kind, and the records."""
    of_groups = groups(scores, ds2)
    return {
        "alarms": figures(total(of_groups[GROSS])),
        "alarm_totals": {
            name: {"records": len(members), **figures(total(members))} for name, members in of_groups.items()
        },
        "alarm_records": {score.name: figures(score.counts) for score in scores},
        "alarm_records_left_out": [score.name for score in scores if score.paced or score.trained_on],
    }


def alarm_table(alarms: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the figures of one group as a table; kinds of which there was nothing are left out."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("alarm", no_wrap=True)
    columns = ("n", "told", "Se", "+P", "false/h", "95 % below", "time Se", "time +P", "known after s, worst")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for kind, of_kind in alarms.items():
        if not isinstance(of_kind, Mapping) or not (of_kind["n"] or of_kind["told"]):
            continue
        values = (of_kind[name] for name in _FRACTIONS)
        table.add_row(kind, str(of_kind["n"]), str(of_kind["told"]), *(_number(value) for value in values))
    return table


_FRACTIONS: Final = (
    "se",
    "ppv",
    "false_per_hour",
    "false_per_hour_upper95",
    "duration_se",
    "duration_ppv",
    "latency_s_max",
)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
