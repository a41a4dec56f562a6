"""Each trouble: the monitor behaves as the design says, and every beat, event and packet is accounted for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from scipy.signal import butter, sosfiltfilt

from monitor.link_health import LinkHealth
from monitor.watch import Watch
from simulators.ledger import Ledger
from simulators.scenario import parse_scenario
from simulators.scenario_offline import run_offline
from simulators.scenario_straps import Life, lives_of_scenario
from simulators.verdict import Verdict, judge

_SECONDS = 40


@dataclass
class _Run:
    verdict: Verdict
    ledger: Ledger
    lives: list[Life]
    kinds: dict[str, int] = field(default_factory=dict)


def _run(*straps: dict[str, Any], **content: Any) -> _Run:
    """Run straps for 40 s of virtual time, without a classifier: what is asked here needs no classes."""
    heart = {"rate_bpm": 90, "rate_hz": 250}
    tables = [
        {"athlete": "ada", **strap} if "record" in strap else {"athlete": "ada", "synthetic": heart, **strap}
        for strap in straps
    ]
    scenario = parse_scenario(
        {"title": "t", "seconds": _SECONDS, "seed": 3, "strap": tables, **content}, "test.toml"
    )
    ledger = Ledger(keep=True)
    lives = lives_of_scenario(scenario, speed=1.0, boot=1000)
    seen = run_offline(lives, Watch(classifier=None), ledger, seed=scenario.seed, tick_s=0.25)
    kinds: dict[str, int] = {}
    for _, alarm in seen.alarms:
        if alarm.transition == "raised":
            kinds[alarm.kind] = kinds.get(alarm.kind, 0) + 1
    return _Run(judge(scenario, lives, seen, ledger), ledger, lives, kinds)


def _found(run: _Run) -> list[tuple[str, str]]:
    return [(event.kind, event.why) for event in run.verdict.events if event.status == "found"]


_RADIO: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "loss": ({"loss": 0.1}, {"explained": 1}),
    "bursts": ({"bursts": {"enter": 0.05, "leave": 0.3}}, {"explained": 1}),
    "duplicates": ({"duplicates": 0.3}, {}),
    "reorder": ({"reorder": 0.2}, {}),
    "jitter": ({"jitter_s": 0.4}, {}),
    "everything": (
        {"loss": 0.05, "duplicates": 0.1, "reorder": 0.05, "jitter_s": 0.2, "dropouts": [[15, 3]]},
        {"explained": 1},
    ),
}


@pytest.mark.parametrize("name", _RADIO)
def test_radio(name: str) -> None:
    """Packets lost, doubled, overtaken or late: no beat missed without a cause, no gap an alarm, books balance."""
    radio, at_least = _RADIO[name]
    run = _run({"radio": radio})
    counts = run.verdict.beat_counts()
    assert run.verdict.failures == []
    assert (counts["missed"], counts["extra"]) == (0, 0)
    assert counts["truth"] == counts["found"] + counts["explained"] > 40
    assert counts["explained"] - run.verdict.explained_beats().get("end of signal", 0) >= at_least.get(
        "explained", 0
    )
    (account,) = run.verdict.accounts
    assert account.difference == 0
    assert account.packets == _SECONDS * 4
    assert account.repeats == account.duplicate
    assert account.counted_lost + account.at_an_edge == account.lost
    assert not set(run.kinds) & {"pause", "long_pause", "asystole", "bradycardia"}


def test_dropout_and_its_flood() -> None:
    """A strap out of reach is told silent; what it kept comes in a flood, and not one beat is missing."""
    run = _run({"radio": {"dropouts": [[12, 9]]}})
    assert _found(run) == [("strap_silent", "dropout")]
    assert run.verdict.failures == []
    assert set(run.verdict.explained_beats()) <= {"end of signal"}
    assert run.ledger.counts["held_in_dropout"] > 30


def test_dropout_that_is_lost() -> None:
    """What is lost in a dropout is counted packet by packet, and the hole is no pause."""
    run = _run({"radio": {"dropouts_lost": [[12, 9]]}})
    assert _found(run) == [("strap_silent", "dropout_lost"), ("packet_loss", "loss")]
    (account,) = run.verdict.accounts
    assert account.counted_lost == run.ledger.counts["lost_in_dropout"] == 36
    assert run.verdict.failures == []


def test_heavy_loss_is_told() -> None:
    """Who loses a third of the packets is told so; a burst as long as a silence is told as one; no beat is blamed."""
    run = _run({"radio": {"loss": 0.3}})
    assert _found(run) == [("packet_loss", "loss")]
    assert run.verdict.failures == []
    bursts = _run({"radio": {"bursts": {"enter": 0.05, "leave": 0.05}}})
    assert _found(bursts) == [("strap_silent", "loss"), ("packet_loss", "loss"), ("strap_silent", "loss")]
    assert bursts.verdict.failures == []
    assert bursts.verdict.beat_counts()["missed"] == 0
    assert set(run.kinds) | set(bursts.kinds) == {"packet_loss", "strap_silent"}


def test_loss_that_nobody_tells_is_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor that says nothing of lost packets and low batteries does not pass."""
    monkeypatch.setattr(LinkHealth, "look", lambda *_: [])
    run = _run({"radio": {"loss": 0.3}, "battery": {"begin": 0.2, "end": 0.1}})
    assert run.verdict.failures == [
        "1 battery_low missed; allowed are 0",
        "1 packet_loss missed; allowed are 0",
    ]


