/* The store: hosts, runs, log lines, commands, history, sessions. The dashboard uses its database
   only through this header. An engine (sqlite/, postgres/) implements the header.

   Writes are jobs for one writer thread. The writer takes all waiting jobs, applies them in one
   transaction, and calls done of each job after the commit is on disk. So many jobs share the cost
   of one sync. A job that fails is rolled back alone. A function that begins with txn_ writes, and
   may be called only inside a job's apply function. A function that begins with store_ reads; any
   thread may call it, and it sees only committed data.

   Results: a function that returns int returns 0 for success, and -1 if the store failed (disk
   full, out of memory, damaged file). If the comment says "1 or 0", the result also says whether
   the row was found or changed. A function that changes a host or run which does not exist changes
   nothing and returns 0. The engine writes a line to the server's log for what only the engine can
   know, such as damage or a statement that the database refuses.

   The caller owns what it passes; the store copies it. A row that a read passes to `visit` is valid
   until visit returns. visit may call another store_ function, but not the same one.

   The engine assigns keys and versions, and stamps the times that mean "now" (txn->now_ms). It
   accepts only valid UTF-8: each invalid byte of a text is stored as U+FFFD. So every answer and
   every WebSocket frame is valid UTF-8, whatever a client sends. */
#ifndef NIXFLEET_DASHBOARD_STORE_STORE_H
#define NIXFLEET_DASHBOARD_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dashboard/store/rows.h"

struct store;

#define STORE_ERROR_SIZE 512
#define STORE_HASH_SIZE 65    /* a SHA-256 in hex and a NUL: log digests, hashes of tokens */
#define STORE_COMMAND_SIZE 32 /* the name of a command and a NUL */

/* A store is in a directory (SQLite), or in the database of a URL (PostgreSQL):
 * postgresql://USER@HOST/DATABASE. Several servers may use the database of a URL at the same time.
 */
bool store_is_url(const char *where);
/* Opens the store and starts the writer. Creates the store if there is none, and migrates an older
 * store to this version. On failure, returns NULL with a sentence in error. A damaged store is
 * reported, never replaced. */
struct store *store_open(const char *where, char error[STORE_ERROR_SIZE]);
/* Finishes the waiting jobs, then closes the store. store may be NULL. No other thread may use the
 * store any more. */
void store_close(struct store *store);
/* Whether the store could be opened, as far as can be told without changing anything. 0, or -1 with
 * a sentence in error. */
int store_check(const char *where, char error[STORE_ERROR_SIZE]);
/* Copies the store in a directory to the new file `file`. A server may use the store meanwhile. 0,
 * or -1 with a sentence in error; a file that exists is an error. */
int store_backup(const char *where, const char *file, char error[STORE_ERROR_SIZE]);

/* Replaces the store in a directory by the backup in file. No server may use the directory: the
 * caller holds its lock. A damaged or foreign file is refused and changes nothing. The old store is
 * moved to a new directory, whose path is written to kept. 0, or -1 with a sentence in error. */
int store_restore(const char *where, const char *file, char kept[STORE_ERROR_SIZE],
                  char error[STORE_ERROR_SIZE]);

/* The wall clock of stored times, in milliseconds: that of this machine; with a shared store, that
 * of the store's server, so that servers whose own clocks differ agree. */
int64_t store_now_ms(struct store *store);

/* ---- jobs ---- */

struct txn {
    struct store *store;
    int64_t now_ms; /* store_now_ms at the start of the transaction */
};

enum job_result {
    JOB_DONE,
    JOB_FAILED, /* the store failed: the job is rolled back, and can be repeated */
};

