"""Decoding in processes of their own, so that a clip that crashes a decoder costs only itself.

The processes are started when they are first needed, as fresh interpreters: nothing is forked from
a service that has threads. They write what a model is shown as compressed pictures into a pipe,
some hundred kilobytes to a few megabytes, which costs less than a hundredth of the decoding.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Final

import structlog

from sidecar.errors import DecoderCrashed
from sidecar.model import Clip, Evidence, EvidenceForm, SamplePlan
from sidecar.outside.decoding_wire import HEADER_BYTES, Answer, Job, dump_job, length_of
from sidecar.outside.frames import PyavSampler
from sidecar.settings import MediaSettings

MOST: Final = 16
"""Processes that a machine gets of itself, however many cores it has."""
_READ_BYTES: Final = 2**20

_log = structlog.get_logger()


class _Crash(Exception):
    """A decoder ended while it had work."""


def build_sampler(settings: MediaSettings) -> "PyavSampler | ProcessSampler":
    """Make what decodes clips, in processes of their own unless the settings keep it in here."""
    count = settings.decode_processes
    if count is None:
        count = min(MOST, len(os.sched_getaffinity(0)))
    return ProcessSampler(settings, count) if count else PyavSampler(settings)


class ProcessSampler:
    """Decodes in other processes; `sidecar.ports.FrameSampler`. For one event loop.

    A clip whose decoder crashes is tried once more with a fresh one. A decoder whose clip is given
    up is ended, as nothing else stops it in the middle.

    Args:
        settings: limits.
        count: clips decoded at the same time, each by a process that is kept for the next ones.
        command: what starts a decoder.
    """

    def __init__(
        self,
        settings: MediaSettings,
        count: int,
        command: tuple[str, ...] = (sys.executable, "-m", "sidecar.outside.decoder_process"),
    ) -> None:
        self._settings = settings
        self._count = count
        self._command = command
        self._places = asyncio.Semaphore(count)
        self._under_way = 0
        self._idle: list[Process] = []

    @property
    def waiting(self) -> int:
        """How many clips wait until others are decoded."""
        return max(0, self._under_way - self._count)

    async def sample(self, clip: Clip, plan: SamplePlan) -> Evidence:
        """Decode and sample; a form `url` passes the URLs on, and images are always frames.

        Raises:
            MediaError: the clip cannot be decoded within the limits.
        """
        if plan.form is EvidenceForm.URL:
            return Evidence(EvidenceForm.URL, clip.type, urls=clip.urls)
        message = dump_job(Job(clip, plan, self._settings))
        self._under_way += 1
        try:
            async with self._places:
                try:
                    return await self._ask(message)
                except _Crash as crash:
                    _log.warning("decoder_crashed", clip=clip.paths[0].name, cause=str(crash))
                try:
                    return await self._ask(message)
                except _Crash as crash:
                    raise DecoderCrashed(
                        f"{clip.paths[0].name} made two decoders end, the latter by {crash}. The "
                        "file is damaged, or the machine has too little memory."
                    ) from crash
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """End the decoders that have nothing to do. Safe to call twice."""
        idle, self._idle = self._idle, []
        for decoder in idle:
            await _end(decoder)

    async def _ask(self, message: bytes) -> Evidence:
        decoder = await self._decoder()
        try:
            answer, pictures = await _exchange(decoder, message)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            await _end(decoder)
            raise _Crash(_cause(decoder)) from error
        except BaseException:
            await asyncio.shield(_end(decoder))
            raise
        self._idle.append(decoder)
        return answer.evidence(pictures)

    async def _decoder(self) -> Process:
        """Take a decoder that has nothing to do, the last one that had, or start one."""
        while self._idle:
            decoder = self._idle.pop()
            if decoder.returncode is None:
                return decoder
        return await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, limit=_READ_BYTES
        )


async def _exchange(decoder: Process, message: bytes) -> tuple[Answer, list[bytes]]:
    assert decoder.stdin is not None
    assert decoder.stdout is not None
    decoder.stdin.write(message)
    await decoder.stdin.drain()
    read = decoder.stdout.readexactly
    answer = Answer(await read(length_of(await read(HEADER_BYTES))))
    return answer, [await read(size) for size in answer.sizes]


async def _end(decoder: Process) -> None:
    with suppress(ProcessLookupError):
        decoder.kill()
    await decoder.wait()


def _cause(decoder: Process) -> str:
    """Say how a decoder ended."""
    status = decoder.returncode or 0
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
