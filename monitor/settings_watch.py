"""Settings that change while the monitor runs: the file is looked at, checked like at the start, and every change told.

Limits and rules of alarms hold from then on. What else has changed waits for a restart; a file that is wrong changes
nothing. The one who changed it is its owner, as far as a file tells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from monitor.catalogue import Kind, RuleChange
from monitor.errors import StrapwatchError
from monitor.responses import AuditEntry
from monitor.rhythm import AthleteLimits
from monitor.settings import Settings

LIVE_SECTIONS: Final = ("limits", "athletes", "alarms")
"""Sections that need no restart."""


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What somebody changed.

    Attributes
    ----------
    limits_of : callable or None
        Returns the limits of an athlete from now on; None where nothing is to change.
    rules : mapping of kind to RuleChange
        What holds otherwise than the catalogue from now on.
    settings_hash : str
        Of the settings from now on.
    by : str
        Who changed it, as far as is known.
    notes : list of (action, team/athlete or "", detail)
        For the audit trail.
    """

    limits_of: Callable[[str, str], AthleteLimits] | None
    rules: Mapping[Kind, RuleChange]
    settings_hash: str
    by: str
    notes: list[tuple[str, str, str]] = field(default_factory=list)

    def audit(self, teams: set[str], now: float) -> list[AuditEntry]:
        """Return the change as entries of the audit trail: an athlete's in their team's, all else in every team's."""
        return [
            AuditEntry(
                at=now, team=team, athlete=whose.partition("/")[2], by=self.by, action=action, detail=detail
            )
            for action, whose, detail in self.notes
            for team in ([whose.partition("/")[0]] if whose else sorted(teams))
        ]


class LiveSettings:
    """Looks at the settings' file. Its calls touch the disk: make them from one thread at a time.

    Parameters
    ----------
    path : Path
        The TOML file.
    settings : Settings
        As they were read at the start.
    reload : callable
        Reads them again.
    limits_of : callable
        Given settings, returns what returns an athlete's limits.
    hash_of : callable
        Given settings, returns their hash.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        *,
        reload: Callable[[], Settings],
        limits_of: Callable[[Settings], Callable[[str, str], AthleteLimits]],
        hash_of: Callable[[Settings], str],
    ) -> None:
        self._path = path
        self._settings = settings
        self._reload = reload
        self._limits_of = limits_of
        self._hash_of = hash_of
        self._seen = self._look()

    def check(self) -> SettingsChange | None:
        """Return what has changed since the last call, or None."""
        seen = self._look()
        # A file that is being written is looked at again once it stands still.
        if seen == self._seen or seen is None:
            return None
        self._seen = seen
        by = f"file {self._path.name} of {_owner(self._path)}"
        try:
            settings = self._reload()
            new_hash = self._hash_of(settings)
        except StrapwatchError as error:
            notes = [("settings refused", "", str(error))]
            return SettingsChange(None, {}, "", by, notes)
        notes = list(_differences(self._settings, settings))
        self._settings = settings
        if not notes:
            return None
        return SettingsChange(self._limits_of(settings), settings.rule_changes(), new_hash, by, notes)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            # An editor may put a new file in its place; one that stays away changes nothing.
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _differences(before: Settings, after: Settings) -> list[tuple[str, str, str]]:
    notes = []
    for section in Settings.model_fields:
        old, new = (_flat(getattr(s, section)) for s in (before, after))
        for key in sorted(old.keys() | new.keys()):
            was, now = old.get(key), new.get(key)
            if was == now:
                continue
            name = ".".join((section, *key))
            if section not in LIVE_SECTIONS:
                # Addresses may hold passwords.
                notes.append(("needs a restart", "", name))
                continue
            whose = key[0] if section == "athletes" else ""
            notes.append(("setting changed", whose, f"{name}: {_said(was)} → {_said(now)}"))
    return notes


def _flat(section: Any) -> dict[tuple[str, ...], object]:
    if isinstance(section, dict):
        return {(name, *key): value for name, each in section.items() for key, value in _flat(each).items()}
    return {(name,): value for name, value in section.model_dump().items()}


def _said(value: object) -> str:
    return "as for everybody" if value is None else str(value)


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (OSError, KeyError):
        return "somebody"