struct job {
    struct job *next;
    const char *host; /* the only host whose data the job reads and changes; NULL: it is not known,
                         or there is none. Lives as long as the job */
    /* Runs on the writer thread. An engine may roll the job back and call apply again, so apply
     * may change data outside the store only if a second call sets the same data again. */
    enum job_result (*apply)(struct txn *txn, void *context);
    /* Runs on the writer thread after the commit. ok is false if the job or the commit failed. Must
     * not block. From this call on, context belongs to the called function. */
    void (*done)(void *context, bool ok);
    void *context;
};

/* Queues a job, from any thread. *job must be valid until done is called. */
void store_submit(struct store *store, struct job *job);

/* ---- the change feed ---- */

/* A change of a host. run: the run that changed, or "". If host is "": a session was ended. */
struct change {
    char host[HOST_ID_SIZE], run[RUN_ID_SIZE];
    bool progress; /* the run only made progress: it has more lines, or its next build */
};

/* Notes a change, for the watcher after the commit. run may be NULL. txn_progressed notes a run
 * that only made progress. */
void txn_changed(struct txn *txn, const char *host, const char *run);
void txn_progressed(struct txn *txn, const char *host, const char *run);
/* Sets the watcher: watch is called on the writer thread after each commit that has changes, and
 * must not block. NULL removes the watcher. After store_watch has returned, the previous watcher is
 * not called any more. */
void store_watch(struct store *store,
                 void (*watch)(void *context, const struct change *changes, size_t count),
                 void *context);

/* ---- reading in general ---- */

/* Between these two calls, the reads of this thread see one state of the store, whatever is
 * written meanwhile. Calls cannot be nested. */
void store_snapshot(struct store *store);
void store_snapshot_end(struct store *store);

struct store_counts {
    uint64_t waiting;         /* jobs in the queue */
    uint64_t commits, jobs;   /* since the server started */
    int64_t hosts, runs_open; /* -1: the store failed */
};
void store_counts(struct store *store, struct store_counts *counts);
/* A sentence about what is wrong with the store, as its own work has shown; NULL: nothing. The text
 * is constant. */
const char *store_trouble(struct store *store);
/* Whether a read of this thread has failed since the last call: what it gave may lack something
 * that is stored. */
bool store_read_failed(struct store *store);
/* Health check: reads a small row. */
int store_probe(struct store *store);
/* Health check: writes a small row in the same way as a batch. */
int txn_probe(struct txn *txn);

/* ---- hosts ---- */

/* Stores that a report of the host arrived now. Creates the host if it is new. */
int txn_host_seen(struct txn *txn, const char *host);
/* Stores that the agent of the host called now. An agent takes commands; a host that only sends
 * runs has no agent. The host must exist: call txn_host_seen or txn_host_register first. */
int txn_host_agent_seen(struct txn *txn, const char *host);
/* Stores that the host reported now, by its agent or by the run `except` (or NULL). Other open runs
 * of the host that are silent become suspect: if they stay silent, they have crashed (see
 * fleet/state.h). */
int txn_runs_suspect(struct txn *txn, const char *host, const char *except);
/* Chooses the run that is shown for the host, and computes when the clock alone will change the
 * host's state. To be called after every change of a run or host. */
int txn_host_refresh(struct txn *txn, const char *host);
/* Does txn_host_seen and txn_host_refresh in one step, for the common case: the run is shown for
 * the host, was busy before the report and is busy after it. facts: the run after the report. An
 * engine may skip this for STORE_KEEPALIVE_MS after it was stored last: then the host counts as
 * last seen, and as due by the clock, so much earlier. 1 if done; 0 if another run is shown, then
 * nothing was changed. */
#define STORE_KEEPALIVE_MS 5000
int txn_host_keepalive(struct txn *txn, const char *host, const char *run,
                       const struct run_facts *facts);
/* Stores the fields of a registration, and that the host reported now. Creates the host if it is
 * new. 1 if it is new, or a field changed other than metrics and poll_interval; else 0. */
