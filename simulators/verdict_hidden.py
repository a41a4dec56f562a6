"""Where nobody could see a heartbeat, and why: read from the ledger and from what was planned."""

from typing import Final

from monitor.assembly import ReorderLimits
from simulators.ledger import Cause, Ledger
from simulators.scenario_seen import Seen
from simulators.scenario_straps import Life

Hidden = tuple[int, int, str]
"""First sample, first sample after, and the cause."""

OTHER_STRAP: Final = "other_strap"
LATE: Final = "late"
_HIDING: Final[frozenset[Cause]] = frozenset(
    {"lost", "lost_in_burst", "lost_in_dropout", "unsent", "lead_off"}
)
LOSSES: Final[frozenset[str]] = frozenset(
    {"lost", "lost_in_burst", "lost_in_dropout", "unsent", "samples_skipped", LATE}
)
"""Causes of which a monitor says that packets are being lost."""
_HELD_BACK: Final[frozenset[Cause]] = frozenset({"reordered", "delayed"})


def hidden_stretches(life: Life, lives: list[Life], seen: Seen, ledger: Ledger) -> list[Hidden]:
    """Return the stretches of one life that nobody saw, in order, joined where the cause is the same.

    Parameters
    ----------
    life : Life
        Whose.
    lives : list of Life
        All of them: another strap by the same name hides this one while it speaks.
    seen : Seen
        What was seen, for the packets that came too late to be used.
    ledger : Ledger
        What became of every packet.
    """
    strap = life.strap
    state = seen.states.get(strap.athlete)
    too_late = state is not None and state.packets_late > 0
    wait_s = ReorderLimits().wait_s
    stretches: list[Hidden] = []
    for entry in ledger.entries:
        if (entry.athlete, entry.strap, entry.boot) != (strap.athlete, strap.strap, strap.boot):
            continue
        end_sample = entry.first_sample + entry.samples
        if entry.cause in _HIDING:
            stretches.append((entry.first_sample, end_sample, entry.cause))
        elif too_late and entry.cause in _HELD_BACK and entry.at_s - entry.due_s >= wait_s:
            stretches.append((entry.first_sample, end_sample, LATE))
    stretches += [
        (touched.first_sample, touched.end_sample, touched.trouble)
        for touched in life.troubles
        if touched.hides
    ]
    stretches += other_strap(life, lives)
    return _joined(stretches)


def other_strap(life: Life, lives: list[Life]) -> list[Hidden]:
    """Return where an earlier strap spoke for the same athlete: the monitor listens to one at a time."""
    gone_after_s = ReorderLimits().other_strap_s * life.strap.speed
    stretches: list[Hidden] = []
    for other in lives:
        ours, theirs = life.strap, other.strap
        if (theirs.athlete, theirs.strap) == (ours.athlete, ours.strap) or theirs.athlete != ours.athlete:
            continue
        earlier = theirs.begins_s < ours.begins_s or (
            theirs.begins_s == ours.begins_s and lives.index(other) < lives.index(life)
        )
        if earlier:
            end_s = other.session_s(other.end_sample) + gone_after_s + ours.packet_s
            stretches.append((0, min(max(life.sample(end_s), 0), life.end_sample), OTHER_STRAP))
    return [stretch for stretch in stretches if stretch[0] < stretch[1]]


def _joined(stretches: list[Hidden]) -> list[Hidden]:
    joined: list[Hidden] = []
    for first, end, cause in sorted(stretches):
        if joined and joined[-1][2] == cause and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end), cause)
        else:
            joined.append((first, end, cause))
    return joined
