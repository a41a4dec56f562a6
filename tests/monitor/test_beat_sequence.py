"""A beat among those before it: described causally, whatever the pieces, by rows that can leave."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.beat_sequence import SEQUENCE_FIELDS, SequenceBank
from monitor.contract import AAMI_CLASSES, CONTEXT_FIELDS, UNSURE_LABEL, WINDOW_POINTS, Beats, FloatArray
from monitor.sequence_network import SequenceNetwork
from monitor.template import LONG_GAP_S

RATE_HZ = 360.0
PLACE = {name: place for place, name in enumerate(SEQUENCE_FIELDS)}
_USUAL = CONTEXT_FIELDS.index("rr_before_usual_ratio")
_TIME_S = (np.arange(WINDOW_POINTS) - WINDOW_POINTS // 2) / 360.0


def _beats(
    rr_s: list[float], *, p_waves: NDArray[np.float64] | None = None, seed: int = 0, row: int = 0
) -> Beats:
    """Return beats of one row with RR intervals and sizes of P waves, as the stages before would give them."""
    n = len(rr_s)
    random = np.random.default_rng(seed)
    rr = np.array(rr_s)
    r_sample = np.rint((1.0 + np.cumsum(rr)) * RATE_HZ).astype(np.int64)
    context = np.full((n, len(CONTEXT_FIELDS)), np.nan, np.float32)
    context[1:, 0] = rr[1:]
    context[:-1, 1] = rr[1:]
    context[:, CONTEXT_FIELDS.index("qrs_correlation")] = 1.0
    qrs = np.exp(-0.5 * (_TIME_S / 0.015) ** 2)
    p_wave = np.exp(-0.5 * ((_TIME_S + 0.16) / 0.02) ** 2)
    sizes = np.full(n, 0.15) if p_waves is None else p_waves
    window = qrs + sizes[:, np.newaxis] * p_wave + 0.005 * random.standard_normal((n, WINDOW_POINTS))
    probabilities = random.dirichlet([8, 1, 1, 0.2, 0.2], n).astype(np.float32)
    return replace(
        Beats.empty(),
        rows=np.full(n, row),
        r_sample=r_sample,
        known_sample=r_sample + 299,
        rr_s=context[:, 0].copy(),
        quality=np.ones(n, np.float32),
        complete=np.ones(n, np.bool_),
        window=window.astype(np.float32),
        template=np.tile(qrs, (n, 1)).astype(np.float32),
        context=context,
        probabilities=probabilities,
        label=probabilities.argmax(axis=1).astype(np.int8),
    )


def _plain(probabilities: FloatArray, described: FloatArray) -> tuple[FloatArray, FloatArray]:
    logits = np.log(np.maximum(probabilities, 1e-4)).astype(np.float32)
    return np.concatenate([logits, np.nan_to_num(described)], axis=1, dtype=np.float32), logits


def _network(members: int = 2, width: int = 4) -> SequenceNetwork:
    random = np.random.default_rng(3)
    classes = len(AAMI_CLASSES)

    def some(*shape: int) -> FloatArray:
        return (0.3 * random.standard_normal(shape)).astype(np.float32)

    return SequenceNetwork(
        encode=_plain,
        enter=some(members, classes + len(SEQUENCE_FIELDS), width),
        enter_bias=some(members, width),
        joint=some(members, width, width),
        joint_bias=some(members, width),
        last=some(members, width, classes),
        last_bias=some(members, classes),
        skip=np.ones(members, np.float32),
        class_bias=np.zeros(classes, np.float32),
        temperature=1.0,
        unsure_below=0.3,
    )


def _described(beats: Beats, name: str) -> FloatArray:
    answer: FloatArray = SequenceBank(RATE_HZ, capacity=1).describe(beats)[:, PLACE[name]]
    return answer


def test_where_early_beats_are_the_rule_pauses_tell_the_measure_of_time() -> None:
    """Four early beats after each long interval: they stay early, and beats after a pause in time."""
    rr = [0.8] * 20 + [1.5, 0.7, 0.7, 0.7, 0.7] * 20
    ratio = _described(_beats(rr), "rr_before_long_ratio")[60:]
    late = np.array(rr[60:]) > 1.0
    assert ratio[late] == pytest.approx(1.0, abs=0.01)
    assert ratio[~late] == pytest.approx(0.7 / 1.5, abs=0.01)


def test_fibrillation_is_irregular_and_bigeminy_is_not() -> None:
    """Entropy and the map of RR intervals part a wholly irregular rhythm from one that merely alternates."""
    random = np.random.default_rng(1)
    wild = _beats(random.uniform(0.4, 1.1, 100).tolist())
    even = _beats([0.6, 1.0] * 50)
    for name in ("rr_entropy", "rr_cells_share"):
        assert _described(wild, name)[40:].min() > _described(even, name)[40:].max()


def test_p_waves_that_are_there_agree() -> None:
    """P waves alike from beat to beat are coherent; noise alone is not."""
    assert _described(_beats([0.8] * 80), "p_coherence")[60] > 0.9
    assert _described(_beats([0.8] * 80, p_waves=np.zeros(80)), "p_coherence")[60] < 0.4


@given(cuts=st.lists(st.integers(1, 59), max_size=6), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_pieces_do_not_matter_and_nothing_is_known_of_later_beats(cuts: list[int], seed: int) -> None:
    """Beats in pieces, between which the row moves to another bank, are described bit for bit as all at once."""
    random = np.random.default_rng(seed)
    beats = _beats(random.uniform(0.4, 1.2, 60).tolist(), seed=seed)
    whole = SequenceBank(RATE_HZ, capacity=1).describe(beats)
    bank, row = SequenceBank(RATE_HZ, capacity=1), 0
    parts = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), 60], strict=True):
        part = beats.take(slice(begin, end))
        parts.append(bank.describe(replace(part, rows=np.full(len(part), row))))
        other = SequenceBank(RATE_HZ, capacity=3)
        other.import_row(2, bank.export_row(row))
        bank, row = other, 2
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_rows_are_apart() -> None:
    """Two athletes' beats, mixed in one call, are judged as each alone."""
    one, other = _beats([0.8] * 40, seed=1), _beats([0.5, 0.9] * 20, seed=2)
    bank = SequenceBank(RATE_HZ, capacity=2, network=_network())
    both = Beats.join([one, replace(other, rows=np.ones(40, np.int64))])
    mixed = both.take(np.arange(80).reshape(2, 40).T.ravel())
    answer = bank.process(mixed)
    for row, beats in ((0, one), (1, other)):
        alone = SequenceBank(RATE_HZ, capacity=1, network=_network()).process(beats)
        np.testing.assert_allclose(
            answer.probabilities[answer.rows == row], alone.probabilities, rtol=1e-5, atol=1e-6
        )


