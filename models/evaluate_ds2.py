"""Tests shipped weights on DS2 and writes the outcome into log, card and page: ``python -m models.evaluate_ds2``.

DS2 is for testing only. Every run leaves a line in ``models/reports/ds2-log.jsonl``, which is part of the source: who
chooses by DS2 can be seen to have done so.
"""

import datetime as dt
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from models.splits import DS2

LOG: Final = Path(__file__).parent / "reports" / "ds2-log.jsonl"


def evaluate_ds2(
    *,
    weights: Annotated[
        Path | None, typer.Option(help="A .safetensors file; the shipped Grunet by default.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why DS2 is looked at, for the log.")],
) -> None:
    """Test weights on DS2, once, and write what came out into the log and the card.

    Example: python -m models.evaluate_ds2 --reason "release 1.0"
    """
    from models.adapted import Adapter, evaluate_adapted
    from models.beat_data import load_beats, stages_version
    from models.card import write_card
    from models.evaluation import append, evaluate
    from models.runtime import SHIPPED_WEIGHTS, load_classifier
    from models.train import commit

    path = weights or SHIPPED_WEIGHTS
    classifier = load_classifier(path, device="cpu")
    beats = load_beats(DS2, report=lambda name: print(name, flush=True))
    results = evaluate(classifier, beats)
    adapted = evaluate_adapted(Adapter(path), beats)
    every = {**classifier.card.results, "ds2": results, "adapted": adapted}
    card = msgspec.structs.replace(classifier.card, results=every)
    append(
        LOG,
        {
            "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "reason": reason,
            "commit": commit(),
            "model": classifier.name,
            "sha256": card.sha256,
            "input_path": card.input_path,
            "stages": stages_version(),
            "training": card.training,
            "unsure_below": card.unsure_below,
            "temperature": card.temperature,
            **results,
            "adapted": adapted,
        },
    )
    write_card(card, path)
    for title, part in _rows(results).items():
        print(f"{title}: accuracy {part['accuracy']:.4f}, all N {part['baseline']:.4f}")
        for name, values in part["classes"].items():
            print(f"  {name}  Se {values['se']}  +P {values['ppv']}  of {values['n']}")
    print(f"medians over records {results['medians']}")
    print(f"calibration error {results['calibration']['error']}, intervals {results['intervals']}")
    for title, part in (("without", adapted["without"]), ("with", adapted["with"])):
        print(f"after five minutes, {title} adaptation: {part['accuracy']} {part['classes']}")


def _rows(results: dict[str, Any]) -> dict[str, Any]:
    without = {f"without {name}": part for name, part in results["without"].items()}
    return {"all records": results["gross"], **without}


def main() -> None:
    """Run the command line."""
    from models.command import run

    run(evaluate_ds2)


if __name__ == "__main__":
    main()
