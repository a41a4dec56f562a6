"""Train the detector's judge: a small network that says how probable it is that a candidate is an R peak.

``python -m benchmarks.train_detector OUT.npz [--rounds 6] [--begin FILE.npz] [--seed 1]``, with mitdb, svdb, edb and
nstdb in ``STRAPWATCH_DATA``; about a CPU minute a round. What a candidate looks like depends on what was decided before
it. So the detector itself makes the training set, round after round (Ross, Gordon and Bagnell 2011): first with the
reference's decisions, then with the network's own, over recordings as they are and spoiled (`benchmarks.spoiled`). Not
used: the records kept aside (``benchmarks/held_out.toml``) and 118, of which the noise stress records are made.

The quality of a beat is a logistic regression of whether it and the interval before it are right, fitted last, over
spoiled recordings and noisy mixtures (`benchmarks.noisy_mixtures`); ``--trust-only`` fits it anew after the second look
was trained (`benchmarks.train_doubt`).

References
----------
S. Ross, G. Gordon, J. A. Bagnell, "A reduction of imitation learning and structured prediction to no-regret online
learning", AISTATS (2011).
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.judge_network import build, scale_of, weights_of
from benchmarks.noisy_mixtures import mixture
from benchmarks.recordings import DATABASES, held_out
from benchmarks.spoiled import Spoiled, clean, spoil
from monitor.beat_matching import inside, match_beats, window_samples
from monitor.contract import Block, IntArray, Peaks
from monitor.filters import FilterBank, detector_sections
from monitor.rpeak_candidates import INPUTS
from monitor.rpeak_doubt import WIDE_INPUTS
from monitor.rpeak_judge import Judge, load_judge
from monitor.rpeak_state import BEATS_OF_TRUST, JUDGED, Trace
from monitor.rpeaks import RPeakBank
from simulators.records import Record, data_folder, read_record, records_in

HIDDEN: Final = (40, 16)
NEAR_S: Final = 0.07
"""A candidate within this of a beat is one; from there to 0.15 s nothing is learnt from it."""
_EASY: Final = 0.02
_EASY_SHARE: Final = 0.25
_BATCH: Final = 4096
_CLEAN_WEIGHT: Final = 1.5
_JITTER: Final = 0.05
_ROW: Final = np.array([0])


@dataclass(slots=True)
class Examples:
    """Candidates, whether they are beats, and how much each counts."""

    inputs: list[NDArray[np.float16]] = field(default_factory=list)
    is_beat: list[NDArray[np.float32]] = field(default_factory=list)
    weight: list[NDArray[np.float32]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """What the detector made of one recording."""

    peaks: Peaks
    trust: NDArray[np.float64]
    trace: Trace
    candidates: int


def watch(recording: Spoiled, judge: Judge, dictated: NDArray[np.float32] | None = None) -> Watched:
    """Run the detector over a recording and keep what it saw."""
    rate_hz, samples = recording.rate_hz, recording.millivolts
    bank = RPeakBank(rate_hz, capacity=1, judge=judge)
    filters = FilterBank(detector_sections(rate_hz), capacity=1)
    room = len(samples) // max(int(0.05 * rate_hz), 1)
    inputs, judged = np.empty((room, WIDE_INPUTS), np.float32), np.empty((room, JUDGED))
    orders = np.empty((1, 0), np.float32) if dictated is None else dictated[np.newaxis]
    begins = [0, *(end for _, end in recording.gaps)]
    ends = [*(first for first, _ in recording.gaps), len(samples)]
    peaks, trusts, seen = [], [], 0
    for begin, end in zip(begins, ends, strict=True):
        if begin:
            bank.restart(_ROW)
            filters.restart(_ROW)
        part = samples[np.newaxis, begin:end]
        block = Block(_ROW, np.array([begin]), part, np.ones(part.shape, np.bool_))
        trace = Trace(inputs[seen:], judged[seen:], orders)
        found, trust, count = bank.traced(_ROW, block.first_sample, filters.process(block), trace)
        peaks.append(found)
        trusts.append(trust)
        seen += count
    return Watched(
        Peaks.join(peaks), np.concatenate(trusts), Trace(inputs[:seen], judged[:seen], orders), seen
    )


def orders_of_truth(recording: Spoiled, offset: int) -> NDArray[np.float32]:
    """Return 1 near every beat and 0 elsewhere: what the network would say if it knew."""
    orders = np.zeros(len(recording.millivolts) + int(recording.rate_hz), np.float32)
    near = int(NEAR_S * recording.rate_hz)
    for r in (recording.r_samples + offset).tolist():
        orders[max(r - near, 0) : r + near + 1] = 1.0
    return orders


def label(
    recording: Spoiled, r_sample: IntArray, offset: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return which candidates are beats, and which of them are clear enough to learn from."""
    beats, rate_hz = recording.r_samples + offset, recording.rate_hz
    is_beat = np.zeros(len(r_sample), np.float32)
    clear = np.ones(len(r_sample), np.bool_)
    if len(beats):
        after = np.clip(np.searchsorted(beats, r_sample), 0, len(beats) - 1)
        before = np.clip(after - 1, 0, len(beats) - 1)
        nearer = np.abs(r_sample - beats[before]) <= np.abs(r_sample - beats[after])
        nearest = np.where(nearer, before, after)
        distance_s = np.abs(r_sample - beats[nearest]) / rate_hz
        is_beat[distance_s <= NEAR_S] = 1.0
        clear &= (distance_s <= NEAR_S) | (distance_s > 0.15)
    for first, end in recording.unscored.tolist():
        clear &= (r_sample < first - rate_hz) | (r_sample >= end + rate_hz)
    return is_beat, clear