def test_a_run_is_measured_by_the_rhythm_that_it_broke_into() -> None:
    """Hundreds of even beats on, a run that began at once is still measured by the interval before it; then it ends."""
    rr = [0.9] * 20 + [0.45] * 300 + [0.9] * 5
    ratio, length = (_described(_beats(rr), name) for name in ("run_rr_ratio", "run_length"))
    assert np.isnan(ratio[:20]).all()
    assert ratio[20:320] == pytest.approx(0.5, abs=0.01)
    assert (np.diff(length[19:320]) > 0).all()
    assert np.isnan(ratio[320:]).all()
    assert not length[320:].any()


def test_what_exertion_makes_fast_is_no_run() -> None:
    """As fast, but by 3 % a beat: no run begins, and an unknown interval ends one."""
    slow_to_fast = 0.9 * 0.97 ** np.minimum(np.arange(300), 23)
    assert np.isnan(_described(_beats([0.9] * 20 + slow_to_fast.tolist()), "run_rr_ratio")).all()
    beats = _beats([0.9] * 20 + [0.45] * 20)
    beats.context[30, 0] = np.nan
    assert np.isfinite(_described(beats, "run_rr_ratio")[29])
    assert np.isnan(_described(beats, "run_rr_ratio")[30:]).all()


@pytest.mark.parametrize(
    "broken",
    [[1.2] * 4, [1.2] * 8, [0.35, 0.85] * 6],
    ids=["a few beats not found", "many", "bigeminy"],
)
def test_the_own_rhythm_come_back_is_no_run(broken: list[float]) -> None:
    """After intervals that the sinus node did not keep, its rhythm of before is no sudden tachycardia."""
    beats = _beats([0.6] * 30 + broken + [0.57] * 40)
    beats.context[:, _USUAL] = beats.context[:, 0] / 0.6
    assert not _described(beats, "run_length")[30 + len(broken) :].any()


def test_an_even_rhythm_of_before_is_a_measure_though_the_usual_one_is_fast() -> None:
    """A long tachycardia leaves its interval as the usual one; the next is a run for all that."""
    beats = _beats([0.9] * 20 + [0.6] * 40)
    beats.context[:, _USUAL] = beats.context[:, 0] / 0.55
    assert (_described(beats, "run_length")[20:60] > 0).all()


def test_a_run_whose_rate_moves_ends() -> None:
    """An even run lasts; one that gets as much as a fifth faster beat by beat was the sinus node at work."""
    steady, moving = [0.6] * 60, (0.6 * 0.99 ** np.arange(60)).tolist()
    lengths = [_described(_beats([0.9] * 20 + run), "run_length") for run in (steady, moving)]
    assert lengths[0][79] > 0
    assert lengths[1][35] > 0
    assert lengths[1][79] == 0


