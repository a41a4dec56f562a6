"""Where a broker is: one URL, taken apart in one place."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from monitor.errors import SettingsError

_DEFAULT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_FORM: Final = "use mqtt://[user:password@]host[:port], or mqtts:// for TLS"


@dataclass(frozen=True, slots=True)
class MqttAddress:
    """A broker's address.

    Attributes
    ----------
    host : str
        Name or address.
    port : int
        TCP port.
    tls : bool
        Whether the connection is encrypted and the broker's certificate checked.
    username, password : str or None
        Who we are; never printed.
    """

    host: str
    port: int
    tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return the URL without user and password, fit for a log."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_mqtt_url(url: str) -> MqttAddress:
    """Take a broker's URL apart.

    Parameters
    ----------
    url : str
        ``mqtt://[user:password@]host[:port]``, or ``mqtts://`` for TLS; special characters of user and password
        percent-encoded.

    Raises
    ------
    SettingsError
        If it is no such URL. The text repeats neither user nor password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"broker URL cannot be read ({_without_secret(str(error))}); {_FORM}") from None
    shown = _without_secret(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise SettingsError(f"broker URL {shown!r} has no scheme mqtt or mqtts; {_FORM}")
    if not parts.hostname or port == 0:
        raise SettingsError(f"broker URL {shown!r} names no host or an impossible port; {_FORM}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise SettingsError(f"broker URL {shown!r} goes on after the port; {_FORM}")
    if parts.password is not None and not parts.username:
        raise SettingsError(f"broker URL {shown!r} has a password but no user; {_FORM}")
    return MqttAddress(
        host=parts.hostname,
        port=_DEFAULT_PORTS[parts.scheme] if port is None else port,
        tls=parts.scheme == "mqtts",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password is not None else None,
    )


def _without_secret(text: str) -> str:
    """Leave out whatever stands before an ``@``: it may be a password."""
    scheme, separator, rest = text.partition("://")
    if "@" not in rest:
        return text
    return f"{scheme}{separator}…@{rest.rpartition('@')[2]}"
