"""Real servers and recordings for every test that wants them; what is missing here is skipped visibly."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.embedded import (
    EmbeddedBroker,
    EmbeddedServer,
    GuardedServer,
    InstalledMosquitto,
    InstalledRedis,
)
from monitor.errors import ServerError


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[GuardedServer]:
    """Mosquitto on a free port; ``stop()``, ``kill()`` and ``start()`` keep port and sessions."""
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    try:
        server = InstalledMosquitto(directory=folder)
    except ServerError as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[GuardedServer]:
    """Redis (Valkey where Redis is not installed) on a free port; a restart keeps the port, Redis its data too."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server: GuardedServer
    try:
        server = InstalledRedis(directory=folder)
    except ServerError:
        server = EmbeddedServer()
    with server:
        yield server


@pytest.fixture
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """Return the broker the demo uses."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def embedded_server() -> Iterator[EmbeddedServer]:
    """Return the Redis-compatible server the demo uses."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Return the folder with the recordings' databases."""
    folder = os.environ.get("STRAPWATCH_DATA")
    if not folder:
        pytest.skip("STRAPWATCH_DATA is not set: no recordings")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"STRAPWATCH_DATA is {folder}, which is no folder")
    return path
