"""Radio trouble: the same seed gives the same trouble, and the ledger accounts for every packet."""

import io
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import UsageError
from simulators.annotations import Truth
from simulators.ledger import Ledger, LedgerEntry, TroubleEntry, TroubleKind
from simulators.radio import Radio, RadioSettings, Stretch, Transmission
from simulators.records import record_of_counts
from simulators.strap import ScheduledPacket, Strap

_PACKETS = 400


def _packets() -> list[ScheduledPacket]:
    n = _PACKETS * 25
    beats = np.arange(10, n, 70)
    record = record_of_counts(
        name="test/r",
        rate_hz=100.0,
        lead="I",
        counts=(np.arange(n) % 1000 + 1).astype(np.int16),
        microvolts_per_count=1.0,
        truth=Truth(beats, np.zeros(len(beats), np.int8), np.empty((0, 2), np.int64), 100.0),
    )
    return list(Strap(record=record, team="t", athlete="a", strap="s", boot=1).packets(start_at=0.0))


def _run(
    radio: RadioSettings, *, seed: int = 1, athlete: str = "a"
) -> tuple[list[Transmission], Ledger, list[ScheduledPacket]]:
    ledger = Ledger(keep=True)
    packets = _packets()
    transmissions = list(Radio(radio, seed=seed, team="t", athlete=athlete, ledger=ledger).transmit(packets))
    return transmissions, ledger, packets


def _sequences(ledger: Ledger, cause: str) -> list[int]:
    return [entry.sequence for entry in ledger.entries if entry.cause == cause]


def test_a_perfect_radio_changes_nothing() -> None:
    """Without trouble every packet goes out once, as it is, when it is due."""
    transmissions, ledger, packets = _run(RadioSettings())
    assert [(t.at_s, t.scheduled, t.duplicate) for t in transmissions] == [
        (p.due_s, p, False) for p in packets
    ]
    assert not ledger.entries


_share = st.floats(0.0, 1.0)


@settings(deadline=None, max_examples=30)
@given(loss=_share, duplicates=_share, reorder=_share, jitter_s=st.floats(0.0, 2.0), seed=st.integers(0, 99))
def test_every_packet_is_accounted_for(
    loss: float, duplicates: float, reorder: float, jitter_s: float, seed: int
) -> None:
    """Each packet either goes out for the first time once, or is in the ledger as lost; doubles come on top."""
    radio = RadioSettings(
        loss=loss,
        duplicates=duplicates,
        reorder=reorder,
        jitter_s=jitter_s,
        dropouts=(Stretch(10.0, 5.0), Stretch(15.0, 1.0)),
        dropouts_lost=(Stretch(40.0, 5.0),),
        lead_off=(Stretch(60.0, 10.0),),
    )
    transmissions, ledger, packets = _run(radio, seed=seed)
    first = Counter(t.scheduled.packet.sequence for t in transmissions if not t.duplicate)
    lost = Counter(_sequences(ledger, "lost") + _sequences(ledger, "lost_in_dropout"))
    assert first + lost == Counter(p.packet.sequence for p in packets)
    at_s = [t.at_s for t in transmissions]
    assert at_s == sorted(at_s)
    assert all(t.at_s >= t.scheduled.due_s for t in transmissions)
    assert not any(10.0 <= t.at_s < 16.0 or 40.0 <= t.at_s < 45.0 for t in transmissions)
    for t in transmissions:
        if t.duplicate:
            assert t.scheduled.packet.sequence in first


def test_seeded() -> None:
    """Equal seeds give equal trouble; another seed or another athlete gives other trouble."""
    radio = RadioSettings(loss=0.2, duplicates=0.2, reorder=0.2, jitter_s=0.1)
    again, other_seed, other_athlete = _run(radio), _run(radio, seed=2), _run(radio, athlete="b")
    assert _run(radio)[0] == again[0]
    assert _run(radio)[1].entries == again[1].entries
    assert again[0] != other_seed[0]
    assert again[0] != other_athlete[0]


def test_losses_do_not_depend_on_other_trouble() -> None:
    """The same packets are lost with and without duplication, reordering and jitter."""
    alone = _sequences(_run(RadioSettings(loss=0.1))[1], "lost")
    crowd = _sequences(_run(RadioSettings(loss=0.1, duplicates=0.5, reorder=0.5, jitter_s=1.0))[1], "lost")
    assert alone == crowd
    assert 0.05 * _PACKETS < len(alone) < 0.15 * _PACKETS


