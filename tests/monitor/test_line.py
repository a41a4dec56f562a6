"""The whole line: what must hold whatever comes, in whatever pieces, in whatever company."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor import denoise
from monitor.beats import LATEST_S
from monitor.contract import AAMI_CLASSES, Beats, Block, FloatArray, Peaks, RhythmEvent, TechnicalKind
from monitor.history import HISTORY_S
from monitor.line import MAX_BLOCK_S, Line, LineOutput
from monitor.quality import EVENT_AFTER_S, FLAT_AFTER_S
from monitor.rhythm import FIRST_BEAT_S, AthleteLimits
from monitor.rpeaks import MAX_DELAY_S
from monitor.sequence_network import SequenceNetwork
from simulators.ectopy import Bigeminy, Pause, PrematureBeat, VentricularRun
from simulators.records import read_record
from simulators.synthetic import SyntheticAthlete, synthesize

RATE_HZ: Final = 360.0
TECHNICAL = ("lead_off", "flat", "railed", "noisy", "strap_silent")


class WidthClassifier:
    """Calls a beat V if it is wide: deterministic, and the same whatever stands beside it."""

    name = "width"
    input_path = "any"
    training_records: frozenset[str] = frozenset()
    sequence: SequenceNetwork | None = None

    def probabilities(self, window: FloatArray, template: FloatArray, context: FloatArray) -> FloatArray:
        """Return certainty in N or V."""
        assert len(window) == len(template) == len(context)
        middle = np.abs(window[:, 240:360])
        wide = (middle > 0.4 * middle.max(axis=1, keepdims=True)).sum(axis=1) > 25
        answer = np.zeros((len(window), len(AAMI_CLASSES)), np.float32)
        answer[np.arange(len(window)), np.where(wide, AAMI_CLASSES.index("V"), 0)] = 1.0
        return answer

    def labels(self, probabilities: FloatArray) -> NDArray[np.int8]:
        """Return the likeliest class."""
        label: NDArray[np.int8] = probabilities.argmax(axis=1).astype(np.int8)
        return label


@dataclass
class Told:
    """All that a line told of one row."""

    peaks: list[Peaks] = field(default_factory=list)
    beats: list[Beats] = field(default_factory=list)
    events: list[RhythmEvent] = field(default_factory=list)
    filtered: list[FloatArray] = field(default_factory=list)

    def take(self, output: LineOutput, row: int, position: int) -> None:
        """Keep what `output` says of `row`, as if it were row 0."""
        chosen = output.peaks.rows == row
        peaks = Peaks(**{f.name: getattr(output.peaks, f.name)[chosen] for f in fields(Peaks)})
        beats = output.beats.take(output.beats.rows == row)
        self.peaks.append(replace(peaks, rows=np.zeros(len(peaks), np.int64)))
        self.beats.append(replace(beats, rows=np.zeros(len(beats), np.int64)))
        self.events += [replace(event, row=0) for event in output.events if event.row == row]
        self.filtered.append(output.filtered[position])

    def digest(self) -> tuple[dict[str, bytes], str]:
        """Return everything as bytes, so that equality is equality of bits."""
        arrays = {}
        for name, whole in (("peaks", Peaks.join(self.peaks)), ("beats", Beats.join(self.beats))):
            for f in fields(whole):
                arrays[f"{name}.{f.name}"] = np.ascontiguousarray(getattr(whole, f.name)).tobytes()
        arrays["filtered"] = np.concatenate(self.filtered).tobytes()
        return arrays, repr(self.events)

    def known_by(self, sample: int) -> tuple[dict[str, bytes], str]:
        """Return what had become known at `sample` or before."""
        peaks, beats = Peaks.join(self.peaks), Beats.join(self.beats)
        chosen = peaks.known_sample <= sample
        early = Told(
            [Peaks(**{f.name: getattr(peaks, f.name)[chosen] for f in fields(peaks)})],
            [beats.take(beats.known_sample <= sample)],
            [event for event in self.events if event.known_sample <= sample],
            [np.concatenate(self.filtered)[: sample + 1]],
        )
        return early.digest()

    def kinds(self) -> list[tuple[str, str]]:
        """Return kind and transition of all events."""
        return [(event.kind, event.transition) for event in self.events]

    @property
    def all_peaks(self) -> Peaks:
        """All R peaks."""
        return Peaks.join(self.peaks)

    @property
    def all_beats(self) -> Beats:
        """All beats."""
        return Beats.join(self.beats)


@dataclass(frozen=True)
class Gap:
    """From `begin` on nothing is seen until `end`."""

    begin: int
    end: int
    lead_off: bool = False


def _line(*, rate_hz: float = RATE_HZ, capacity: int = 1) -> Line:
    return Line(rate_hz=rate_hz, classifier=WidthClassifier(), capacity=capacity)


def _block(rows: Iterable[int], first: Iterable[int], samples: FloatArray) -> Block:
    return Block(np.array(list(rows)), np.array(list(first)), samples, np.ones(samples.shape, np.bool_))


def _feed(
    line: Line,
    row: int,
    signal: FloatArray,
    lengths: Iterable[int],
    *,
    begin: int = 0,
    gaps: tuple[Gap, ...] = (),
    told: Told | None = None,
) -> Told:
    """Give one row `signal` from `begin` on in blocks of `lengths` (the last one repeats), with gaps."""
    told = told or Told()
    waiting = [gap for gap in gaps if gap.begin >= begin]
    sizes, size = iter(lengths), 1
    at = begin
    while at < len(signal):
        if waiting and at == waiting[0].begin:
            gap = waiting.pop(0)
            told.take(line.restart(np.array([row]), np.array([gap.end]), lead_off=gap.lead_off), row, 0)
            at = gap.end
            continue
        size = next(sizes, size)
        end = min(at + size, len(signal), waiting[0].begin if waiting else len(signal))
        told.take(line.process(_block([row], [at], signal[np.newaxis, at:end])), row, 0)
        at = end
    return told


def _finish(line: Line, row: int, told: Told) -> Told:
    told.take(line.finish(np.array([row])), row, 0)
    return told


def _alone(
    signal: FloatArray,
    lengths: Iterable[int] = (3600,),
    *,
    gaps: tuple[Gap, ...] = (),
    rate_hz: float = RATE_HZ,
) -> Told:
    line = _line(rate_hz=rate_hz)
    row = line.claim()
    return _finish(line, row, _feed(line, row, signal, lengths, gaps=gaps))


@cache
def _ecg(seed: int = 1) -> FloatArray:
    """Make an eventful athlete: premature beats, a run, bigeminy, a pause, noise that comes and goes."""
    athlete = SyntheticAthlete(
        rate_bpm=80.0,
        events=(
            PrematureBeat(at_s=5.0),
            PrematureBeat(at_s=8.0, kind="S"),
            VentricularRun(at_s=11.0, beats=4),
            Bigeminy(at_s=17.0, cycles=4),
            Pause(at_s=27.0, length_s=5.5),
        ),
    )
    signal = synthesize(athlete, rate_hz=RATE_HZ, seconds=40.0, seed=seed).millivolts.copy()
    noise = np.random.default_rng(seed).normal(0.0, 0.15, len(signal)).astype(np.float32)
    late = slice(int(34 * RATE_HZ), int(37 * RATE_HZ))
    signal[late] += noise[late]
    return signal


@cache
def _whole(seed: int = 1) -> Told:
    return _alone(_ecg(seed))


GAPS = (
    Gap(3000, 3500),
    Gap(6001, 6002),
    Gap(7000, 7900, lead_off=True),
    Gap(7950, 8400, lead_off=True),
    Gap(9000, 9000),
)


def test_the_story_has_everything_in_it() -> None:
    """The signal these tests rest on brings V beats, a run, bigeminy, a pause and asystole."""
    told = _whole()
    assert {"ventricular_run", "bigeminy", "pause", "asystole"} <= {event.kind for event in told.events}
    assert len(told.all_beats) > 40
    assert (told.all_beats.label == AAMI_CLASSES.index("V")).sum() >= 8


@pytest.mark.parametrize("length", [73, 360, 361, 3600])
def test_blocks_of_any_length_give_the_same_bits(length: int) -> None:
    """Peaks, beats, events and filtered signal are the same to the last bit in blocks of any length."""
    assert _alone(_ecg(), [length]).digest() == _whole().digest()
    assert _alone(_ecg(), [length], gaps=GAPS).digest() == _alone(_ecg(), gaps=GAPS).digest()


@pytest.mark.parametrize("length", [1, 7])
def test_the_shortest_blocks_give_the_same_bits(length: int) -> None:
    """Sample by sample, too, the answer is the same to the last bit, with and without gaps."""
    signal = _ecg()[3200:6200]
    gaps = (Gap(1500, 1530), Gap(1900, 1901), Gap(2300, 2400, lead_off=True))
    for chosen in ((), gaps):
        assert _alone(signal, [length], gaps=chosen).digest() == _alone(signal, gaps=chosen).digest()


@settings(max_examples=12, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 900), min_size=1, max_size=60),
    starts=st.lists(st.integers(1, 13_000), max_size=4, unique=True),
    lost=st.integers(0, 700),
    why=st.sampled_from(["lost", "lead off"]),
)
def test_gaps_anywhere_in_blocks_of_any_length(
    lengths: list[int], starts: list[int], lost: int, why: str
) -> None:
    """With gaps at any sample, blocks of any length still give the same bits, and no beat is lost."""
    gaps: list[Gap] = []
    for start in sorted(starts):
        if not gaps or start > gaps[-1].end:
            gaps.append(Gap(start, start + lost, why == "lead off"))
    signal = _ecg(2)
    told = _alone(signal, [*lengths, 500], gaps=tuple(gaps))
    assert told.digest() == _alone(signal, gaps=tuple(gaps)).digest()
    _assert_consistent(told)


def _assert_consistent(told: Told) -> None:
    """Every peak comes out once as a beat, in order; known samples never go back; episodes begin before they end."""
    peaks, beats = told.all_peaks, told.all_beats
    assert beats.r_sample.tolist() == peaks.r_sample.tolist()
    assert (np.diff(peaks.r_sample) > 0).all()
    assert (np.diff(peaks.known_sample) >= 0).all()
    assert (np.diff(beats.known_sample) >= 0).all()
    assert (peaks.known_sample >= peaks.r_sample).all()
    assert (beats.known_sample >= peaks.known_sample).all()
    assert np.isfinite(beats.window).all()
    assert (beats.label[~beats.complete] == len(AAMI_CLASSES)).all()
    open_episodes = set()
    for event in told.events:
        episode = (event.kind, event.episode)
        assert (episode in open_episodes) == (event.transition != "onset"), event
        assert event.onset_sample <= event.known_sample
        if event.transition == "onset":
            open_episodes.add(episode)
        elif event.transition == "end":
            open_episodes.remove(episode)
    known = [event.known_sample for event in told.events if event.kind not in TECHNICAL]
    assert known == sorted(known)


def test_events_come_in_the_order_in_which_they_become_known() -> None:
    """Where one block brings a pause and then a flat line, they come in the same order as sample by sample."""
    r_samples = _whole().all_peaks.r_sample
    # The pause is known 882 samples after this R peak, the flat line 922: within one block of a second.
    r = int(next(r for r in r_samples[10:] if (r + 882) % 360 < 300))
    signal = np.concatenate([_ecg()[: r + 20], np.full(2000, _ecg()[r + 20]), _ecg()[r + 20 : r + 2000]])
    told = _alone(signal, [3600])
    assert repr(told.events) == repr(_alone(signal, [1, 2, 31]).events)
    known = [event.known_sample for event in told.events]
    assert known == sorted(known)
    onsets = [event.kind for event in told.events if event.transition == "onset" and event.known_sample > r]
    assert onsets[:4] == ["pause", "flat", "long_pause", "asystole"]


def test_rows_in_company_are_as_alone() -> None:
    """Rows banked together, in shuffled order, joining late and growing the bank, give what each gives alone."""
    signals = [_ecg(seed)[: 9000 + 400 * seed] for seed in range(1, 6)]
    joins = [0, 1, 700, 2500, 2500]
    gaps = [(), (Gap(3000, 4100),), (), (Gap(2000, 2600, lead_off=True),), (Gap(5000, 5001),)]
    line = _line(capacity=1)
    random = np.random.default_rng(0)
    row_of: dict[int, int] = {}
    at: dict[int, int] = {}
    told = [Told() for _ in signals]
    waiting = [list(g) for g in gaps]
    for tick in range(20_000):
        for who, join in enumerate(joins):
            if tick == join // 60 and who not in row_of:
                row_of[who], at[who] = line.claim(), 0
        active = [who for who in row_of if at[who] < len(signals[who])]
        if len(row_of) == len(signals) and not active:
            break
        for who in active:
            if waiting[who] and at[who] == waiting[who][0].begin:
                gap = waiting[who].pop(0)
                output = line.restart(np.array([row_of[who]]), np.array([gap.end]), lead_off=gap.lead_off)
                told[who].take(output, row_of[who], 0)
                at[who] = gap.end
        random.shuffle(active)
        chosen = active[: int(random.integers(1, len(active) + 1))]
        ends = [waiting[who][0].begin if waiting[who] else len(signals[who]) for who in chosen]
        n = min(
            int(random.integers(1, 200)), *(end - at[who] for who, end in zip(chosen, ends, strict=True)), 360
        )
        block = _block(
            [row_of[who] for who in chosen],
            [at[who] for who in chosen],
            np.stack([signals[who][at[who] : at[who] + n] for who in chosen]),
        )
        output = line.process(block)
        for position, who in enumerate(chosen):
            told[who].take(output, row_of[who], position)
            at[who] += n
    assert len(set(row_of.values())) == len(signals)
    for who, signal in enumerate(signals):
        _finish(line, row_of[who], told[who])
        assert told[who].digest() == _alone(signal, gaps=gaps[who]).digest()


def _saved(state: dict[str, Any]) -> dict[str, Any]:
    """Return a row state that has been through numpy files."""
    loaded = {}
    for name, arrays in state.items():
        file = io.BytesIO()
        np.savez(file, **arrays)
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            loaded[name] = dict(archive)
    return loaded


@settings(max_examples=12, deadline=None)
@given(cut=st.integers(1, 14_000), why=st.sampled_from(["lost", "lead off"]))
def test_a_row_goes_on_in_another_line(cut: int, why: str) -> None:
    """At any sample a row can move to another line, and goes on bit for bit as if it had not."""
    signal = _ecg(3)
    gaps = (Gap(2000, 2300), Gap(6000, 6800, lead_off=why == "lead off"))
    if any(gap.begin < cut < gap.end for gap in gaps):
        cut = gaps[0].begin
    line, other = _line(capacity=2), _line(capacity=5)
    line.claim()
    row = line.claim()
    told = _feed(line, row, signal[:cut], [500, 211], gaps=tuple(g for g in gaps if g.begin < cut))
    busy = [other.claim() for _ in range(3)]
    _feed(other, busy[0], _ecg(4)[:2000], [333])
    other.import_row(busy[2], _saved(line.export_row(row)))
    _feed(line, row, np.full(len(signal), 9.0, np.float32), [1000], begin=cut)
    _feed(other, busy[2], signal, [97], begin=cut, gaps=gaps, told=told)
    assert _finish(other, busy[2], told).digest() == _alone(signal, gaps=gaps).digest()


def _wrong_version(state: dict[str, Any]) -> None:
    state["rhythm"] = {**state["rhythm"], "version": np.array(99)}


def _wrong_shape(state: dict[str, Any]) -> None:
    state["rhythm"] = {**state["rhythm"], "rr": np.zeros(3)}


def _wrong_rate(state: dict[str, Any]) -> None:
    state["line"] = {"rate_hz": np.array(250.0)}


@pytest.mark.parametrize(
    "damage", [_wrong_version, _wrong_shape, _wrong_rate, lambda state: state.pop("quality")]
)
def test_a_refused_import_changes_nothing(damage: Callable[[dict[str, Any]], None]) -> None:
    """A state of another version, shape or rate, or without a stage, is refused and the row stays as it was."""
    signal = _ecg()
    line = _line()
    row = line.claim()
    told = _feed(line, row, signal[:4000], [400])
    donor = _line()
    _feed(donor, donor.claim(), _ecg(2)[:3000], [400])
    state = donor.export_row(0)
    damage(state)
    with pytest.raises(ValueError, match="state"):
        line.import_row(row, state)
    assert (
        _finish(line, row, _feed(line, row, signal, [400], begin=4000, told=told)).digest()
        == _whole().digest()
    )


def test_a_line_of_another_rate_refuses_a_row() -> None:
    """The ring of 250 Hz looks like the one of 360 Hz; the row is refused all the same."""
    other = _line(rate_hz=250.0)
    with pytest.raises(ValueError, match="360"):
        other.import_row(other.claim(), _line().export_row(0))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_future_changes_nothing_that_is_known(seed: int) -> None:
    """Whatever comes after a sample, what was known by it stays the same to the last bit."""
    signal = _ecg(seed)
    whole = _alone(signal)
    random = np.random.default_rng(seed)
    for sample in [*random.integers(10, len(signal) - 10, 25).tolist(), 719, 720, 721]:
        corrupt = signal.copy()
        later = len(signal) - sample - 1
        corrupt[sample + 1 :] = random.choice([0.0, 1.0]) * random.normal(0.0, 2.0, later)
        assert _alone(corrupt, [911]).known_by(sample) == whole.known_by(sample), sample


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.7, 4.0, -1.0, -0.6])
def test_amplitude_and_sign_do_not_matter(factor: float) -> None:
    """Rescaled or upside down, the same R peaks are found within a sample."""
    found = _alone(_ecg() * np.float32(factor)).all_peaks.r_sample
    expected = _whole().all_peaks.r_sample
    assert len(found) == len(expected)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 250.0, 500.0, 1000.0])
def test_the_sampling_rate_does_not_matter(rate_hz: float) -> None:
    """The same heart at another rate gives the same beats, and nearly the same windows on the common grid."""
    athlete = SyntheticAthlete(
        events=(PrematureBeat(at_s=8.0), PrematureBeat(at_s=12.0, kind="S"), Pause(at_s=17.0, length_s=3.0))
    )
    beats, expected = (
        _alone(synthesize(athlete, rate_hz=rate, seconds=30.0, seed=1).millivolts, rate_hz=rate).all_beats
        for rate in (rate_hz, RATE_HZ)
    )
    assert len(beats) == len(expected)
    assert np.abs(beats.r_sample / rate_hz - expected.r_sample / RATE_HZ).max() < 0.15
    both = beats.complete & expected.complete
    alike = []
    for one, other in zip(beats.window[both], expected.window[both], strict=True):
        # An R peak lies on a sample, which is up to 5 ms away from it: the windows may be shifted by that.
        shifted = [np.corrcoef(one[10:-10], other[10 + lag : 590 + lag])[0, 1] for lag in range(-6, 7)]
        alike.append(max(shifted))
    assert min(alike[2:]) > 0.99


def test_every_beat_comes_out_once_and_incomplete_before_a_gap() -> None:
    """A beat whose window a gap cuts short comes out unsure at the gap, and the next RR interval is void."""
    signal = _ecg()
    peaks = _whole().all_peaks
    r, known = int(peaks.r_sample[9]), int(peaks.known_sample[9])
    gap = Gap(known + 1, known + 2000)
    told = _alone(signal, [100], gaps=(gap,))
    _assert_consistent(told)
    beats = told.all_beats
    cut = int(np.flatnonzero(beats.r_sample == r)[0])
    assert not beats.complete[cut]
    assert beats.known_sample[cut] == known
    assert not beats.window[cut].any()
    assert np.isnan(beats.rr_s[cut + 1])
    assert beats.r_sample[cut + 1] >= gap.end
    # What is announced in the settling time is not trusted.
    unsettled = (beats.r_sample >= gap.end) & (beats.r_sample < gap.end + RATE_HZ)
    assert not beats.quality[unsettled].any()


def test_no_peak_lies_before_the_samples_it_is_seen_in() -> None:
    """A spike in the first samples after a gap is no peak before them, delay of the filter or not."""
    for width in range(1, 6):
        signal = _ecg()[:8000].copy()
        signal[7000:] = 0.0
        signal[7000 : 7000 + width] = (2.0, -2.0, 1.0, 2.0, -1.0)[:width]
        told = _alone(signal, gaps=(Gap(6900, 7000),))
        peaks = told.all_peaks.r_sample
        assert not ((peaks >= 6900) & (peaks < 7000)).any()
        assert (peaks >= 7000).any()
        _assert_consistent(told)


def test_nothing_leaks_over_a_gap() -> None:
    """The last samples before a gap, seen by no peak yet, change nothing after it."""
    known = int(_whole().all_peaks.known_sample[9])
    gap = Gap(known + 60, known + 400)
    corrupt = _ecg().copy()
    corrupt[known + 45 : known + 60] += 5.0
    late, others = (
        beats.take(beats.r_sample > gap.begin)
        for beats in (_alone(signal, gaps=(gap,)).all_beats for signal in (corrupt, _ecg()))
    )
    assert late.r_sample.tolist() == others.r_sample.tolist()
    assert late.known_sample.tolist() == others.known_sample.tolist()
    assert late.quality.tolist() == others.quality.tolist()
    assert late.window.tobytes() == others.window.tobytes()


@pytest.mark.parametrize("why", ["lost", "lead off"])
@pytest.mark.parametrize("lost_s", [0.5, 3.0, 60.0])
def test_a_gap_is_no_pause(why: str, lost_s: float) -> None:
    """Loss or lead-off of any length makes neither pause nor asystole."""
    signal = synthesize(SyntheticAthlete(), rate_hz=RATE_HZ, seconds=90.0, seed=5).millivolts
    for begin in range(5000, 5400, 90):
        told = _alone(signal, gaps=(Gap(begin, begin + int(lost_s * RATE_HZ), why == "lead off"),))
        expected = [("lead_off", "onset"), ("lead_off", "end")] if why == "lead off" else []
        assert told.kinds() == expected
        _assert_consistent(told)


def _then_rhythm(fault: FloatArray, *, before_s: float = 20.0) -> tuple[Told, int, int]:
    """Run a rhythm, a fault, the rhythm again; return also where the fault begins and ends."""
    rhythm = synthesize(SyntheticAthlete(), rate_hz=RATE_HZ, seconds=60.0, seed=6).millivolts
    begin = int(before_s * RATE_HZ)
    end = begin + len(fault)
    return _alone(np.concatenate([rhythm[:begin], fault, rhythm[begin:]])), begin, end


def _found_again(told: Told, end: int) -> bool:
    """Whether beats came within 3 s after `end`, and went on."""
    late = told.all_peaks.known_sample
    return bool((late > end).any()) and int(late[late > end][0]) - end <= 3 * RATE_HZ


@pytest.mark.parametrize(
    ("level", "kind"), [(0.0, "flat"), (0.7, "flat"), (5.0, "railed"), (-1000.0, "railed")]
)
def test_a_line_without_a_heart(level: float, kind: TechnicalKind) -> None:
    """A line that stands still with the strap on is told, is a pause, then asystole; the rhythm is found again."""
    told, begin, end = _then_rhythm(np.full(int(15 * RATE_HZ), level, np.float32))
    inside = (told.all_peaks.r_sample > begin + 0.5 * RATE_HZ) & (
        told.all_peaks.r_sample < end - 0.1 * RATE_HZ
    )
    assert not inside.any()
    onset: dict[str, RhythmEvent] = {e.kind: e for e in told.events if e.transition == "onset"}
    ended: dict[str, RhythmEvent] = {e.kind: e for e in told.events if e.transition == "end"}
    assert onset[kind].onset_sample - begin <= FLAT_AFTER_S * RATE_HZ + 1
    assert onset[kind].known_sample == onset[kind].onset_sample + round(EVENT_AFTER_S[kind] * RATE_HZ)
    assert end <= ended[kind].known_sample <= end + 2
    last = told.all_peaks.r_sample[told.all_peaks.r_sample < begin + 0.5 * RATE_HZ][-1]
    # A jump to the rail blocks the amplifier: no pause is told then, and asystole waits for the baseline to stand.
    waits_s = 4.0 if kind == "railed" else 0.0
    for name, after_s in (("asystole", 4.0),) if waits_s else (("pause", 2.0), ("asystole", 4.0)):
        assert onset[name].onset_sample == last
        due = last + round((after_s + MAX_DELAY_S) * RATE_HZ)
        assert due <= onset[name].known_sample <= due + waits_s * RATE_HZ
        assert ended[name].known_sample > end
    assert _found_again(told, end)
    _assert_consistent(told)


@pytest.mark.parametrize("level", [0.0, 0.02, 4.0, 1000.0])
def test_a_flat_line_from_the_very_start(level: float) -> None:
    """A line that never moved is asystole after the stated time, with no beat invented."""
    told = _alone(np.full(int(12 * RATE_HZ), level, np.float32))
    assert len(told.all_peaks) == 0
    (asystole,) = (e for e in told.events if (e.kind, e.transition) == ("asystole", "onset"))
    assert asystole.known_sample == round((FIRST_BEAT_S + 4.0) * RATE_HZ) + round(MAX_DELAY_S * RATE_HZ)
    assert asystole.onset_sample == 0
    assert "pause" not in {event.kind for event in told.events}


def test_drift_and_offset_invent_no_beats() -> None:
    """A constant offset changes no beat, a steady drift and slow wander make none."""
    expected = _whole().all_peaks.r_sample
    for offset in (3.0, -50.0, 1000.0):
        assert np.abs(_alone(_ecg() + np.float32(offset)).all_peaks.r_sample - expected).max() <= 1
    time_s = np.arange(int(20 * RATE_HZ)) / RATE_HZ
    for drift in (time_s, -0.1 * time_s, np.sin(2 * np.pi * 0.2 * time_s)):
        assert len(_alone(drift.astype(np.float32)).all_peaks) == 0


@pytest.mark.parametrize("level", [1e3, 3e5])
def test_huge_values_poison_nothing(level: float) -> None:
    """Spikes as large as the wire can carry leave finite numbers, order and, once over, the classifier's path."""
    told, _, end = _then_rhythm(_spikes(level))
    _assert_consistent(told)
    filtered = np.concatenate(told.filtered)
    assert np.isfinite(filtered).all()
    assert np.abs(filtered[int(end + 20 * RATE_HZ) :]).max() < 3.0


