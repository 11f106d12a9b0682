"""The alert types and their prompts, with every version, in the Redis that the replicas share."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeAlias

import orjson
from pydantic import TypeAdapter

from sidecar.audit import Attribution
from sidecar.errors import AlreadyExists, StoreUnavailable
from sidecar.model import AlertConfig
from sidecar.outside.audit import dump_entry, edited
from sidecar.outside.ledger_rows import dump
from sidecar.outside.prompts import check_version, dump_seed, key_of, merge_seed, missing
from sidecar.outside.redis_store import RedisStore
from sidecar.outside.sqlite import to_microseconds
from sidecar.ports import Clock

FRESH_S: Final = 1.0
"""How long alert types are believed without asking: an edit reaches the other replicas by then."""


@dataclass(frozen=True, slots=True)
class _Version:
    """The newest version of an alert type.

    Attributes:
        seed: what the configuration file said when it was last read, to tell what was edited since.
    """

    config: AlertConfig
    seed: Mapping[str, Any] = field(default_factory=dict)
    is_deleted: bool = False


Edit: TypeAlias = Callable[[_Version | None], _Version | None]
"""From the newest version to what replaces it; None leaves all as it is."""
Record: TypeAlias = Callable[[_Version | None, _Version], bytes]
"""From the newest version and what replaces it to the entry for the audit trail."""

_VERSION: Final = TypeAdapter(_Version)


class RedisPromptBook:
    """Fulfils `ports.PromptBook` for every replica that works on the same keys.

    While Redis is away, the alert types that were read last go on answering.
    """

    def __init__(self, store: RedisStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._newest: Mapping[str, AlertConfig] | None = None
        self._read_at = 0.0
        self._edits = 0
        self._reading = asyncio.Lock()

    async def ping(self) -> str:
        """Return "" when Redis can be read now, else what is wrong."""
        try:
            await self._store.read("prompts")
        except StoreUnavailable as error:
            return error.detail
        return ""

    async def close(self) -> None:
        """Do nothing: there is nothing here to release."""

    async def find(self, alert_type: str) -> AlertConfig | None:
        """Return the newest version of an alert type, or None."""
        return (await self._read()).get(key_of(alert_type))

    async def list(self) -> Sequence[AlertConfig]:
        """Return the newest version of every alert type, by name."""
        return list((await self._read()).values())

    async def versions(self, alert_type: str) -> Sequence[AlertConfig]:
        """Return every version that there ever was, newest first."""
        blobs = await self._store.read("prompt_versions", key_of(alert_type))
        found = [_VERSION.validate_json(blob).config for blob in blobs]
        return sorted(found, key=lambda config: config.version, reverse=True)

    async def create(self, config: AlertConfig, by: Attribution | None = None) -> AlertConfig:
        """Add an alert type as version 1, or as the next version of a deleted one."""
        record = partial(self._record, by, "create")
        return (await self._edit(config.alert_type, partial(self._create, config), record))[0]

    async def replace(
        self, config: AlertConfig, by: Attribution | None = None, *, expected: int | None = None
    ) -> AlertConfig:
        """Store a new version of an existing alert type, on top of the expected one."""
        record, edit = (
            partial(self._record, by, "replace"),
            partial(self._replace, config, expected),
        )
        return (await self._edit(config.alert_type, edit, record))[0]

    async def delete(self, alert_type: str, by: Attribution | None = None) -> None:
        """Retire an alert type; its versions stay for the verdicts that name them."""
        record = partial(self._record, by, "delete")
        await self._edit(alert_type, partial(self._delete, alert_type), record)

    async def seed(self, configs: Sequence[AlertConfig], *, override: bool) -> int:
        """Lay the alert types of a file under what is stored; see `SqlitePromptBook.seed`.

        Replicas that start together do it one after the other, each alert type on its own.

        Returns:
            How many new versions were stored; 0 when nothing differs.
        """
        stored = [
            await self._edit(config.alert_type, partial(self._seed, config, override))
            for config in configs
        ]
        return sum(is_new for _, is_new in stored)

    async def _read(self) -> Mapping[str, AlertConfig]:
        async with self._reading:
            is_fresh = self._clock.monotonic() - self._read_at < FRESH_S
            if self._newest is not None and is_fresh:
                return self._newest
            try:
                edits = self._edits
                newest = _living(await self._store.read("prompts"))
            except StoreUnavailable:
                if self._newest is None:
                    raise
                newest = self._newest
            self._read_at = self._clock.monotonic()
            self._newest = newest if edits == self._edits else None
            return newest

    async def _edit(
        self, alert_type: str, edit: Edit, record: Record | None = None
    ) -> tuple[AlertConfig, bool]:
        """Apply an edit to the newest version; returns the version now, and whether it is new.

        When another replica was faster, the edit is applied to what that one stored.
        """
        name = key_of(alert_type)
        try:
            while True:
                blob = await self._store.read("prompt", name)
                newest = None if blob is None else _VERSION.validate_json(blob)
                version = edit(newest)
                if version is None:
                    assert newest is not None
                    return newest.config, False
                number = version.config.version
                entry = record(newest, version) if record else b""
                change = (name, number, blob or b"", dump(version), entry)
                if await self._store.write("put_prompt", *change):
                    is_new = newest is None or number > newest.config.version
                    return version.config, is_new
        finally:
            self._edits += 1
            self._newest = None

    def _record(
        self, by: Attribution | None, edit: str, newest: _Version | None, version: _Version
    ) -> bytes:
        """Write the audit entry of an edit; empty when nobody is named."""
        if by is None:
            return b""
        before = None if newest is None or newest.is_deleted else newest.config
        after = None if version.is_deleted else version.config
        return dump_entry(edited(by, edit, before, after, to_microseconds(self._clock.now())))

    def _create(self, config: AlertConfig, newest: _Version | None) -> _Version:
        if newest is not None and not newest.is_deleted:
            raise AlreadyExists(
                f"Config '{newest.config.alert_type}' already exists. Send a PUT to change it."
            )
        return self._next(config, newest)

    def _replace(
        self, config: AlertConfig, expected: int | None, newest: _Version | None
    ) -> _Version:
        if newest is None or newest.is_deleted:
            raise missing(config.alert_type)
        check_version(newest.config.version, expected)
        return self._next(config, newest)

    def _delete(self, alert_type: str, newest: _Version | None) -> _Version:
        if newest is None or newest.is_deleted:
            raise missing(alert_type)
        retired = replace(newest.config, updated_at=self._clock.now())
        return replace(newest, config=retired, is_deleted=True)

    def _seed(self, file: AlertConfig, override: bool, newest: _Version | None) -> _Version | None:
        seed = orjson.loads(dump_seed(file))
        if newest is None or (newest.is_deleted and override):
            return replace(self._next(file, newest), seed=seed)
        if newest.is_deleted:
            return None
        merged = merge_seed(file, newest.config, newest.seed, override=override)
        if merged != newest.config:
            return replace(self._next(merged, newest), seed=seed)
        return None if newest.seed == seed else replace(newest, seed=seed)

    def _next(self, config: AlertConfig, newest: _Version | None) -> _Version:
        """Make the version that follows `newest`, with the seed known so far."""
        now = self._clock.now()
        is_new = newest is None or newest.is_deleted
        stamped = replace(
            config,
            alert_type=config.alert_type.strip(),
            version=1 if newest is None else newest.config.version + 1,
            created_at=now if is_new or newest is None else newest.config.created_at,
            updated_at=now,
        )
        return _Version(stamped, seed={} if newest is None else newest.seed)


def _living(blobs: Sequence[bytes]) -> Mapping[str, AlertConfig]:
    versions = [_VERSION.validate_json(blob) for blob in blobs]
    living = {key_of(it.config.alert_type): it.config for it in versions if not it.is_deleted}
    return dict(sorted(living.items()))