def test_lead_off_is_told_and_hides_no_asystole() -> None:
    """A lead that is off is told as that, and never as a heart that stands still."""
    run = _run({"radio": {"lead_off": [[12, 9]]}})
    assert _found(run) == [("lead_off", "lead_off")]
    assert run.verdict.explained_beats()["lead_off"] > 10
    assert run.verdict.failures == []
    assert set(run.kinds) == {"lead_off"}


def test_contact_lost_without_a_word() -> None:
    """Without a word from the strap both are told: the signal that stands still, and the heart that may."""
    run = _run({"contact_lost": [{"at_s": 12, "length_s": 9}]})
    assert ("flat", "contact_lost") in _found(run)
    assert "asystole" in run.kinds
    assert run.verdict.failures == []


def test_asystole_behind_an_open_input() -> None:
    """An open input that picks up noise may be taken for a heart, but every beat there is accounted to it."""
    run = _run({"contact_lost": [{"at_s": 12, "length_s": 9, "floating_mv": 0.3}]})
    assert run.verdict.beat_counts()["missed"] == 0
    assert run.verdict.accounts[0].difference == 0


def test_saturation_is_told() -> None:
    """An amplifier at its rail is told as that."""
    run = _run({"saturation": [{"at_s": 12, "length_s": 8}]})
    assert ("railed", "saturation") in _found(run)
    assert run.verdict.failures == []


@pytest.mark.parametrize(
    "strap",
    [
        {"inverted": [{"at_s": 15}]},
        {"gain": [{"at_s": 15, "factor": 0.4}]},
        {"gain": [{"at_s": 15, "factor": 3.0}]},
        {"clock": {"drift_ppm": 300}},
        {"clock": {"jumps": [[10, -7200.0], [20, 30.0]]}},
    ],
    ids=["inverted", "smaller", "larger", "drift", "jumps"],
)
def test_what_costs_nothing(strap: dict[str, Any]) -> None:
    """Polarity, gain and the strap's clock change no beat: R peaks are found by shape, RR intervals on samples."""
    run = _run(strap)
    assert run.verdict.failures == []
    assert set(run.verdict.explained_beats()) <= {"end of signal"}
    assert run.kinds == {}
    assert len(run.ledger.troubles) == len(strap.get("clock", {}).get("jumps", [0]))


@pytest.mark.parametrize("kind", ["mains", "wander", "muscle", "motion", "electrode", "white"])
def test_noise_at_12_db(kind: str) -> None:
    """At 12 dB no beat is lost to noise, and none invented but by electrodes that imitate them."""
    run = _run({"noise": [{"kind": kind, "at_s": 10, "length_s": 20, "snr_db": 12}]})
    counts = run.verdict.beat_counts()
    assert counts["missed"] == 0
    assert counts["extra"] <= (4 if kind == "electrode" else 0)
    assert run.verdict.accounts[0].difference == 0
    (trouble,) = run.ledger.troubles
    assert (trouble.trouble, trouble.first_sample, trouble.end_sample) == ("noise", 2500, 7500)
    assert trouble.end_at - trouble.at == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("kind", "snr_db"), [("white", -12), ("white", -18), ("white", -24), ("muscle", -24)]
)
def test_noise_that_hides_the_heart_is_told(kind: str, snr_db: float) -> None:
    """Where R peaks cannot be believed for ten seconds the signal is said to be noisy, and nobody to be ill."""
    run = _run({"noise": [{"kind": kind, "at_s": 10, "length_s": 28, "snr_db": snr_db}]})
    assert run.kinds == {"noisy": 1}
    assert run.verdict.false_alarms == []
    assert run.verdict.accounts[0].difference == 0


@pytest.mark.parametrize("hz", [50.0, 60.0])
def test_mains_of_both_halves_of_the_world(hz: float) -> None:
    """Mains as strong as the QRS complexes costs no beat, at 50 and at 60 Hz."""
    run = _run({"noise": [{"kind": "mains", "hz": hz, "snr_db": 0}]})
    assert run.verdict.failures == []
    assert run.kinds == {}
    assert run.ledger.troubles[0].detail == {"kind": "mains", "snr_db": 0.0}