def test_the_rhythm_is_found_again_after_huge_values() -> None:
    """After seconds of huge spikes beats come again within 3 s of the filters' recovery."""
    told, _, end = _then_rhythm(_spikes(1e3))
    assert _found_again(told, int(end + 10 * RATE_HZ))


def _spikes(level: float) -> FloatArray:
    up = np.random.default_rng(0).random(int(4 * RATE_HZ)) < 0.05
    return np.where(up, level, -level).astype(np.float32)


def test_a_gap_invents_no_beats() -> None:
    """Wherever a signal goes on after a gap, T waves, P waves and noise are no beats, and none later is missed."""
    record = synthesize(SyntheticAthlete(rate_bpm=60.0, noise_mv=0.02), rate_hz=RATE_HZ, seconds=40.0, seed=1)
    assert record.truth is not None
    truth = record.truth.r_samples
    for end in range(7200, 7600, 10):
        found = _alone(record.millivolts, gaps=(Gap(6900, end),)).all_peaks.r_sample
        assert not ((found >= 6900) & (found < end)).any()
        found = found[found >= end]
        nearest = np.abs(found[:, np.newaxis] - truth).min(axis=1)
        # A QRS complex that the gap's end cuts may be missed, or found at what is left of it.
        assert (nearest < 0.15 * RATE_HZ).all(), end
        due = truth[(truth > end + 0.1 * RATE_HZ) & (truth < len(record) - RATE_HZ)]
        assert (np.abs(due[:, np.newaxis] - found).min(axis=1) < 0.15 * RATE_HZ).all(), end