int txn_host_register(struct txn *txn, const char *host, const struct host_fields *fields);
/* Adds a host by hand. 1 if added; 0 if the host exists already, then nothing was changed. */
int txn_host_add(struct txn *txn, const char *host, const struct host_fields *fields);
/* Stores comment, criticality, test_status, last_audit_ms and last_fix_ms; ignores other fields. */
int txn_host_patch(struct txn *txn, const char *host, const struct host_fields *fields);
/* Stores how the host's command ended, as the agent reports it. Status "ok" also counts as a
 * switch. Of fields, comment, current_generation and test_status are stored. */
int txn_host_status(struct txn *txn, const char *host, const char *status,
                    const struct host_fields *fields);
/* Stores the progress of the host's tests; if they are over, also their result. */
int txn_host_tests(struct txn *txn, const char *host, const struct host_tests *tests);
/* Removes a host with its runs, durations, history and commands. Runs that somebody may still
 * report count as deleted. 1 if removed; 0 if there was no such host. */
int txn_host_remove(struct txn *txn, const char *host);
/* 1 with *facts set; 0 if there is no such host. */
int txn_host_facts(struct txn *txn, const char *host, struct host_facts *facts);
/* Reads the hash of the host's own token. 1 if the host exists; hash is "" if it has no token of
 * its own. 0 if there is no such host. */
int txn_host_token(struct txn *txn, const char *host, char hash[STORE_HASH_SIZE]);
/* Sets the hash of the host's own token. make: creates the host if there is none. 1 if stored; 0 if
 * there is no such host. */
int txn_host_set_token(struct txn *txn, const char *host, const char *hash, bool make);

/* Reads the hash of the host's own token. 1; 0 if it has none; -1 if the store failed. */
int store_host_token(struct store *store, const char *host, char hash[STORE_HASH_SIZE]);
/* Finds the host whose own token has this hash. 1; 0 if there is none; -1 if the store failed. */
int store_token_owner(struct store *store, const char *hash, char host[HOST_ID_SIZE]);
/* Visits all hosts, in the order of their names. */
int store_hosts(struct store *store, void (*visit)(void *context, const struct host_row *row),
                void *context);
/* Visits one host. 1 if visited; 0 if there is no such host. */
int store_host(struct store *store, const char *host,
               void (*visit)(void *context, const struct host_row *row), void *context);
/* Visits the hosts whose state changed by the clock alone, after after_ms and not after until_ms
 * (wall clock). run: the run that is shown, or NULL. */
int store_hosts_due(struct store *store, int64_t after_ms, int64_t until_ms,
                    void (*visit)(void *context, const char *host, const char *run), void *context);

/* ---- verdicts ---- */

/* Stores how the last run with the name row->name, or the last command of an agent (row->run NULL),
 * ended; ignores it if a later one is stored, or a run that started in the same millisecond as the
 * command. Then chooses the verdict that counts for the host (fleet/verdict.h). */
int txn_verdict(struct txn *txn, const char *host, const struct verdict_row *row);
/* Does the same with the end of a stored run that has ended or crashed. A run that a person stopped
 * has no verdict, and changes nothing. */
int txn_run_verdict(struct txn *txn, const char *host, const char *id);
/* Visits the host's verdicts, one for each name, newest first, 32 at most. */
int store_verdicts(struct store *store, const char *host,
                   void (*visit)(void *context, const struct verdict_row *row), void *context);

/* ---- commands and history (v1) ---- */

/* Puts a command into the host's slot. It replaces the command that waits there. */
int txn_command_queue(struct txn *txn, const char *host, const char *command);
/* Empties the slot. If the run that is shown for the host is open, asks the run to stop. by: who
 * asks, as people see it. */
int txn_command_stop(struct txn *txn, const char *host, const char *by);
/* A person withdraws the waiting command. command: its name, "" if none waited. */
int txn_command_cancel(struct txn *txn, const char *host, char command[STORE_COMMAND_SIZE]);
/* Takes the waiting command for the agent, and stores it as running. A command that has waited for
 * more than 5 minutes is dropped. command: its name, "" if there is none. */
