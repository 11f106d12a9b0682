"""The alert types and their prompts, with every version, in the ledger's file."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from sqlite3 import Connection, Row
from types import MappingProxyType
from typing import Any, Final, TypeVar

import orjson
from pydantic import ValidationError

from sidecar.audit import Attribution
from sidecar.contract.answers import AnswerBody, read_answer, write_answer
from sidecar.contract.config import AlertTypeEntry, AlertTypeFile, read_entry
from sidecar.errors import (
    AlreadyExists,
    NotFound,
    SettingsError,
    StoreUnavailable,
    VersionConflict,
)
from sidecar.model import AlertConfig, Anchor, AnswerRules
from sidecar.outside.audit import edited, insert_entry
from sidecar.outside.sqlite import Database, from_microseconds, to_microseconds
from sidecar.ports import Clock

T = TypeVar("T")

SHIPPED_ALERT_TYPES: Final = Path(__file__).parents[1] / "alert_types.json"
"""The alert types that come with the sidecar."""

_VERSIONS: Final = """
    SELECT * FROM alert_configs
    LEFT JOIN alert_answers USING (alert_type_key, version)
    LEFT JOIN alert_segments USING (alert_type_key, version)
    WHERE alert_type_key = ? ORDER BY version DESC
"""
_NEWEST: Final = f"{_VERSIONS} LIMIT 1"
_LIST: Final = """
    SELECT * FROM alert_configs AS config
    LEFT JOIN alert_answers USING (alert_type_key, version)
    LEFT JOIN alert_segments USING (alert_type_key, version)
    WHERE deleted = 0 AND version = (
        SELECT max(version) FROM alert_configs WHERE alert_type_key = config.alert_type_key)
    ORDER BY alert_type_key
