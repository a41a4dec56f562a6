"""The comparison's figures as Markdown tables, and the part of a page that they go into."""

from pathlib import Path
from typing import Any, Final

from monitor.errors import RecordError
from simulators.comparison_measures import RR_MEASURES, SHAPE_MEASURES

_BEGIN: Final = "<!-- written by python -m simulators.comparison -->"
_END: Final = "<!-- end of what it writes -->"

_SIDES: Final = (
    "real: 5 %, median, 95 %",
    "synthetic: the same",
    "synthetic values between the real 5 % and 95 %",
)
_PEAKS: Final = {
    "beats": "beats",
    "qrs_se": "R peaks, Se",
    "qrs_se_records": "of a record: 10 %, median, 90 %",
    "qrs_ppv": "R peaks, +P",
    "qrs_ppv_records": "of a record: 10 %, median, 90 %",
}
_CLASSES: Final = {
    "class_records": "records",
    "n_called_n": "N called N",
    "n_called_n_records": "of a record: 10 %, median, 90 %",
    "n_unsure": 'N called "unsure"',
    "v": "V beats",
    "v_se": "V, Se",
    "v_se_records": "of a record: 10 %, median, 90 %",
    "v_false": "called V of 1,000 N and S",
    "v_false_records": "of a record: 10 %, median, 90 %",
    "v_ppv_alike": "V, +P, were V as frequent as in the recordings",
    "s": "S beats",
    "s_se": "S, Se",
    "s_se_records": "of a record: 10 %, median, 90 %",
    "s_false": "called S of 1,000 N, V and F",
    "s_false_records": "of a record: 10 %, median, 90 %",
    "s_ppv_alike": "S, +P, were S as frequent as in the recordings",
}


def tables(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown tables."""
    parts = (_records(figures), _rr(figures), _shape(figures), _rhythms(figures), _monitored(figures))
    return "\n\n".join(parts)


def _records(figures: dict[str, Any]) -> str:
    records, hours = figures["records"], figures["hours"]
    return (
        f"Recordings: {len(records['real'])} records, {hours['real']:g} h. Synthetic athletes: "
        f"{records['synthetic_daily']} in daily life, {hours['synthetic_daily']:g} h, and "
        f"{records['synthetic_training']} who train, {hours['synthetic_training']:g} h."
    )


def _rr(figures: dict[str, Any]) -> str:
    windows = figures["rr_windows"]
    what = (
        f"RR series, five minutes of normal rhythm ({windows['real']} real, {windows['synthetic']} synthetic)"
    )
    return _table((what, *_SIDES), _rows(RR_MEASURES, figures["rr"]))


def _shape(figures: dict[str, Any]) -> str:
    return _table(("signal and beats, one value a record", *_SIDES), _rows(SHAPE_MEASURES, figures["shape"]))


def _rhythms(figures: dict[str, Any]) -> str:
    fibrillation = _table(
        ("atrial fibrillation", "intervals", "rate, /min", "SD / mean RR", "RMSSD / mean RR", "memory"),
        [
            (
                name,
                f"{found['intervals']:.0f}",
                f"{found['rate_bpm']:.0f}",
                f"{found['sd_share']:.3f}",
                f"{found['rmssd_share']:.3f}",
                f"{found['memory']:+.2f}",
            )
            for name, found in figures["rhythms"]["atrial_fibrillation"].items()
        ],
    )
    flutter = _table(
        (
            "ventricular flutter, fibrillation",
            "s",
            "main frequency, Hz",
            "power within 0.75 Hz of it",
            "SD, mV",
        ),
        [
            (
                name,
                f"{found['seconds']:.0f}",
                f"{found['peak_hz']:.2f}",
                f"{found['sharpness']:.2f}",
                f"{found['millivolts']:.2f}",
            )
            for name, found in figures["rhythms"]["ventricular_flutter"].items()
        ],
    )
    return f"{fibrillation}\n\n{flutter}"


def _monitored(figures: dict[str, Any]) -> str:
    found = figures["monitor"]
    judged = {
        "R peaks, without the first five minutes": (_PEAKS, found["sides"]),
        f"classes by the cross-fitted {found['judge']}": (_CLASSES, found["sides"]),
        f"classes by the shipped {found['shipped']['name']}": (_CLASSES, found["shipped"]["sides"]),
    }
    return "\n\n".join(
        _table(
            (head, *sides),
            [(label, *(_cell(side[key]) for side in sides.values())) for key, label in labels.items()],
        )
        for head, (labels, sides) in judged.items()
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: float | list[float] | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(f"{one:.3g}" for one in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _rows(names: dict[str, str], found: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    def three(values: list[float]) -> str:
        return ", ".join(f"{value:.3g}" for value in values)

    return [
        (
            label,
            three(found[name]["real"]),
            three(found[name]["synthetic"]),
            f"{100 * found[name]['within']:.0f} %",
        )
        for name, label in names.items()
        if name in found
    ]


def write_page(text: str, page: Path) -> None:
    """Put tables into the part of a page that is theirs.

    Raises
    ------
    RecordError
        If the page is missing or has no such part.
    """
    try:
        whole = page.read_text(encoding="utf-8")
        before, rest = whole.split(_BEGIN)
        _, after = rest.split(_END)
    except (OSError, ValueError) as error:
        raise RecordError(f"{page}: no page with a part for these tables: {error}") from error
    page.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{after}", encoding="utf-8")
