"""What each idea brings: ``python -m models.ablation`` trains with and without it.

Neither of the two tables that it writes to ``docs/classifier/ablation.md`` ever sees DS2. In the first the network of
single beats is trained with one thing changed, on a budget smaller than the shipped one, twice: each half of the
patients of DS1 is judged by a network fitted to the other half and to svdb. In the second the networks in sequence are
fitted anew, in five folds, to what the folds of a full training say (``make train`` leaves them in ``build/training``).

All beats are those that the monitor announces; one that it misses or is unsure of is wrong. Each run is judged after
its own constants were fitted to it (`models.train.calibrate`), which flatters all alike. A run that was stopped goes on
where it was; every run that is done is a line in its folder.
"""

import hashlib
import json
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from models.splits import DS1, NEVER_FITTED, SVDB_TRAINING
from models.train import calibrate, commit, judge, training_beats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.ablation_variants import OfSequence, OfSingleBeats
    from models.beat_set import BeatSet
    from models.training import Network
    from monitor.contract import FloatArray

REPORT: Final = Path(__file__).parent / "reports" / "ablation.json"
PAGE: Final = Path(__file__).parents[1] / "docs" / "classifier" / "ablation.md"
SEEDS: Final = (1, 2, 3)
BUDGET: Final[dict[str, Any]] = {"epochs": 4, "beats_per_epoch": 5000}
"""What of `models.training.TrainingSettings` the first table changes, to be done in half an hour of a core."""
_DONE: Final = "done.jsonl"
_LEAST: Final = 1e-9
"""A probability is no less, where its logarithm is taken."""


def ablate(
    *,
    folder: Annotated[
        Path, typer.Option(help="Checkpoints and outcomes; an interrupted run resumes from here.")
    ] = Path("build/ablation"),
    trained: Annotated[Path, typer.Option(help="Folder of a full training, for the second table.")] = Path(
        "build/training"
    ),
    single: Annotated[bool, typer.Option(help="Make the first table.")] = True,
    sequence: Annotated[bool, typer.Option(help="Make the second table.")] = True,
) -> None:
    """Train with and without each idea, and write what came out.

    Example: python -m models.ablation --folder build/ablation
    """
    import torch

    from models.ablation_variants import FINALISTS, SEQUENCE_VARIANTS, SINGLE_VARIANTS
    from models.beat_data import stages_version
    from models.sequence_training import SequenceSettings

    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    singles = [
        (_key_of(variant, seed), variant, seed)
        for seed in SEEDS
        for variant in SINGLE_VARIANTS
        if seed == SEEDS[0] or variant.title in FINALISTS
    ]
    sequences = [
        (_key("sequence", variant.title, seed, stages_version(), asdict(SequenceSettings())), variant, seed)
        for seed in SEEDS
        for variant in SEQUENCE_VARIANTS
    ]
    keys = [key for key, *_ in (*singles, *sequences)]
    leads = None
    for key, one, seed in singles if single else ():
        if key not in _done(folder):
            leads = leads or training_beats((*DS1, *SVDB_TRAINING))
            _tell(folder, key, "single", one.title, seed, single_beats(one, seed, *leads, folder))
            _write(folder, keys, stages_version())
    asked = None
    for key, other, seed in sequences if sequence else ():
        if key not in _done(folder):
            asked = asked or folds_of(trained)
            _tell(folder, key, "sequence", other.title, seed, in_sequence(other, seed, *asked))
            _write(folder, keys, stages_version())
    _write(folder, keys, stages_version())


def _write(folder: Path, keys: list[str], stages: str) -> None:
    """Write report and page of what is done of `keys`, in their order; what is not is named on the page."""
    done = _done(folder)
    rows = [done[key] for key in keys if key in done]
    missing = len(keys) - len(rows)
    report = {"commit": commit(), "stages": stages, "missing_runs": missing, "runs": rows}
    REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(rows, missing), encoding="utf-8")


