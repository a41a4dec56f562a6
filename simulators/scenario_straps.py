"""From a scenario to straps: each start of each strap is a life with its record, its radio, its truth and its troubles.

What a strap hides (the samples in which nobody can see a heartbeat) is written down here, with the cause, so that a
verdict can tell what was missed from what could not be found.
"""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np

from monitor.contract import FloatArray
from monitor.errors import UsageError
from monitor.link_health import BATTERY_LOW
from simulators.annotations import Truth
from simulators.body import (
    ALL,
    BodyTrouble,
    ContactLost,
    Gain,
    Inverted,
    Noise,
    Saturation,
    Touched,
    clean_power,
    trouble_record,
)
from simulators.episodes import Span
from simulators.excerpt import read_excerpt
from simulators.ledger import Ledger, TroubleEntry, TroubleKind
from simulators.noise import Effort
from simulators.radio import Bursts, RadioSettings, Stretch
from simulators.records import Record, read_record
from simulators.scenario import Scenario, athletes_of
from simulators.scenario_hearts import read_heart
from simulators.scenario_tables import NoiseTable, StrapTable
from simulators.strap import ClockJump, Strap
from simulators.synthetic import synthesize_session

EXCERPT: Final = "excerpt"
_COPIES_WITHIN_S: Final = 60.0
"""Copies of a strap begin so far apart in their record at most."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Life:
    """One start of one strap, up to its end.

    Attributes
    ----------
    strap : Strap
        What it sends. Its record is the stretch it lives through, so sample 0 of the record is sample 0 of the boot.
    radio : RadioSettings
        Its radio, in seconds of schedule.
    troubles : tuple of Touched
        What happens to its signal and to itself, in its samples.
    """

    strap: Strap
    radio: RadioSettings
    troubles: tuple[Touched, ...] = field(default=())

    @property
    def truth(self) -> Truth | None:
        """The reference, counted in the boot's samples."""
        return self.strap.record.truth

    @property
    def rate_hz(self) -> float:
        """Sampling rate."""
        return self.strap.record.rate_hz

    @property
    def end_sample(self) -> int:
        """First sample after the last."""
        return len(self.strap.record)

    def session_s(self, sample: int) -> float:
        """Return when in the session a sample is taken, in seconds of signal."""
        return self.strap.schedule_s(sample) * self.strap.speed

    def sample(self, session_s: float) -> int:
        """Return the sample that is taken at a time of the session; it may lie outside this life."""
        return round((session_s - self.strap.begins_s) * self.rate_hz)

    def enter_troubles(self, ledger: Ledger, start_at: float) -> None:
        """Enter what was planned, with its wall time, in the ledger.

        Parameters
        ----------
        ledger : Ledger
            Where to.
        start_at : float
            Unix time, in seconds, at which the strap's schedule began.
        """
        strap = self.strap
        for touched in self.troubles:
            ledger.note_trouble(
                TroubleEntry(
                    team=strap.team,
                    athlete=strap.athlete,
                    strap=strap.strap,
                    boot=strap.boot,
                    trouble=touched.trouble,
                    first_sample=touched.first_sample,
                    end_sample=touched.end_sample,
                    at=start_at + strap.schedule_s(touched.first_sample),
                    end_at=start_at + strap.schedule_s(touched.end_sample),
                    detail=touched.detail,
                )
            )


def lives_of_scenario(
    scenario: Scenario, *, speed: float, database: Path | None = None, boot: int | None = None
) -> list[Life]:
    """Read and trouble the records of a scenario and return its straps.

    Parameters
    ----------
    scenario : Scenario
        What is to happen.
    speed : float
        Seconds of session per second.
    database : Path, optional
        Folder with the databases, see `simulators.records.find_record`.
    boot : int, optional
        The first strap's boot; by default the Unix time, so that a second run is a new start.

    Raises
    ------
    RecordError
        If a record is missing or damaged.
    UsageError
        If a record is shorter than the session, or a trouble cannot be.
    """
    first_boot = int(time.time()) if boot is None else boot
    lives: list[Life] = []
    for number, table in enumerate(scenario.strap):
        session = _session_s(scenario, table)
        copies = athletes_of(table)
        spread_s = min(_COPIES_WITHIN_S, 0.5 * (len(copies) - 1)) if len(copies) > 1 else 0.0
        source, effort = _source(table, session + spread_s, scenario.seed + number, database)
        power = clean_power(source) if any(noise.snr_db is not None for noise in table.noise) else None
        recorded = {
            noise.record: read_record(noise.record, database=database)
            for noise in table.noise
            if noise.record
        }
        for copy, athlete in enumerate(copies):
            start_s = table.start_s + spread_s * copy / max(len(copies) - 1, 1)
            record = _cut(source, start_s, start_s + session)
            troubles = _body_troubles(table, recorded)
            seed = crc32(f"{scenario.seed}/{scenario.team}/{athlete}".encode())
            troubled, touched = trouble_record(
                record,
                troubles,
                seed=seed,
                signal_power=power,
                effort=effort.after(start_s) if effort else None,
            )
            own = [life.strap.boot for life in lives if life.strap.athlete == athlete]
            lives += _lives(
                scenario,
                table,
                athlete,
                troubled,
                touched,
                speed=speed,
                boot=max(own, default=first_boot - 1) + 1,
            )
    return [replace(life, troubles=(*life.troubles, *_other_straps(life, lives))) for life in lives]


