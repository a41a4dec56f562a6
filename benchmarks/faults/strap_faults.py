"""Faults of straps and their radio, and packets that are none: each on an athlete of its own, beside a sound one."""

import asyncio
import random
from typing import Any, Final

import aiomqtt
import msgspec

from benchmarks.faults.trial import run_trial
from benchmarks.faults.trial_stage import TEAM, Conditions, Outcome, Stage
from monitor.wire import SamplePacket, encode

_MOST: Final = 2**53 - 1
_KINDS: Final = 7


def _heart(athlete: str, seconds: float, rate_bpm: float = 80.0, rate_hz: float = 250.0) -> dict[str, Any]:
    """Return a strap whose heart pauses in the last quarter."""
    pause = {"event": "pause", "at_s": 0.8 * seconds, "length_s": 3.5}
    return {
        "athlete": athlete,
        "synthetic": {"rate_bpm": rate_bpm, "rate_hz": rate_hz, "events": [pause]},
    }


def lossy_straps(seconds: float) -> list[dict[str, Any]]:
    """Return straps whose radio loses 1, 10 and 30 % of their packets, and a sound one."""
    return [_heart("sound", seconds)] + [
        _heart(f"loss{round(100 * share)}", seconds, 90.0) | {"radio": {"loss": share}}
        for share in (0.01, 0.1, 0.3)
    ]


def repeating_straps(seconds: float) -> list[dict[str, Any]]:
    """Return straps whose packets come twice: a tenth of them, and all; and a sound one."""
    return [_heart("sound", seconds)] + [
        _heart(f"twice{round(100 * share)}", seconds, 100.0) | {"radio": {"duplicates": share}}
        for share in (0.1, 1.0)
    ]


def late_straps(seconds: float) -> list[dict[str, Any]]:
    """Return straps whose packets overtake one another, and come long after they were due; and a sound one."""
    late_s = seconds / 3
    return [
        _heart("sound", seconds),
        _heart("shuffled", seconds, 100.0) | {"radio": {"reorder": 0.2, "jitter_s": 0.4}},
        _heart("late", seconds, 110.0) | {"radio": {"dropouts": [[0.2 * seconds, late_s]]}},
    ]


def restarting_straps(seconds: float) -> list[dict[str, Any]]:
    """Return a strap that starts anew, two straps by one name, and a sound one."""
    return [
        _heart("sound", seconds),
        {
            "athlete": "restarts",
            "synthetic": {"rate_bpm": 90, "rate_hz": 250},
            "reboot": [{"at_s": 0.3 * seconds}, {"at_s": 0.6 * seconds}],
        },
        {"athlete": "shared", "strap": "first", "synthetic": {"rate_bpm": 70, "rate_hz": 250}},
        {
            "athlete": "shared", "strap": "second", "joins_s": 0.3 * seconds,
            "synthetic": {"rate_bpm": 120, "rate_hz": 250},
        },
    ]  # fmt: skip


def wrong_clocks(seconds: float) -> list[dict[str, Any]]:
    """Return straps whose clock is set, and whose crystal is off by 200 ppm either way; and a sound one."""
    jumps = [[0.2 * seconds, 3600.0], [0.5 * seconds, -7200.0]]
    return [
        _heart("sound", seconds),
        _heart("jumps", seconds, 90.0) | {"clock": {"jumps": jumps}},
        _heart("fast", seconds, 90.0) | {"clock": {"drift_ppm": 200}},
        _heart("slow", seconds, 90.0) | {"clock": {"drift_ppm": -200}},
    ]


def loose_straps(seconds: float) -> list[dict[str, Any]]:
    """Return straps with a lead off, a flat line and a line at its rail, for half a minute at most; and a sound one."""
    at_s, length_s = 0.3 * seconds, min(0.3 * seconds, 30.0)
    return [
        _heart("sound", seconds),
        _heart("off", seconds, 90.0) | {"radio": {"lead_off": [[at_s, length_s]]}},
        _heart("flat", seconds, 90.0) | {"contact_lost": [{"at_s": at_s, "length_s": length_s}]},
        _heart("railed", seconds, 90.0) | {"saturation": [{"at_s": at_s, "length_s": length_s}]},
    ]


