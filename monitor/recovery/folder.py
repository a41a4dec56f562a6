"""The folder of one monitor: packets, snapshots, and what its alarms were made of; locked against a second monitor."""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Self

from monitor.errors import SettingsError
from monitor.recovery.alarm_recording import AlarmRecording
from monitor.recovery.packets import PacketJournal
from monitor.recovery.rows import RowStore
from monitor.scratch_file import ScratchFile


class RecoveryFolder:
    """Opens what a monitor keeps for the next one; a context manager.

    Parameters
    ----------
    path : Path
        The folder; it is made where needed.

    Raises
    ------
    SettingsError
        If the folder cannot be used, or another monitor uses it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(
                f"folder {path} cannot be used: {error.strerror}; set monitor.recovery"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise SettingsError(
                f"folder {path} is in use by another monitor; give this one another name (--id NAME)"
            ) from error
        try:
            self.journal = PacketJournal(path)
            self.alarms = AlarmRecording(path)
            self.rows = RowStore(path / "rows.sqlite3")
            self.scratch = ScratchFile(path)
        except (OSError, sqlite3.Error) as error:
            os.close(self._lock)
            raise SettingsError(f"folder {path} cannot be used: {error}; set monitor.recovery") from error

    def close(self) -> None:
        """Close the files and let go of the lock."""
        self.journal.close()
        self.alarms.close()
        self.rows.close()
        self.scratch.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
