"""Settings of the monitor: one TOML file and the environment, read once at the start and frozen.

A variable ``STRAPWATCH_<SECTION>__<KEY>`` stands above the file; ``STRAPWATCH_BROKER`` and ``STRAPWATCH_REDIS`` are
short for the two addresses. Everything that can be set is listed in ``docs/settings.md``.
"""

import hashlib
import json
import os
import re
import socket
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import platformdirs
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from monitor.errors import ModelError, SettingsError
from monitor.settings_alarms import (
    AlarmRuleSettings,
    ReceiverSettings,
    check_kinds,
    check_names,
    rule_changes,
)
from monitor.settings_errors import explain, unknown_key
from monitor.sinks.connection import open_redis
from monitor.sources.address import parse_mqtt_url
from monitor.wire import is_name

if TYPE_CHECKING:
    from monitor.assembly import ReorderLimits
    from monitor.catalogue import Kind, RuleChange
    from monitor.line import LineConfig
    from monitor.rhythm import AthleteLimits
    from monitor.roster import Roster

ENVIRONMENT_PREFIX: Final = "STRAPWATCH_"
NOT_SETTINGS: Final = ("STRAPWATCH_DATA", "STRAPWATCH_CACHE")
"""Variables of ours that say where files are; they are no settings of the monitor."""
_SHORT: Final = ("broker", "redis")
_NO_FILE: Final = ":memory:"


def _own_id() -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "monitor"


def _number_or_none(value: object) -> object:
    if isinstance(value, str):
        return None if value.lower() in ("", "none") else int(value) if value.isdigit() else value
    return value


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class BrokerSettings(_Section):
    """Where packets come from."""

    url: Annotated[
        str, Field(description="MQTT broker: `mqtt://[user:password@]host[:port]`, `mqtts://` for TLS")
    ] = "mqtt://127.0.0.1:1883"
    client_id: Annotated[
        str | None,
        Field(description="Name towards the broker, which lets in one client of a name; made up if left out"),
    ] = None
    persistent_session: Annotated[
        bool, Field(description="The broker keeps what arrives while the monitor is away; needs `client_id`")
    ] = False

    @field_validator("url")
    @classmethod
    def _is_broker(cls, url: str) -> str:
        try:
            parse_mqtt_url(url)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return url

    @model_validator(mode="after")
    def _session_has_name(self) -> Self:
        if self.persistent_session and not self.client_id:
            raise ValueError("persistent_session needs a client_id that stays the same; set client_id")
        return self


class RedisSettings(_Section):
    """Where live state and alarms go."""

    url: Annotated[
        str,
        Field(
            description="Redis 7 or Valkey: `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS"
        ),
    ] = "redis://127.0.0.1:6379"

    @field_validator("url")
    @classmethod
    def _is_redis(cls, url: str) -> str:
        try:
            open_redis(url)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        return url


class MonitorSettings(_Section):
    """The monitor itself."""

    id: Annotated[
        str,
        Field(
            description="Name in the heartbeat: 1 to 64 letters, digits, `-`, `_`; default: the host's name"
        ),
    ] = Field(default_factory=_own_id)
    tick_s: Annotated[
        float, Field(ge=0.005, le=1.0, description="How often what has arrived is taken, in seconds")
    ] = 0.02
    queue_packets: Annotated[
        int, Field(ge=100, le=1_000_000, description="Packets that may wait; more are dropped and counted")
    ] = 20_000
    outbox: Annotated[
        Path | None,
        Field(
            description="File in which alarms wait for Redis; default: `outbox-<id>.sqlite3` in the user's state folder"
        ),
    ] = None
    roster: Annotated[
        Path | None,
        Field(description="TOML or CSV file with names and limits of athletes, see docs/roster.md"),
    ] = None

    resume: Annotated[
        bool,
        Field(
            description="Go on after a restart where each athlete was; needs a little disk, see `recovery`"
        ),
    ] = True
    recovery: Annotated[
        Path | None,
        Field(
            description="Folder with packets and snapshots to go on from; default: `recovery-<id>` beside the outbox"
        ),
    ] = None

    @field_validator("id")
    @classmethod
    def _is_id(cls, name: str) -> str:
        if not is_name(name):
            raise ValueError(f"{name!r} is no name: use 1 to 64 letters, digits, '-' or '_'")
        return name


