"""`sidecar ab` beside a running service, as an operator uses it."""

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from two_arms import NANO, R2, Arms, incident, two_arms

SHADOW: dict[str, Any] = {"rules": [{"use": R2}], "shadow": {"arm": NANO}}


async def command(
    folder: Path, *arguments: str, **settings: str
) -> tuple[int, dict[str, Any], str]:
    """Run `sidecar ab`; returns the exit status, the JSON printed, and what went to stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "ab", *arguments, "--json"),
        cwd=folder,
        env={**os.environ, "SIDECAR_LEDGER__PATH": str(folder / "ledger.db"), **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out or b"{}"), err.decode()


def like(it: Arms) -> dict[str, str]:
    """Return the variables of a command with the service's settings."""
    settings = it.service.app.settings
    urls = {
        f"SIDECAR_ARMS__{name.replace('-', '_').upper()}__URL": settings.arms[name].url
        for name in (R2, NANO)
    }
    return {"SIDECAR_AB__PRIMARY": settings.ab.primary, **urls}


async def in_force(it: Arms, version: int) -> Mapping[str, Any]:
    """Wait until the service has followed."""
    async with asyncio.timeout(20):
        while True:
            _, shown = await it.service.get("/api/v1/arms")
            if shown["version"] == version:
                return dict(shown)
            await asyncio.sleep(0.02)


async def test_use_is_followed_by_the_running_service_and_survives_its_restart(
    tmp_path: Path,
) -> None:
    """With the operator's name and reason; what is refused changes nothing."""
    async with two_arms(tmp_path) as it:
        status, chosen, _ = await command(tmp_path, "use", NANO, "--reason", "trial", **like(it))
        shown = await in_force(it, 2)
        info = await it.info(1)
        conflict, _, words = await command(tmp_path, "use", R2, "--version", "1", **like(it))
        unknown, _, told = await command(tmp_path, "use", "gpt", **like(it))
        wrong, _, _ = await command(tmp_path, "use", **like(it))
        _, audit = await it.service.get("/api/v1/audit")
    async with two_arms(tmp_path) as it:
        again = await in_force(it, 2)

    me = f"cli:{getpass.getuser()}"
    assert (0, 2, me, "trial") == (status, chosen["version"], chosen["actor"], chosen["reason"])
    assert (NANO, NANO, NANO) == (shown["primary"], info["sidecarArm"], again["primary"])
    assert (2, 2, 3) == (conflict, unknown, wrong)
    assert "Version 2 is in force" in words
    assert "There is no arm 'gpt'" in told
    assert (me, "arms.choose") == (audit["entries"][0]["actor"], audit["entries"][0]["action"])


async def test_status_and_history_tell_what_is_in_force(tmp_path: Path) -> None:
    """By whom, since when, and whether each arm can work."""
    async with two_arms(tmp_path) as it:
        await it.choose(policy=SHADOW, reason="look at nano")
        _, status, _ = await command(tmp_path, "status", **like(it))
        _, history, _ = await command(tmp_path, "history", **like(it))
        _, back, _ = await command(tmp_path, "use", "--restore", "1", **like(it))

    assert (2, SHADOW["shadow"], "look at nano") == (
        status["version"],
        status["policy"]["shadow"],
        status["reason"],
    )
    assert {"baseline": "", R2: "", NANO: ""} == {
        arm["name"]: arm["problem"] for arm in status["arms"]
    }
    assert [2, 1] == [choice["version"] for choice in history["choices"]]
    assert (3, R2, "version 1 again") == (back["version"], back["primary"], back["reason"])


async def test_explain_needs_no_service(tmp_path: Path) -> None:
    """It goes by the settings, by a policy that is tried, or by what is in force."""
    (tmp_path / "event.json").write_text(json.dumps(incident(3)))
    settings = {"SIDECAR_AB__PRIMARY": R2}
    _, simple, _ = await command(tmp_path, "explain", "event.json", **settings)
    (tmp_path / "policy.yaml").write_text(
        "rules:\n- {name: gates, when: {sensors: 'camera-*'}, use: cosmos3-nano}\n- use: reason2\n"
        "fallback: [reason2]\n"
    )
    tried = ("explain", "event.json", "--policy", "policy.yaml")
    _, other, _ = await command(tmp_path, *tried, **settings)
    _, shipped, _ = await command(
        tmp_path, "explain", "event.json", SIDECAR_AB__POLICY_FILE="usage-map"
    )
    status, _, words = await command(
        tmp_path, "explain", "event.json", "--policy", "nowhere", **settings
    )

    assert ([R2], "reason2 answers all of these.", ["detection"]) == (
        simple["arms"],
        simple["why"],
        simple["facts"]["questions"],
    )
    assert ("gates", [NANO], [R2]) == (other["rule"], other["arms"], other["fallback"])
    assert ("dense event detection", [R2], [NANO]) == (
        shipped["rule"],
        shipped["arms"],
        shipped["fallback"],
    )
    assert (3, True) == (status, "usage-map" in words)


async def test_explain_goes_by_what_is_in_force(tmp_path: Path) -> None:
    """Also when that was chosen at run time."""
    (tmp_path / "event.json").write_text(json.dumps(incident(3)))
    async with two_arms(tmp_path) as it:
        await it.choose(policy=SHADOW)
        _, found, _ = await command(tmp_path, "explain", "event.json", **like(it))

    assert (2, [R2], NANO) == (found["version"], found["arms"], found["shadow"])


async def test_labels_are_taken_from_a_file(tmp_path: Path) -> None:
    """What is unknown is named and gives another exit status."""
    (tmp_path / "labels.jsonl").write_text(
        '{"id": "event-1", "truth": false}\n{"id": "nobody", "truth": true}\n'
    )
    (tmp_path / "wrong.jsonl").write_text('{"truth": false}\n')
    async with two_arms(tmp_path) as it:
        await it.info(1)
        status, taken, _ = await command(tmp_path, "label", "labels.jsonl", **like(it))
        wrong, _, words = await command(tmp_path, "label", "wrong.jsonl", **like(it))
        _, page = await it.service.get("/api/v1/ab/events")

    assert (4, 1, ["nobody"]) == (status, taken["labelled"], taken["unknown"])
    assert (2, True) == (wrong, "line 1" in words)
    assert [("event-1", False, f"cli:{getpass.getuser()}")] == [
        (it["id"], it["label"]["truth"], it["label"]["labeller"]) for it in page["events"]
    ]


async def test_without_a_ledger_there_is_nothing_to_choose(tmp_path: Path) -> None:
    """The error says where it was looked for."""
    status, _, words = await command(tmp_path, "use", "baseline")

    assert 3 == status
    assert "There is no ledger at" in words
