"""Every packet accounted for: what the ledger says was sent and lost, and what the monitor says it took and missed."""

from dataclasses import dataclass

from monitor.live_state import AthleteState
from simulators.ledger import FATES, Ledger
from simulators.scenario_straps import Life


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One athlete's packets; `difference` is zero where every one of them is accounted for.

    Attributes
    ----------
    athlete : str
        Whose.
    packets : int
        Packets that the straps made.
    sent, lost : int
        Of these: handed to the broker, and lost or never sent.
    repeats : int
        Packets handed to the broker once more.
    resent : int
        Of these, sent again because the broker had not acknowledged the first: that one may never have arrived.
    redelivered : int
        Messages that a broker which was restarted delivered once more on its own: it may, and the monitor knows them.
    at_an_edge : int
        Lost before the first or after the last packet that arrived of a boot: no one can know of them.
    skipped : int
        Gaps that the strap made itself: the monitor counts each as a lost packet, and no packet was.
    received, taken : int
        Messages that reached the monitor; of these, those whose samples were used.
    duplicate, late, other : int
        Messages that were not used: known already, given up before, of another strap or boot.
    counted_lost : int
        Packets that the monitor says it missed, late ones included.
    """

    athlete: str
    packets: int
    sent: int
    lost: int
    repeats: int
    resent: int
    redelivered: int
    at_an_edge: int
    skipped: int
    received: int
    duplicate: int
    late: int
    other: int
    counted_lost: int

    @property
    def taken(self) -> int:
        """Messages whose samples were used."""
        return self.received - self.duplicate - self.late - self.other

    @property
    def on_the_way(self) -> int:
        """Messages handed to the broker that did not reach the monitor."""
        return self.sent + self.repeats + self.redelivered - self.received

    @property
    def difference(self) -> int:
        """Packets of which nobody can say what became of them."""
        adrift = self.packets + self.skipped - self.taken - self.counted_lost - self.at_an_edge - self.other
        return abs(adrift) + max(self.on_the_way - self.resent, -self.on_the_way, 0)


def packet_account(
    athlete: str,
    lives: list[Life],
    state: AthleteState | None,
    ledger: Ledger,
    *,
    broker_restarts: bool = False,
) -> Account:
    """Balance one athlete's packets.

    Parameters
    ----------
    athlete : str
        Whose.
    lives : list of Life
        The athlete's straps.
    state : AthleteState or None
        The last that the monitor said; None if it never heard of the athlete.
    ledger : Ledger
        What became of every packet.
    broker_restarts : bool
        MQTT promises at least once: what the broker had not heard acknowledged before it went, it delivers again.
    """
    straps = {(life.strap.strap, life.strap.boot): life for life in lives}
    fates: dict[tuple[str, int], list[tuple[int, bool]]] = {key: [] for key in straps}
    repeats = resent = 0
    for entry in ledger.entries:
        key = (entry.strap, entry.boot)
        if entry.athlete != athlete or key not in fates:
            continue
        if entry.cause in FATES:
            fates[key].append((entry.sequence, entry.cause == "sent"))
        repeats += entry.cause in {"duplicated", "resent"}
        resent += entry.cause == "resent"
    sent = sum(was_sent for own in fates.values() for _, was_sent in own)
    packets = sum(len(own) for own in fates.values())
    at_an_edge = skipped = 0
    for key, own in fates.items():
        arrived = [sequence for sequence, was_sent in own if was_sent]
        first, last = min(arrived, default=0), max(arrived, default=-1)
        at_an_edge += sum(not was_sent and not first <= sequence <= last for sequence, was_sent in own)
        skipped += _gaps_without_loss(straps[key], arrived)
    duplicate = state.packets_duplicate if state else 0
    surplus = max((state.packets_received if state else 0) - sent - repeats, 0)
    return Account(
        athlete=athlete,
        packets=packets,
        sent=sent,
        lost=packets - sent,
        repeats=repeats,
        resent=resent,
        redelivered=min(surplus, duplicate) if broker_restarts else 0,
        at_an_edge=at_an_edge,
        skipped=skipped,
        received=state.packets_received if state else 0,
        duplicate=duplicate,
        late=state.packets_late if state else 0,
        other=state.packets_other if state else 0,
        counted_lost=state.packets_lost if state else 0,
    )


def _gaps_without_loss(life: Life, arrived: list[int]) -> int:
    """Return how many gaps of the strap's own lie between two packets that both arrived, one after the other."""
    there = set(arrived)
    gaps = 0
    previous_end = 0
    for scheduled in life.strap.packets(start_at=0.0) if life.strap.skips else ():
        packet = scheduled.packet
        jumped = packet.first_sample > previous_end
        gaps += jumped and packet.sequence > 0 and {packet.sequence - 1, packet.sequence} <= there
        previous_end = packet.end_sample
    return gaps
