"""Writes ``docs/model-card.md`` from the card beside the weights: ``python -m models.card_page``.

No figure on that page is typed by hand, so page and card cannot disagree. Its order follows M. Mitchell et al., "Model
cards for model reporting", FAccT 2019.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from models.card import ModelCard, read_card
from models.runtime import SHIPPED_WEIGHTS
from monitor.contract import AAMI_CLASSES, CONTEXT_FIELDS

PAGE: Final = Path(__file__).parent.parent / "docs" / "model-card.md"


def render(card: ModelCard) -> str:
    """Return the page, in Markdown."""
    sections = [
        _head(card),
        _data(card),
        _training(card),
        _results(card),
        _failures(card),
        _files(card),
    ]
    return "\n\n".join(sections) + "\n"


def _head(card: ModelCard) -> str:
    return (
        f"# Model card: {card.name} {card.version}\n\n"
        "This page is written by `python -m models.card_page` from the card beside the weights, "
        f"`models/weights/{card.name}.json`.\n\n"
        "## Intended use\n\n"
        f"{card.intended_use}\n\n"
        "Input: one beat's window (600 points on a 360 Hz grid, R peak in the middle, after the classifier's filters "
        "and wavelet denoising), the athlete's own usual beat as learnt without labels until then (its template), and "
        f"{len(CONTEXT_FIELDS)} values about RR intervals and the comparison with the template, as far as they are "
        "known 0.833 s after the R peak; then what the athlete's last beats were (RR intervals, P waves, classes). "
        "Output: probabilities of the AAMI classes N, S, V, F and Q, and a label: the "
        f'likeliest class, or "unsure" where even that one is less likely than {card.unsure_below} or the quality of '
        f"the beat is above 0 and below {card.poor_below}.\n\n"
        "The network is in the family of Grunet (W. Ji, D. Zhu, IEEE Access): convolutions and max-pooling, a GRU over "
        "time after each of three down-sampling steps, linear up-sampling beside the encoder's features. It differs "
        "from the paper's: a strided stem over window and template, small widths, and the context. "
        f"{_in_sequence(card)}"
    )


def _data(card: ModelCard) -> str:
    databases = {name.partition("/")[0] for name in card.training_records}
    fitted = "\n".join(
        f"- **Fitted to** {len(_of(card.training_records, database))} records of {database}: "
        f"{_numbers(_of(card.training_records, database))}."
        for database in sorted(databases)
    )
    return (
        "## Data\n\n"
        "MIT-BIH Arrhythmia Database and MIT-BIH Supraventricular Arrhythmia Database (PhysioNet), first lead, in "
        "training the second too; beats as the monitor's own streaming stages cut them, so that training sees what "
        "live use sees. Paced records (102, 104, 107, 217) are left out.\n\n"
        f"{fitted}\n"
        "- **Chosen on** the same patients by five-fold cross-validation, each judged by a network not fitted to that "
        f"patient, and on {_numbers(card.validation_records)}: settings, class bias, temperature and threshold.\n"
        f"- **Tested on** DS2 ({len(card.results.get('ds2', {}).get('records', {}))} records), never chosen by it. "
        "Records 201 and 202 are one person: 201 only takes part in choosing, so no weight was fitted to a patient of "
        "DS2, and results are also given without 202."
    )


def _in_sequence(card: ModelCard) -> str:
    if not card.sequence:
        return "Each beat is judged alone."
    return (
        f"{card.sequence['members']} small networks of {card.sequence['width']} hidden units, whose mean counts, judge "
        "each beat once more among those before it."
    )


def _of(records: list[str], database: str) -> list[str]:
    return [name for name in records if name.startswith(f"{database}/")]


def _training(card: ModelCard) -> str:
    settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in card.training.items())
    return (
        "## Training\n\n"
        f"{card.date}, from commit `{card.commit}`: {settings}. AdamW, one-cycle learning rate, logit-adjusted cross "
        "entropy, averaged weights; windows are varied by shifts of a few samples, gain, baseline wander and noise, "
        "the context by jitter, unknown values and missing templates. `make train` repeats it."
    )


def _results(card: ModelCard) -> str:
    parts = [
        "## Results",
        f"{card.protocol} Se is sensitivity, +P positive predictivity; all figures are fractions.",
    ]
    ds2 = card.results.get("ds2")
    if ds2 is None:
        parts.append("DS2 has not been tested with these weights.")
    else:
        parts += ["### DS2 (test)", _summary(_variants(ds2)), _by_class(ds2["gross"])]
        parts += ["### DS2 by record", _by_record(ds2["records"])]
    adapted = card.results.get("adapted")
    if adapted:
        parts += [
            "### Adapted to the patient",
            f"{adapted['protocol'].capitalize()}. Corrected: {adapted['adapted_records']} of {adapted['records']}.",
            _summary({f"{title} correction": adapted[title] for title in ("without", "with")}),
        ]
    if ds2 is not None and "calibration" in ds2:
        parts += [
            "### Certainty",
            _certainty(ds2),
            _table(
                ("unsure below", "share answered", "accuracy of those"),
                [tuple(row.values()) for row in ds2["calibration"]["answered"]],
            ),
        ]
    if card.results.get("further"):
        further = card.results["further"]
        parts += ["### Other protocols, leads and recordings", _summary(_all_variants(further))]
        parts += [
            f"{title}:\n\n{_by_class(part['gross'])}\n\n{_spread(part)}" for title, part in further.items()
        ]
    folds = card.results.get("cross_validation")
    if folds:
        parts += [
            "### Training patients, cross-validated (settings and constants chosen by them, so a little flattering)",
            _summary(folds),
            *(_by_class(result) for result in folds.values()),
        ]
    return "\n\n".join(parts)


def _certainty(ds2: dict[str, Any]) -> str:
    return (
        f"Expected calibration error on DS2: {_cell(ds2['calibration']['error'])} (15 bins). {_spread(ds2)}"
    )


def _spread(part: dict[str, Any]) -> str:
    intervals = ", ".join(f"{key} {low:.3f} to {high:.3f}" for key, (low, high) in part["intervals"].items())
    return (
        f"Median over records with the class: {_medians(part['medians'])}. "
        f"95 % intervals, bootstrap over records: {intervals}."
    )


def _medians(medians: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} Se {_cell(value['se'])}, +P {_cell(value['ppv'])} ({value['records']} records)"
        for name, value in medians.items()
    )


def _variants(ds2: dict[str, Any]) -> dict[str, Any]:
    without = {
        f"without {name.partition('#')[0].rpartition('/')[2]}": value
        for name, value in ds2["without"].items()
    }
    return {"all records": ds2["gross"], **without}


def _all_variants(further: dict[str, Any]) -> dict[str, Any]:
    """Return all records together, and without those that need care, of every part."""
    rows = {}
    for title, part in further.items():
        rows[title] = part["gross"]
        rows |= {f"{title}, {name}": value for name, value in list(_variants(part).items())[1:]}
    return rows


def _summary(by_title: dict[str, Any]) -> str:
    rows = [
        (
            title,
            result["beats"],
            result["accuracy"],
            result["baseline"],
            *(result["classes"][name][key] for name in ("S", "V") for key in ("se", "ppv")),
            result["unsure"],
            result["undetected"],
        )
        for title, result in by_title.items()
    ]
    head = ("", "beats", "accuracy", "all N", "S Se", "S +P", "V Se", "V +P", "unsure", "not detected")
    return _table(head, rows)


def _by_class(result: dict[str, Any]) -> str:
    rows = [
        (
            name,
            *(result["classes"][name][key] for key in ("n", "se", "ppv")),
            *(result["ec57"].get(name, {}).get(key, "") for key in ("se", "ppv")),
            *result["table"][place],
        )
        for place, name in enumerate(AAMI_CLASSES)
    ]
    rows.append(("no beat", "", "", "", "", "", *result["table"][len(AAMI_CLASSES)]))
    called = (*(f"called {name}" for name in AAMI_CLASSES), "unsure", "not detected")
    return _table(("reference", "beats", "Se", "+P", "Se (EC57)", "+P (EC57)", *called), rows)


def _by_record(records: dict[str, Any]) -> str:
    rows = []
    for name, result in records.items():
        values = [result["classes"][key][field] for key in ("S", "V") for field in ("n", "se", "ppv")]
        rows.append((name, result["beats"], result["accuracy"], result["baseline"], *values))
    return _table(("record", "beats", "accuracy", "all N", "S", "S Se", "S +P", "V", "V Se", "V +P"), rows)


def _failures(card: ModelCard) -> str:
    return "## Where it fails\n\n" + "\n".join(f"- {limit}" for limit in card.limits)


def _files(card: ModelCard) -> str:
    numbers = sum(_product(shape) for shape in card.tensors.values())
    return (
        "## The file\n\n"
        f"`models/weights/{card.name}.safetensors`: {numbers:,} numbers, SHA-256 `{card.sha256}`. It runs with input "
        f"path `{card.input_path}` and encoding {card.encoding} only; the monitor refuses it otherwise. The CUDA path "
        "has tests, but it has not yet been run on a device."
    )


def _product(shape: Iterable[int]) -> int:
    result = 1
    for length in shape:
        result *= length
    return result


def _numbers(records: list[str]) -> str:
    return ", ".join(name.rpartition("/")[2] for name in records)


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Write the page of the shipped weights."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(read_card(SHIPPED_WEIGHTS)), encoding="utf-8")


if __name__ == "__main__":
    main()
