"""A broker door with a ledger as a process of its own, so that it can be killed.

Usage: python door_process.py FOLDER {kafka|streams} SETTINGS, the settings as JSON.
"""

import asyncio
import sys
from pathlib import Path

from storing_service import storing

from sidecar.doors.kafka import KafkaDoor
from sidecar.doors.streams import StreamsDoor
from sidecar.outside.clock import SystemClock
from sidecar.outside.dead_letters_streams import connect_redis
from sidecar.settings import KafkaSettings, StreamsSettings


async def main(folder: Path, broker: str, settings: str) -> None:
    """Read until killed."""
    async with storing(folder) as store:
        intake, clock = store.intake(broker), SystemClock()
        if broker == "kafka":
            await KafkaDoor(KafkaSettings.model_validate_json(settings), intake, clock).run()
        streams = StreamsSettings.model_validate_json(settings)
        await StreamsDoor(connect_redis(streams), streams, intake, clock).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