"""
_INSERT: Final = """
    INSERT INTO alert_configs (alert_type_key, version, alert_type, prompt, system_prompt,
        enrichment_prompt, vlm_params, output_category, seed, created_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_ANSWER: Final = (
    "INSERT INTO alert_answers (alert_type_key, version, answer) VALUES (?, ?, ?)"
)
_INSERT_SEGMENT: Final = (
    "INSERT INTO alert_segments (alert_type_key, version, anchor) VALUES (?, ?, ?)"
)


class SqlitePromptBook:
    """Fulfils `ports.PromptBook`. The database belongs to whoever opened it.

    The newest versions are kept in memory: every event asks for one, and nobody else edits them
    while this process holds the database.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._edits = 0
        self._newest: Mapping[str, AlertConfig] | None = None

    async def ping(self) -> str:
        """Return "" when the file can be read now, else what is wrong."""
        try:
            await self._db.read(lambda db: db.execute("SELECT 1 FROM alert_configs LIMIT 1"))
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
        key = key_of(alert_type)
        rows = await self._db.read(lambda db: db.execute(_VERSIONS, (key,)).fetchall())
        return [_to_config(row) for row in rows]

    async def create(self, config: AlertConfig, by: Attribution | None = None) -> AlertConfig:
        """Add an alert type as version 1, or as the next version of a deleted one."""
        return await self._write(partial(_create, config, by, self._now()))

    async def replace(
        self, config: AlertConfig, by: Attribution | None = None, *, expected: int | None = None
    ) -> AlertConfig:
        """Store a new version of an existing alert type, on top of the expected one."""
        return await self._write(partial(_replace, config, by, expected, self._now()))

    async def delete(self, alert_type: str, by: Attribution | None = None) -> None:
        """Retire an alert type; its versions stay for the verdicts that name them."""
        await self._write(partial(_delete, alert_type, by, self._now()))

    async def seed(self, configs: Sequence[AlertConfig], *, override: bool) -> int:
        """Lay the alert types of a file under what is stored, as VSS does at every start.

        Missing ones are added. Of the others, `vlm_params`, the output category and the answer
        rules that were edited through the API win over the file's, those that were not follow the
        file. The segment anchor, which the API does not have, always does.

        Args:
            configs: the alert types of the file.
            override: let the file replace edited prompts, and bring back deleted alert types.

        Returns:
            How many new versions were stored; 0 when nothing differs.
        """
        return await self._write(partial(_seed, configs, override, self._now()))

    async def _read(self) -> Mapping[str, AlertConfig]:
        if self._newest is not None:
            return self._newest
        edits = self._edits
        rows = await self._db.read(lambda db: db.execute(_LIST).fetchall())
        newest = {row["alert_type_key"]: _to_config(row) for row in rows}
        if edits == self._edits:
            self._newest = newest
        return newest

    async def _write(self, edit: Callable[[Connection], T]) -> T:
        try:
            return await self._db.write(edit)
        finally:
            self._edits += 1
            self._newest = None

    def _now(self) -> int:
        return to_microseconds(self._clock.now())


def load_alert_types(path: Path) -> tuple[AlertConfig, ...]:
    """Read an `alert_type_config.json`.

    Raises:
        SettingsError: names the file, the alert type and the field that is wrong.
    """
    configs = tuple(read_entry(entry) for entry in _read_entries(path))
    _check_unique(path, configs)
    return configs


def load_descriptions(path: Path) -> Mapping[str, Mapping[str, str]]:
    """Read how events are described by their verdict, by the key of their alert type.

    They are VSS's `output_verdict_description`, which its API does not have either, so that the
    file alone counts.

    Raises:
        SettingsError: names the file, the alert type and the field that is wrong.
    """
    entries = ((key_of(it.alert_type), it.output_verdict_description) for it in _read_entries(path))
    return {
        key: {verdict.strip().lower(): text for verdict, text in told.items()}
        for key, told in entries
        if told
    }


def _read_entries(path: Path) -> Sequence[AlertTypeEntry]:
    try:
        content = orjson.loads(path.read_bytes())
        return AlertTypeFile.model_validate(content).alerts
    except OSError as error:
        raise SettingsError(f"The alert types cannot be read: {error}.") from error
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"{path} is not valid JSON: {error}.") from error
    except ValidationError as error:
        raise SettingsError(f"{path}: {_explain(error, content)}") from error


def _check_unique(path: Path, configs: Sequence[AlertConfig]) -> None:
    seen: set[str] = set()
    for config in configs:
        if key_of(config.alert_type) in seen:
            raise SettingsError(
                f"{path}: alert type {config.alert_type!r} is there twice (case does not matter). "
                "Remove one."
            )
        seen.add(key_of(config.alert_type))


def _explain(error: ValidationError, content: Any) -> str:
    """Say what is wrong where, calling an alert by its name when it has one."""
    found = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{_place(issue['loc'], content)}: {issue['msg']}" for issue in found)


def _place(loc: Sequence[str | int], content: Any) -> str:
    if len(loc) < 2 or not isinstance(loc[1], int):  # noqa: PLR2004 - ("alerts", index, ...)
        return ".".join(map(str, loc)) or "the file"
    entry = content["alerts"][loc[1]]
    name = entry.get("alert_type") if isinstance(entry, Mapping) else None
    field = ".".join(map(str, loc[2:])) or "the entry"
    return f"alert {json.dumps(name) if name else f'number {loc[1] + 1}'}, {field}"


def key_of(alert_type: str) -> str:
    """Return what names of the same alert type have in common: case and blanks do not count."""
    return alert_type.strip().lower()


def _newest(alert_type: str, db: Connection) -> Row | None:
    row: Row | None = db.execute(_NEWEST, (key_of(alert_type),)).fetchone()
    return row


def _living(alert_type: str, db: Connection) -> Row | None:
    row = _newest(alert_type, db)
    return None if row is None or row["deleted"] else row


def _create(config: AlertConfig, by: Attribution | None, now: int, db: Connection) -> AlertConfig:
    newest = _newest(config.alert_type, db)
    if newest is not None and not newest["deleted"]:
        raise AlreadyExists(
            f"Config '{newest['alert_type']}' already exists. Send a PUT to change it."
        )
    stored = _insert(config, newest, None, now, db)
    if by is not None:
        insert_entry(edited(by, "create", None, stored, now), db)
    return stored


def _replace(
    config: AlertConfig, by: Attribution | None, expected: int | None, now: int, db: Connection
) -> AlertConfig:
    newest = _living(config.alert_type, db)
    if newest is None:
        raise missing(config.alert_type)
    check_version(newest["version"], expected)
    stored = _insert(config, newest, None, now, db)
    if by is not None:
        insert_entry(edited(by, "replace", _to_config(newest), stored, now), db)
    return stored


def _delete(alert_type: str, by: Attribution | None, now: int, db: Connection) -> None:
    newest = _living(alert_type, db)
    if newest is None:
        raise missing(alert_type)
    db.execute(
        "UPDATE alert_configs SET deleted = 1, updated_at = ?"
        " WHERE alert_type_key = ? AND version = ?",
        (now, newest["alert_type_key"], newest["version"]),
    )
    if by is not None:
        insert_entry(edited(by, "delete", _to_config(newest), None, now), db)


def missing(alert_type: str) -> NotFound:
    """Build the error for an alert type that is not configured."""
    return NotFound(f"Config '{alert_type}' not found. GET /api/v1/verification/config lists all.")


def check_version(version: int, expected: int | None) -> None:
    """Refuse an edit of another version than the one in force.

    Raises:
        VersionConflict: it is one.
    """
    if expected not in (None, version):
        raise VersionConflict(
            f"Version {version} is in force, not {expected}. Read it, and edit that one."
        )


def _seed(configs: Sequence[AlertConfig], override: bool, now: int, db: Connection) -> int:
    return sum(_seed_one(config, override, now, db) for config in configs)


def _seed_one(file: AlertConfig, override: bool, now: int, db: Connection) -> bool:
    newest = _newest(file.alert_type, db)
    if newest is None or (newest["deleted"] and override):
        _insert(file, newest, file, now, db)
        return True
    if newest["deleted"]:
        return False
    stored = _to_config(newest)
    merged = merge_seed(file, stored, orjson.loads(newest["seed"]), override=override)
    if merged == stored:
        _remember_seed(file, newest, db)
        return False
    _insert(merged, newest, file, now, db)
    return True


def merge_seed(
    file: AlertConfig, stored: AlertConfig, seed: Mapping[str, Any], *, override: bool
) -> AlertConfig:
    """Merge three ways: what differs from the last `seed` was edited, and stays."""
    seeded = seed.get("vlm_params", {})
    params: dict[str, Any] = {}
    for name in {**file.vlm_params, **stored.vlm_params}:
        is_edited = stored.vlm_params.get(name) != seeded.get(name)
        value = (stored if is_edited else file).vlm_params.get(name)
        if value is not None:
            params[name] = value
    keeps_category = stored.output_category != seed.get("output_category", "")
    keeps_rules = stored.rules != _read_rules(seed.get("answer"))
    prompts = file if override else stored
    return replace(
        stored,
        prompt=prompts.prompt,
        system_prompt=prompts.system_prompt,
        enrichment_prompt=prompts.enrichment_prompt,
        vlm_params=MappingProxyType(params),
        output_category=(stored if keeps_category else file).output_category,
        rules=(stored if keeps_rules else file).rules,
        segment_anchor=file.segment_anchor,
    )


def _remember_seed(file: AlertConfig, newest: Row, db: Connection) -> None:
    db.execute(
        "UPDATE alert_configs SET seed = ? WHERE alert_type_key = ? AND version = ?",
        (dump_seed(file), newest["alert_type_key"], newest["version"]),
    )


def _insert(
    config: AlertConfig, newest: Row | None, file: AlertConfig | None, now: int, db: Connection
) -> AlertConfig:
    """Store a version behind `newest`, with the seed of `file` or, if None, the one known."""
    is_new = newest is None or newest["deleted"]
    known_seed = b"{}" if newest is None else newest["seed"]
    identity = key_of(config.alert_type), 1 if newest is None else newest["version"] + 1
    values = (
        *identity,
        config.alert_type.strip(),
        config.prompt,
        config.system_prompt,
        config.enrichment_prompt,
        orjson.dumps(dict(config.vlm_params)),
        config.output_category,
        known_seed if file is None else dump_seed(file),
        now if is_new or newest is None else newest["created_at"],
        now,
    )
    db.execute(_INSERT, values)
    if config.rules is not None:
        db.execute(_INSERT_ANSWER, (*identity, orjson.dumps(write_answer(config.rules))))
    if config.segment_anchor is not None:
        db.execute(_INSERT_SEGMENT, (*identity, config.segment_anchor))
    return _to_config(db.execute(_NEWEST, identity[:1]).fetchone())


def dump_seed(file: AlertConfig) -> bytes:
    """Write down what the file said, so that later edits can be told from it."""
    seed = {
        "vlm_params": dict(file.vlm_params),
        "output_category": file.output_category,
        "answer": None if file.rules is None else write_answer(file.rules),
    }
    return orjson.dumps(seed)


def _read_rules(answer: object) -> AnswerRules | None:
    return None if answer is None else read_answer(AnswerBody.model_validate(answer))


def _to_config(row: Row) -> AlertConfig:
    return AlertConfig(
        alert_type=row["alert_type"],
        prompt=row["prompt"],
        system_prompt=row["system_prompt"],
        enrichment_prompt=row["enrichment_prompt"],
        vlm_params=MappingProxyType(orjson.loads(row["vlm_params"])),
        output_category=row["output_category"],
        rules=_read_rules(orjson.loads(row["answer"] or b"null")),
        segment_anchor=None if row["anchor"] is None else Anchor(row["anchor"]),
        version=row["version"],
        created_at=from_microseconds(row["created_at"]),
        updated_at=from_microseconds(row["updated_at"]),
    )