int txn_command_take(struct txn *txn, const char *host, char command[STORE_COMMAND_SIZE]);
/* Stores the end of the host's newest running command. status: "ok", or another word for a failure.
 * output, and error (the text that says why the command failed) may be NULL. Stores the command's
 * verdict, unless a run of the same name that started later has one already. */
int txn_command_finish(struct txn *txn, const char *host, const char *status, const char *output,
                       const char *error);
/* Adds a line to the history of a host, with the time now. Only the newest 1000 lines of a host are
 * kept. */
int txn_history_add(struct txn *txn, const char *host, const struct history_row *row);

/* Visits the history of a host, newest first. limit 0: all. If outputs is false, row->output is
 * NULL. */
int store_history(struct store *store, const char *host, int64_t limit, bool outputs,
                  void (*visit)(void *context, const struct history_row *row), void *context);
/* Visits the commands of a host, newest first. limit 0: all. */
int store_commands(struct store *store, const char *host, int64_t limit,
                   void (*visit)(void *context, const struct command_row *row), void *context);

/* ---- sessions ---- */

/* A session is stored under the hash of its token (hex). */

/* Adds a session that ends lifetime_ms after now, and removes the sessions that have ended. */
int txn_session_add(struct txn *txn, const char *hash, int64_t lifetime_ms);
int txn_session_drop(struct txn *txn, const char *hash);
/* When the session ends, in milliseconds of the wall clock; 0 if there is none, or it has ended by
 * now_ms; -1 if the store failed. */
int64_t store_session_end(struct store *store, const char *hash, int64_t now_ms);
/* Uses a step of the one-time codes (RFC 6238): this step and every earlier one cannot be used
 * again. 1 if the step could be used; 0 if this or a later step was used before. */
int txn_totp_use(struct txn *txn, int64_t step);

/* ---- counted calls ---- */

/* Whether several servers may use the store at the same time. */
bool store_is_shared(struct store *store);
/* Adds the calls of each row to the window of its key, and says what all servers have counted. A
 * window begins with its first call and ends after window_ms, by the clock of the store. A key may
 * be in one row only. Sorts the rows by key. Counts may be lost when the store's
 * server restarts. Only for a store that is shared; fails otherwise. */
int txn_calls_add(struct txn *txn, int64_t window_ms, struct calls_row *rows, size_t count);

/* ---- runs ---- */

/* Finds a run by its id, a deleted run too. row->key is 0 if there is none. */
int txn_run_find(struct txn *txn, const char *id, struct run_row *row);
/* Finds the host's newest open run: it has neither ended nor is it lost. row->key is 0 if there is
 * none. */
int txn_run_find_open(struct txn *txn, const char *host, struct run_row *row);
/* Creates a run. id "": the store makes an id. The id must be new. */
int txn_run_create(struct txn *txn, const char *host, const char *id, struct run_row *row);
/* Stores what a report says. A run that has ended keeps its end, and a lost run stays lost until
 * its end is reported. */
int txn_run_update(struct txn *txn, int64_t key, const struct run_update *update);
/* Stores the end of a run. */
int txn_run_finish(struct txn *txn, int64_t key, const struct run_end *end);
/* Stores row->lines and row->stored, and that the run wrote output now. bytes: all output of the
 * run, -1 if the report does not say. */
int txn_run_save_counts(struct txn *txn, const struct run_row *row, int64_t bytes);
/* Deletes a run for readers, and refreshes its host. The lines stay stored until txn_log_remove.
 * host: the host of the run, "" if there is no such run. */
int txn_run_hide(struct txn *txn, int64_t key, char host[HOST_ID_SIZE]);

/* Finds a run by its id, a deleted run too. 1; 0 if there is none; -1 if the store failed. */
int store_run_find(struct store *store, const char *id, struct run_row *row);
/* Finds the host's newest open run, or else its newest run. 1; 0 if there is none; -1 if the store
 * failed. */
