"""Choosing the parts by the settings."""

import pytest

from sidecar import parts
from sidecar.errors import SettingsError
from sidecar.settings import Settings


def test_an_extra_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which setting needs it and how to get it; what is off needs nothing."""
    monkeypatch.setitem(parts._EXTRAS, "streams.url", ("redis", "no_such_module"))
    monkeypatch.setitem(parts._EXTRAS, "grpc.enabled", ("grpc", "no_such_module"))
    settings = Settings(streams={"url": "redis://localhost"}, grpc={"enabled": False})
    (error,) = parts.missing_extras(settings)

    assert (
        "streams.url: needs no_such_module, which is not installed: "
        "pip install 'vss-vlm-sidecar[redis]'"
    ) == error.detail


def test_a_part_that_cannot_be_imported_says_which_extra() -> None:
    """The same words when the import itself fails."""
    with (
        pytest.raises(SettingsError, match=r"vss-vlm-sidecar\[kafka\]"),
        parts._extra("kafka.bootstrap_servers"),
    ):
        raise ModuleNotFoundError(name="confluent_kafka")
