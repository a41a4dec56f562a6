"""What rules of ventricular runs and of atrial fibrillation give on DS1, svdb and hours of training, never on DS2.

For choosing them. Beats of DS1 come from a network that has not seen them (cross-fitted), those of svdb and of
synthetic athletes from the shipped one; the records of svdb that are kept aside for the R-peak detector are left out
here, too, and the hours of training are none of those that `benchmarks.alarms_report` measures. The line runs once;
what its two machines were given is kept in ``build/run-rules``. Then the machines alone run again, with other
constants:

    python -m benchmarks.run_rules --set SURE_MEAN=0.5 --set ODDS=0.2
    python -m benchmarks.run_rules --vary SURE_MEAN=0.3:0.9:0.1 --vary LONG_LESS=0.05,0.1,0.2

A name is a constant of `monitor.rhythm.ventricular_runs` or, with ``af.`` before it, of
`monitor.rhythm.atrial_fibrillation`; ``ODDS`` is added to the log odds of every beat. Compiled code is run as plain
Python for it.
"""

import argparse
import hashlib
import itertools
import pickle
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np

from benchmarks.alarms_report import hour_of_training
from models.runtime import CROSSFIT_WEIGHTS, SHIPPED_WEIGHTS, load_classifier
from models.splits import DS1
from monitor.alarm_episodes import Episode, reference_episodes, ventricular_runs
from monitor.compiled import source_version
from monitor.contract import WINDOW_POINTS, BoolArray, FloatArray
from monitor.evaluation import run_line
from monitor.rhythm import atrial_fibrillation, bank
from monitor.rhythm import ventricular_runs as runs
from monitor.rhythm.items import BEAT, VERDICT, Found, Items
from monitor.scoring import LEARNING_S
from simulators.annotations import PACED_RECORDS
from simulators.records import Record, data_folder, read_record, records_in

KEPT: Final = Path("build/run-rules")
KEPT_ASIDE: Final = Path(__file__).parent / "held_out.toml"
SETS: Final = ("mitdb", "svdb", "sessions")
BANK: Final = 34
_SIMULATORS: Final = Path(__file__).parent.parent / "simulators"
_NEAR_S: Final = 0.15
_MASK_HZ: Final = 10.0
_AF: Final = "af."
_SUM: Final = "_evidence"
HOURS: Final = range(1000, 1024)
"""Hours of training, other ones than those of the report."""
_SEEN: Final = slice(WINDOW_POINTS // 2 - 70, WINDOW_POINTS // 2 + 71)
"""Of windows, what shapes are compared by."""

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What is there in one record.

    Attributes
    ----------
    name, rate_hz, samples : str, float, int
        The record.
    runs : list of Episode
        Runs from three ventricular beats on.
    af, flutter : list of Episode
        Atrial fibrillation; atrial flutter, in which it is forgiven.
    """

    name: str
    rate_hz: float
    samples: int
    runs: list[Episode]
    af: list[Episode]
    flutter: list[Episode]


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What the records of a bank gave its machines.

    Attributes
    ----------
    references : list of Reference
        Of each row.
    calls : list
        The method, positional and named arguments of each call.
    """

    references: list[Reference]
    calls: list[Call]


class _Listener:
    """Stands in a bank in the place of a machine, and keeps what it is given."""

    def __init__(self, machine: Any, calls: list[Call], what: str) -> None:
        self._machine, self._calls, self._what = machine, calls, what

    def process(self, items: Items, *more: FloatArray) -> Found:
        """Keep what is given, and pass it on."""
        kept = [part[:, _SEEN].copy() if part.ndim > 1 else part for part in more]
        self._calls.append((f"{self._what}.process", (_of_beats(items), *kept), {}))
        found: Found = self._machine.process(items, *more)
        return found

    def restart(self, *arguments: Any, **named: Any) -> Found:
        """Likewise."""
        self._calls.append((f"{self._what}.restart", arguments, named))
        found: Found = self._machine.restart(*arguments, **named)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)


def _of_beats(items: Items) -> Items:
    """Return what the two machines look at."""
    chosen = (items.sort == BEAT) | (items.sort == VERDICT)
    first = np.concatenate([[0], np.cumsum(chosen)])[items.first]
    fields = ("sort", "known", "r_sample", "label", "beat", "quality", "probabilities", "odds", "is_qrs")
    return replace(items, first=first, **{name: getattr(items, name)[chosen] for name in fields})