int store_run_of_host(struct store *store, const char *host, char id[RUN_ID_SIZE]);
/* Visits a run that is not deleted. host: only if it is a run of this host; NULL: of any. 1 if
 * visited; 0 if there is no such run. */
int store_run(struct store *store, const char *host, const char *id,
              void (*visit)(void *context, const struct run_details *row), void *context);
/* Visits up to limit runs of a host, or of all hosts (NULL), newest start first. before: only runs
 * that started before the run with this id; NULL: all. */
int store_runs(struct store *store, const char *host, const char *before, int64_t limit,
               void (*visit)(void *context, const struct run_details *row), void *context);

/* ---- what a run builds and changes ---- */

/* Stores a derivation. It replaces the one with the same index; times that are 0 leave the stored
 * time. */
int txn_derivation_put(struct txn *txn, int64_t key, const struct derivation_row *row);
/* Visits up to limit derivations of a run, in the order of their indexes, from index `from` on. */
int store_derivations(struct store *store, int64_t key, int64_t from, int64_t limit,
                      void (*visit)(void *context, const struct derivation_row *row),
                      void *context);
/* Visits all derivations of a run by index, inside a job. */
int txn_derivations(struct txn *txn, int64_t key,
                    void (*visit)(void *context, const struct derivation_row *row), void *context);
/* Stores what a run changed in nix's profiles, as JSON. The store does not read this JSON. */
int txn_changes_put(struct txn *txn, int64_t key, const char *changes);
/* Visits what a run changed. 1 if visited; 0 if nothing is stored. */
int store_changes(struct store *store, int64_t key,
                  void (*visit)(void *context, const char *changes), void *context);
/* log = log[0:lines->first] + lines, for the own log of the derivation with index n, which must be
 * stored. lines->text must not be NULL; lines->times is not used. Lines between the end of the log
 * and lines->first count as left out. Stores nothing if the logs of the run's derivations would
 * have more than `most` bytes. 1 if the log changed; 0 if it had these lines already, there is no
 * such derivation, or there is no space. */
int txn_build_log_splice(struct txn *txn, int64_t key, int64_t n, const struct chunk *lines,
                         int64_t most);
/* Visits the log of a derivation in order, from line `from` on, until visit returns false. The
 * first chunk may begin before this line. Lines that were left out, or are damaged, are a chunk
 * without text. */
int store_build_log(struct store *store, int64_t key, int64_t n, int64_t from,
                    bool (*visit)(void *context, const struct chunk *chunk), void *context);
/* The number of lines in the log of a derivation; 0 also if there is no such derivation; -1 if the
 * store failed. */
int64_t store_build_log_lines(struct store *store, int64_t key, int64_t n);
/* Removes the derivations of a run with their logs, and the changes of the run. */
int txn_builds_remove(struct txn *txn, int64_t key);

/* ---- how long runs take ---- */

/* Reads the timing of a run: all members are 0 or "" if there is no such run. */
int txn_run_timing(struct txn *txn, int64_t key, struct run_timing *timing);
/* Stores the timing of a run, except for the members that are read only. */
int txn_run_set_timing(struct txn *txn, int64_t key, const struct run_timing *timing);
/* Adds a duration (ms; below 0 counts as 0) to those of its host, run name, kind and what. The
 * newest DURATIONS_KEPT are kept. The host need not exist. */
int txn_duration_add(struct txn *txn, const char *host, const char *name, const char *kind,
                     const char *what, int64_t ms);
/* Visits the durations of a host's runs of this name, in the order of kind and what. */
int txn_durations(struct txn *txn, const char *host, const char *name,
                  void (*visit)(void *context, const struct duration_row *row), void *context);
/* Keeps the max rows (kind and what of any run name) of a host that were added to last, and removes
 * the others. Rows that were added to in the same millisecond as the last of these are kept, too.
 */
