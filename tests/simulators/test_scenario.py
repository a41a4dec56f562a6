"""Scenario files: what is wrong is named with file, key and the closest key; what is right becomes straps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.errors import SettingsError, UsageError
from simulators.scenario import load_scenario, own_limits, parse_scenario, shipped_scenarios
from simulators.scenario_straps import lives_of_scenario

_STRAP: dict[str, Any] = {"athlete": "ada", "synthetic": {"rate_bpm": 80}}
_LISTED = {
    "quiet-squad",
    "interval-training",
    "strap-falling-off",
    "stadium-radio",
    "broker-restart",
    "sprint-ventricular-run",
    "fibrillation-after-effort",
    "asystole-strap-on",
    "asystole-strap-off",
    "collapse",
    "thundering-herd",
    "restless-straps",
    "noise-stress",
}


def _refused(**content: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        parse_scenario({"title": "t", "seconds": 20, "strap": [_STRAP], **content}, "training.toml")
    text = str(refused.value)
    assert "\n" not in text
    assert text.startswith("scenario training.toml: ")
    return text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"secnds": 3}, "unknown key 'secnds'; did you mean 'seconds'?"),
        ({"strap": [{**_STRAP, "radio": {"los": 0.1}}]}, "'strap[0].radio.los'; did you mean 'loss'?"),
        (
            {"strap": [{**_STRAP, "radio": {"bursts": {"enter": 0.1, "leaves": 1}}}]},
            "'strap[0].radio.bursts.leaves'; did you mean 'leave'?",
        ),
        ({"strap": [{**_STRAP, "noise": [{"kind": "mians"}]}]}, "strap[0].noise[0].kind is 'mians'"),
        ({"strap": [{"athlete": "ada"}]}, "give either record or synthetic"),
        ({"strap": [{"athlete": "a b", "record": "x"}]}, "strap[0].athlete is 'a b'"),
        (
            {"expect": [{"athlete": "adda", "alarm": "pause", "at_s": 1}]},
            "expect.athlete is 'adda'; did you mean 'ada'?",
        ),
        (
            {"expect": [{"athlete": "ada", "alarm": "paus", "at_s": 1}]},
            "expect.alarm is 'paus'; did you mean 'pause'?",
        ),
        ({"strap": [{"athlete": "a", "synthetic": {"heart": "usal"}}]}, "did you mean 'usual'?"),
        ({"strap": [{"athlete": "a", "synthetic": {"rate_bmp": 3}}]}, "did you mean 'rate_bpm'?"),
        (
            {"strap": [{"athlete": "a", "synthetic": {"events": [{"event": "pausee", "at_s": 3}]}}]},
            "unknown event 'pausee'; did you mean 'pause'?",
        ),
        (
            {"strap": [{"athlete": "a", "synthetic": {"events": [{"event": "pause", "at": 3}]}}]},
            "unknown key 'at'; did you mean 'at_s'?",
        ),
        ({"strap": [{"athlete": "a", "synthetic": {"gain": "big"}}]}, "synthetic.gain is 'big'"),
        ({"seconds": -1}, "seconds is -1"),
        (
            {"strap": [{**_STRAP, "noise": [{"kind": "mains", "snr_db": 3, "at_s": 20}]}]},
            "strap of 'ada': noise at 20 s, but its session ends at 20 s",
        ),
        (
            {"strap": [{**_STRAP, "leaves_s": 15, "radio": {"dropouts": [[16, 2]]}}]},
            "radio.dropouts at 16 s, but its session ends at 15 s",
        ),
        ({"strap": [{**_STRAP, "clock": {"jumps": [[21, 2]]}}]}, "clock.jumps at 21 s"),
        ({"strap": [{**_STRAP, "reboot": [{"at_s": 30}]}]}, "reboot at 30 s"),
        ({"outage": [{"at_s": 21}]}, "outage at 21 s, but the session ends at 20 s"),
        ({"expect": [{"athlete": "ada", "alarm": "pause", "at_s": 21}]}, "expect of pause at 21 s"),
        ({"strap": []}, "strap is []"),
    ],
)
def test_what_is_wrong_is_named(content: dict[str, Any], said: str) -> None:
    """One line with the file, the key and what is close to it or allowed."""
    assert said in _refused(**content)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A name that is nearly one of ours is recognised; what is no TOML is said to be none."""
    with pytest.raises(SettingsError, match="did you mean quiet-squad"):
        load_scenario("quiet-squat")
    broken = tmp_path / "broken.toml"
    broken.write_text("title = ", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"broken\.toml: no TOML"):
        load_scenario(broken)


