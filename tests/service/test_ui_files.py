"""The files of the operator's page, as a browser or a proxy asks for them."""

import gzip
import re
from collections.abc import AsyncGenerator
from importlib.resources import files
from pathlib import Path

import pytest
from api_keys import one_of_each
from harness import Running, running

MOST_BYTES = 200_000


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncGenerator[Running]:
    """A service that asks for keys."""
    async with running(tmp_path, security={"keys": one_of_each()}) as service:
        yield service


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/ui", "./"),
        ("/ui/", "../"),
        ("/ui/system", "../"),
        ("/ui/verdicts/a", "../../"),
        ("/ui/verdicts/a%2Fb", "../../"),
        ("/ui/verdicts/a/b?x=/y/", "../../../"),
    ],
)
async def test_every_page_finds_the_root_from_where_it_is(
    guarded: Running, path: str, base: str
) -> None:
    """Relative to its own address, so that a proxy may put any prefix before it."""
    async with guarded.client.get(guarded.url + path) as answer:
        text = await answer.text()

    assert (200, f'<base href="{base}">') == (answer.status, re.search("<base.*>", text)[0])  # type: ignore[index]


async def test_nothing_runs_that_is_not_ours(guarded: Running) -> None:
    """No script of others, none in the markup, no markup from strings, no frame around it."""
    async with guarded.client.get(f"{guarded.url}/ui") as answer:
        policy = answer.headers["Content-Security-Policy"]
        text = await answer.text()

    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(
        policy.split("; ")
    )
    assert "unsafe" not in policy
    assert not re.search(r"<script>|<style| style=| on\w+=|https?://", text)


async def test_pages_that_do_not_exist_say_so(guarded: Running) -> None:
    """The status says it, and the shell is there to say it to people."""
    async with guarded.client.get(f"{guarded.url}/ui/nothing") as answer:
        assert 404 == answer.status
        assert "main.js" in await answer.text()


@pytest.mark.parametrize("name", ["none.js", "__init__.py", "..%2f__init__.py", "index.html", ""])
async def test_only_the_page_s_own_files_are_served(guarded: Running, name: str) -> None:
    """Not the package's other ones, and nothing beside it."""
    async with guarded.client.get(f"{guarded.url}/ui/assets/{name}") as answer:
        assert 404 == answer.status


async def test_files_are_asked_for_again_only_when_they_changed(guarded: Running) -> None:
    """By their tag."""
    url = f"{guarded.url}/ui/assets/app.css"
    async with guarded.client.get(url) as first:
        shown = {"If-None-Match": first.headers["ETag"]}
    async with guarded.client.get(url, headers=shown) as second:
        body = await second.read()

    assert (200, 304, b"") == (first.status, second.status, body)


def test_all_pages_together_are_small() -> None:
    """Less than what one of them may have, compressed."""
    kinds = (".js", ".css", ".html", ".svg")
    shipped = [it for it in files("sidecar.ui").iterdir() if it.name.endswith(kinds)]

    assert MOST_BYTES > sum(len(gzip.compress(it.read_bytes())) for it in shipped) > 0


def test_no_script_reads_text_as_markup() -> None:
    """Whatever a model or an alert says stays text."""
    sources = {
        it.name: it.read_text("utf-8")
        for it in files("sidecar.ui").iterdir()
        if it.name.endswith(".js")
    }
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    )

    assert sources
    assert {} == {name: it for name, text in sources.items() if (it := re.findall(forbidden, text))}