@pytest.mark.parametrize("factor", [0.1, 0.25, 4.0])
def test_another_amplitude_after_a_gap_is_found(factor: float) -> None:
    """A strap put on anew, with another amplitude, is found again within 6 s."""
    signal = synthesize(SyntheticAthlete(), rate_hz=RATE_HZ, seconds=40.0, seed=6).millivolts.copy()
    signal[7300:] *= np.float32(factor)
    late = _alone(signal, gaps=(Gap(7200, 7300),)).all_peaks
    assert (late.known_sample[late.r_sample > 7300][:1] < 7300 + 6 * RATE_HZ).any()
    assert (late.r_sample > 7300 + 6 * RATE_HZ).sum() >= 14


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_at_the_border(bad: float) -> None:
    """A block with NaN or infinity is refused whole, naming the row; no row's state is touched."""
    signals = np.stack([_ecg(1), _ecg(2)])
    line = _line(capacity=2)
    rows = [line.claim(), line.claim()]
    told = [Told(), Told()]
    for begin in range(0, signals.shape[1], 300):
        part = signals[:, begin : begin + 300]
        broken = part.copy()
        broken[1, -1] = bad
        with pytest.raises(ValueError, match=r"\[1\].*NaN"):
            line.process(_block(rows, [begin] * 2, broken))
        output = line.process(_block(rows, [begin] * 2, part))
        for position, row in enumerate(rows):
            told[position].take(output, row, position)
    for position, row in enumerate(rows):
        assert _finish(line, row, told[position]).digest() == _whole(position + 1).digest()


