"""Every run of the reproduction, in the order of what it tells soonest."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Final, Literal

from models.reproduction.fitting import Budget
from models.reproduction.networks import NETWORKS, WIDER
from models.reproduction.preprocessing import DIRECTIONS, Direction
from models.reproduction.protocols import AS_THE_PAPER, INTER_PATIENT, OF_MINUTES, Protocol

Database = Literal["mitdb", "edb", "svdb"]
FILTERS: Final = (
    "low-pass",
    "high-pass",
    "wavelet",
    "high-pass + low-pass",
    "high-pass + wavelet",
    "low-pass + wavelet",
    "high-pass + low-pass + wavelet",
)
"""The rows of the paper's Table 1."""
ALL_FILTERS: Final = FILTERS[-1]
SEEDS: Final = (1, 2, 3)
LONG: Final = 45
"""Epochs of the run that shows how far Grunet comes when it may take its time."""
LOOKS: Final = 9
"""Places in which each test window is looked at, in the runs that show what that is worth: chosen on validation beats,
see `models.reproduction.choosing`."""
FEW: Final = 6
"""Epochs of each of Grunet's runs over the filters: they are compared with one another only, and there are many."""
FILTERS_EPOCHS: Final[dict[str, int | None]] = {"RNN": None, "Grunet": FEW}
"""The networks of Table 1, and their epochs where they are not those of the equal budget."""
CLASSES_OF: Final[dict[Database, int]] = {"mitdb": 5, "edb": 3, "svdb": 3}
"""European ST-T has too few F and Q beats: the paper leaves them out, and so does the 3-class path on svdb."""

_PROTOCOL_KEYS: Final[dict[Protocol, str]] = {
    AS_THE_PAPER: "beats",
    OF_MINUTES: "minutes",
    INTER_PATIENT: "patients",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One network, trained and tested once.

    Attributes
    ----------
    database : str
        Whose records.
    filters : str
        One of `FILTERS`.
    direction : str
        How they were filtered, see `models.reproduction.preprocessing`.
    network : str
        One that `models.reproduction.networks.build` knows.
    protocol : str
        One of `models.reproduction.protocols.PROTOCOLS`.
    seed : int
        Of split, weights and draws.
    epochs : int, optional
        In place of those of the equal budget.
    leads : int
        How many of a record's leads the network sees, from the first on: 1, as the product, or 2.
    looks : int
        See `models.reproduction.fitting.Budget`.
    """

    database: Database = "mitdb"
    filters: str = ALL_FILTERS
    direction: Direction = "zero-phase"
    network: str = "Grunet"
    protocol: Protocol = AS_THE_PAPER
    seed: int = 1
    epochs: int | None = None
    leads: int = 1
    looks: int = 1

    def budget_of(self, equal: Budget) -> Budget:
        """Return what this run may spend, where `equal` is what every other may."""
        own = replace(equal, looks=self.looks)
        return own if self.epochs is None else replace(own, epochs=self.epochs)

    @property
    def key(self) -> str:
        """A name for files: all that tells this run from the others."""
        filters = self.filters.replace("-pass", "").replace(" + ", "-")
        parts = [
            self.database,
            filters,
            self.direction,
            self.network.lower(),
            _PROTOCOL_KEYS[self.protocol],
            f"seed{self.seed}",
        ]
        if self.epochs is not None:
            parts.append(f"epochs{self.epochs}")
        if self.leads > 1:
            parts.append(f"leads{self.leads}")
        if self.looks > 1:
            parts.append(f"looks{self.looks}")
        return "_".join(parts)


MOST: Final = Experiment(network=WIDER, epochs=LONG, leads=2, looks=LOOKS)
"""All at once of what brought Grunet a little nearer to the paper's figures."""


def experiments() -> tuple[Experiment, ...]:
    """Return all runs, each once, the ones that tell most first."""
    return tuple(dict.fromkeys(_wanted()))


def _wanted() -> Iterator[Experiment]:
    # The paper's own row first, and what it is worth on people never seen; then as the product filters.
    yield Experiment()
    yield Experiment(protocol=INTER_PATIENT)
    yield Experiment(direction="causal")
    # The rest of Table 2, and what windows that are shared across the split are worth.
    for network in ("CNN", "GRU", "RNN"):
        for protocol in (AS_THE_PAPER, INTER_PATIENT):
            yield Experiment(network=network, protocol=protocol)
    yield Experiment(protocol=OF_MINUTES)
    yield Experiment(direction="causal", protocol=INTER_PATIENT)
    # Table 3's other databases; then Table 1 as the paper did it.
    for database in ("edb", "svdb"):
        yield Experiment(database=database)
    for filters, protocol in product(FILTERS, (AS_THE_PAPER, INTER_PATIENT)):
        yield Experiment(filters=filters, network="RNN", protocol=protocol)
    for network in ("RNN", "GRU", "CNN"):
        yield Experiment(network=network, protocol=OF_MINUTES)
    yield Experiment(epochs=LONG)
    yield Experiment(network=WIDER)
    # The paper does not say how many leads it saw; a fusion beat often shows in the second.
    yield Experiment(leads=2)
    yield Experiment(leads=2, protocol=INTER_PATIENT)
    for seed, network, protocol in product(SEEDS, NETWORKS, (AS_THE_PAPER, INTER_PATIENT)):
        yield Experiment(network=network, protocol=protocol, seed=seed)
    yield from (
        Experiment(network=network, protocol=protocol, direction=direction, filters=filters, epochs=epochs)
        for network, epochs in FILTERS_EPOCHS.items()
        for direction, filters, protocol in product(DIRECTIONS, FILTERS, (AS_THE_PAPER, INTER_PATIENT))
    )
    yield Experiment(looks=LOOKS)
    yield MOST
    for database, direction in product(("edb", "svdb"), DIRECTIONS):
        yield Experiment(database=database, direction=direction)  # type: ignore[arg-type] # as above
    yield Experiment(database="svdb", protocol=OF_MINUTES)
