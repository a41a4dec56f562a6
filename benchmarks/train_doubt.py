"""Train the second look of the detector's judge, which is asked while the last beats were doubtful.

``python -m benchmarks.train_doubt OUT.npz [--rounds 3] [--seed 2] [--score-only]``, with mitdb, svdb, edb and the
noise records bw and ma in ``STRAPWATCH_DATA``; about five CPU minutes a round. The first look stays as it is. The
detector makes its own training set with the second look there is, then with the one fitted before: over noisy mixtures
(`benchmarks.noisy_mixtures`), and what is doubtful in the same recordings as they are and spoiled
(`benchmarks.spoiled`), where hearts and not electrodes make it so. The network is fitted to all rounds so far. After
each round F1 at ±150 and ±50 ms is printed over the recordings kept to choose by; neither the records kept aside nor
those of the noise stress database are read. ``--score-only`` trains nothing and prints the same of the weights there
are, without and with the second look.
"""

import argparse
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.judge_network import build, scale_of, weights_of
from benchmarks.noisy_mixtures import CHOICE_SNR_DB, CLEAR_DB, is_for_choice, mixture
from benchmarks.spoiled import Spoiled, clean, spoil
from benchmarks.train_detector import label, mark_offset_s, training_records, watch
from monitor.beat_matching import inside, match_beats
from monitor.contract import IntArray
from monitor.rpeak_doubt import WIDE_INPUTS
from monitor.rpeak_judge import Judge, load_judge
from monitor.rpeak_state import Trace
from simulators.records import Record