def single_beats(
    variant: "OfSingleBeats", seed: int, first: "BeatSet", second: "BeatSet", folder: Path
) -> dict[str, Any]:
    """Train a variant for each half of the patients of DS1, and return how it does on the other half.

    Parameters
    ----------
    variant : OfSingleBeats
        What is different.
    seed : int
        Of weights, draws and augmentation.
    first, second : BeatSet
        Both leads of the training records.
    folder : Path
        For checkpoints, in a folder for each run.
    """
    import numpy as np

    from models.beat_set import BeatSet
    from models.cross_validation import of_records, without
    from models.softmax import softmax
    from models.training import predict

    leads = BeatSet.join([first, second]) if variant.second_lead else first
    leads = variant.seen(leads if variant.svdb else without(leads, SVDB_TRAINING))
    judged = variant.seen(first.of(*DS1))
    logits = np.zeros((len(judged), 5), np.float32)
    for half in (0, 1):
        left_out = DS1[half::2]
        training = without(leads, (*left_out, *NEVER_FITTED)).learnable()
        here = of_records(judged, left_out)
        networks = _fitted(variant, seed, training, folder, f"half{half}")
        said = [softmax(predict(network, judged.where(here))) for network in networks]
        logits[here] = np.log(np.maximum(np.mean(said, axis=0), _LEAST))
    return _judged(logits, judged)


def _fitted(
    variant: "OfSingleBeats", seed: int, training: "BeatSet", folder: Path, part: str
) -> "list[Network]":
    """Return the networks of a variant whose mean counts, trained or as their checkpoints in `folder` have them."""
    from models.ablation_variants import SINGLE_VARIANTS

    if variant.members == 1:
        return [_trained(variant, seed, training, folder, part)]
    # The network as shipped, of other seeds, is a run of the table too: it is not trained twice.
    members = [_trained(SINGLE_VARIANTS[0], seed + k, training, folder, part) for k in range(variant.members)]
    return [_trained(variant, seed, training, folder, part, members)] if variant.taught else members


def _trained(
    variant: "OfSingleBeats",
    seed: int,
    training: "BeatSet",
    folder: Path,
    part: str,
    teachers: "Sequence[Network]" = (),
) -> "Network":
    import torch

    from models.grunet import build
    from models.training import TrainingSettings
    from models.training import train as fit

    torch.manual_seed(seed)
    network = variant.network(build("grunet"))
    budget = TrainingSettings(**{**BUDGET, **variant.settings, "seed": seed})
    checkpoint = folder / _key_of(variant, seed) / part
    fit(network, training, None, budget, checkpoint, augmented=variant.augmented, teachers=teachers)
    return network


def folds_of(trained: Path) -> "tuple[BeatSet, BeatSet, FloatArray]":
    """Return first leads, all that the networks in sequence learn from, and what the folds of a full training say."""
    import torch

    from models.beat_set import BeatSet
    from models.cross_validation import cross_validate
    from models.grunet import build
    from models.softmax import softmax
    from models.synthetic_beats import synthetic_beats
    from models.training import TrainingSettings

    first, second = training_beats((*DS1, *SVDB_TRAINING))
    made_up = synthetic_beats(first.of(*(name for name in first.names if name not in NEVER_FITTED)))

    def make() -> "Network":
        torch.manual_seed(TrainingSettings().seed)
        return build("grunet")

    logits = cross_validate(make, first, TrainingSettings(), trained, more=[second], judged=made_up)
    return first, BeatSet.join([first, second, *made_up]), softmax(logits)


def in_sequence(
    variant: "OfSequence", seed: int, first: "BeatSet", asked: "BeatSet", probabilities: "FloatArray"
) -> dict[str, Any]:
    """Fit a variant of the networks in sequence in five folds, and return how it does on those left out.

    Parameters
    ----------
    variant : OfSequence
        What is different.
    seed : int
        Of weights and draws.
    first, asked, probabilities
        As `folds_of` gives them.
    """
    import numpy as np

    from models.cross_validation import cross_validate_sequence
    from models.sequence_encoding import encode_sequence
    from models.sequence_training import SequenceSettings
    from models.sequencing import describe
    from models.synthetic_beats import trust_of

    described = variant.seen(describe(asked, probabilities))
    if not variant.used:
        return _judged(encode_sequence(probabilities, described)[1][: len(first)], first)
    left = np.array([not name.endswith(variant.without) for name in asked.names])[asked.record]
    settings = SequenceSettings(**{"seed": seed, **variant.settings})
    logits = cross_validate_sequence(
        first.names, asked, probabilities, described, trust_of(asked) * left, settings
    )
    return _judged(logits[: len(first)], first)