def test_samples_that_mean_nothing_are_refused_at_the_border() -> None:
    """A block with samples that are not trusted is refused whole, naming the row, and the row goes on unharmed."""
    signal = _ecg()
    line = _line()
    row = line.claim()
    told = _feed(line, row, signal[:1000], [250])
    block = _block([row], [1000], signal[np.newaxis, 1000:1200])
    block.trusted[0, 7] = False
    with pytest.raises(ValueError, match=r"\[0\].*untrusted"):
        line.process(block)
    told = _feed(line, row, signal, [250], begin=1000, told=told)
    assert _finish(line, row, told).digest() == _whole().digest()


def test_misplaced_blocks_are_refused() -> None:
    """Blocks that do not follow, go back or are too long are refused, and the row goes on unharmed."""
    signal = _ecg()
    line = _line()
    row = line.claim()
    told = _feed(line, row, signal[:1000], [250])
    for first in (999, 1001, 0):
        with pytest.raises(ValueError, match="restart"):
            line.process(_block([row], [first], signal[np.newaxis, :10]))
    with pytest.raises(ValueError, match="at most"):
        line.sense(_block([row], [1000], signal[np.newaxis, 1000:1361]))
    with pytest.raises(ValueError, match="cannot go back"):
        line.restart(np.array([row]), np.array([999]))
    told = _feed(line, row, signal, [250], begin=1000, told=told)
    assert _finish(line, row, told).digest() == _whole().digest()