def every_trouble(seconds: float) -> list[dict[str, Any]]:
    """Return the straps of all these faults at once."""
    straps: list[dict[str, Any]] = []
    for make in (lossy_straps, repeating_straps, late_straps, restarting_straps, wrong_clocks, loose_straps):
        straps += [strap for strap in make(seconds) if strap["athlete"] != "sound"]
    return [_heart("sound", seconds), *straps]


async def lossy(conditions: Conditions) -> Outcome:
    """Lose 1, 10 and 30 % of packets."""
    return (await run_trial(conditions, straps=lossy_straps)).outcome


async def repeating(conditions: Conditions) -> Outcome:
    """Send packets twice."""
    return (await run_trial(conditions, straps=repeating_straps)).outcome


async def late(conditions: Conditions) -> Outcome:
    """Let packets overtake one another, and come late."""
    # How late a packet comes decides whether it is waited for; two runs need not agree to the millisecond.
    return (await run_trial(conditions, straps=late_straps, hit={"shuffled"})).outcome


async def restarting(conditions: Conditions) -> Outcome:
    """Start straps anew, and put on a second one."""
    return (await run_trial(conditions, straps=restarting_straps)).outcome


async def clocks(conditions: Conditions) -> Outcome:
    """Let clocks jump and drift."""
    return (await run_trial(conditions, straps=wrong_clocks)).outcome


async def loose(conditions: Conditions) -> Outcome:
    """Take leads off."""
    return (await run_trial(conditions, straps=loose_straps)).outcome


async def hostile(conditions: Conditions) -> Outcome:
    """Publish what is malformed, cut short, too long, or valid and absurd."""
    return (await run_trial(conditions, disturb=attack)).outcome


async def attack(stage: Stage) -> None:
    """Publish hostile messages through most of the session."""
    await stage.until(0.1)
    begun = asyncio.get_running_loop().time()
    lasts_s = 0.8 * stage.conditions.seconds / stage.conditions.speed
    count = 0
    async with aiomqtt.Client("127.0.0.1", stage.place.broker.port) as client:
        while asyncio.get_running_loop().time() - begun < lasts_s:
            # One of each kind first; then as it comes.
            kind = count if count < _KINDS else stage.chance.randrange(_KINDS)
            where, payload = _hostile(kind, stage.athletes, stage.chance)
            await client.publish(where, payload, qos=1)
            count += 1
            await asyncio.sleep(0.005)
    stage.measured["hostile messages"] = count


def _hostile(kind: int, athletes: list[str], chance: random.Random) -> tuple[str, bytes]:
    """Return a message that is none under the name of a real athlete, or an absurd one under another."""
    real = f"ecg/{TEAM}/{chance.choice(athletes)}/{chance.choice(('samples', 'status'))}"
    packet = SamplePacket(
        version=1,
        strap=chance.choice(("s0", "s1")),
        boot=chance.choice((0, 1, 2, _MOST)),
        sequence=chance.choice((0, 1, 2, 2**31, _MOST)),
        first_sample=chance.choice((0, 90, 2**31, _MOST - 5)),
        rate_hz=chance.choice((100.0, 130.0, 250.0, 1000.0)),
        microvolts_per_count=chance.choice((1e-3, 5.0, 1e4)),
        lead="",
        lead_off=chance.random() < 0.2,
        sent_at=chance.choice((0.0, 9e10)),
        samples=chance.randbytes(2 * chance.choice((1, 90, 1000, 30_000))),
    )
    whole = encode(packet)
    if kind == 0:
        return real, chance.randbytes(chance.choice((0, 1, 100, 5_000)))
    if kind == 1:
        return real, whole[: chance.randrange(1, len(whole))]
    if kind == 2:
        return real, bytes(chance.choice((65_537, 300_000)))
    if kind == 3:
        return real, msgspec.msgpack.encode({"version": 99, "strap": "x" * 500})
    if kind == 4:
        return chance.choice(("ecg/a/b/c", "ecg//x/samples", f"ecg/{TEAM}/{'x' * 65}/samples")), whole
    return f"ecg/{TEAM}/{chance.choice('xyz')}/samples", whole
