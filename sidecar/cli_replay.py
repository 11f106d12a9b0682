"""`sidecar replay-shed`: events that were not looked at, once more."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console

from sidecar.errors import SettingsError
from sidecar.settings import API_KEY_VARIABLE

_PATH: Final = "/api/v1/verdicts/replay"
_TIMEOUT_S: Final = 600.0
_output = Console(soft_wrap=True, highlight=False, markup=False)


def replay_shed(
    *,
    url: Annotated[str, typer.Option(help="Of the running sidecar.")] = "http://127.0.0.1:9080",
    sensor: Annotated[str, typer.Option(help="Events of this sensor only.")] = "",
    category: Annotated[str, typer.Option(help="Events of this category only.")] = "",
    since: Annotated[datetime | None, typer.Option("--from", help="Events from, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="Events up to, UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many at most.")] = 1000,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    api_key: Annotated[str, typer.Option(envvar=API_KEY_VARIABLE, help="Scope admin.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Verify events again that ended as overloaded or deadline_expired.

    Each gets a verdict of its own, which names the one that it replaces. Doing it twice takes
    nothing in twice.
    """
    body = {"sensorId": sensor, "category": category, "limit": limit}
    times = {"from": since, "to": until}
    body |= {name: f"{time.isoformat()}Z" for name, time in times.items() if time is not None}
    headers = {"X-Sidecar-Reason": reason} if reason else {}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    told = asyncio.run(_post(url.rstrip("/") + _PATH, body, headers))
    if as_json:
        print(orjson.dumps(told).decode())  # noqa: T201 - what was asked for
        return
    _output.print(
        f"{told['accepted']} events are verified again; {told['known']} were replayed before, "
        f"{told['lost']} cannot be. {told['refused']}".rstrip()
    )


async def _post(url: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as client,
            client.post(url, json=body) as answer,
        ):
            if not answer.ok:
                raise SettingsError(f"{url} answers {answer.status}: {await answer.text()}")
            told: dict[str, Any] = await answer.json()
            return told
    except (aiohttp.ClientError, TimeoutError) as error:
        cause = str(error) or type(error).__name__
        raise SettingsError(f"Cannot reach {url}: {cause}. Name it with --url.") from error