def test_a_fast_start_of_exertion_is_no_run() -> None:
    """By 6 % a beat the median of the last eight intervals is soon left behind, but no beat comes at once."""
    sprint = 0.9 * 0.94 ** np.minimum(np.arange(60), 12)
    assert not _described(_beats([0.9] * 20 + sprint.tolist()), "run_length").any()


def test_a_long_gap_is_forgotten() -> None:
    """After more than a minute without a beat nothing of before is known."""
    beats = _beats([0.8] * 40 + [LONG_GAP_S + 1.0] + [0.8] * 3)
    assert np.isfinite(_described(beats, "rr_before_long_ratio")[39])
    assert np.isnan(_described(beats, "rr_before_long_ratio")[40])


def test_without_a_network_beats_keep_their_class() -> None:
    """What has no second judge comes out as it went in."""
    beats = _beats([0.8] * 10)
    assert SequenceBank(RATE_HZ, capacity=1).process(beats) is beats


def test_beats_of_poor_quality_are_unsure() -> None:
    """Below the threshold no class is told, however likely; right after a start, of quality 0, and above it is."""
    network = replace(_network(), unsure_below=0.0, poor_below=0.5)
    beats = replace(_beats([0.8] * 4), quality=np.array([0.0, 0.49, 0.5, 1.0], np.float32))
    answer = SequenceBank(RATE_HZ, capacity=1, network=network).process(beats)
    assert (answer.label == UNSURE_LABEL).tolist() == [False, True, False, False]
    assert (answer.probabilities.max(axis=1) > 0).all()


def test_a_window_without_its_qrs_complex_is_unsure() -> None:
    """Flat against the usual complex: unsure. Small, or with no usual one known yet: not."""
    network = replace(_network(), unsure_below=0.0)
    beats = _beats([0.8] * 4)
    beats.window[1] *= 0.1
    beats.window[2] *= 0.25
    beats.window[3] *= 0.1
    beats.template[3] = 0.0
    answer = SequenceBank(RATE_HZ, capacity=1, network=network).process(beats)
    assert (answer.label == UNSURE_LABEL).tolist() == [False, True, False, False]


def test_beats_without_a_class_stay_unsure() -> None:
    """A beat that a gap cut short, or that no backend could name, has no class in sequence either."""
    beats = replace(_beats([0.8] * 10), complete=np.arange(10) != 4)
    beats.probabilities[4] = 0.0
    answer = SequenceBank(RATE_HZ, capacity=1, network=_network()).process(beats)
    assert answer.label[4] == UNSURE_LABEL
    assert not answer.probabilities[4].any()
    np.testing.assert_allclose(answer.probabilities[beats.complete].sum(axis=1), 1, atol=1e-5)


def _always_v(network: SequenceNetwork) -> FloatArray:
    correction = np.zeros((len(AAMI_CLASSES), network.hidden + 1), np.float32)
    correction[AAMI_CLASSES.index("V"), -1] = 20.0
    return correction


def test_a_correction_belongs_to_one_row() -> None:
    """What is corrected for one athlete changes no other, and moves with the row."""
    network = _network()
    correction = _always_v(network)
    bank = SequenceBank(RATE_HZ, capacity=2, network=network)
    bank.correct(1, correction)
    beats = _beats([0.8] * 10)
    assert (bank.process(replace(beats, rows=np.ones(10, np.int64))).label == AAMI_CLASSES.index("V")).all()
    alone = SequenceBank(RATE_HZ, capacity=1, network=network).process(beats)
    assert bank.process(beats).probabilities.tobytes() == alone.probabilities.tobytes()
    moved = SequenceBank(RATE_HZ, capacity=1, network=network)
    moved.import_row(0, bank.export_row(1))
    assert (moved.process(beats).label == AAMI_CLASSES.index("V")).all()


def test_a_correction_goes_with_its_athlete() -> None:
    """A strap that begins in the row has none; one that is damaged, or of another network, is refused whole."""
    network = _network()
    correction = _always_v(network)
    bank = SequenceBank(RATE_HZ, capacity=1, network=network)
    bank.correct(0, correction)
    state = bank.export_row(0)
    bank.forget(np.array([0]))
    plain = bank.export_row(0)
    beats = _beats([0.8] * 10)
    alone = SequenceBank(RATE_HZ, capacity=1, network=network).process(beats).probabilities.tobytes()
    assert bank.process(beats).probabilities.tobytes() == alone
    for damaged in (correction[:, 1:], correction.astype(np.int64)):
        with pytest.raises(ValueError, match="correction"):
            bank.import_row(0, {**state, "correction": damaged})
    bank.import_row(0, state)
    with pytest.raises(ValueError, match="version"):
        bank.import_row(0, {**plain, "version": np.array(0)})
    assert (bank.process(beats).label == AAMI_CLASSES.index("V")).all()
    bank.import_row(0, plain)
    assert bank.process(beats).probabilities.tobytes() == alone