class SignalSettings(_Section):
    """What is done to the signal before the classifier sees it."""

    mains_hz: Annotated[
        Literal[50, 60] | None,
        BeforeValidator(_number_or_none),
        Field(description="Mains frequency to notch out; left out (or `none`): no notch"),
    ] = None


# Below a trained athlete's resting rate in the forties lies what is worth a look during training; 220 minus age leaves
# little above 200 for a senior; 2 s and 4 s are what hospital monitors call a pause and an asystole.
_BRADYCARDIA = Field(
    ge=15.0, le=100.0, description="Heart rate below which bradycardia begins, beats a minute"
)
_TACHYCARDIA = Field(
    ge=80.0, le=260.0, description="Heart rate above which tachycardia begins, beats a minute"
)
_PAUSE = Field(ge=1.0, le=10.0, description="Seconds without a beat that are a pause")
_ASYSTOLE = Field(ge=2.0, le=20.0, description="Seconds without a beat that are an asystole")
_BRADYCARDIA_EFFORT = Field(
    ge=15.0, le=150.0, description="Limit of bradycardia during effort, where it is above `bradycardia_bpm`"
)
_TACHYCARDIA_REST = Field(
    ge=80.0, le=260.0, description="Limit of tachycardia at rest, where it is below `tachycardia_bpm`"
)
_RESTING = Field(ge=20.0, le=120.0, description="Heart rate at rest, beats a minute: where effort begins")
_MAXIMUM = Field(
    ge=100.0, le=240.0, description="Highest heart rate reached, beats a minute: above it is an alarm"
)


class LimitSettings(_Section):
    """Limits of every athlete who has none of their own."""

    bradycardia_bpm: Annotated[float, _BRADYCARDIA] = 40.0
    tachycardia_bpm: Annotated[float, _TACHYCARDIA] = 200.0
    pause_s: Annotated[float, _PAUSE] = 2.0
    asystole_s: Annotated[float, _ASYSTOLE] = 4.0
    bradycardia_effort_bpm: Annotated[float, _BRADYCARDIA_EFFORT] = 50.0
    tachycardia_rest_bpm: Annotated[float, _TACHYCARDIA_REST] = 160.0
    resting_bpm: Annotated[float, _RESTING] = 60.0
    maximum_bpm: Annotated[float, _MAXIMUM] = 205.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.bradycardia_bpm >= self.tachycardia_bpm:
            raise ValueError(
                f"bradycardia_bpm {self.bradycardia_bpm:g} must be below tachycardia_bpm {self.tachycardia_bpm:g}"
            )
        if self.pause_s >= self.asystole_s:
            raise ValueError(f"pause_s {self.pause_s:g} must be below asystole_s {self.asystole_s:g}")
        if self.resting_bpm >= self.maximum_bpm:
            raise ValueError(
                f"resting_bpm {self.resting_bpm:g} must be below maximum_bpm {self.maximum_bpm:g}"
            )
        return self


class AthleteSettings(_Section):
    """Limits of one athlete; what is left out is as for everybody."""

    bradycardia_bpm: Annotated[float | None, _BRADYCARDIA] = None
    tachycardia_bpm: Annotated[float | None, _TACHYCARDIA] = None
    pause_s: Annotated[float | None, _PAUSE] = None
    asystole_s: Annotated[float | None, _ASYSTOLE] = None
    bradycardia_effort_bpm: Annotated[float | None, _BRADYCARDIA_EFFORT] = None
    tachycardia_rest_bpm: Annotated[float | None, _TACHYCARDIA_REST] = None
    resting_bpm: Annotated[float | None, _RESTING] = None
    maximum_bpm: Annotated[float | None, _MAXIMUM] = None


class ClassifierSettings(_Section):
    """What names the beats."""

    weights: Annotated[
        Path | None,
        Field(description="Weights (safetensors, its card beside it); left out: the shipped ones"),
    ] = None
    corrections: Annotated[
        Path | None,
        Field(
            description="Folder of a physician's corrections, files `TEAM/ATHLETE.json` of `strapwatch adapt`"
        ),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda"], Field(description="`auto` and `cpu` run in NumPy, `cuda` in torch")
    ] = "auto"
    threads: Annotated[int, Field(ge=1, le=64, description="CPU threads of the network")] = 1