def test_an_empty_block_changes_nothing() -> None:
    """A block of no samples brings nothing and leaves the row as it was."""
    line = _line()
    row = line.claim()
    told = _feed(line, row, _ecg()[:1000], [250])
    output = line.process(_block([row], [1000], np.empty((1, 0), np.float32)))
    assert output.filtered.shape == (1, 0)
    assert len(output.peaks) == len(output.beats) == len(output.events) == 0
    told = _feed(line, row, _ecg(), [250], begin=1000, told=told)
    assert _finish(line, row, told).digest() == _whole().digest()


def test_a_row_claimed_again_is_a_fresh_one() -> None:
    """A released row keeps nothing for the strap that claims it next, not even limits."""
    line = _line(capacity=1)
    row = line.claim(limits=AthleteLimits(pause_s=1.0))
    _feed(line, row, 20.0 * _ecg(2)[:5000], [1000])
    line.restart(np.array([row]), np.array([6000]), lead_off=True)
    line.release(row)
    assert line.claim() == row
    assert line.quality_of(row)[1:] == ("settling", 0.0)
    # What leaves with the row, to a snapshot or an alarm's evidence, is somebody else's signal no more than its beats.
    fresh = _line(capacity=1)
    expected = fresh.export_row(fresh.claim())
    for stage, state in line.export_row(row).items():
        for name, value in state.items():
            np.testing.assert_array_equal(value, expected[stage][name], err_msg=f"{stage}.{name}")
    assert _finish(line, row, _feed(line, row, _ecg(), [1000])).digest() == _whole().digest()


