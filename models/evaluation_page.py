"""Draws the shipped weights' evaluation: ``python -m models.evaluation_page`` writes a PNG and an HTML page.

Everything comes from the card beside the weights; nothing is computed anew.
"""

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.card import read_card
from models.runtime import SHIPPED_WEIGHTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from models.card import ModelCard

FOLDER: Final = Path(__file__).parents[1] / "docs" / "classifier"
PLOT: Final = "reliability.png"
PAGE: Final = "evaluation.html"
_HEAD: Final = ("", "beats", "accuracy", "all N", "S Se", "S +P", "V Se", "V +P", "unsure", "not detected")


def draw(card: "ModelCard", path: Path) -> None:
    """Draw how far probabilities can be believed on DS2, and accuracy against the share of beats that get an answer.

    Parameters
    ----------
    card : ModelCard
        With the results of `models.evaluate_ds2`.
    path : Path
        The PNG file.
    """
    from matplotlib.figure import Figure

    calibration = card.results["ds2"]["calibration"]
    figure = Figure(figsize=(9, 4), layout="constrained")
    reliable, answered = figure.subplots(1, 2)
    curve = calibration["reliability"]
    total = sum(part["beats"] for part in curve)
    reliable.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    reliable.plot([p["confidence"] for p in curve], [p["accuracy"] for p in curve], "o-", color="C0")
    reliable.bar(
        [p["confidence"] for p in curve],
        [p["beats"] / total for p in curve],
        width=0.03,
        color="0.85",
        zorder=0,
    )
    _label(
        reliable,
        f"DS2, expected calibration error {calibration['error']:.4f}",
        "probability of the class called (bars: share of beats)",
        "share that is right",
    )
    rows = calibration["answered"]
    answered.plot([row["share"] for row in rows], [row["accuracy"] for row in rows], "o-", color="C1")
    _label(answered, "DS2, for thresholds from 0.3 to 0.99", "share of beats answered", "accuracy of those")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _label(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)


def page(card: "ModelCard") -> str:
    """Return the HTML page of a card: one table for all protocols, one for the records of DS2, and the plot."""
    ds2 = card.results["ds2"]
    rows = {"DS2, first lead, from raw samples": ds2["gross"]}
    rows |= {f"the same without {_number(name)}": result for name, result in ds2["without"].items()}
    adapted = card.results.get("adapted", {})
    rows |= {f"after five minutes, {t} correction": adapted[t] for t in ("without", "with") if adapted}
    for title, further in card.results.get("further", {}).items():
        rows[title] = further["gross"]
        rows |= {f"{title}, without {_number(name)}": result for name, result in further["without"].items()}
    folds = card.results.get("cross_validation", {})
    rows |= {f"training patients of {name}, cross-validated": result for name, result in folds.items()}
    title = html.escape(f"{card.name} {card.version}")
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title>",
        (
            "<style>body{font:15px sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse}"
            "td,th{padding:.2em .7em;border-bottom:1px solid #ccc;text-align:right}"
            "td:first-child,th:first-child{text-align:left}</style>"
        ),
        f"<h1>{title}</h1><p>{html.escape(card.protocol)}</p>",
        f"<h2>All protocols</h2>{_table(rows)}",
        f"<p>DS2, first lead. {_spread(ds2)}</p>",
        f"<h2>How far it can be believed</h2><img src='{PLOT}' alt='reliability and answered share'>",
        *_pictures(),
        f"<h2>DS2 by record</h2>{_table(ds2['records'])}</html>",
    ]
    return "\n".join(parts) + "\n"


def _pictures() -> list[str]:
    """Return what other commands have drawn beside this page, as far as it is there."""
    there = [name for name in ("noise.png",) if (FOLDER / name).exists()]
    return [f"<h2>In noise</h2><img src='{name}' alt='Se and +P against noise'>" for name in there]


def _number(record: str) -> str:
    return record.partition("#")[0].rpartition("/")[2]


def _spread(ds2: dict[str, Any]) -> str:
    medians = ", ".join(
        f"{name} Se {_cell(value['se'])} and +P {_cell(value['ppv'])} over {value['records']} records"
        for name, value in ds2["medians"].items()
    )
    intervals = ", ".join(f"{key} {low} to {high}" for key, (low, high) in ds2["intervals"].items())
    return f"Medians over records with the class: {medians}. 95 % intervals, bootstrap over records: {intervals}."


def _table(results: dict[str, Any]) -> str:
    head = "".join(f"<th>{name}</th>" for name in _HEAD)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in _row(title, result)) + "</tr>\n"
        for title, result in results.items()
    )
    return f"<table><tr>{head}</tr>\n{body}</table>"


def _row(title: str, result: dict[str, Any]) -> tuple[Any, ...]:
    classes = [result["classes"][name][key] for name in ("S", "V") for key in ("se", "ppv")]
    return (
        title,
        *(result[key] for key in ("beats", "accuracy", "baseline")),
        *classes,
        *(result[key] for key in ("unsure", "undetected")),
    )


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    return f"{value:.4f}" if isinstance(value, float) else html.escape(str(value))


def main() -> None:
    """Write plot and page of the shipped weights."""
    card = read_card(SHIPPED_WEIGHTS)
    draw(card, FOLDER / PLOT)
    (FOLDER / PAGE).write_text(page(card), encoding="utf-8")


if __name__ == "__main__":
    main()
