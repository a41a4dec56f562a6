"""A webhook: alarms to any HTTP endpoint, signed, each with a key that stays the same when it is sent again.

Signature and headers are those of the Standard Webhooks specification (standardwebhooks.com): HMAC-SHA256 over
``id.timestamp.body``. The body holds pseudonyms and no signal.
"""

import base64
import binascii
import hashlib
import hmac
import time
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec

from monitor.contract import PRIORITIES, Alarm, Priority
from monitor.errors import SettingsError
from monitor.live_state import CANARY_TEAM
from monitor.receivers.notice import CALLS, DeliveryError, Notice

TIMEOUT_S: Final = 10.0
_LEAST_SECRET: Final = 16
_LEAST_KEY: Final = 24
"""Of a secret in base64, in bytes: what the specification asks for at least."""
_TOLD_KEPT: Final = 5_000


class WebhookReceiver:
    """Delivers alarms by HTTP POST; an asynchronous context manager.

    Parameters
    ----------
    name : str
        See `monitor.receivers.Receiver`.
    url : str
        ``https://…``; ``http://`` to this machine only.
    secret : str
        ``whsec_`` and base64 of at least 24 bytes, or any other text of at least 16 characters.
    least : str
        Lowest priority that is delivered.
    when : {'unanswered', 'raised'}
        Deliver alarms when nobody has answered them, or as soon as they are raised.
    canary : bool
        Deliver test alarms too, for an endpoint that misses them when they stay away.
    timeout_s : float
        Seconds an endpoint may take.

    Raises
    ------
    SettingsError
        If `url` or `secret` cannot be used.
    """

    def __init__(
        self,
        name: str,
        *,
        url: str,
        secret: str,
        least: Priority = "high",
        when: str = "unanswered",
        canary: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        check_endpoint(url)
        self.name = name
        self._url = url
        self._secret = secret_bytes(secret)
        self._least = PRIORITIES.index(least)
        self._when = when
        self._canary = canary
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._told: dict[str, None] = {}

    def wants(self, alarm: Alarm) -> bool:
        """Whether an alarm is urgent enough, and is to be told now; what was told is also told to be over."""
        if alarm.team == CANARY_TEAM:
            return self._canary
        urgent = PRIORITIES.index(alarm.priority) <= self._least
        if alarm.transition == "unanswered":
            # Nobody answers: that a high alarm is not for this receiver is no reason to keep it inside.
            return urgent or alarm.priority == "high"
        if alarm.transition in CALLS:
            return urgent and (self._when == "raised" or alarm.kind == "monitoring_lost")
        return alarm.transition in ("cleared", "acknowledged") and alarm.identity in self._told

    async def deliver(self, notice: Notice) -> None:
        """Post a notice and wait for the endpoint's word that it has it.

        Raises
        ------
        DeliveryError
            If the endpoint cannot be reached, or answers anything but 2xx.
        """
        if self._session is None:
            raise RuntimeError("this receiver is not entered")
        body = message_body(notice)
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers=signed_headers(self._secret, notice.key, body),
                allow_redirects=False,
            ) as response:
                if not 200 <= response.status < 300:
                    raise DeliveryError(f"{self._shown()} answers {response.status}")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise DeliveryError(f"{self._shown()}: {str(error) or type(error).__name__}") from error
        if notice.alarm.transition in CALLS:
            self.remember(notice.alarm.identity)

    def remember(self, identity: str) -> None:
        """Take that this endpoint was called for an alarm, now or before."""
        self._told[identity] = None
        if len(self._told) > _TOLD_KEPT:
            del self._told[next(iter(self._told))]

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _shown(self) -> str:
        # Paths of webhooks are often secrets.
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.hostname}"


def check_endpoint(url: str) -> None:
    """Refuse an address that a webhook cannot have.

    Raises
    ------
    SettingsError
        If it is none, or would carry alarms over a network unencrypted. The text repeats neither path nor password.
    """
    try:
        parts = urlsplit(url)
        host, scheme, _ = parts.hostname, parts.scheme, parts.port
    except ValueError:
        raise SettingsError("webhook address cannot be read; use https://host/path") from None
    if scheme == "https" and host:
        return
    if scheme == "http" and host in ("127.0.0.1", "::1", "localhost"):
        return
    raise SettingsError(f"webhook address {scheme}://{host or ''}: use https://, or http:// to this machine")


def secret_bytes(secret: str) -> bytes:
    """Return the key behind a secret.

    Raises
    ------
    SettingsError
        If it is too short, or says that it is base64 and is not.
    """
    if len(secret) < _LEAST_SECRET:
        raise SettingsError(f"webhook secret of {len(secret)} characters: use at least {_LEAST_SECRET}")
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise SettingsError("webhook secret begins with whsec_ and is no base64 after that") from None
    if len(key) < _LEAST_KEY:
        raise SettingsError(
            f"webhook secret of {len(key)} bytes behind whsec_: use at least {_LEAST_KEY}, "
            f'such as "whsec_$(openssl rand -base64 {_LEAST_KEY})"'
        )
    return key


def signed_headers(secret: bytes, key: str, body: bytes, *, at: int | None = None) -> dict[str, str]:
    """Return the headers of a message.

    Parameters
    ----------
    secret : bytes
        What sender and endpoint share.
    key : str
        The notice's key.
    body : bytes
        What is sent.
    at : int, optional
        Unix time in seconds; now, if left out.

    References
    ----------
    Standard Webhooks specification, "Signature scheme".
    """
    # The key's own characters are free; an identifier in a header has no dots in that scheme.
    identifier = "msg_" + hashlib.sha256(key.encode()).hexdigest()[:32]
    timestamp = str(int(time.time()) if at is None else at)
    signature = hmac.new(secret, f"{identifier}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": identifier,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        "idempotency-key": identifier,
    }


def message_body(notice: Notice) -> bytes:
    """Return the JSON body of a notice."""
    alarm = notice.alarm
    return msgspec.json.encode(
        {
            "type": f"alarm.{alarm.transition}",
            "key": notice.key,
            "identity": alarm.identity,
            "team": alarm.team,
            "athlete": alarm.athlete,
            "kind": alarm.kind,
            "priority": alarm.priority,
            "technical": alarm.technical,
            "transition": alarm.transition,
            "message": alarm.message,
            "action": alarm.action,
            "at": alarm.at,
            "onset_at": alarm.onset_at or None,
            "rate_bpm": alarm.rate_bpm,
            "quality": alarm.quality,
            "by": alarm.by or None,
            "model": alarm.model,
            "settings_hash": alarm.settings_hash,
        }
    )