class ReorderSettings(_Section):
    """How long a packet may wait for those before it."""

    packets: Annotated[int, Field(ge=1, le=256, description="Packets of a strap that may wait at once")] = 8
    wait_s: Annotated[float, Field(ge=0.0, le=10.0, description="Seconds that one may wait")] = 1.0


class _Environment(EnvSettingsSource):
    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        if field_name in _SHORT and not str(value).lstrip().startswith("{"):
            return {"url": value}
        return super().decode_complex_value(field_name, field, value)


class Settings(BaseSettings):
    """All settings, checked and frozen; see `Settings.load`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        validate_default=True,
    )

    broker: BrokerSettings = BrokerSettings()
    redis: RedisSettings = RedisSettings()
    monitor: MonitorSettings = MonitorSettings()
    signal: SignalSettings = SignalSettings()
    limits: LimitSettings = LimitSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    reorder: ReorderSettings = ReorderSettings()
    athletes: dict[str, AthleteSettings] = {}
    alarms: dict[str, AlarmRuleSettings] = {}
    receivers: dict[str, ReceiverSettings] = {}

    _known_kinds = field_validator("alarms")(check_kinds)
    _names = field_validator("receivers")(check_names)

    @field_validator("athletes")
    @classmethod
    def _are_athletes(cls, athletes: dict[str, AthleteSettings]) -> dict[str, AthleteSettings]:
        for name in athletes:
            team, slash, athlete = name.partition("/")
            if not (slash and is_name(team) and is_name(athlete)):
                raise ValueError(f'{name!r} is no athlete: use "team/name", as in [athletes."red/anna"]')
        return athletes

    @model_validator(mode="after")
    def _everybodys_limits_fit(self) -> Self:
        for name in self.athletes:
            try:
                self._limits(name)
            except ValidationError as error:
                raise ValueError(f"athletes.{name!r}: {error.errors()[0]['ctx']['error']}") from None
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature; ours reads two short names too
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise; no such file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment stand above what the file gives."""
        return _Environment(settings_cls), init_settings

    @classmethod
    def load(
        cls, path: Path | str | None = None, *, overrides: dict[str, dict[str, Any]] | None = None
    ) -> Self:
        """Read the settings.

        Parameters
        ----------
        path : Path or str, optional
            The TOML file; without one, the environment and the defaults decide.
        overrides : dict of str to dict, optional
            Values by section and key that go before both, from the command line.

        Raises
        ------
        SettingsError
            If the file is not there or no TOML, a key is unknown, or a value is out of range.
        """
        given = {} if path is None else _read(Path(path))
        _refuse_unknown_variables(cls)
        try:
            settings = cls(**given)
        except ValidationError as error:
            raise SettingsError(explain(error, cls, path)) from None
        except SourceError as error:
            raise SettingsError(
                f"environment: {error}; for a section use JSON or {ENVIRONMENT_PREFIX}SECTION__KEY"
            ) from None
        sections: dict[str, BaseModel] = {}
        for name, values in (overrides or {}).items():
            section: _Section = getattr(settings, name)
            try:
                sections[name] = type(section)(**(section.model_dump() | values))
            except ValidationError as error:
                raise SettingsError(explain(error, cls, path, override_of=name)) from None
        return settings.model_copy(update=sections)

    @property
    def outbox_path(self) -> Path:
        """The file in which alarms wait."""
        if self.monitor.outbox is not None:
            return self.monitor.outbox.expanduser()
        return platformdirs.user_state_path("strapwatch") / f"outbox-{self.monitor.id}.sqlite3"

    def load_roster(self) -> "Roster":
        """Read the roster; an empty one where none is set.

        Raises
        ------
        SettingsError
            If it is damaged, or an athlete's limits do not fit each other.
        """
        from monitor.roster import Roster

        roster = Roster.load(self.monitor.roster)
        self.check_roster(roster)
        return roster

    def check_roster(self, roster: "Roster") -> None:
        """See that the limits of every athlete of a roster fit each other under these settings.

        Raises
        ------
        SettingsError
            If they do not; it names the athlete and where the roster has them.
        """
        for team, athlete in roster:
            try:
                self._limits(f"{team}/{athlete}", roster)
            except ValidationError as error:
                reason = error.errors(include_url=False)[0]
                said = reason.get("ctx", {}).get("error", reason["msg"])
                raise SettingsError(f"{roster.where(team, athlete)}: {said}") from None

    @property
    def recovery_path(self) -> Path | None:
        """The folder from which a restart goes on; None where nothing is to be kept."""
        if not self.monitor.resume or str(self.monitor.outbox) == _NO_FILE:
            return None
        if self.monitor.recovery is not None:
            return self.monitor.recovery.expanduser()
        return self.outbox_path.parent / f"recovery-{self.monitor.id}"

    def limits_of(self, team: str, athlete: str, *, roster: "Roster | None" = None) -> "AthleteLimits":
        """Return the limits of one athlete: those set here, else the roster's, else everybody's."""
        from monitor.rhythm import AthleteLimits

        return AthleteLimits(**self._limits(f"{team}/{athlete}", roster).model_dump())

    def rule_changes(self) -> "dict[Kind, RuleChange]":
        """Return what holds otherwise than the catalogue of alarms."""
        return rule_changes(self.alarms)

    def line_config(self) -> "LineConfig":
        """Return what decides in the line, apart from single athletes' limits."""
        from monitor.line import LineConfig
        from monitor.rhythm import AthleteLimits

        # A float, as on the command line: the configuration's hash is to be the same.
        mains_hz = None if self.signal.mains_hz is None else float(self.signal.mains_hz)
        return LineConfig(mains_hz=mains_hz, limits=AthleteLimits(**self.limits.model_dump()))

    def reorder_limits(self) -> "ReorderLimits":
        """Return how long packets wait for those before them."""
        from monitor.assembly import ReorderLimits

        return ReorderLimits(packets=self.reorder.packets, wait_s=self.reorder.wait_s)

    def _limits(self, name: str, roster: "Roster | None" = None) -> LimitSettings:
        team, _, athlete = name.partition("/")
        of_roster = {} if roster is None else roster.limits(team, athlete, self.limits)
        own = self.athletes.get(name, AthleteSettings()).model_dump(exclude_none=True)
        return LimitSettings(**(self.limits.model_dump() | of_roster | own))


