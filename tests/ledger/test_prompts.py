"""The alert types in SQLite, and the file that they start from."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.errors import AlreadyExists, NotFound, SettingsError
from sidecar.model import AlertConfig, Anchor, AnswerRules, AnswerShape
from sidecar.outside.prompts import SHIPPED_ALERT_TYPES, SqlitePromptBook, load_alert_types
from sidecar.outside.sqlite import Database
from sidecar.testing.fakes import FrozenClock

COLLISION = AlertConfig("collision", "Is there a collision? Answer yes or no.")


@pytest.fixture
def book(db: Database, clock: FrozenClock) -> SqlitePromptBook:
    return SqlitePromptBook(db, clock)


async def current(book: SqlitePromptBook, alert_type: str = "collision") -> AlertConfig:
    config = await book.find(alert_type)
    assert config is not None
    return config


async def test_created_alert_type_is_found_without_regard_to_case(
    book: SqlitePromptBook, clock: FrozenClock
) -> None:
    """It keeps its spelling, and is version 1 from now on."""
    created = await book.create(replace(COLLISION, alert_type="Collision", vlm_params={"seed": 1}))

    assert (created.alert_type, created.version) == ("Collision", 1)
    assert (created.created_at, created.updated_at) == (clock.now(), clock.now())
    assert await book.find(" COLLISION ") == created
    assert await book.find("fire") is None


async def test_existing_alert_type_cannot_be_created(book: SqlitePromptBook) -> None:
    """The error names it and says how to change it."""
    await book.create(COLLISION)

    with pytest.raises(AlreadyExists, match=r"'collision' already exists\. Send a PUT"):
        await book.create(replace(COLLISION, alert_type="COLLISION"))


async def test_replacing_makes_a_new_version(book: SqlitePromptBook, clock: FrozenClock) -> None:
    """The new prompt is in force, and the time of creation stays."""
    created = await book.create(COLLISION)
    clock.advance(60)
    replaced = await book.replace(replace(COLLISION, prompt="Crash?"))

    assert (replaced.prompt, replaced.version) == ("Crash?", 2)
    assert (replaced.created_at, replaced.updated_at) == (created.created_at, clock.now())
    assert await current(book) == replaced


async def test_older_versions_are_kept(book: SqlitePromptBook, db: Database) -> None:
    """A verdict that names version 1 can be explained after an edit and a deletion."""
    await book.create(COLLISION)
    await book.replace(replace(COLLISION, prompt="Crash?"))
    await book.delete("collision")
    sql = "SELECT version, prompt FROM alert_configs ORDER BY version"
    versions = await db.read(lambda c: [tuple(row) for row in c.execute(sql)])

    assert versions == [(1, COLLISION.prompt), (2, "Crash?")]


async def test_deleted_alert_type_is_gone_until_it_is_created_again(
    book: SqlitePromptBook,
) -> None:
    """Versions go on counting, so that no number means two prompts."""
    await book.create(COLLISION)
    await book.delete("Collision")

    assert await book.find("collision") is None
    assert await book.list() == []
    assert (await book.create(COLLISION)).version == 2


async def test_changing_what_is_not_there_is_an_error(book: SqlitePromptBook) -> None:
    """Unknown and deleted alert types can be neither replaced nor deleted."""
    await book.create(COLLISION)
    await book.delete("collision")

    with pytest.raises(NotFound, match="'collision' not found"):
        await book.replace(COLLISION)
    with pytest.raises(NotFound, match="'collision' not found"):
        await book.delete("collision")
    with pytest.raises(NotFound, match="'fire' not found"):
        await book.delete("fire")


async def test_list_is_ordered_by_name_and_shows_the_newest(book: SqlitePromptBook) -> None:
    """One entry for each alert type, in the newest version."""
    for name in ("fire", "Collision", "fall"):
        await book.create(replace(COLLISION, alert_type=name))
    await book.replace(replace(COLLISION, alert_type="fall", prompt="Fallen?"))

    assert [(config.alert_type, config.prompt) for config in await book.list()] == [
        ("Collision", COLLISION.prompt),
        ("fall", "Fallen?"),
        ("fire", COLLISION.prompt),
    ]


async def test_seeding_twice_changes_nothing(book: SqlitePromptBook) -> None:
    """A restart with the same file makes no versions."""
    configs = load_alert_types(SHIPPED_ALERT_TYPES)
    counts = [await book.seed(configs, override=override) for override in (False, False, True)]

    assert counts == [len(configs), 0, 0]
    assert {config.version for config in await book.list()} == {1}


async def test_seeding_keeps_edited_prompts_unless_told_otherwise(book: SqlitePromptBook) -> None:
    """Only `override` lets the file win over prompts that were edited through the API."""
    await book.seed([COLLISION], override=False)
    await book.replace(replace(COLLISION, prompt="Edited?"))
    await book.seed([COLLISION], override=False)
    kept = await current(book)
    await book.seed([COLLISION], override=True)
    overridden = await current(book)

    assert (kept.prompt, kept.version) == ("Edited?", 2)
    assert (overridden.prompt, overridden.version) == (COLLISION.prompt, 3)


@pytest.mark.parametrize("override", [False, True])
async def test_edited_vlm_params_win_over_the_file(book: SqlitePromptBook, override: bool) -> None:
    """What was edited stays, what was not follows the file, and what the file adds is added."""
    first = {"max_tokens": 100, "temperature": 0.1, "seed": 1}
    await book.seed([replace(COLLISION, vlm_params=first)], override=override)
    await book.replace(replace(COLLISION, vlm_params={"max_tokens": 200, "temperature": 0.1}))
    second = {"max_tokens": 300, "temperature": 0.2, "seed": 1, "num_frames": 8}
    await book.seed([replace(COLLISION, vlm_params=second)], override=override)

    expected = {"max_tokens": 200, "temperature": 0.2, "num_frames": 8}
    assert (await current(book)).vlm_params == expected


async def test_alert_type_of_the_api_wins_over_a_file_that_adds_it(book: SqlitePromptBook) -> None:
    """The file fills in only the parameters that the API did not set."""
    await book.create(replace(COLLISION, vlm_params={"max_tokens": 1}, output_category="crash"))
    await book.seed(
        [
            replace(
                COLLISION, vlm_params={"max_tokens": 2, "num_frames": 3}, output_category="other"
            )
        ],
        override=True,
    )
    config = await current(book)

    assert config.vlm_params == {"max_tokens": 1, "num_frames": 3}
    assert config.output_category == "crash"


@pytest.mark.parametrize(("override", "expected"), [(False, []), (True, ["collision"])])
async def test_seeding_brings_a_deleted_type_back_only_when_told(
    book: SqlitePromptBook, override: bool, expected: list[str]
) -> None:
    """A deletion survives a restart, unless the file has the last word."""
    await book.seed([COLLISION], override=override)
    await book.delete("collision")
    await book.seed([COLLISION], override=override)

    assert [config.alert_type for config in await book.list()] == expected


RULES = AnswerRules(
    AnswerShape.TIMELINE,
    needs_json=True,
    verdict_field="a.b",
    verdict_mapping={"はい": "YES"},
    reasoning_fields=("理由",),
    abstain=(0.4, 0.6),
    perspectives=("通路が塞がれているか",),
)


async def test_answer_rules_are_kept_with_their_version(
    book: SqlitePromptBook, db: Database
) -> None:
    """Each version has its own rules or none, and an older one can still be looked up."""
    created = await book.create(replace(COLLISION, rules=RULES))
    await book.replace(replace(created, rules=None))
    await book.replace(replace(created, rules=AnswerRules()))
    versions = await db.read(
        lambda c: [row[0] for row in c.execute("SELECT version FROM alert_answers ORDER BY 1")]
    )

    assert created.rules == RULES
    assert versions == [1, 3]
    assert (await current(book)).rules == AnswerRules()


async def test_segment_anchor_follows_the_file(book: SqlitePromptBook) -> None:
    """It survives edits through the API, which does not know it, and changes with the file."""
    await book.seed([replace(COLLISION, segment_anchor=Anchor.START)], override=False)
    seeded = await current(book)
    edited = await book.replace(replace(seeded, prompt="Edited?"))
    await book.seed([replace(COLLISION, segment_anchor=Anchor.MIDDLE)], override=False)
    changed = await current(book)
    await book.seed([COLLISION], override=False)
    removed = await current(book)

    assert (seeded.segment_anchor, edited.segment_anchor) == (Anchor.START, Anchor.START)
    assert (changed.segment_anchor, changed.prompt) == (Anchor.MIDDLE, "Edited?")
    assert removed.segment_anchor is None


async def test_prompts_in_japanese_are_kept_unchanged(book: SqlitePromptBook) -> None:
    """Names, prompts and rules come back as they went in."""
    config = AlertConfig("転倒", "人が倒れていますか。", "簡潔に。", rules=RULES)
    await book.create(config)
    kept = await current(book, "転倒")

    assert (kept.alert_type, kept.prompt, kept.system_prompt) == (
        config.alert_type,
        config.prompt,
        config.system_prompt,
    )
    assert kept.rules == RULES


async def test_edited_answer_rules_win_over_the_file(book: SqlitePromptBook) -> None:
    """Rules follow the file until they are edited through the API; then they stay."""
    first, second = AnswerRules(AnswerShape.BOXES), AnswerRules(AnswerShape.POINTS)
    await book.seed([replace(COLLISION, rules=first)], override=True)
    await book.seed([replace(COLLISION, rules=second)], override=True)
    followed = await current(book)
    await book.replace(replace(followed, rules=RULES))
    await book.seed([replace(COLLISION, rules=first)], override=True)

    assert (followed.rules, followed.version) == (second, 2)
    assert (await current(book)).rules == RULES


SCHEMA_1 = """
    CREATE TABLE alert_configs (
        alert_type_key    TEXT    NOT NULL,
        version           INTEGER NOT NULL,
        alert_type        TEXT    NOT NULL,
        prompt            TEXT    NOT NULL,
        system_prompt     TEXT    NOT NULL,
        enrichment_prompt TEXT    NOT NULL,
        vlm_params        BLOB    NOT NULL,
        output_category   TEXT    NOT NULL,
        seed              BLOB    NOT NULL,
        deleted           INTEGER NOT NULL DEFAULT 0,
        created_at        INTEGER NOT NULL,
        updated_at        INTEGER NOT NULL,
        PRIMARY KEY (alert_type_key, version)
    ) STRICT;
    INSERT INTO alert_configs VALUES
        ('collision', 1, 'collision', 'Edited?', '', '', x'7b7d', '',
         CAST('{"vlm_params": {}, "output_category": ""}' AS BLOB), 0, 0, 0);
    PRAGMA user_version = 1;
