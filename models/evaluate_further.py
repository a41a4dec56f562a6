"""Tests shipped weights beyond DS2's first lead: ``python -m models.evaluate_further PART…`` writes them into the card.

Parts are ``reference`` (DS2, beats at the reference's R peaks), ``second`` (DS2, second lead), ``svdb`` and ``edb``
(records never trained on, both leads). The first two look at DS2 and leave a line in its log.
"""

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from models.splits import DS2, EDB, SVDB_TESTING

if TYPE_CHECKING:
    from models.beat_set import BeatSet


class Part(StrEnum):
    """What can be tested."""

    reference = "reference"
    second = "second"
    svdb = "svdb"
    edb = "edb"


def evaluate_further(
    parts: Annotated[list[Part], typer.Argument(help="What to test.")],
    *,
    weights: Annotated[
        Path | None, typer.Option(help="A .safetensors file; the shipped Grunet by default.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why DS2 is looked at, for the log.")],
) -> None:
    """Test weights on other protocols, leads and recordings, and write what came out into the card.

    Example: python -m models.evaluate_further svdb edb --reason "release 1.0"
    """
    from models.card import write_card
    from models.evaluate_ds2 import LOG
    from models.evaluation import append, evaluate
    from models.runtime import SHIPPED_WEIGHTS, load_classifier
    from models.train import commit

    path = weights or SHIPPED_WEIGHTS
    classifier = load_classifier(path, device="cpu")
    further = dict(classifier.card.results.get("further", {}))
    for part in parts:
        for title, beats in _beats_of(part).items():
            results = evaluate(classifier, beats)
            told = {key: results[key] for key in ("gross", "without", "medians", "intervals")}
            further[title] = {**told, "records": [name.partition("#")[0] for name in beats.names]}
            print(f"{title}: {told['gross']['accuracy']} {told['gross']['classes']}", flush=True)
            if part in (Part.reference, Part.second):
                seen = {"at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), "reason": reason}
                seen |= {"commit": commit(), "model": classifier.name, "sha256": classifier.card.sha256}
                append(LOG, {**seen, "protocol": title, **told})
    results = {**classifier.card.results, "further": further}
    write_card(msgspec.structs.replace(classifier.card, results=results), path)


def _beats_of(part: Part) -> "dict[str, BeatSet]":
    from models.beat_data import load_beats
    from models.reference_beats import load_reference_beats

    if part is Part.reference:
        return {"DS2 from the reference's R peaks": load_reference_beats(DS2)}
    if part is Part.second:
        return {"DS2, second lead": load_beats(DS2, lead=1)}
    title, names = {
        Part.svdb: ("svdb, ten records never trained on", SVDB_TESTING),
        Part.edb: ("edb, three records", EDB),
    }[part]
    return {
        f"{title}, {which} lead": load_beats(names, lead=lead)
        for lead, which in enumerate(("first", "second"))
    }


def main() -> None:
    """Run the command line."""
    from models.command import run

    run(evaluate_further)


if __name__ == "__main__":
    main()
