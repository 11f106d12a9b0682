"""Measure the operator's page: its first paint on a full ledger, and a feed of many verdicts.

usage: benchmark_ui.py [--verdicts N] [--rate N] [--seconds N]

A sidecar runs as its users start it, with a mock model's server; its ledger gets copies of a
verdict until it holds so many. Chromium opens the feed five times without a cache; then verdicts
come at the rate while it is open, and every drawn frame is timed.
"""

import argparse
import asyncio
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path

import aiohttp
from benchmark_filters import build_incident
from playwright.async_api import Browser, Page, async_playwright

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from service_process import ServiceProcess

from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions

VERDICTS, RATE, SECONDS, LOADS = 100_000, 50, 10, 5
FRAMES = """() => {
  window.gaps = [];
  let last = performance.now();
  const step = (now) => { window.gaps.push(now - last); last = now; requestAnimationFrame(step); };
  requestAnimationFrame(step);
}"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


async def main() -> None:
    """Print the figures."""
    options = _read_arguments()
    mock = MockVlm(MockVlmOptions(keep=0))
    with tempfile.TemporaryDirectory() as name:
        settings = {
            "SIDECAR_AB__PRIMARY": "reason2",
            "SIDECAR_ARMS__REASON2__URL": await mock.start(),
            "SIDECAR_ARMS__REASON2__EVIDENCE": "url",
            "SIDECAR_CANARY__ENABLED": "false",
            "SIDECAR_MEDIA__ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        service = ServiceProcess(Path(name), settings)
        await service.start()
        async with aiohttp.ClientSession() as client:
            await _decide(service, client, 0)
            await service.stop()
            _fill(Path(name) / "ledger.db", options.verdicts)
            await service.start()
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                await _loads(browser, service.url)
                await _feed(browser, service, client, options)
                await browser.close()
        await service.stop()
    await mock.close()


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verdicts", type=int, default=VERDICTS)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    return parser.parse_args()


async def _decide(service: ServiceProcess, client: aiohttp.ClientSession, number: int) -> None:
    status, accepted = await service.post(client, "/api/v1/incidents", build_incident(number))
    assert status == HTTPStatus.ACCEPTED, accepted
    path = f"/api/v1/verdicts/{accepted['id']}"
    while (await service.get(client, path))[0] != HTTPStatus.OK:  # noqa: ASYNC110 - as a user does
        await asyncio.sleep(0.02)


def _fill(ledger: Path, verdicts: int) -> None:
    """Copy the one verdict, each copy under a key of its own."""
    with sqlite3.connect(ledger) as database:
        names = [row[1] for row in database.execute("PRAGMA table_info(verdicts)")][2:]
        database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            f"INSERT INTO verdicts (key, {', '.join(names)}) "
            f"SELECT 'copy-' || i, {', '.join(names)} FROM verdicts, n WHERE seq = 1",
            (verdicts,),
        )
    database.close()


async def _loads(browser: Browser, url: str) -> None:
    paints, rows = [], []
    for _ in range(LOADS):
        page = await browser.new_page()
        begun = time.perf_counter()
        await _open(page, url)
        rows.append((time.perf_counter() - begun) * 1000)
        paints.append(await page.evaluate(PAINT))
        await page.close()
    _tell("first contentful paint", paints)
    _tell("first verdict shown", rows)


async def _feed(
    browser: Browser,
    service: ServiceProcess,
    client: aiohttp.ClientSession,
    options: argparse.Namespace,
) -> None:
    page = await browser.new_page()
    await _open(page, service.url)
    await page.locator(".state.is-live").wait_for()
    await page.evaluate(FRAMES)
    begun = time.monotonic()
    for number in range(1, options.rate * options.seconds + 1):
        await service.post(client, "/api/v1/incidents", build_incident(number))
        await asyncio.sleep(max(0.0, begun + number / options.rate - time.monotonic()))
    took_s = time.monotonic() - begun
    gaps = sorted(await page.evaluate("window.gaps"))
    print(f"{options.rate * options.seconds / took_s:.1f} verdicts/s for {took_s:.1f} s")
    p50, p99 = statistics.median(gaps), gaps[int(len(gaps) * 0.99)]
    print(f"frames drawn: {len(gaps) / took_s:.1f}/s; from one to the next:", end=" ")
    print(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {gaps[-1]:.1f} ms")


async def _open(page: Page, url: str) -> None:
    await page.goto(f"{url}/ui")
    await page.locator(".feed-row").first.wait_for()


def _tell(what: str, values: list[float]) -> None:
    shown = ", ".join(f"{it:.0f}" for it in sorted(values))
    print(f"{what}: {shown} ms")


if __name__ == "__main__":
    asyncio.run(main())