def test_shipped_scenarios_are_sound() -> None:
    """Every scenario that comes with the installation loads, and says what it is about."""
    assert set(shipped_scenarios()) >= _LISTED
    for name in shipped_scenarios():
        scenario = load_scenario(name)
        assert scenario.title
        assert len(scenario.description) > 40
        if name in {"restless-straps", "collapse"}:
            assert lives_of_scenario(scenario, speed=1.0)


def test_times_are_of_the_session() -> None:
    """A strap that joins late has its troubles when the file says, and its truth in its own samples."""
    strap = {
        "athlete": "ada",
        "synthetic": {"rate_bpm": 80, "rate_hz": 200},
        "joins_s": 10,
        "leaves_s": 40,
        "saturation": [{"at_s": 20, "length_s": 5}],
        "reboot": [{"at_s": 30, "off_s": 2}],
        "radio": {"dropouts": [[15, 2]]},
    }
    scenario = parse_scenario({"title": "t", "seconds": 60, "strap": [strap]}, "t.toml")
    first, second = lives_of_scenario(scenario, speed=4.0, boot=7)
    assert (first.strap.begins_s, second.strap.begins_s) == (10.0, 32.0)
    assert (first.end_sample, second.end_sample) == (4000, 1600)
    assert (first.strap.boot, second.strap.boot) == (7, 8)
    assert [(one.trouble, one.first_sample, one.end_sample) for one in first.troubles] == [
        ("saturation", 2000, 3000),
        ("dropout", 1000, 1400),
        ("reboot", 4000, 4000),
    ]
    # The radio's clock is the wall's: four times as fast.
    assert first.radio.dropouts[0] == (15 / 4, 2 / 4)
    assert first.session_s(2000) == pytest.approx(20.0)
    assert first.sample(20.0) == 2000
    for life in (first, second):
        assert life.truth is not None
        assert 0 <= life.truth.r_samples.min() <= life.truth.r_samples.max() < life.end_sample
    flat = first.strap.record.millivolts[2010:2990]
    assert np.ptp(flat) == pytest.approx(0.0)


def test_copies_differ_in_where_they_begin() -> None:
    """A herd's straps have names of their own and are not in step."""
    scenario = parse_scenario({"title": "t", "seconds": 10, "strap": [{**_STRAP, "copies": 5}]}, "t.toml")
    lives = lives_of_scenario(scenario, speed=1.0)
    assert [life.strap.athlete for life in lives] == [f"ada-00{number}" for number in range(1, 6)]
    assert len({life.strap.record.counts.tobytes() for life in lives}) == 5


def test_limits_reach_every_copy() -> None:
    """Copies have the limits of their table; two straps of one athlete share theirs, each limit once."""
    limits = {"tachycardia_bpm": 150}
    straps = [
        {**_STRAP, "copies": 2, "limits": limits},
        {**_STRAP, "athlete": "bo", "limits": limits},
        {**_STRAP, "athlete": "bo", "strap": "other", "limits": {"pause_s": 4}},
        {**_STRAP, "athlete": "cleo"},
    ]
    assert own_limits(parse_scenario({"title": "t", "seconds": 10, "strap": straps}, "t.toml")) == {
        "ada-001": {"tachycardia_bpm": 150},
        "ada-002": {"tachycardia_bpm": 150},
        "bo": {"tachycardia_bpm": 150, "pause_s": 4},
    }


def test_a_new_start_does_not_charge_the_battery() -> None:
    """The charge goes on from where it was when the strap went off, and is empty at the session's end only."""
    strap = {**_STRAP, "battery": {"begin": 1, "end": 0}, "reboot": [{"at_s": 4, "off_s": 2}]}
    scenario = parse_scenario({"title": "t", "seconds": 10, "strap": [strap]}, "t.toml")
    before, after = (life.strap for life in lives_of_scenario(scenario, speed=1.0))
    assert before.battery == pytest.approx((1.0, 0.6))
    assert after.battery == pytest.approx((0.4, 0.0))


def test_what_cannot_be_is_refused() -> None:
    """A record that is too short, a trouble before its strap, a strap that leaves before it joins."""
    for strap, said in (
        ({"athlete": "a", "record": "excerpt"}, "are needed"),
        ({**_STRAP, "joins_s": 5, "gain": [{"at_s": 2, "factor": 2}]}, "joins at 5 s"),
        ({**_STRAP, "joins_s": 5, "leaves_s": 4}, "leaves at 4 s"),
    ):
        scenario = parse_scenario({"title": "t", "seconds": 400, "strap": [strap]}, "t.toml")
        with pytest.raises(UsageError, match=said):
            lives_of_scenario(scenario, speed=1.0)