def test_reordered_packets_are_overtaken() -> None:
    """What the ledger calls reordered goes out after a packet that came later."""
    transmissions, ledger, _ = _run(RadioSettings(reorder=0.1))
    order = [t.scheduled.packet.sequence for t in transmissions]
    overtaken = {s for at, s in enumerate(order) if any(earlier > s for earlier in order[:at])}
    reordered = set(_sequences(ledger, "reordered"))
    assert len(reordered) > 20
    # A late packet at the very end has nobody left to overtake it.
    assert {s for s in reordered if s < _PACKETS - 5} <= overtaken | {
        s for s in reordered if s + 1 in reordered
    }


def test_dropout_ends_in_a_flood() -> None:
    """What was due during a dropout comes in order when it ends, or never."""
    transmissions, ledger, _ = _run(RadioSettings(dropouts=(Stretch(10.0, 5.0),)))
    flood = [t.scheduled.packet.sequence for t in transmissions if t.at_s == 15.0]
    assert flood == list(range(39, 60))
    assert _sequences(ledger, "held_in_dropout") == flood[:-1]
    never, ledger, _ = _run(RadioSettings(dropouts_lost=(Stretch(10.0, 5.0),)))
    assert _sequences(ledger, "lost_in_dropout") == list(range(39, 59))
    assert len(never) == _PACKETS - 20


def test_lead_off_says_so() -> None:
    """Without contact packets keep their place and length, hold zeros, and have nothing to be scored."""
    transmissions, ledger, packets = _run(RadioSettings(lead_off=(Stretch(10.0, 5.0),)))
    off = {t.scheduled.packet.sequence for t in transmissions if t.scheduled.packet.lead_off}
    assert sorted(off) == _sequences(ledger, "lead_off") == list(range(39, 59))
    for t, p in zip(transmissions, packets, strict=True):
        truth = t.scheduled.truth
        assert truth is not None
        assert t.scheduled.packet.end_sample == p.packet.end_sample
        assert truth.scored == (not t.scheduled.packet.lead_off)
        assert t.scheduled.packet.counts().any() == (not t.scheduled.packet.lead_off)


def test_ledger_lines() -> None:
    """A ledger written as lines of JSON can be read back entry by entry, and counts what was entered."""
    file = io.StringIO()
    ledger = Ledger(file=file, keep=True)
    list(Radio(RadioSettings(loss=0.3), seed=0, team="t", athlete="a", ledger=ledger).transmit(_packets()))
    lines = file.getvalue().splitlines()
    assert [msgspec.json.decode(line, type=LedgerEntry) for line in lines] == ledger.entries
    assert ledger.counts["lost"] == ledger.packets == len(lines) > 0
    assert ledger.transmissions == 0


def test_wrong_values_are_refused() -> None:
    """What is no probability or no stretch of time is named."""
    for wrong, text in (
        ({"loss": 1.5}, "loss 1.5"),
        ({"reorder": float("nan")}, "reorder nan"),
        ({"jitter_s": -1.0}, "jitter -1"),
        ({"dropouts": (Stretch(1.0, 0.0),)}, "stretch 1:0"),
        ({"lead_off": (Stretch(-1.0, 1.0),)}, "stretch -1:1"),
    ):
        with pytest.raises(UsageError, match=text):
            RadioSettings(**wrong)


def test_news_blame_no_clock() -> None:
    """A scorer hears of troubles that make beats hard to find; not of clocks, nor of the radio's plans."""
    ledger = Ledger()
    news = ledger.news("red", "ada", "ada", 1)
    kinds: tuple[TroubleKind, ...] = ("noise", "clock_drift", "clock_jump", "dropout", "lead_off", "gain")
    for kind in kinds:
        ledger.note_trouble(
            TroubleEntry(
                team="red", athlete="ada", strap="ada", boot=1, trouble=kind,
                first_sample=10, end_sample=20, at=0.0, end_at=1.0,
            )
        )  # fmt: skip
    assert news.troubles == [(10, 20, "noise"), (10, 20, "gain")]