def collect(
    examples: Examples,
    recording: Spoiled,
    offset: int,
    judge: Judge,
    random: np.random.Generator,
    *,
    weight: float,
    by_truth: bool = False,
) -> None:
    """Add what the detector meets in one recording; of the easy candidates a share, counted the more."""
    orders = orders_of_truth(recording, offset) if by_truth else None
    seen = watch(recording, judge, orders).trace
    is_beat, clear = label(recording, seen.judged[:, 1].astype(np.int64), offset)
    easy = np.abs(seen.judged[:, 2] - is_beat) < _EASY
    chosen = clear & (~easy | (random.random(len(easy)) < _EASY_SHARE))
    examples.inputs.append(seen.inputs[chosen, :INPUTS].astype(np.float16))
    examples.is_beat.append(is_beat[chosen])
    examples.weight.append(np.where(easy, weight / _EASY_SHARE, weight)[chosen].astype(np.float32))


def fit(examples: Examples, epochs: int, begin: Judge | None, kept: Judge) -> Judge:
    """Fit the network to all examples; what `kept` has beside it stays."""
    inputs = np.concatenate(examples.inputs).astype(np.float32)
    mean, spread = scale_of(inputs, 1e-3)
    network = build(INPUTS, HIDDEN)
    if begin is not None:
        folded = (
            begin.first.T * spread,
            begin.first_bias + begin.first.T @ mean,
            begin.second.T,
            begin.second_bias,
            begin.last[np.newaxis],
            begin.last_bias,
        )
        with torch.no_grad():
            for parameter, value in zip(network.parameters(), folded, strict=True):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(value, np.float32)))
    x = torch.from_numpy((inputs - mean) / spread)
    y = torch.from_numpy(np.concatenate(examples.is_beat))
    weight = torch.from_numpy(np.concatenate(examples.weight))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = epochs * (len(x) // _BATCH + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.chunk(torch.randperm(len(x)), steps // epochs):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                network(x[batch] + _JITTER * torch.randn(len(batch), INPUTS))[:, 0],
                y[batch],
                weight=weight[batch],
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    w = weights_of(network, mean, spread)
    return kept._replace(
        first=w[0], first_bias=w[1], second=w[2], second_bias=w[3], last=w[4], last_bias=w[5]
    )


def fit_trust(judge: Judge, recordings: list[tuple[Spoiled, int]]) -> NDArray[np.float64]:
    """Fit the quality: the probability that a beat, and the interval before it, are right."""
    values, rights = [], []
    for recording, offset in recordings:
        seen = watch(recording, judge)
        values.append(seen.trust)
        rights.append(right_beats(recording.r_samples + offset, seen.peaks.r_sample, recording))
    x = torch.from_numpy(np.concatenate(values))
    y = torch.from_numpy(np.concatenate(rights).astype(np.float64))
    weights = torch.zeros(BEATS_OF_TRUST + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        answer = torch.nn.functional.binary_cross_entropy_with_logits(x @ weights[1:] + weights[0], y)
        answer.backward()  # type: ignore[no-untyped-call]
        return answer

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return np.asarray(weights.detach().numpy(), np.float64)


def right_beats(beats: IntArray, r_sample: IntArray, recording: Spoiled) -> NDArray[np.bool_]:
    """Return which peaks are beats with no beat missed since the peak before them."""
    pairs = match_beats(beats, r_sample, window=window_samples(recording.rate_hz))
    right = np.zeros(len(r_sample), np.bool_)
    right[pairs.detection] = True
    missed = beats[pairs.missed]
    following = np.searchsorted(r_sample, missed)
    right[following[following < len(r_sample)]] = False
    return right & ~inside(r_sample, recording.unscored)


def training_records() -> list[Record]:
    """Read the records to train on."""
    records = []
    for database in DATABASES:
        aside = {*held_out().get(database, ()), "118"}
        stems = [stem for stem in records_in(data_folder() / database) if stem.name not in aside]
        records += [read_record(stem, lead=0) for stem in stems]
    return records


def mark_offset_s(record: Record, judge: Judge) -> float:
    """Return how far our marks lie from the reference's, typically."""
    recording = clean(record)
    found = watch(recording, judge).peaks.r_sample
    pairs = match_beats(recording.r_samples, found, window=window_samples(record.rate_hz))
    return float(np.median(found[pairs.detection] - recording.r_samples[pairs.reference]) / record.rate_hz)


def main() -> int:
    """Train, round after round, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--begin", type=Path, help="go on from these weights instead of from nothing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trust-only", action="store_true", help="keep the network, fit the quality anew")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    random = np.random.default_rng(arguments.seed)
    began = time.perf_counter()
    records = training_records()
    judge = load_judge() if arguments.begin is None else load_judge(arguments.begin)
    if not arguments.trust_only:
        # The first look learns from what it meets alone; `benchmarks.train_doubt` follows and fits the second.
        judge = judge._replace(doubt=np.zeros(1))
    offsets = [mark_offset_s(record, judge) for record in records]
    begin = None if arguments.begin is None else judge
    examples = Examples()
    first = 0 if begin is None else 1
    for turn in range(first, first if arguments.trust_only else arguments.rounds + 1):
        for record, offset_s in zip(records, offsets, strict=True):
            at = round(offset_s * record.rate_hz)
            collect(examples, clean(record), at, judge, random, weight=_CLEAN_WEIGHT, by_truth=turn == 0)
            if turn:
                bad = spoil(record, random)
                collect(examples, bad, round(offset_s * bad.rate_hz), judge, random, weight=1.0)
        epochs = 16 if turn == arguments.rounds else 4
        judge = fit(examples, epochs, begin, judge)
        begin = judge
        print(
            f"round {turn}: {sum(map(len, examples.inputs))} candidates, {time.perf_counter() - began:.0f} s"
        )
        np.savez(arguments.out, **judge._asdict())
    spoilt = []
    for record, offset_s in zip(records, offsets, strict=True):
        both = spoil(record, random), mixture(record, random, kept=False)[0]
        spoilt += [(bad, round(offset_s * bad.rate_hz)) for bad in both]
    judge = judge._replace(trust=fit_trust(judge, spoilt))
    np.savez(arguments.out, **judge._asdict())
    print(f"{arguments.out} after {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