def capture(records: Sequence[Record], weights: Path) -> Given:
    """Run the line over records of one rate, and keep what the machines were given."""
    calls: list[Call] = []
    made = bank.RhythmBank.__init__

    def listening(self: Any, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        self._runs = _Listener(self._runs, calls, "runs")
        self._fibrillation = _Listener(self._fibrillation, calls, "af")

    with mock.patch.object(bank.RhythmBank, "__init__", listening):
        run_line(records, classifier=load_classifier(weights, threads=1))
    return Given([_reference(record) for record in records], calls)


def _reference(record: Record) -> Reference:
    truth = record.truth
    assert truth is not None  # noqa: S101 - only annotated records come here
    episodes = reference_episodes(truth, len(record))
    there = [run for run in ventricular_runs(truth) if run.beats >= runs.RUN_BEATS]
    af, flutter = episodes["atrial_fibrillation"], episodes["atrial_flutter"]
    return Reference(record.name, record.rate_hz, len(record), there, af, flutter)


def given(database: str) -> list[Given]:
    """Return what the records of a database gave, from ``build`` where it is there."""
    read: Sequence[Callable[[], Record]]
    if database == "sessions":
        read = [partial(hour_of_training, number) for number in HOURS]
    else:
        aside = set(tomllib.loads(KEPT_ASIDE.read_text("utf-8")).get(database, ()))
        wanted = {name.partition("/")[2] for name in set(DS1) - PACED_RECORDS}
        stems = list(records_in(data_folder() / database))
        if database == "mitdb":
            stems = [stem for stem in stems if stem.name in wanted]
        else:
            stems = [stem for stem in stems if stem.name not in aside]
        read = [partial(read_record, stem) for stem in stems]
    weights = CROSSFIT_WEIGHTS if database == "mitdb" else SHIPPED_WEIGHTS
    decides = [weights.read_bytes(), source_version().encode()]
    if database == "sessions":
        decides += [
            file.read_bytes()
            for file in sorted((*Path(__file__).parent.glob("*.py"), *_SIMULATORS.glob("*.py")))
        ]
    version = hashlib.sha256(b"".join(decides)).hexdigest()[:12]
    found = []
    for begin in range(0, len(read), BANK):
        file = KEPT / f"{version}-{database}-{begin}.pickle"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            share = [of_one() for of_one in read[begin : begin + BANK]]
            file.write_bytes(pickle.dumps(capture(share, weights)))
        found.append(pickle.loads(file.read_bytes()))  # noqa: S301 - written by this script
    return found


def told(of: Given, settings: dict[str, float]) -> list[tuple[list[Episode], list[Episode]]]:
    """Return, of each row, runs with ventricular fibrillation, and atrial fibrillation, told with these constants."""
    rows, rate_hz = len(of.references), of.references[0].rate_hz
    parts: dict[str, list[Found]] = {"runs": [], "af": []}
    fluttering: list[list[Episode]] = [[] for _ in range(rows)]
    wanted = {"af" if name.startswith(_AF) else "runs" for name in settings} or {"runs", "af"}
    with _constants(settings):
        machines: dict[str, Any] = {
            "runs": runs.RunMachine(rate_hz, capacity=rows),
            "af": atrial_fibrillation.AtrialFibrillationMachine(rate_hz, capacity=rows),
        }
        for name, arguments, named in of.calls:
            which, _, what = name.partition(".")
            if name == "runs.process":
                _flutter(arguments[0], of.references, fluttering)
            if which not in wanted:
                continue
            if name == "runs.process":
                items, seen = arguments
                items = replace(items, odds=items.odds + settings.get("ODDS", 0.0))
                window = np.zeros((len(seen), WINDOW_POINTS), np.float32)
                window[:, _SEEN] = seen
                parts[which].append(machines[which].process(items, window))
            else:
                parts[which].append(getattr(machines[which], what)(*arguments, **named))
    return [
        (
            _episodes(parts["runs"], row, (0, 1), reference.samples) + fluttering[row],
            _episodes(parts["af"], row, (0,), reference.samples),
        )
        for row, reference in enumerate(of.references)
    ]


def _flutter(items: Items, references: Sequence[Reference], found: list[list[Episode]]) -> None:
    """Begin and end ventricular fibrillation, which counts as a run of six."""
    for place, row in enumerate(items.rows.tolist()):
        for item in range(items.first[place], items.first[place + 1]):
            if items.sort[item] != VERDICT:
                continue
            at = int(items.r_sample[item])
            if items.label[item]:
                found[row].append(Episode(at, references[row].samples))
            elif found[row]:
                found[row][-1] = found[row][-1]._replace(end=max(at, found[row][-1].first) + 1)


def _episodes(found: Sequence[Found], row: int, kinds: tuple[int, ...], samples: int) -> list[Episode]:
    open_at: dict[tuple[int, int], int] = {}
    episodes: list[Episode] = []
    for part in found:
        for of_row, kind, transition, onset, _, until, _ in part.events.tolist():
            if of_row != row or kind not in kinds:
                continue
            if transition == 0:
                open_at[kind, onset] = len(episodes)
                episodes.append(Episode(onset, samples))
            elif transition == 2 and (kind, onset) in open_at:
                place = open_at.pop((kind, onset))
                episodes[place] = Episode(onset, max(until, onset) + 1)
    return episodes


@contextmanager
def _constants(settings: dict[str, float]) -> Iterator[None]:
    """Let constants of the two modules be others for a while."""
    with ExitStack() as stack:
        for name, value in settings.items():
            module = atrial_fibrillation if name.startswith(_AF) else runs
            if name == f"{_AF}OFFSET":
                more = value - atrial_fibrillation.OFFSET
                stack.enter_context(mock.patch.object(module, _SUM, _shifted(getattr(module, _SUM), more)))
            elif name != "ODDS":
                before = getattr(module, name.removeprefix(_AF))
                changed = mock.patch.object(module, name.removeprefix(_AF), type(before)(value))
                stack.enter_context(changed)
        yield


def _shifted(evidence: Callable[..., float], more: float) -> Callable[..., float]:
    return lambda *arguments: evidence(*arguments) + more


def _overlap(one: Episode, other: Episode, reach: int) -> bool:
    return one.first - reach < other.end and other.first - reach < one.end


def _mask(episodes: Sequence[Episode], of: Reference) -> BoolArray:
    mask = np.zeros(int(of.samples / of.rate_hz * _MASK_HZ) + 1, np.bool_)
    for episode in episodes:
        first = max(episode.first, round(LEARNING_S * of.rate_hz))
        mask[int(first / of.rate_hz * _MASK_HZ) : int(episode.end / of.rate_hz * _MASK_HZ)] = True
    return mask


def score(banks: Sequence[Given], settings: dict[str, float], *, records: bool) -> list[str]:
    """Return the figures of some records in lines: runs found and told, and time in fibrillation."""
    counts = np.zeros(4, np.int64)
    af = np.zeros(4)
    hours = 0.0
    lines = []
    for of in banks:
        for reference, (fast, in_af) in zip(of.references, told(of, settings), strict=True):
            start, reach = round(LEARNING_S * reference.rate_hz), round(_NEAR_S * reference.rate_hz)
            there = [run for run in reference.runs if run.end > start]
            said = [run for run in fast if run.end > start]
            found = sum(any(_overlap(run, other, reach) for other in said) for run in there)
            right = sum(any(_overlap(run, other, reach) for other in there) for run in said)
            counts += (len(there), found, len(said), right)
            real, called = _mask(reference.af, reference), _mask(in_af, reference)
            asked = called & (~_mask(reference.flutter, reference) | real)
            af += (real.sum(), (real & called).sum(), asked.sum(), (asked & real).sum())
            hours += (reference.samples / reference.rate_hz - LEARNING_S) / 3600.0
            if records and (there or said or called.any()):
                lines.append(
                    f"    {reference.name}: {found} of {len(there)} runs, {len(said) - right} false; fibrillation "
                    f"{real.sum() / _MASK_HZ:.0f} s, told {called.sum() / _MASK_HZ:.0f} s"
                )
    n, tp, n_said, n_right = counts.tolist()
    total = (
        f"runs Se {tp}/{n} {_share(tp, n)} +P {n_right}/{n_said} {_share(n_right, n_said)}, false an hour "
        f"{(n_said - n_right) / hours:.3f}; fibrillation Se {_share(af[1], af[0])} +P {_share(af[3], af[2])}, told "
        f"{af[2] / _MASK_HZ / 3600.0:.2f} h"
    )
    return [total, *lines]


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.3f}" if whole else "n/a"