def _other_straps(life: Life, lives: list[Life]) -> list[Touched]:
    """Return where another strap speaks by the same name."""
    return [
        Touched("other_strap", first, end, {"strap": other.strap.strap})
        for other in lives
        if other.strap.athlete == life.strap.athlete and other.strap.strap != life.strap.strap
        if (first := max(life.sample(other.strap.begins_s), 0))
        < (end := min(life.sample(other.session_s(other.end_sample)), life.end_sample))
    ]


def _session_s(scenario: Scenario, table: StrapTable) -> float:
    leaves_s = scenario.seconds if table.leaves_s is None else min(table.leaves_s, scenario.seconds)
    if leaves_s <= table.joins_s:
        raise UsageError(
            f"strap of {table.athlete!r}: joins at {table.joins_s:g} s and leaves at {leaves_s:g} s"
        )
    return leaves_s - table.joins_s


def _source(
    table: StrapTable, session_s: float, seed: int, database: Path | None
) -> tuple[Record, Effort | None]:
    needed_s = table.start_s + session_s
    if table.synthetic is not None:
        heart = read_heart(table.synthetic, f"strap of {table.athlete!r}: synthetic")
        session = synthesize_session(heart.athlete, rate_hz=heart.rate_hz, seconds=needed_s + 1.0, seed=seed)
        samples = np.arange(len(session.record))
        if heart.athlete.programme is None:
            return session.record, None
        return session.record, Effort(
            session.effort_at(samples), session.steps_hz_at(samples), session.record.rate_hz
        )
    assert table.record is not None  # noqa: S101 - checked when the file was read
    record = (
        read_excerpt()
        if table.record == EXCERPT
        else read_record(table.record, database=database, lead=table.lead)
    )
    if len(record) < needed_s * record.rate_hz:
        raise UsageError(
            f"strap of {table.athlete!r}: {record.name} has {len(record) / record.rate_hz:g} s, "
            f"and {needed_s:g} s are needed"
        )
    return record, None


def _body_troubles(table: StrapTable, recorded: dict[str, Record]) -> list[BodyTrouble]:
    """Return the troubles of the signal, in seconds since the strap began: its gain first, its rail last."""
    troubles: list[BodyTrouble] = []
    stretches = [
        (kind, each)
        for kind, tables in (
            (Inverted, table.inverted),
            (Gain, table.gain),
            (ContactLost, table.contact_lost),
            (Noise, table.noise),
            (Saturation, table.saturation),
        )
        for each in tables
    ]
    for kind, each in stretches:
        values = each.model_dump()
        begin_s = each.at_s - table.joins_s
        if begin_s < 0.0:
            raise UsageError(
                f"strap of {table.athlete!r}: a trouble at {each.at_s:g} s, but it joins at {table.joins_s:g} s"
            )
        values |= {"at_s": begin_s, "length_s": ALL if each.length_s is None else each.length_s}
        if isinstance(each, NoiseTable):
            values["record"] = recorded[each.record] if each.record else None
        troubles.append(kind(**values))
    return troubles


def _lives(
    scenario: Scenario,
    table: StrapTable,
    athlete: str,
    record: Record,
    touched: list[Touched],
    *,
    speed: float,
    boot: int,
) -> list[Life]:
    rate_hz, n = record.rate_hz, len(record)
    battery = table.battery
    empties = battery is not None and battery.end == 0.0
    begins, lives = 0, []
    reboots = sorted(table.reboot, key=lambda reboot: reboot.at_s)
    for number in range(len(reboots) + 1):
        reboot = reboots[number] if number < len(reboots) else None
        end = n if reboot is None else min(round((reboot.at_s - table.joins_s) * rate_hz), n)
        if not begins < end:
            raise UsageError(f"strap of {athlete!r}: restarts lie too close together or outside the session")
        begins_s = table.joins_s + begins / rate_hz
        strap = Strap(
            record=_cut(record, begins / rate_hz, end / rate_hz),
            team=scenario.team,
            athlete=athlete,
            strap=table.strap or athlete,
            boot=boot + number,
            packet_s=table.packet_s,
            speed=speed,
            begins_s=begins_s,
            dies=reboot is not None or empties,
            drift_ppm=table.clock.drift_ppm,
            clock_jumps=tuple(
                ClockJump(at_s - begins_s, by_s) for at_s, by_s in table.clock.jumps if at_s >= begins_s
            ),
            skips=_inside(table.skips, begins_s, begins_s + (end - begins) / rate_hz),
            battery=None if battery is None else (battery.charge(begins / n), battery.charge(end / n)),
        )
        own = [
            _moved(one, begins, end) for one in touched if one.first_sample < end and one.end_sample > begins
        ]
        life = Life(strap=strap, radio=_radio(table, speed))
        own += _planned(table, life, reboot is not None, empties=empties)
        lives.append(replace(life, troubles=tuple(own)))
        if reboot is not None:
            begins = end + round(reboot.off_s * rate_hz)
            if begins >= n:
                break
    return lives