"""


async def test_file_of_schema_1_goes_on_working(tmp_path: Path, clock: FrozenClock) -> None:
    """Its alert types are there, take rules from now on, and follow the file's."""
    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.executescript(SCHEMA_1)
    connection.close()
    db = Database(tmp_path / "old.db")
    book = SqlitePromptBook(db, clock)
    old = await current(book)
    await book.seed([replace(COLLISION, rules=RULES)], override=False)
    new = await current(book)
    await db.close()

    assert (old.prompt, old.rules, old.version) == ("Edited?", None, 1)
    assert (new.prompt, new.rules, new.version) == ("Edited?", RULES, 2)


async def test_ping_of_a_closed_book(book: SqlitePromptBook, db: Database) -> None:
    """It is well while the file is open, and says so when not."""
    well = await book.ping()
    await db.close()

    assert well == ""
    assert "closed" in await book.ping()


def write(path: Path, *alerts: Any) -> Path:
    file = path / "alert_type_config.json"
    file.write_text(json.dumps({"version": "1.0", "alerts": alerts}))
    return file


def entry(**changes: Any) -> Mapping[str, Any]:
    return {"alert_type": "Tailgating", "prompts": {"user": "Tailgating?"}, **changes}


def test_file_is_read_with_all_its_fields(tmp_path: Path) -> None:
    """Prompts, parameters and output category arrive; further keys of VSS are legal."""
    file = write(
        tmp_path,
        entry(
            output_category="Security",
            output_verdict_description={"confirmed": "Yes"},
            segment_anchor="middle",
            prompts={"user": "U?", "system": "S", "enrichment": "E"},
            vlm_params={"temperature": 0.5, "num_frames": None},
            answer={"response_format": "xml-verdict", "abstain": [0.3, 0.7]},
        ),
    )

    rules = AnswerRules(parser="xml-verdict", abstain=(0.3, 0.7))
    params = {"temperature": 0.5}
    expected = AlertConfig(
        "Tailgating", "U?", "S", "E", params, "Security", rules, segment_anchor=Anchor.MIDDLE
    )
    assert load_alert_types(file) == (expected,)


