"""Servers for the tests in this folder."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from real_vllm.server import FAMILIES, OPTIONS, PARSER, VllmServer, find_python, run_vllm


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """The Python that has vLLM."""
    python = find_python()
    if python is None:
        pytest.skip("no vLLM: run tests/real_vllm/install.sh, or set VLLM_PYTHON")
    return python


@pytest.fixture(scope="session")
def vllm_servers(
    vllm_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, VllmServer]]:
    """Both models, by the names of their arms, on servers that differ as much as two can.

    Reason 2 with vLLM's defaults; Cosmos 3 with a reasoning parser and media options allowed.
    """
    flags = {"reason2": (), "cosmos3-nano": (*PARSER, *OPTIONS)}
    with ExitStack() as running:
        starting = {
            arm: running.enter_context(
                run_vllm(vllm_python, family, tmp_path_factory.mktemp(family), flags=flags[arm])
            )
            for arm, family in FAMILIES.items()
        }
        yield {arm: server.wait() for arm, server in starting.items()}
