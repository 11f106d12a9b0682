"""What the documentation tells to type exists: commands, options, files and variables."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from deploy.env_files import COMPOSE, ROOT, compose_files, hw_names
from sidecar.__main__ import cli

PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", *compose_files()])
OURS = re.compile(r"(?:^|[\s`(])sidecar ([a-z][a-z-]*(?: [a-z][a-z-]+)?)\b")


def commands_of(page: Path) -> set[str]:
    """Find `sidecar COMMAND` in code: fenced blocks and spans."""
    text = page.read_text("utf-8")
    text = re.sub(r"(exec|--no-deps|--detach) sidecar ", r"\1 ", text)  # a service's name
    code = re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL)
    return {name for part in code for name in OURS.findall(part)}


def test_commands_that_are_named_exist() -> None:
    """A reader may type each of them."""
    named = {command for page in PAGES for command in commands_of(page)}
    missing = [command for command in sorted(named) if not _exists(command)]

    assert {"preflight", "hw plan", "check"} <= named
    assert not missing


def _exists(command: str) -> bool:
    """Follow the words down the command line's groups; what comes behind are arguments."""
    found = typer.main.get_command(cli)
    for word in command.split():
        commands = getattr(found, "commands", None)
        if commands is None:
            return True
        if word not in commands:
            return False
        found = commands[word]
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_compose_commands_name_files_that_exist(page: Path) -> None:
    """Relative to compose/, where our own files are meant."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    for line in re.findall(r"docker compose [^\n`]*", text):
        for name in re.findall(r"(?:-f|--env-file) (\S+)", line):
            if name.startswith("../hw_envs/") and "NAME" not in name:
                assert Path(name).stem in hw_names(), line
            elif name.startswith(("vlm.", "vss-", "docker-compose")):
                assert (COMPOSE / name).exists(), line
            elif "/compose/" in name:
                assert (COMPOSE / Path(name).name).exists(), line


def test_every_compose_file_and_machine_has_its_page() -> None:
    """One for each place in VSS, and one for each machine."""
    for name in ("vss-3", "vss-3-remote", "vss-2.4", "grpc"):
        assert (ROOT / "docs" / f"{name}.md").exists()
    for name in hw_names():
        assert (ROOT / "docs" / "hardware" / f"{name}.md").exists()


def test_links_between_pages_lead_somewhere() -> None:
    """Relative ones; others are not ours to check."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
            if not target.startswith(("http", "mailto")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_settings_that_pages_name_exist() -> None:
    """A variable that does not exist stops the start."""
    known = (ROOT / "docs" / "settings.md").read_text("utf-8")
    special = {"SIDECAR_VSS_CONFIG", "SIDECAR_SETTINGS_FILE"}
    compose = {"SIDECAR_IMAGE", "SIDECAR_BIND", "SIDECAR_CLIPS", "SIDECAR_MEM_LIMIT"}
    for page in PAGES:
        for name in re.findall(r"SIDECAR_[A-Z0-9]+__[A-Z0-9_]+", page.read_text("utf-8")):
            plain = re.sub(r"ARMS__[A-Z0-9_]+?__", "ARMS__<ARM>__", name.strip("_"))
            prefix = plain in known or any(plain in it for it in special | compose)
            assert prefix, f"{page.name}: {name}"


def test_the_shell_blocks_are_shell() -> None:
    """Quotes are closed and continued lines end."""
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            shlex.split(block, comments=True)