int txn_durations_trim(struct txn *txn, const char *host, int64_t max);

/* ---- log lines ---- */

/* A log is a sequence of chunks without holes; each chunk is one accepted batch, or a gap. Every
 * change of a chunk gives it a new version. So the lines that are new since version V are all lines
 * from the lowest line of the chunks with a version above V. Lines are counted from 0. */

/* log = log[0:lines->first] + lines. lines->text must not be NULL; without lines->times, the lines
 * arrived now. If lines->first is behind the end of the log, the lines between are stored as a gap.
 * Updates row->lines and row->stored (txn_run_save_counts stores them). 1 if the log changed; 0 if
 * it had these lines already. */
int txn_log_splice(struct txn *txn, struct run_row *row, const struct chunk *lines);
/* Whether the log has these lines (joined by LF) from line `from` on; more lines may follow. 1, 0,
 * or -1 if the store failed. */
int txn_log_equal(struct txn *txn, int64_t key, int64_t from, const char *text, size_t size);
/* The SHA-256, in hex, of all lines joined by LF. 1; 0 if there is a gap; -1 if the store failed.
 */
int txn_log_digest(struct txn *txn, int64_t key, char out[STORE_HASH_SIZE]);
/* Drops lines from the middle until the text has at most `bytes` bytes. The newest chunk stays, and
 * at the start a quarter of `bytes`, or the lines before the first gap if these are less. The
 * dropped lines become a gap. Updates row->stored. 1 if the log changed; 0 if it was small
 * enough. */
int txn_log_shorten(struct txn *txn, struct run_row *row, int64_t bytes);
/* Removes up to max chunks of a hidden run. Returns how many were removed, or -1. */
int64_t txn_log_remove(struct txn *txn, int64_t key, int64_t max);

/* Visits the chunks in order, until visit returns false. Begins with the chunk that holds line
 * `from`, or else with the first chunk behind that line. Damaged lines are replaced by a sentence
 * that says so. */
int store_log(struct store *store, int64_t key, int64_t from,
              bool (*visit)(void *context, const struct chunk *chunk), void *context);
/* Visits only the gaps, in order. */
int store_log_gaps(struct store *store, int64_t key,
                   void (*visit)(void *context, int64_t first, int64_t count), void *context);
/* The lowest line that changed after version; -1 if none did, -2 if the store failed. *newest: set
 * to the highest version of the run, if a line changed. */
int64_t store_log_changed(struct store *store, int64_t key, int64_t version, int64_t *newest);
/* The lowest line that arrived after at_ms (wall clock); -1 if none did, -2 if the store failed.
 * *newest: set to the highest version of the run, if the run has lines. */
int64_t store_log_arrived(struct store *store, int64_t key, int64_t at_ms, int64_t *newest);

/* ---- retention ---- */

/* *newest_ms: when the last report of any host arrived. *jumped_ms: when the server's clock last
 * jumped, by the clock after the jump. 0: never, or the store failed. */
void store_clock(struct store *store, int64_t *newest_ms, int64_t *jumped_ms);
/* Finds up to max runs whose lines retention removes: runs beyond a limit that are not open, and
 * hidden runs that still have lines. Not among them: hidden runs whose lines the store removes by
 * itself. now_ms: wall clock. Returns how many; 0 also if the store failed. */
size_t store_runs_expired(struct store *store, const struct retention_limits *limits,
                          int64_t now_ms, struct expired_run *runs, size_t max);
/* Removes up to max rows of each kind: history and commands from before oldest_ms, and, from before
 * forgotten_ms (wall clock), hidden runs without lines by their last report, and durations by the
 * last one that was added. Returns how many were removed, or -1. */
int64_t txn_expire(struct txn *txn, int64_t oldest_ms, int64_t forgotten_ms, int64_t max);

#endif
