"""One athlete as the scorer knows them: the last beats of both sides, what the straps' ledger says, and latencies."""

import time
from collections import Counter, deque
from typing import Final

import msgspec

from monitor.boot_scorer import Finding, LiveScore
from monitor.latency import quantiles
from monitor.live_state import AthleteState, BeatEntry
from monitor.scores import AthleteScore, Latency, Miss
from monitor.sent_signal import SentSignal
from monitor.wire import LedgerMessage, TruthMessage

STRIP_S: Final = 4.0
"""Seconds of signal to either side of a miss."""
_MISSES_A_MINUTE: Final = 12
_UNDER_WAY_S: Final = 10.0
_LATENCIES: Final = 2_000
_BOOTS_KEPT: Final = 64


class ScoredAthlete:
    """What is remembered of one athlete beside the score; everything in it is bounded.

    Parameters
    ----------
    team, athlete : str
        Whose.
    """

    def __init__(self, team: str, athlete: str) -> None:
        self.team = team
        self.athlete = athlete
        self.signal = SentSignal()
        self.state: AthleteState | None = None
        self.covered: tuple[int, int] = (-1, -1)
        self.latencies: deque[float] = deque(maxlen=_LATENCIES)
        self.changed = True
        self._beats: deque[tuple[int, int, str]] = deque(maxlen=400)
        self._truth: deque[tuple[int, int, str]] = deque(maxlen=400)
        self._troubles: deque[tuple[int, int, int, str]] = deque(maxlen=200)
        self._ledger: dict[tuple[str, int], dict[str, int]] = {}
        self._under_way: deque[tuple[float, int]] = deque()
        self._before: int | None = None
        self._weighed_from = 0.0
        self._told: dict[str, deque[float]] = {}

    def truth(self, message: TruthMessage) -> None:
        """Remember reference beats for the strips."""
        self._truth.extend(
            (message.boot, sample, name)
            for sample, name in zip(message.r_samples, message.classes, strict=True)
        )

    def beat(self, entry: BeatEntry, latency_s: float) -> None:
        """Remember a beat of the monitor."""
        self._beats.append((entry.boot, entry.r_sample, entry.label))
        self.latencies.append(latency_s)
        self.changed = True

    def ledger(self, message: LedgerMessage) -> None:
        """Take in what became of the packets."""
        self._ledger[message.strap, message.boot] = message.counts
        while len(self._ledger) > _BOOTS_KEPT:
            del self._ledger[next(iter(self._ledger))]
        for trouble in message.troubles:
            told = (message.boot, *trouble)
            if told not in self._troubles:
                self._troubles.append(told)
        self._weigh()
        self.changed = True

    def seen(self, state: AthleteState) -> None:
        """Take in what the monitor says."""
        if self.state is None or state.updated_at != self.state.updated_at:
            if self.state is not None and state.packets_received < self.state.packets_received:
                # Another monitor, or one that began anew: what went out before it came is not its own.
                self._under_way.clear()
                self._before = None
            self.state = state
            self._weigh()
            self.changed = True

    @property
    def causes(self) -> Counter[str]:
        """Packets by cause, over all straps and boots."""
        counts: Counter[str] = Counter()
        for ledger in self._ledger.values():
            counts.update(ledger)
        return counts

    def _weigh(self) -> None:
        """Note how many packets have gone out and not yet shown up."""
        if self.state is None or not self._ledger:
            return
        causes, now = self.causes, time.monotonic()
        out = causes["sent"] + causes["duplicated"] + causes["resent"]
        if not self._under_way:
            self._weighed_from = now
        self._under_way.append((now, out - self.state.packets_received - self.state.packets_refused))
        while self._under_way[0][0] < now - _UNDER_WAY_S:
            self._under_way.popleft()
        if self._before is None and now - self._weighed_from >= _UNDER_WAY_S:
            self._before = max(0, self._missing())

    def _missing(self) -> int:
        return min((waiting for _, waiting in self._under_way), default=0)

    def score(self, live: LiveScore | None, at: float) -> AthleteScore:
        """Return how the athlete stands."""
        live = live or LiveScore()
        qrs, state = live.score.qrs, self.state
        found = quantiles(self.latencies)
        rate_hz = state.rate_hz if state else self.signal.rate_hz
        return AthleteScore(
            team=self.team,
            athlete=self.athlete,
            at=at,
            tp=qrs.tp,
            fp=qrs.fp,
            fn=qrs.fn,
            table=live.score.classes.table.tolist(),
            scored_s=live.scored_samples / rate_hz if rate_hz else 0.0,
            dropped=live.dropped,
            missed_by_cause=dict(live.missed_by_cause),
            false_by_cause=dict(live.false_by_cause),
            latency=Latency(p50=found[0], p99=found[1], n=len(self.latencies)) if found else Latency(),
            ledger=dict(self.causes),
            received=state.packets_received if state else 0,
            duplicate=state.packets_duplicate if state else 0,
            refused=state.packets_refused if state else 0,
            lost=state.packets_lost if state else 0,
            unaccounted=0 if self._before is None else max(0, self._missing() - self._before),
            before=self._before or 0,
        )

    def miss(self, finding: Finding) -> Miss | None:
        """Return a finding with the signal around it; None where there have been too many of its kind."""
        told, now = self._told.setdefault(finding.kind, deque()), time.monotonic()
        while told and told[0] < now - 60.0:
            told.popleft()
        if len(told) >= _MISSES_A_MINUTE:
            return None
        told.append(now)
        state = self.state
        rate_hz = self.signal.rate_hz or (state.rate_hz if state else 0.0)
        miss = Miss(
            team=self.team,
            athlete=self.athlete,
            boot=finding.boot,
            r_sample=finding.r_sample,
            at=self.signal.at(finding.r_sample) if self.signal.holds(finding.boot) else 0.0,
            kind=finding.kind,
            reference=finding.reference,
            called=finding.called,
            cause=finding.cause,
            rate_hz=rate_hz,
        )
        return self._with_strip(miss) if self.signal.holds(finding.boot) else miss

    def _with_strip(self, miss: Miss) -> Miss:
        reach = round(STRIP_S * miss.rate_hz)
        first, end = max(0, miss.r_sample - reach), miss.r_sample + reach
        return msgspec.structs.replace(
            miss,
            first_sample=first,
            microvolts=self.signal.stretch(first, end).astype("<i2").tobytes(),
            truth=sorted(
                {(r, name) for boot, r, name in self._truth if boot == miss.boot and first <= r < end}
            ),
            beats=sorted(
                {(r, name) for boot, r, name in self._beats if boot == miss.boot and first <= r < end}
            ),
            troubles=[
                (begin, stop, cause)
                for boot, begin, stop, cause in self._troubles
                if boot == miss.boot and begin < end and stop > first
            ],
        )
