"""Verdicts by HTTP POST, signed so that the receiver knows who sent them."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from sidecar.errors import DeliveryError, DeliveryRefused, SettingsError
from sidecar.model import OutboxEntry
from sidecar.ports import Clock
from sidecar.settings import WebhookSinkSettings

TIMESTAMP_HEADER: Final = "X-Sidecar-Timestamp"
DELIVERY_HEADER: Final = "X-Sidecar-Delivery"
SIGNATURE_HEADER: Final = "X-Sidecar-Signature"

_RETRYABLE: Final = frozenset({408, 425, 429})
_SCHEME: Final = "sha256="


class WebhookSink:
    """Posts each verdict document.

    Headers: `X-Sidecar-Timestamp` is the time of sending in unix seconds, `X-Sidecar-Delivery`
    the percent-encoded verdict key, which is the same when a delivery is repeated, and
    `X-Sidecar-Signature` (with a secret) what `verify_signature` checks. Redirects are not
    followed, because a signed body must not travel to another place.

    Args:
        settings: where to post, and with which secret.
        clock: stamps each delivery.
        headers: gives further headers of a delivery.

    Raises:
        SettingsError: the URL cannot be used.
    """

    def __init__(
        self,
        settings: WebhookSinkSettings,
        clock: Clock,
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._further_headers = headers
        self._url = _parse_url(settings.url)
        self._secret = settings.secret.get_secret_value()
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._trouble = ""

    @property
    def name(self) -> str:
        """The name in the outbox."""
        return "webhook"

    @property
    def most_at_once(self) -> int:
        """How many verdicts may be on their way at the same time."""
        return 8

    async def publish(self, entry: OutboxEntry) -> None:
        """Post one document; any 2xx means that it was taken.

        Raises:
            DeliveryError: no answer, 408, 425, 429 or 5xx.
            DeliveryRefused: any other status.
        """
        try:
            _check(await self._post(entry), self._place)
        except DeliveryError as error:
            self._trouble = error.detail
            raise
        self._trouble = ""

    async def ping(self) -> str:
        """Return what was wrong with the latest delivery; "" when nothing was."""
        return self._trouble

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    @property
    def _place(self) -> str:
        """The receiver without path, query and credentials, which may be secrets."""
        return f"The webhook at {self._url.origin()}"

    async def _post(self, entry: OutboxEntry) -> int:
        body = orjson.dumps(entry.record.document, default=dict)
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.post(
                self._url, data=body, headers=self._headers(entry, body), allow_redirects=False
            ) as response:
                return response.status
        except TimeoutError as error:
            raise DeliveryError(f"{self._place} did not answer in time.") from error
        except (aiohttp.ClientError, OSError) as error:
            reason = type(error).__name__
            raise DeliveryError(f"{self._place} cannot be reached ({reason}).") from error

    def _headers(self, entry: OutboxEntry, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._clock.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            TIMESTAMP_HEADER: timestamp,
            DELIVERY_HEADER: quote(entry.record.key, safe=":%"),
            **self._further_headers(),
        }
        if self._secret:
            headers[SIGNATURE_HEADER] = sign(self._secret, timestamp, body)
        return headers


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Compute the signature header: `sha256=` and hex HMAC-SHA256 of `timestamp.body`."""
    message = timestamp.encode() + b"." + body
    return _SCHEME + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def verify_signature(
    secret: str,
    timestamp: str,
    body: bytes,
    signature: str,
    *,
    now_s: float,
    tolerance_s: float = 300.0,
) -> bool:
    """Tell a receiver whether a delivery is ours and fresh.

    Args:
        secret: the shared `sinks.webhook.secret`.
        timestamp: the `X-Sidecar-Timestamp` header as received.
        body: the bytes of the body as received, before any parsing.
        signature: the `X-Sidecar-Signature` header as received.
        now_s: the receiver's unix time in seconds.
        tolerance_s: how far the two clocks may be apart; a recorded delivery that is sent again
            later than this is refused.
    """
    if not (timestamp.isascii() and timestamp.isdecimal()):
        return False
    is_fresh = abs(now_s - int(timestamp)) <= tolerance_s
    expected = sign(secret, timestamp, body).encode()
    return hmac.compare_digest(expected, signature.encode()) and is_fresh


def _check(status: int, place: str) -> None:
    if 200 <= status < 300:  # noqa: PLR2004 - the class of success
        return
    if status in _RETRYABLE or status >= 500:  # noqa: PLR2004 - the class of server errors
        raise DeliveryError(f"{place} answered {status}.")
    raise DeliveryRefused(f"{place} refused the verdict with {status}. Check sinks.webhook.url.")


def _parse_url(text: str) -> URL:
    advice = "Set SIDECAR_SINKS__WEBHOOK__URL to an http or https URL."
    try:
        url = URL(text)
    except ValueError as error:
        raise SettingsError(f"The URL of the webhook cannot be read. {advice}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError(f"The URL of the webhook is not one of HTTP. {advice}")
    return url