@pytest.mark.parametrize(("written", "anchor"), [(" Start ", Anchor.START), (None, None)])
def test_segment_anchor_is_read_as_vss_reads_it(
    tmp_path: Path, written: str | None, anchor: Anchor | None
) -> None:
    """Case and blanks do not matter; null leaves it to the settings."""
    (config,) = load_alert_types(write(tmp_path, entry(segment_anchor=written)))

    assert config.segment_anchor is anchor


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompts": {}}, 'alert "Tailgating", prompts.user: Field required'),
        ({"prompts": {"user": ""}}, 'alert "Tailgating", prompts.user: .*at least 1'),
        ({"alert_type": " "}, 'alert " ", alert_type: .*at least 1'),
        ({"vlm_params": {"top_k": 5}}, 'alert "Tailgating", vlm_params.top_k: Extra inputs'),
        ({"answer": {"abstain": [0.7, 0.3]}}, 'alert "Tailgating", answer.abstain: .*below'),
        ({"segment_anchor": "front"}, 'alert "Tailgating", segment_anchor: .*start'),
        ({"vlm_params": {"max_tokens": "x"}}, 'alert "Tailgating", vlm_params.max_tokens: .*int'),
    ],
)
def test_wrong_entry_is_named(tmp_path: Path, wrong: Mapping[str, Any], message: str) -> None:
    """The error names file, alert type and field."""
    file = write(tmp_path, entry(**wrong))

    with pytest.raises(SettingsError, match=rf"alert_type_config\.json: {message}"):
        load_alert_types(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "the file: "),
        ("{}", "alerts: Field required"),
        ('{"alerts": [1]}', "alert number 1, the entry: "),
        ('{"alerts": [{"prompts": {"user": "?"}}]}', "alert number 1, alert_type: Field required"),
    ],
)
def test_wrong_shape_is_explained(tmp_path: Path, content: str, message: str) -> None:
    """A file of another shape is refused with the place of the first trouble."""
    file = tmp_path / "alerts.json"
    file.write_text(content)

    with pytest.raises(SettingsError, match=rf"alerts\.json.*{message}"):
        load_alert_types(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere is in the error."""
    with pytest.raises(SettingsError, match=r"none\.json"):
        load_alert_types(tmp_path / "none.json")


def test_alert_type_may_stand_in_a_file_only_once(tmp_path: Path) -> None:
    """Two entries that differ only in case would hide each other."""
    file = write(tmp_path, entry(), entry(alert_type="tailgating "))

    with pytest.raises(SettingsError, match="'tailgating' is there twice"):
        load_alert_types(file)


def test_shipped_alert_types_ask_for_yes_or_no() -> None:
    """Every shipped prompt ends by saying which answers count."""
    configs = load_alert_types(SHIPPED_ALERT_TYPES)

    assert len(configs) == 10
    assert all(config.prompt.endswith("Answer yes or no.") for config in configs)