def settings_hash(settings: Settings, roster: "Roster | None" = None) -> str:
    """Return a short hash of everything that decides: signal, limits and classifier, but no address and no name.

    Without weights and limits of one's own it is the version of the line's configuration, as `evaluate` prints it.

    Raises
    ------
    ModelError
        If the weights or corrections cannot be read.
    """
    version = settings.line_config().version()
    own = {
        name: limits
        for name, athlete in sorted(settings.athletes.items())
        if (limits := athlete.model_dump(exclude_none=True))
    }
    own |= {
        f"alarms.{kind}": rule
        for kind, section in sorted(settings.alarms.items())
        if (rule := section.model_dump(exclude_none=True))
    }
    of_roster = "" if roster is None else roster.limits_hash(settings.limits)
    weights, folder = settings.classifier.weights, settings.classifier.corrections
    if weights is None and folder is None and not own and not of_roster:
        return version
    try:
        of_corrections = "" if folder is None else _folder_hash(folder.expanduser())
    except OSError as error:
        raise ModelError(
            f"corrections in {folder} cannot be read: {error.strerror}; see classifier.corrections"
        ) from error
    try:
        digest = "" if weights is None else hashlib.sha256(weights.expanduser().read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(
            f"weights {weights} cannot be read: {error.strerror}; see classifier.weights"
        ) from error
    described = [version, own, digest, *(part for part in (of_roster, of_corrections) if part)]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:12]


def _folder_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.json")):
        digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"settings file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} is no TOML: {error}") from error


def _refuse_unknown_variables(settings: type[BaseSettings]) -> None:
    for name in os.environ:
        key = name.upper()
        if not key.startswith(ENVIRONMENT_PREFIX) or key in NOT_SETTINGS:
            continue
        section, *_ = key.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        if section not in settings.model_fields:
            dotted = key.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            raise SettingsError(unknown_key(f"environment variable {name}", dotted, settings))