def _planned(table: StrapTable, life: Life, reboots: bool, *, empties: bool) -> list[Touched]:  # noqa: FBT001 - one of two
    """Return the troubles that touch no sample's value."""
    end, rate_hz = life.end_sample, life.rate_hz
    planned: list[Touched] = []

    def add(kind: TroubleKind, at_s: float, length_s: float, **detail: float | str) -> None:
        first, after = life.sample(at_s), life.sample(at_s + length_s)
        if first < end and after > 0:
            planned.append(Touched(kind, max(first, 0), min(after, end), dict(detail)))

    for at_s, length_s in table.radio.dropouts:
        add("dropout", at_s, length_s)
    for at_s, length_s in table.radio.dropouts_lost:
        add("dropout_lost", at_s, length_s)
    for at_s, length_s in table.radio.lead_off:
        add("lead_off", at_s, length_s)
    planned += [
        Touched("samples_skipped", first, min(after, end), {}, hides=True)
        for first, after in life.strap.skipped_samples()
        if first < end
    ]
    if table.clock.drift_ppm:
        planned.append(Touched("clock_drift", 0, end, {"ppm": table.clock.drift_ppm}))
    planned += [
        Touched("clock_jump", first, end, {"by_s": jump.by_s})
        for jump in life.strap.clock_jumps
        if (first := round(jump.at_s * rate_hz)) < end
    ]
    low = life.strap.low_battery_sample(BATTERY_LOW)
    if low is not None and low < end:
        planned.append(Touched("battery_low", low, end, {"charge": BATTERY_LOW}))
    if reboots:
        planned.append(Touched("reboot", end, end, {}))
    elif empties:
        planned.append(Touched("battery_empty", end, end, {}))
    return planned


def _radio(table: StrapTable, speed: float) -> RadioSettings:
    def stretches(pairs: list[tuple[float, float]]) -> tuple[Stretch, ...]:
        return tuple(Stretch(at_s / speed, length_s / speed) for at_s, length_s in pairs)

    radio = table.radio
    return RadioSettings(
        loss=radio.loss,
        duplicates=radio.duplicates,
        reorder=radio.reorder,
        bursts=Bursts(**radio.bursts.model_dump()) if radio.bursts is not None else None,
        jitter_s=radio.jitter_s / speed,
        dropouts=stretches(radio.dropouts),
        dropouts_lost=stretches(radio.dropouts_lost),
        lead_off=stretches(radio.lead_off),
    )


def _inside(
    pairs: list[tuple[float, float]], begins_s: float, ends_s: float
) -> tuple[tuple[float, float], ...]:
    """Return the parts of some stretches of the session that lie in one life, in seconds since it began."""
    parts = [(max(at_s, begins_s), min(at_s + length_s, ends_s)) for at_s, length_s in pairs]
    return tuple((begin - begins_s, end - begin) for begin, end in parts if begin < end)


def _moved(touched: Touched, begins: int, end: int) -> Touched:
    return replace(
        touched,
        first_sample=max(touched.first_sample - begins, 0),
        end_sample=min(touched.end_sample, end) - begins,
    )


def _cut(record: Record, begin_s: float, end_s: float) -> Record:
    """Return a stretch of a record with its truth, counted from the stretch's first sample."""
    first, end = round(begin_s * record.rate_hz), min(round(end_s * record.rate_hz), len(record))
    millivolts: FloatArray = record.millivolts[first:end]
    truth = None if record.truth is None else _moved_truth(record.truth.between(first, end), -first)
    return replace(
        record, millivolts=millivolts, counts=record.counts[first:end], truth=truth, excerpt_from=None
    )


def _moved_truth(truth: Truth, by: int) -> Truth:
    def spans(moved: tuple[Span, ...]) -> tuple[Span, ...]:
        return tuple(
            span._replace(onset_sample=span.onset_sample + by, end_sample=span.end_sample + by)
            for span in moved
        )

    return replace(
        truth,
        r_samples=truth.r_samples + by,
        unscored=truth.unscored + by,
        rhythms=spans(truth.rhythms),
        phases=spans(truth.phases),
        lone_p_samples=truth.lone_p_samples + by,
    )