def test_a_recorded_noise(tmp_path: Path) -> None:
    """Any WFDB record may be the noise: it is scaled, entered under its name, and costs no beat at 12 dB."""
    samples = np.cumsum(np.random.default_rng(2).standard_normal((36_000, 1)), axis=0)
    samples -= sosfiltfilt(butter(2, 0.5, fs=360.0, output="sos"), samples, axis=0)
    wfdb.wrsamp(
        "shoes",
        fs=360,
        units=["mV"],
        sig_name=["noise"],
        p_signal=samples,
        fmt=["16"],
        write_dir=str(tmp_path),
    )
    run = _run({"noise": [{"kind": "record", "record": str(tmp_path / "shoes"), "snr_db": 12, "at_s": 10}]})
    assert run.verdict.failures == []
    (trouble,) = run.ledger.troubles
    assert trouble.detail == {"kind": f"{tmp_path.name}/shoes", "snr_db": 12.0}


def test_samples_lost_inside_the_strap() -> None:
    """A jump of the sample counter without a lost packet is a gap like any other, counted once."""
    run = _run({"skips": [[12.1, 1.2], [20, 5]]})
    (account,) = run.verdict.accounts
    assert run.verdict.failures == []
    assert (account.skipped, account.counted_lost) == (2, 2)
    assert not set(run.kinds) & {"pause", "asystole"}


def test_reboot() -> None:
    """A strap that starts again begins anew: two boots, no beat missing of either, no pause between them."""
    run = _run({"reboot": [{"at_s": 18, "off_s": 3}]})
    assert [life.strap.boot for life in run.lives] == [1000, 1001]
    assert run.verdict.failures == []
    assert [len(beats.truth) > 15 for beats in run.verdict.beats] == [True, True]
    assert not set(run.kinds) & {"pause", "asystole"}


def test_low_battery_is_told() -> None:
    """A battery that runs down is told once, from 15 percent on; of another strap's nobody must hear."""
    run = _run({"battery": {"begin": 0.2, "end": 0.1}})
    assert _found(run) == [("battery_low", "battery_low")]
    (event,) = run.verdict.events
    assert event.at_s == pytest.approx(20.0)
    assert run.verdict.failures == []
    assert run.kinds == {"battery_low": 1}
    assert _run({}, {"strap": "other", "joins_s": 1, "battery": {"begin": 0.1}}).verdict.failures == []


def test_empty_battery() -> None:
    """A strap whose battery is empty is gone without a farewell, and is told silent at once."""
    run = _run({"battery": {"begin": 0.1, "end": 0.0}, "leaves_s": 30})
    assert ("strap_silent", "battery_empty") in _found(run)
    assert run.verdict.failures == []


def test_two_straps_by_one_name() -> None:
    """The strap that was first keeps the name; the other's packets are counted, and none of its beats told."""
    run = _run({}, {"strap": "other", "joins_s": 10, "leaves_s": 30})
    (account,) = run.verdict.accounts
    assert run.verdict.failures == []
    assert account.other == 80
    both = [trouble for trouble in run.ledger.troubles if trouble.trouble == "other_strap"]
    assert [(one.strap, one.first_sample, one.end_sample) for one in both] == [
        ("ada", 2500, 7500),
        ("other", 0, 5000),
    ]
    assert [beats.found for beats in run.verdict.beats][1] == 0
    assert run.verdict.explained_beats()["other_strap"] > 20


def test_second_strap_takes_over() -> None:
    """Once the first strap has been silent for 5 s the second one is heard, and not before."""
    run = _run({"leaves_s": 15}, {"strap": "other", "joins_s": 12})
    assert run.verdict.failures == []
    assert run.verdict.beats[1].found > 20


def test_true_episodes_are_found_and_only_they() -> None:
    """A pause and an asystole of a synthetic heart are found where they are, and nothing else is told."""
    events = [
        {"event": "pause", "at_s": 10, "length_s": 3.0},
        {"event": "asystole", "at_s": 22, "length_s": 7.0},
    ]
    run = _run({"synthetic": {"rate_bpm": 90, "rate_hz": 250, "events": events}})
    assert [kind for kind, _ in _found(run)] == ["pause", "asystole"]
    assert run.verdict.failures == []


def test_same_seed_same_run() -> None:
    """Two runs with one seed are the same to the last entry of the ledger; another seed is another run."""
    strap = {"radio": {"loss": 0.1, "jitter_s": 0.2}, "noise": [{"kind": "muscle", "snr_db": 18}]}
    first, again, other = _run(strap), _run(strap), _run(strap, seed=4)
    assert first.ledger.entries == again.ledger.entries
    assert first.verdict.beats[0].found == again.verdict.beats[0].found
    assert first.ledger.entries != other.ledger.entries