def test_an_athlete_has_limits_of_their_own() -> None:
    """Limits given with a claim decide for that row only."""
    line = _line(capacity=2)
    rows = [line.claim(limits=AthleteLimits(tachycardia_bpm=60.0)), line.claim()]
    tachycardias = [
        sum(event.kind == "tachycardia" for event in _feed(line, row, _ecg()[:9000], [360]).events)
        for row in rows
    ]
    assert tachycardias[0] >= 1
    assert tachycardias[1] == 0


def test_a_row_begins_at_any_sample() -> None:
    """A strap first seen at a late sample gives what it would have given at 0, moved by that much."""
    first = 7_000_000_123
    line = _line()
    row = line.claim(first)
    signal = _ecg()
    told = Told()
    for begin in range(0, len(signal), 300):
        output = line.process(_block([row], [first + begin], signal[np.newaxis, begin : begin + 300]))
        told.take(output, row, 0)
    _finish(line, row, told)
    assert (told.all_peaks.r_sample - first).tolist() == _whole().all_peaks.r_sample.tolist()
    assert told.all_beats.window.tobytes() == _whole().all_beats.window.tobytes()
    moved = [(e.kind, e.transition, e.onset_sample - first, e.known_sample - first) for e in told.events]
    assert moved == [(e.kind, e.transition, e.onset_sample, e.known_sample) for e in _whole().events]


