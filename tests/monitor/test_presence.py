"""What straps say of themselves before their samples come: bounded, and nobody takes another's place."""

from monitor.presence import MAX_STATUSES, MAX_STRAPS
from monitor.watch import Watch
from monitor.wire import WIRE_VERSION, SamplePacket, StatusMessage, Topic, encode


def _status(watch: Watch, athlete: str, strap: str) -> None:
    status = StatusMessage(
        version=WIRE_VERSION, strap=strap, online=True, boot=1, source=f"{athlete}/{strap}"
    )
    watch.receive(Topic("red", athlete, "status"), encode(status), 1e9)


def _source(watch: Watch, athlete: str, strap: str) -> str:
    """Return what a strap had said of its source, as it is known once its samples come."""
    packet = SamplePacket(
        version=WIRE_VERSION, strap=strap, boot=1, sequence=0, first_sample=0, rate_hz=250.0,
        microvolts_per_count=1.0, lead="", lead_off=False, sent_at=1e9, samples=bytes(500),
    )  # fmt: skip
    watch.receive(Topic("red", athlete, "samples"), encode(packet), 1e9)
    batch = watch.tick(1e9 + 0.1)
    (state,) = [state for state in batch.states if state.athlete == athlete]
    return state.source


def test_straps_without_number_under_one_name_lock_out_nobody() -> None:
    """Before and after them, what another athlete's strap says is kept; of the many the last ones are."""
    watch = Watch(classifier=None)
    _status(watch, "bea", "s2")
    for k in range(MAX_STATUSES + 1):
        _status(watch, "rogue", f"x{k}")
    _status(watch, "anna", "s1")
    assert _source(watch, "anna", "s1") == "anna/s1"
    assert _source(watch, "bea", "s2") == "bea/s2"
    assert _source(watch, "rogue", f"x{MAX_STATUSES}") == f"rogue/x{MAX_STATUSES}"


def test_the_newest_of_an_athletes_straps_are_kept() -> None:
    """What was said longest ago goes first, and saying it again counts as new."""
    watch = Watch(classifier=None)
    for k in (*range(MAX_STRAPS), 0, MAX_STRAPS):
        _status(watch, "anna", f"x{k}")
    assert _source(watch, "anna", "x0") == "anna/x0"
    watch = Watch(classifier=None)
    for k in range(MAX_STRAPS + 1):
        _status(watch, "anna", f"x{k}")
    assert _source(watch, "anna", "x0") == ""
