"""Doors and sinks refuse one place for two things, which they could not tell apart."""

import pytest
from pydantic import ValidationError

from sidecar.settings import KafkaSettings, StreamsSettings, StreamsSinkSettings


@pytest.mark.parametrize(
    ("section", "one", "other"),
    [
        (KafkaSettings, "incidents_topic", "alerts_topic"),
        (KafkaSettings, "alerts_topic", "dead_letter_topic"),
        (StreamsSettings, "incidents_stream", "alerts_stream"),
        (StreamsSettings, "incidents_stream", "dead_letter_stream"),
        (StreamsSinkSettings, "incidents_stream", "alerts_stream"),
    ],
)
def test_one_place_for_two_things_is_refused(section: type, one: str, other: str) -> None:
    """The error names both settings and the place."""
    with pytest.raises(ValidationError, match=f"`{one}` and `{other}` are both 'shared'"):
        section.model_validate({one: "shared", other: "shared"})
