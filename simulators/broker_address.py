"""Where a broker listens, taken from a URL."""

from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from monitor.errors import UsageError

DEFAULT_BROKER_URL: Final = "mqtt://127.0.0.1:1883"
_PORT_OF_SCHEME = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where a broker listens, and who we are to it; printed without the password.

    Attributes
    ----------
    host : str
        Name or address.
    port : int
        TCP port.
    username, password : str or None
        As the broker knows us.
    tls : bool
        Encrypt, and check the broker's certificate against the system's authorities (OpenSSL's ``SSL_CERT_FILE``
        names others).
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the address that ``mqtt://[user[:password]@]host[:port]`` (or ``mqtts://``) names.

        Raises
        ------
        UsageError
            If it is no such URL; the text does not repeat a password.
        """
        advice = "use mqtt://[user:password@]host[:port] or mqtts://…"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"broker URL cannot be read; {advice}") from error
        where = f"{parts.scheme}://{parts.hostname or ''}"
        if parts.scheme not in _PORT_OF_SCHEME or not parts.hostname or port == 0:
            raise UsageError(f"broker {where!r}; {advice}")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise UsageError(f"broker {where!r} is followed by a path; {advice}")
        return cls(
            host=parts.hostname,
            port=port or _PORT_OF_SCHEME[parts.scheme],
            username=None if parts.username is None else unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            tls=parts.scheme == "mqtts",
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"
