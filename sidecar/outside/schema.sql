-- Schema 6 of the ledger; running it again on a file of an older schema brings that up to date, once
-- `sqlite.py` has added the columns that are missing.
-- Times are integer microseconds since 1970-01-01 UTC.

BEGIN IMMEDIATE;

-- Accepted events without a verdict. A row lives until its verdict is committed.
CREATE TABLE IF NOT EXISTS events (
    position    INTEGER PRIMARY KEY,
    key         TEXT    NOT NULL UNIQUE,
    kind        TEXT    NOT NULL,
    origin      TEXT    NOT NULL,
    raw         BLOB    NOT NULL,
    accepted_at INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    claimed     INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX IF NOT EXISTS events_unclaimed ON events (position) WHERE claimed = 0;

-- One row: how many events there are, so that the limit is checked without counting them.
CREATE TABLE IF NOT EXISTS backlog (events INTEGER NOT NULL) STRICT;

INSERT INTO backlog SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM backlog);

CREATE TRIGGER IF NOT EXISTS event_accepted AFTER INSERT ON events
BEGIN UPDATE backlog SET events = events + 1; END;

CREATE TRIGGER IF NOT EXISTS event_decided AFTER DELETE ON events
BEGIN UPDATE backlog SET events = events - 1; END;

-- `accepted_at` is 0 for verdicts from before schema 3.
CREATE TABLE IF NOT EXISTS verdicts (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    key         TEXT    NOT NULL UNIQUE,
    id          TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    sensor_id   TEXT    NOT NULL,
    category    TEXT    NOT NULL,
    outcome     TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    arm         TEXT    NOT NULL,
    timestamp   INTEGER NOT NULL,
    decided_at  INTEGER NOT NULL,
    document    BLOB    NOT NULL,
    accepted_at INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Each holds every column that a filter compares, so that no document is read in vain.
CREATE INDEX IF NOT EXISTS verdicts_by_sensor
    ON verdicts (sensor_id, seq, timestamp, category, outcome);
CREATE INDEX IF NOT EXISTS verdicts_by_category
    ON verdicts (category, seq, timestamp, outcome);
CREATE INDEX IF NOT EXISTS verdicts_by_outcome
    ON verdicts (outcome, seq, timestamp);
CREATE INDEX IF NOT EXISTS verdicts_by_time
    ON verdicts (timestamp, seq);

-- Every name that an event goes by. A decided one has `seq` and position 0, an undecided one has
-- `position` and seq 0; the highest (seq, position) is what the name stands for.
CREATE TABLE IF NOT EXISTS identities (
    identity TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (identity, seq, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS identities_undecided ON identities (position) WHERE seq = 0;

-- Verdicts on their way to sinks. `behind` marks an entry that waits for an older one about the
-- same fingerprint.
CREATE TABLE IF NOT EXISTS outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    seq         INTEGER NOT NULL REFERENCES verdicts (seq),
    sink        TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    next_at     INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    last_error  TEXT    NOT NULL DEFAULT '',
    behind      INTEGER NOT NULL DEFAULT 0,
    dead        INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX IF NOT EXISTS outbox_due ON outbox (sink, next_at, id) WHERE dead = 0 AND behind = 0;
CREATE INDEX IF NOT EXISTS outbox_line ON outbox (sink, fingerprint, id) WHERE dead = 0;
CREATE INDEX IF NOT EXISTS outbox_dead ON outbox (id) WHERE dead = 1;
CREATE INDEX IF NOT EXISTS outbox_of_verdict ON outbox (seq);

-- Every version of every alert type. `seed` is what the configuration file said when it was last
-- read, to tell what was edited since.
CREATE TABLE IF NOT EXISTS alert_configs (
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

-- How answers are read, for the versions of alert types that say so, in the JSON of the API.
CREATE TABLE IF NOT EXISTS alert_answers (
    alert_type_key TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    answer         BLOB    NOT NULL,
    PRIMARY KEY (alert_type_key, version)
) STRICT;

-- Which part of an event a clip shows, for the versions of alert types that say so.
CREATE TABLE IF NOT EXISTS alert_segments (
    alert_type_key TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    anchor         TEXT    NOT NULL,
    PRIMARY KEY (alert_type_key, version)
) STRICT;

-- What RT-VLM watches live streams by, in JSON; `revision` tells whether somebody was faster.
CREATE TABLE IF NOT EXISTS realtime_rules (
    id       TEXT    PRIMARY KEY,
    revision INTEGER NOT NULL,
    rule     BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- Who changed what. Since schema 4.
CREATE TABLE IF NOT EXISTS audit (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    actor  TEXT    NOT NULL,
    action TEXT    NOT NULL,
    target TEXT    NOT NULL,
    before BLOB    NOT NULL,
    after  BLOB    NOT NULL,
    reason TEXT    NOT NULL
) STRICT;

-- Every choice of arms, as JSON. Since schema 5, as what follows.
CREATE TABLE IF NOT EXISTS arm_choices (
    version INTEGER PRIMARY KEY,
    choice  BLOB    NOT NULL
) STRICT;

-- Events about which arms are compared.
CREATE TABLE IF NOT EXISTS compared (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    key       TEXT    NOT NULL UNIQUE,
    id        TEXT    NOT NULL,
    sensor_id TEXT    NOT NULL,
    category  TEXT    NOT NULL,
    timestamp INTEGER NOT NULL,
    stored_at INTEGER NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS compared_by_sensor ON compared (sensor_id, position, timestamp, category);
CREATE INDEX IF NOT EXISTS compared_by_category ON compared (category, position, timestamp);
CREATE INDEX IF NOT EXISTS compared_by_storing ON compared (stored_at, position);

-- What each arm said about them, as JSON, in the order in which they were asked.
CREATE TABLE IF NOT EXISTS arm_answers (
    key    TEXT    NOT NULL,
    arm    TEXT    NOT NULL,
    place  INTEGER NOT NULL,
    answer BLOB    NOT NULL,
    PRIMARY KEY (key, arm)
) STRICT, WITHOUT ROWID;

-- What people say about them; the last one counts that was not taken back (`withdrawn_at` is 0).
-- `truth` is NULL when it cannot be told.
CREATE TABLE IF NOT EXISTS labels (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    key         TEXT    NOT NULL,
    truth       INTEGER,
    labeller    TEXT    NOT NULL,
    labelled_at INTEGER NOT NULL,
    note        TEXT    NOT NULL,
    withdrawn_by TEXT    NOT NULL DEFAULT '',
    withdrawn_at INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX IF NOT EXISTS labels_by_key ON labels (key, number);

-- Compared events that arms gave different verdicts on, as long as nobody labels them. Since
-- schema 6.
CREATE TABLE IF NOT EXISTS disputes (
    position  INTEGER PRIMARY KEY,
    key       TEXT    NOT NULL UNIQUE,
    sensor_id TEXT    NOT NULL,
    category  TEXT    NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS disputes_by_sensor ON disputes (sensor_id, position, category);
CREATE INDEX IF NOT EXISTS disputes_by_category ON disputes (category, position);

INSERT OR IGNORE INTO disputes
    SELECT position, key, sensor_id, category FROM compared
    WHERE (SELECT count(DISTINCT CAST(answer AS TEXT) ->> '$.outcome') FROM arm_answers
           WHERE arm_answers.key = compared.key
               AND CAST(answer AS TEXT) ->> '$.outcome' IN ('confirmed', 'rejected')) > 1
        AND NOT EXISTS (SELECT 1 FROM labels WHERE labels.key = compared.key AND withdrawn_at = 0);

PRAGMA user_version = 6;

COMMIT;
