/* The steps that bring the database to this version; PRAGMA user_version counts the steps that were
   done. Never change a step that has been released: add a step. */
#ifndef NIXFLEET_DASHBOARD_STORE_SQLITE_SCHEMA_H
#define NIXFLEET_DASHBOARD_STORE_SQLITE_SCHEMA_H

static const char *const schema_steps[] = {
    /* 1: times are ms since the epoch (UTC); JSON that is only passed on is stored as text. */
    "CREATE TABLE kv(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE hosts(id TEXT PRIMARY KEY, hostname TEXT, host_type TEXT DEFAULT 'nixos', "
    "location TEXT DEFAULT 'home',"
    " device_type TEXT DEFAULT 'server', theme_color TEXT DEFAULT '#769ff0', criticality TEXT "
    "DEFAULT 'low', icon TEXT,"
    " last_seen INTEGER, last_switch INTEGER, last_audit INTEGER, last_fix INTEGER, "
    "current_generation TEXT,"
    " status TEXT DEFAULT 'unknown', pending_command TEXT, command_queued_at INTEGER, comment "
    "TEXT, test_status TEXT,"
    " config_repo TEXT, test_running INTEGER DEFAULT 0, test_current INTEGER DEFAULT 0, test_total "
    "INTEGER DEFAULT 0,"
    " test_passed_count INTEGER DEFAULT 0, test_result TEXT, poll_interval INTEGER DEFAULT 30, "
    "metrics TEXT,"
    " metrics_updated_at INTEGER, agent_version TEXT, nixpkgs_version TEXT, os_version TEXT, "
    "os_name TEXT,"
    " agent_token_hash TEXT, run TEXT, changes_at INTEGER);"
    "CREATE INDEX hosts_changes ON hosts(changes_at);"
    "CREATE TABLE runs(k INTEGER PRIMARY KEY, id TEXT UNIQUE, host TEXT, command TEXT, name TEXT, "
    "argv TEXT, user TEXT, started INTEGER,"
    " created INTEGER, ended INTEGER, phase TEXT, last_phase TEXT, progress TEXT, outcome TEXT, "
    "exit TEXT, error TEXT,"
    " error_line INTEGER, failed TEXT, failed_units TEXT, lines INTEGER DEFAULT 0, bytes INTEGER "
    "DEFAULT 0, first INTEGER DEFAULT 0,"
    " silent_since INTEGER, last_seen INTEGER, interval INTEGER DEFAULT 10000, lost INTEGER "
    "DEFAULT 0, stop INTEGER DEFAULT 0,"
    " deleted INTEGER DEFAULT 0, stored INTEGER DEFAULT 0);"
    "CREATE INDEX runs_host ON runs(host, k);"
    "CREATE TABLE chunks(run INTEGER, first INTEGER, count INTEGER, version INTEGER, at INTEGER, "
    "text TEXT, times TEXT);"
    "CREATE UNIQUE INDEX chunks_first ON chunks(run, first);"
    "CREATE INDEX chunks_version ON chunks(run, version, first);"
    "CREATE TABLE command_log(id INTEGER PRIMARY KEY, host TEXT, command TEXT, status TEXT, output "
    "TEXT, created INTEGER, completed INTEGER);"
    "CREATE INDEX command_log_host ON command_log(host, id);"
    "CREATE TABLE history(id INTEGER PRIMARY KEY, host TEXT, at INTEGER, icon TEXT, message TEXT, "
    "output TEXT);"
    "CREATE INDEX history_host ON history(host, id);"
    "CREATE TABLE sessions(token_hash TEXT PRIMARY KEY, created INTEGER, expires INTEGER) WITHOUT "
    "ROWID;",
    /* 2: every message about lines names the gaps, which are few, so they need an index. */
    "CREATE INDEX chunks_gaps ON chunks(run, first, count) WHERE text IS NULL;",
    /* 3: runs are in the order of their starts, whenever they are delivered; open runs are few. */
    "DROP INDEX runs_host;"
    "CREATE INDEX runs_started ON runs(host, started, k) WHERE deleted=0;"
    "CREATE INDEX runs_open ON runs(host) WHERE ended IS NULL AND lost=0 AND deleted=0;",
    /* 4: only an agent takes commands; a host that only has nixfleet-run has no agent. */
    "ALTER TABLE hosts ADD COLUMN agent_seen INTEGER;",
    /* 5: the runs of all hosts in the order of their starts. */
    "CREATE INDEX runs_time ON runs(started, k) WHERE deleted=0;",
    /* 6: reachability and verdict are separate. Verdicts outlive their runs. Facts that a host did
       not report are unknown: the old defaults of the columns are not used any more. */
    "ALTER TABLE hosts ADD COLUMN verdict TEXT;" /* the name in verdicts that counts */
    "ALTER TABLE runs ADD COLUMN heartbeats INTEGER DEFAULT 0;"
    "ALTER TABLE runs ADD COLUMN doubt INTEGER DEFAULT 0;" /* suspect_ms in rows.h */
    "ALTER TABLE runs ADD COLUMN stop_at INTEGER;"
    "ALTER TABLE runs ADD COLUMN stop_by TEXT;"
    "CREATE TABLE verdicts(host TEXT, name TEXT, run TEXT, outcome TEXT, error TEXT, started "
    "INTEGER, ended INTEGER, PRIMARY KEY(host, name)) WITHOUT ROWID;"
    "UPDATE runs SET heartbeats=1;"
    "UPDATE hosts SET agent_seen=last_seen WHERE agent_seen IS NULL AND (agent_version IS NOT NULL "
    "OR os_name IS NOT NULL "
    "OR metrics IS NOT NULL OR config_repo IS NOT NULL);"
    "UPDATE hosts SET host_type=NULL, location=NULL, device_type=NULL WHERE agent_seen IS NULL AND "
    "last_seen IS NOT NULL AND host_type='nixos' AND location='home' AND device_type='server';"
    "INSERT INTO verdicts SELECT host, coalesce(name,''), id, outcome, error, started, ended FROM "
    "(SELECT *, row_number() OVER (PARTITION BY host, name ORDER BY started DESC, k DESC) AS place "
    "FROM runs WHERE deleted=0 AND ended IS NOT NULL AND outcome IS NOT NULL) WHERE place=1;",
    /* 7: what a run builds, and what it changed. */
    "CREATE TABLE derivations(run INTEGER, n INTEGER, name TEXT, state TEXT, machine TEXT, step "
    "TEXT, started INTEGER, ended INTEGER, line INTEGER, lines INTEGER, PRIMARY KEY(run, n)) "
    "WITHOUT ROWID;"
    "CREATE TABLE run_changes(run INTEGER PRIMARY KEY, text TEXT);",
    /* 8: when a run of a name last succeeded, and when one last failed. */
    "ALTER TABLE verdicts ADD COLUMN success INTEGER;"
    "ALTER TABLE verdicts ADD COLUMN failure INTEGER;"
    "UPDATE verdicts SET success=CASE WHEN outcome='success' THEN ended END, "
    "failure=CASE WHEN outcome<>'success' THEN ended END;",
    /* 9: damage of a text is found; NULL: stored by an older version. */
    "ALTER TABLE chunks ADD COLUMN sum INTEGER;",
    /* 10: how long the phases and derivations of runs take, and when a run is expected to end. */
    "CREATE TABLE durations(host TEXT, name TEXT, kind TEXT, what TEXT, at INTEGER, last TEXT, "
    "PRIMARY KEY(host, name, kind, what)) WITHOUT ROWID;"
    "CREATE INDEX durations_at ON durations(at);"
    "ALTER TABLE runs ADD COLUMN phases TEXT;"
    "ALTER TABLE runs ADD COLUMN phase_at INTEGER;"
    "ALTER TABLE runs ADD COLUMN eta INTEGER;"
    "ALTER TABLE runs ADD COLUMN eta_low INTEGER;"
    "ALTER TABLE runs ADD COLUMN eta_high INTEGER;"
    "ALTER TABLE runs ADD COLUMN estimate_due INTEGER DEFAULT 0;",
    /* 11: the new chunks of a run are its last ones; the index cost a page in each batch. */
    "DROP INDEX chunks_version;",
    /* 12: damage of a row is found (rowsum.h). */
    "ALTER TABLE hosts ADD COLUMN sum INTEGER;"
    "ALTER TABLE runs ADD COLUMN sum INTEGER;"
    "ALTER TABLE verdicts ADD COLUMN sum INTEGER;"
    "ALTER TABLE derivations ADD COLUMN sum INTEGER;"
    "ALTER TABLE run_changes ADD COLUMN sum INTEGER;"
    "ALTER TABLE history ADD COLUMN sum INTEGER;"
    "ALTER TABLE command_log ADD COLUMN sum INTEGER;"
    "ALTER TABLE durations ADD COLUMN sum INTEGER;",
    /* 13: the own logs of derivations, in pieces; lines that are in no piece were left out. */
    "CREATE TABLE build_logs(run INTEGER, n INTEGER, first INTEGER, count INTEGER, size INTEGER, "
    "text TEXT, sum INTEGER, PRIMARY KEY(run, n, first));"
    "ALTER TABLE derivations ADD COLUMN log_lines INTEGER DEFAULT 0;"
    "ALTER TABLE runs ADD COLUMN builds_stored INTEGER DEFAULT 0;",
    /* 14: checksums for the rest. */
    "ALTER TABLE kv ADD COLUMN sum INTEGER;"
    "ALTER TABLE sessions ADD COLUMN sum INTEGER;",
};

#define SCHEMA_STEPS ((int)(sizeof schema_steps / sizeof *schema_steps))

#endif