def _values(text: str) -> list[float]:
    if ":" in text:
        first, last, step = map(float, text.split(":"))
        return [round(first + k * step, 6) for k in range(int((last - first) / step + 1e-9) + 1)]
    return [float(part) for part in text.split(",")]


def _plans(fixed: Sequence[str], varied: Sequence[str]) -> Iterator[dict[str, float]]:
    base = {name: float(value) for name, _, value in (plan.partition("=") for plan in fixed)}
    names = [plan.partition("=")[0] for plan in varied]
    for values in itertools.product(*(_values(plan.partition("=")[2]) for plan in varied)):
        yield base | dict(zip(names, values, strict=True))


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--vary", action="append", default=[], metavar="NAME=VALUES", help="a:b:step, or a,b")
    parser.add_argument("--records", action="store_true", help="also print each record in which there is any")
    parser.add_argument("--only", choices=SETS, help="one of the three")
    arguments = parser.parse_args()
    groups = {name: given(name) for name in SETS if arguments.only in (None, name)}
    for module in (runs, atrial_fibrillation):
        for name, value in list(vars(module).items()):
            # The sum that decides on fibrillation takes long, and none of its constants but the offset is varied.
            if hasattr(value, "py_func") and name != _SUM:
                setattr(module, name, value.py_func)
    for settings in _plans(arguments.set, arguments.vary):
        print(" ".join(f"{name}={value:g}" for name, value in settings.items()) or "as it is", flush=True)
        for database, banks in groups.items():
            first, *lines = score(banks, settings, records=arguments.records)
            shown = "DS1" if database == "mitdb" else database
            print(f"  {shown}: {first}", *lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