def test_the_bank_grows_under_running_rows() -> None:
    """Claiming rows beyond the capacity keeps those that run, gives each row once, and release gives it back."""
    line = _line(capacity=1)
    rows = [line.claim()]
    told = Told()
    for begin in range(0, 14_400, 1200):
        _feed(line, rows[0], _ecg()[: begin + 1200], [400], begin=begin, told=told)
        rows.append(line.claim())
    assert len(set(rows)) == len(rows)
    assert _finish(line, rows[0], told).digest() == _whole().digest()
    line.release(rows[3])
    with pytest.raises(ValueError, match="free already"):
        line.release(rows[3])
    with pytest.raises(ValueError, match="no row"):
        line.release(1000)
    assert line.claim() == rows[3]


def test_the_history_reaches_as_far_as_a_late_beat_needs() -> None:
    """The latest beat that gets a window finds all of it in the history, at the end of the longest block."""
    reach_s = (denoise.SEGMENT_POINTS + 10) / denoise.GRID_HZ
    assert LATEST_S + MAX_BLOCK_S + reach_s <= HISTORY_S


@pytest.mark.data
@pytest.mark.parametrize("name", ["mitdb/208", "mitdb/232", "edb/e0103", "svdb/800"])
def test_real_records(name: str, recordings: Path) -> None:
    """On real records too: the same bits in any blocks, nothing known is changed by the future, no beat is lost."""
    record = read_record(name, database=recordings)
    signal = record.millivolts[: int(60 * record.rate_hz)]
    gaps = (Gap(5000, 5400), Gap(7000, 7300, lead_off=True))
    whole = _alone(signal, rate_hz=record.rate_hz)
    gapped = _alone(signal, rate_hz=record.rate_hz, gaps=gaps)
    for lengths in ([1] * 500 + [97], [7, 73, 1, 511, 90]):
        assert _alone(signal, lengths, rate_hz=record.rate_hz).digest() == whole.digest()
        assert _alone(signal, lengths, rate_hz=record.rate_hz, gaps=gaps).digest() == gapped.digest()
    _assert_consistent(whole)
    _assert_consistent(gapped)
    random = np.random.default_rng(0)
    for sample in random.integers(1000, len(signal) - 1000, 8).tolist():
        corrupt = signal.copy()
        corrupt[sample + 1 :] = random.normal(0.0, 1.0, len(signal) - sample - 1)
        assert _alone(corrupt, rate_hz=record.rate_hz).known_by(sample) == whole.known_by(sample)