HIDDEN: Final = (96, 32)
DOUBT: Final = 0.97
"""A mean probability of the last beats below which the second look is asked."""
_RATIOS_DB: Final = (*CHOICE_SNR_DB, CLEAR_DB)
_LEARNT_BELOW: Final = 0.98
_BATCH: Final = 2048
_JITTER: Final = 0.1
_CLEAN_WEIGHT: Final = 3.0
_WINDOWS_S: Final = (0.150, 0.050)
_MOST: Final = 1_300_000


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the detector met in one mixture.

    Attributes
    ----------
    inputs, is_beat, weight : ndarray
        Candidates that are learnt from, and how much each counts; empty for a recording to choose by.
    counts : ndarray of int64, shape ``[ratios, windows, 3]``
        Found, missed and invented beats of a recording to choose by.
    """

    inputs: NDArray[np.float16]
    is_beat: NDArray[np.float32]
    weight: NDArray[np.float32]
    counts: NDArray[np.int64]


def see(record: Record, offset_s: float, judge: Judge, random: np.random.Generator) -> Seen:
    """Run the detector over a mixture of one recording; to learn, over the recording as it is and spoiled, too."""
    kept = is_for_choice(record)
    if kept:
        # The same noise each time, so that rounds can be compared.
        random = np.random.default_rng(zlib.crc32(record.name.encode()))
    recording, snr_db = mixture(record, random, kept=kept)
    offset = round(offset_s * record.rate_hz)
    watched = watch(recording, judge)
    counts = _counts(
        recording.r_samples + offset, watched.peaks.r_sample, snr_db, recording.unscored, record.rate_hz
    )
    if kept:
        nothing = np.empty(0, np.float32)
        return Seen(np.empty((0, WIDE_INPUTS), np.float16), nothing, nothing, counts)
    r_sample = watched.trace.judged[:, 1].astype(np.int64)
    noisy = snr_db[np.minimum(r_sample, len(snr_db) - 1)] < CLEAR_DB
    bad = spoil(record, random)
    parts = [
        _learnt(recording, watched.trace, offset, 1.0, noisy),
        *(
            _learnt(other, watch(other, judge).trace, round(offset_s * other.rate_hz), weight)
            for other, weight in ((clean(record), _CLEAN_WEIGHT), (bad, 1.0))
        ),
    ]
    inputs, is_beat, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Seen(inputs, is_beat, weight, counts)


def _learnt(
    recording: Spoiled, trace: Trace, offset: int, weight: float, noisy: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.float32]]:
    """Return the doubtful candidates of a recording, and all where noise was added; whether beats; their weight."""
    is_beat, clear = label(recording, trace.judged[:, 1].astype(np.int64), offset)
    chosen = trace.judged[:, 3] < _LEARNT_BELOW
    if noisy is not None:
        chosen |= noisy
    chosen &= clear
    return (
        trace.inputs[chosen].astype(np.float16),
        is_beat[chosen],
        np.full(int(chosen.sum()), weight, np.float32),
    )


def _counts(
    beats: IntArray, found: IntArray, snr_db: NDArray[np.float64], unscored: IntArray, rate_hz: float
) -> NDArray[np.int64]:
    counts = np.zeros((len(_RATIOS_DB), len(_WINDOWS_S), 3), np.int64)
    of_beat = snr_db[np.clip(beats, 0, len(snr_db) - 1)]
    of_found = snr_db[np.clip(found, 0, len(snr_db) - 1)]
    scored = ~inside(beats, unscored)
    for place, window_s in enumerate(_WINDOWS_S):
        pairs = match_beats(beats, found, window=int(window_s * rate_hz))
        extra = np.setdiff1d(np.arange(len(found)), pairs.detection)
        extra = extra[~inside(found[extra], unscored)]
        for k, ratio in enumerate(_RATIOS_DB):
            here = scored & (of_beat == ratio)
            counts[k, place] = (
                here[pairs.reference].sum(),
                here[pairs.missed].sum(),
                (of_found[extra] == ratio).sum(),
            )
    return counts


def fit(seen: list[Seen], epochs: int, judge: Judge) -> Judge:
    """Fit the network to candidates seen so far, at most `_MOST` of them, and put it into a judge."""
    inputs, is_beat, weights = (
        np.concatenate([getattr(s, name) for s in seen]) for name in ("inputs", "is_beat", "weight")
    )
    chosen = torch.randperm(len(inputs))[:_MOST].numpy()
    print(f"{len(inputs)} candidates", flush=True)
    weight = torch.from_numpy(weights[chosen])
    x = inputs[chosen].astype(np.float32)
    mean, spread = scale_of(x, 0.02)
    examples = torch.from_numpy(((x - mean) / spread).astype(np.float32))
    truth = torch.from_numpy(is_beat[chosen])
    network = build(WIDE_INPUTS, HIDDEN)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=3e-2)
    steps = len(examples) // _BATCH + 1
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=epochs * steps)
    for _ in range(epochs):
        for batch in torch.chunk(torch.randperm(len(examples)), steps):
            jittered = examples[batch] + _JITTER * torch.randn(len(batch), WIDE_INPUTS)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                network(jittered)[:, 0], truth[batch], weight=weight[batch]
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    w = weights_of(network, mean, spread)
    return judge._replace(
        wide_first=w[0],
        wide_first_bias=w[1],
        wide_second=w[2],
        wide_second_bias=w[3],
        wide_last=w[4],
        wide_last_bias=w[5],
        doubt=np.array([DOUBT]),
    )


def print_choice(title: str, counts: NDArray[np.int64]) -> None:
    """Print F1 over the recordings to choose by."""
    for ratio, of_ratio in zip(_RATIOS_DB, counts.tolist(), strict=True):
        shown = [
            f"F1 at ±{1000 * window_s:.0f} ms {200 * found / max(2 * found + missed + invented, 1):.2f} %"
            for window_s, (found, missed, invented) in zip(_WINDOWS_S, of_ratio, strict=True)
        ]
        name = "clear" if ratio == CLEAR_DB else f"{ratio:.0f} dB"
        print(f"{title:24} {name:>6}: {', '.join(shown)}", flush=True)


def main() -> int:
    """Train, round after round, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("rpeak_judge.npz"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--score-only", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    random = np.random.default_rng(arguments.seed)
    began = time.perf_counter()
    records = training_records()
    judge = load_judge()._replace(doubt=np.array([DOUBT]))
    records = [record for record in records if not arguments.score_only or is_for_choice(record)]
    offsets = [mark_offset_s(record, judge._replace(doubt=np.zeros(1))) for record in records]
    if arguments.score_only:
        for title, doubt in (("first look alone", 0.0), ("and the second", DOUBT)):
            asked = judge._replace(doubt=np.array([doubt]))
            of_choice = [
                see(record, offset_s, asked, random).counts
                for record, offset_s in zip(records, offsets, strict=True)
                if is_for_choice(record)
            ]
            print_choice(title, np.sum(of_choice, axis=0))
        return 0
    seen: list[Seen] = []
    for turn in range(arguments.rounds + 1):
        new, counts = [], []
        for record, offset_s in zip(records, offsets, strict=True):
            if turn == arguments.rounds and not is_for_choice(record):
                continue
            new.append(see(record, offset_s, judge, random))
            if is_for_choice(record):
                counts.append(new[-1].counts)
        print_choice(f"after {turn} rounds", np.sum(counts, axis=0))
        if turn == arguments.rounds:
            break
        seen += new
        judge = fit(seen, 6 + 2 * turn, judge)
        np.savez(arguments.out, **judge._asdict())
        print(f"fitted after {time.perf_counter() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