def page(rows: list[dict[str, Any]], missing: int) -> str:
    """Return the page with both tables, in Markdown; rows are means over seeds, with the spread from seed to seed.

    Parameters
    ----------
    rows : list of dict
        Runs that are done.
    missing : int
        How many more there are to do.
    """
    budget = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in BUDGET.items())
    return (
        "# What each idea brings\n\n"
        "Written by `python -m models.ablation`; DS2 is not in it. Beats as the monitor announces them, "
        "in %: sensitivity / positive predictivity. A beat that is missed or unsure is wrong; constants are fitted to "
        "each run's own answers, which flatters all alike. Calling every beat N is right in "
        f"{_baselines(rows)}. Where several seeds were trained, the mean, and ± the standard deviation of what "
        f"seeds give. {f'{missing} more runs are still to be done.' if missing else ''}\n\n"
        "## The network of single beats\n\n"
        f"Each beat alone, on a smaller budget ({budget}); the halves of the patients of DS1 judged in turn.\n\n"
        f"{_table(rows, 'single', ('mitdb',))}\n\n"
        "## The networks in sequence\n\n"
        "On top of the full training's folds; the patients of DS1 and of 29 svdb records judged in five folds.\n\n"
        f"{_table(rows, 'sequence', ('mitdb', 'svdb'))}\n"
    )


def _baselines(rows: list[dict[str, Any]]) -> str:
    found = {base: part["baseline"] for row in rows for base, part in row["parts"].items() if part}
    return " and ".join(f"{100 * value:.1f} % ({base})" for base, value in sorted(found.items()))


def _table(rows: list[dict[str, Any]], table: str, databases: tuple[str, ...]) -> str:
    head = [f"{base} {value}" for base in databases for value in ("accuracy", "S Se / +P", "V Se / +P")]
    lines = [f"| | seeds | {' | '.join(head)} |", "| --- | ---: |" + " ---: |" * len(head)]
    of_table = [row for row in rows if row["table"] == table]
    if not of_table:
        return "No run of this table has been done yet."
    for title in dict.fromkeys(row["title"] for row in of_table):
        of = [row["parts"] for row in of_table if row["title"] == title]
        cells = []
        for base in databases:
            cells.append(_mean([parts[base]["accuracy"] for parts in of]))
            for name in ("S", "V"):
                scores = [parts[base]["classes"][name] for parts in of]
                cells.append(
                    " / ".join(_mean([score[key] or 0.0 for score in scores]) for key in ("se", "ppv"))
                )
        lines.append(f"| {title} | {len(of)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.fmean(values):.1f}{spread}"


def _judged(logits: "FloatArray", beats: "BeatSet") -> dict[str, Any]:
    constants = calibrate(logits, beats)
    return {"constants": constants, "parts": judge(logits, beats, constants)}


def _key_of(variant: "OfSingleBeats", seed: int) -> str:
    from models.beat_data import stages_version

    return _key("single", variant.title, seed, stages_version(), BUDGET)


def _key(*values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def _done(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the outcomes of all runs that are done, by key: those of the committed report, and what came since."""
    file = folder / _DONE
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    reported = json.loads(REPORT.read_text(encoding="utf-8"))["runs"] if REPORT.exists() else []
    return {entry["key"]: entry for entry in (*reported, *map(json.loads, lines))}


def _tell(folder: Path, key: str, table: str, title: str, seed: int, outcome: dict[str, Any]) -> None:
    entry = {"key": key, "table": table, "title": title, "seed": seed, **outcome}
    with (folder / _DONE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    scores = outcome["parts"]["mitdb"]
    told = {name: scores["classes"][name] for name in ("S", "V")}
    print(f"{table}: {title}, seed {seed}: {scores['accuracy']} {told}", flush=True)


def main() -> None:
    """Run the command line."""
    from models.command import run

    run(ablate)


if __name__ == "__main__":
    main()