@pytest.mark.data
def test_packet_loss_in_bigeminy_is_no_asystole(recordings: Path) -> None:
    """With one packet in twenty lost the small beats of mitdb/228 are not taken for noise, and nothing is alarmed."""
    record = read_record("mitdb/228", database=recordings)
    assert record.truth is not None
    packet = round(0.25 * record.rate_hz)
    samples = record.millivolts[: 600 * round(record.rate_hz)]
    random = np.random.default_rng(0)
    line = Line(rate_hz=record.rate_hz)
    row = np.array([line.claim()])
    heard = np.zeros(len(samples), np.bool_)
    peaks: list[int] = []
    kinds: set[str] = set()
    for first in range(0, len(samples) - packet, packet):
        if random.random() < 0.05:
            continue
        heard[first : first + packet] = True
        outputs = []
        if line.history.end[row[0]] != first:
            outputs.append(line.restart(row, np.array([first])))
        block = samples[np.newaxis, first : first + packet]
        outputs.append(line.process(Block(row, np.array([first]), block, np.ones(block.shape, np.bool_))))
        for output in outputs:
            peaks += output.peaks.r_sample.tolist()
            kinds |= {event.kind for event in output.events}
    found = np.array(peaks)
    reference = [r for r in record.truth.r_samples.tolist() if r < len(samples) and heard[r]]
    missed = sum(bool(np.abs(found - r).min() > 0.15 * record.rate_hz) for r in reference)
    assert missed < 0.12 * len(reference)
    assert "asystole" not in kinds
