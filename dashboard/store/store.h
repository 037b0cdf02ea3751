/* The store: hosts, runs, log lines, commands, history, sessions. This header is the whole of what
   the dashboard knows of it; an engine (sqlite/) implements it, and no other file names a database.

   Writes are jobs for one writer thread. It takes all jobs that wait, applies them in one
   transaction, and calls done of each after the commit is on disk: durability costs one sync for
   many. A job that fails is undone alone. Functions that begin with txn_ write, and may be called
   only inside a job's apply function. Reads (store_) may come from any thread and see only what is
   committed.

   Returns: a pointer or NULL; else 0 when done and -1 when the store failed (disk full, out of
   memory); a function that says "1, 0" says whether something was found or changed. What only the
   engine can tell (damage, a statement that the database refuses) is printed to stderr, once.

   The engine assigns keys and versions, stamps the times that say "now" (txn->now_ms), and accepts
   only valid UTF-8: in a text that is not, each wrong byte is stored as U+FFFD. So whatever a
   client sends, every answer and every WebSocket frame is UTF-8. */
#ifndef NIXFLEET_DASHBOARD_STORE_STORE_H
#define NIXFLEET_DASHBOARD_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dashboard/store/rows.h"

struct store;

#define STORE_ERROR_SIZE 512
#define STORE_HASH_SIZE 65 /* a SHA-256 in hex and a NUL: log digests, hashes of tokens */
#define STORE_COMMAND_SIZE 32

/* Opens the store in the directory dir (made, or migrated to this version) and starts the writer.
 * NULL with a sentence in error: a damaged store is reported, never replaced. */
struct store *store_open(const char *dir, char error[STORE_ERROR_SIZE]);
/* Finishes the jobs that wait, then closes. */
void store_close(struct store *store);
/* Copies the store in dir to a new file while it is in use. 0, or -1 with a sentence in error. */
int store_backup(const char *dir, const char *file, char error[STORE_ERROR_SIZE]);

/* Puts the copy in file in the place of the store in dir, which no server may use: the caller holds
 * the directory's lock. A damaged or foreign file is refused, and changes nothing. The old store is
 * kept in a new directory, whose path is put into kept. 0, or -1 with a sentence in error. */
int store_restore(const char *dir, const char *file, char kept[STORE_ERROR_SIZE],
                  char error[STORE_ERROR_SIZE]);

/* ---- jobs ---- */

struct txn {
    struct store *store;
    int64_t now_ms; /* wall clock at the start of the transaction */
};

enum job_result {
    JOB_DONE,
    JOB_FAILED, /* the store could not do it: the job is undone, and may be tried again */
};

struct job {
    struct job *next;
    /* On the writer thread. An engine may undo the job and call apply again, so apply must not
     * change anything outside the store that a second call would not set again. */
    enum job_result (*apply)(struct txn *txn, void *context);
    /* On the writer thread, after the commit (ok) or its failure; must not block. Owns context from
     * here on. */
    void (*done)(void *context, bool ok);
    void *context;
};

/* Queues a job; the struct must live until done is called. */
void store_submit(struct store *store, struct job *job);

/* ---- the change feed ---- */

/* A host that has changed; with a run if the change is one of this run, else run is "". */
struct change {
    char host[HOST_ID_SIZE], run[RUN_ID_SIZE];
    bool progress; /* the run only went on: more lines, the next of its builds */
};

/* Notes a change; the watcher is called after the commit. run may be NULL. */
void txn_changed(struct txn *txn, const char *host, const char *run);
void txn_progressed(struct txn *txn, const char *host, const char *run);
/* Calls watch after each commit that changed something, on the writer thread; it must not block.
 * NULL ends it: when store_watch returns, the watcher before is not called any more. */
void store_watch(struct store *store,
                 void (*watch)(void *context, const struct change *changes, size_t count),
                 void *context);

/* ---- reading in general ---- */

/* From here to the end this thread's reads see one state of the store, whatever is written
 * meanwhile. Not nested. */
void store_snapshot(struct store *store);
void store_snapshot_end(struct store *store);

/* What a read hands to a visitor lives until the visitor returns. A visitor may read something
 * else from the store, but not by the same function. */

struct store_counts {
    uint64_t waiting;         /* jobs in the queue */
    uint64_t commits, jobs;   /* since the start */
    int64_t hosts, runs_open; /* -1: cannot be read */
};
void store_counts(struct store *store, struct store_counts *counts);
/* What is wrong with the store as far as its own work has shown, in constant text; NULL:
 * nothing. */
const char *store_trouble(struct store *store);
/* Reads something small. 0 or -1. */
int store_probe(struct store *store);
/* Writes something small, as a batch is written. 0 or -1. */
int txn_probe(struct txn *txn);

/* ---- hosts ---- */

/* A host was heard of; makes it if it is new. */
int txn_host_seen(struct txn *txn, const char *host);
/* The agent of a host was heard: the program that takes commands, not a run alone. After
 * txn_host_seen or what else makes the host. */
int txn_host_agent_seen(struct txn *txn, const char *host);
/* The host was heard, by its agent or another run. Runs of the host that are silent (but for the
 * run `except`, or NULL) are in doubt from now on: if they stay silent they have crashed. */
int txn_runs_suspect(struct txn *txn, const char *host, const char *except);
/* Chooses anew the run that is shown for the host, and when the clock alone will change the host's
 * state next: after every change of a run or host. */
int txn_host_refresh(struct txn *txn, const char *host);
/* txn_host_seen and txn_host_refresh in one step, for the common case: a run that was busy and goes
 * on, and is the one that is shown for the host. facts: the run as it is now. 1: done; 0: another
 * run is shown, nothing was done. */
int txn_host_keepalive(struct txn *txn, const char *host, const char *run,
                       const struct run_facts *facts);
/* A host registers: makes it if it is new, stores its fields and that it was seen. */
int txn_host_register(struct txn *txn, const char *host, const struct host_fields *fields);
/* 1: added; 0: there is one already. */
int txn_host_add(struct txn *txn, const char *host, const struct host_fields *fields);
/* Stores comment, criticality, test_status, last_audit_ms and last_fix_ms. */
int txn_host_patch(struct txn *txn, const char *host, const struct host_fields *fields);
/* A host reports how its command ended: status "ok" is also a switch; comment, current_generation
 * and test_status are stored. */
int txn_host_status(struct txn *txn, const char *host, const char *status,
                    const struct host_fields *fields);
int txn_host_tests(struct txn *txn, const char *host, const struct host_tests *tests);
/* Removes a host, its runs, history and commands. Runs that others could still write are answered
 * as deleted. 1: removed; 0: there was none. */
int txn_host_remove(struct txn *txn, const char *host);
/* 1: *facts is set; 0: there is no such host. */
int txn_host_facts(struct txn *txn, const char *host, struct host_facts *facts);
/* The hash of the host's own token. 1: known host, hash "" if it has no own token; 0: no host. */
int txn_host_token(struct txn *txn, const char *host, char hash[STORE_HASH_SIZE]);
/* 1: stored; 0: there is no such host, unless make: then it is made. */
int txn_host_set_token(struct txn *txn, const char *host, const char *hash, bool make);

/* True if the host has a token of its own. */
bool store_host_token(struct store *store, const char *host, char hash[STORE_HASH_SIZE]);
/* Finds the host whose own token has this hash. False: none has. */
bool store_token_owner(struct store *store, const char *hash, char host[HOST_ID_SIZE]);
/* Visits all hosts by name, or one host: 1 visited, 0 no such host. */
int store_hosts(struct store *store, void (*visit)(void *context, const struct host_row *row),
                void *context);
int store_host(struct store *store, const char *host,
               void (*visit)(void *context, const struct host_row *row), void *context);
/* Visits the hosts whose state the clock changed after after_ms, and up to until_ms. run: the run
 * that is shown, or NULL. */
int store_hosts_due(struct store *store, int64_t after_ms, int64_t until_ms,
                    void (*visit)(void *context, const char *host, const char *run), void *context);

/* ---- verdicts ---- */

/* Stores how the last run, or command of an agent, of row->name ended, unless a later one is known;
 * and chooses the verdict that counts for the host (fleet/verdict.h). */
int txn_verdict(struct txn *txn, const char *host, const struct verdict_row *row);
/* The same for a run of the store that has ended or crashed. A run that was stopped by a person has
 * none. */
int txn_run_verdict(struct txn *txn, const char *host, const char *id);
/* Visits the verdicts of the host's names, newest first, 32 at most. 0 or -1. */
int store_verdicts(struct store *store, const char *host,
                   void (*visit)(void *context, const struct verdict_row *row), void *context);

/* ---- commands and history (v1) ---- */

/* Puts a command into the host's slot, in place of the command before. */
int txn_command_queue(struct txn *txn, const char *host, const char *command);
/* Empties the slot, and asks the run that is shown for the host to stop if it is open. by: who
 * asks, shown to people. */
int txn_command_stop(struct txn *txn, const char *host, const char *by);
/* Takes the command out of the slot for a person who no longer wants it. "" if there is none. */
int txn_command_cancel(struct txn *txn, const char *host, char command[STORE_COMMAND_SIZE]);
/* Takes the command out of the slot and notes it as running; a command that waited over 5 minutes
 * is dropped. "" if there is none. */
int txn_command_take(struct txn *txn, const char *host, char command[STORE_COMMAND_SIZE]);
/* The host's newest command that is not completed has ended, with status "ok" or another. output
 * and error, the text that says why it failed, may be NULL. The command's verdict is stored, unless
 * a run of this name has ended since it was handed out. */
int txn_command_finish(struct txn *txn, const char *host, const char *status, const char *output,
                       const char *error);
/* Adds a line to the history of a host, if it exists; the oldest beyond 1000 go. */
int txn_history_add(struct txn *txn, const char *host, const struct history_row *row);

/* Newest first; limit 0: all. Without outputs, row->output is NULL. */
int store_history(struct store *store, const char *host, int64_t limit, bool outputs,
                  void (*visit)(void *context, const struct history_row *row), void *context);
int store_commands(struct store *store, const char *host, int64_t limit,
                   void (*visit)(void *context, const struct command_row *row), void *context);

/* ---- sessions ---- */

/* Stores a session that ends lifetime_ms from now, and forgets those that have ended. */
int txn_session_add(struct txn *txn, const char *hash, int64_t lifetime_ms);
int txn_session_drop(struct txn *txn, const char *hash);
/* When the session ends, wall ms; 0: there is none, or it has ended by now_ms. */
int64_t store_session_end(struct store *store, const char *hash, int64_t now_ms);
/* Uses up a step of the one-time codes (RFC 6238), and every step before it. 1: it was still to be
 * used; 0: it, or a later step, was used before. */
int txn_totp_use(struct txn *txn, int64_t step);

/* ---- runs ---- */

/* Finds a run by its id. 0, with row->key 0 if there is none. */
int txn_run_find(struct txn *txn, const char *id, struct run_row *row);
/* The host's newest run that has not ended. */
int txn_run_find_open(struct txn *txn, const char *host, struct run_row *row);
/* Makes a run. id "": a new id. */
int txn_run_create(struct txn *txn, const char *host, const char *id, struct run_row *row);
/* A run that has ended keeps its end, and a lost run stays lost until its end is reported. */
int txn_run_update(struct txn *txn, int64_t key, const struct run_update *update);
int txn_run_finish(struct txn *txn, int64_t key, const struct run_end *end);
/* Stores row's lines and stored; something was written just now. bytes: of output, -1 if not
 * said. */
int txn_run_save_counts(struct txn *txn, const struct run_row *row, int64_t bytes);
/* A heartbeat says since when nothing is written. */
int txn_run_silent(struct txn *txn, int64_t key, int64_t since_ms, int64_t bytes);
/* Hides a run, and settles its host: the run counts as deleted and has no lines. Its text stays
 * until txn_log_remove. host: whose run it is, "" if there is no such run. */
int txn_run_hide(struct txn *txn, int64_t key, char host[HOST_ID_SIZE]);

/* False: there is no such run. */
bool store_run_find(struct store *store, const char *id, struct run_row *row);
/* The host's open run, else its newest. False: it has none. */
bool store_run_of_host(struct store *store, const char *host, char id[RUN_ID_SIZE]);
/* Visits a run that is not deleted: 1 visited, 0 no such run (or not of this host, unless host is
 * NULL). */
int store_run(struct store *store, const char *host, const char *id,
              void (*visit)(void *context, const struct run_details *row), void *context);
/* The runs of a host, or of all hosts (NULL), newest first; before: only those before this run, or
 * NULL. */
int store_runs(struct store *store, const char *host, const char *before, int64_t limit,
               void (*visit)(void *context, const struct run_details *row), void *context);

/* ---- what a run builds and changes ---- */

/* Stores a derivation in place of the one with the same index. Times that are 0 leave what is
 * stored. */
int txn_derivation_put(struct txn *txn, int64_t key, const struct derivation_row *row);
/* Visits the derivations of a run by index, from `from` on. */
int store_derivations(struct store *store, int64_t key, int64_t from, int64_t limit,
                      void (*visit)(void *context, const struct derivation_row *row),
                      void *context);
/* Stores what a run changed: JSON that is only passed on. */
int txn_changes_put(struct txn *txn, int64_t key, const char *changes);
/* 1: visited; 0: it changed nothing. */
int store_changes(struct store *store, int64_t key,
                  void (*visit)(void *context, const char *changes), void *context);
/* Removes both of a run. */
int txn_builds_remove(struct txn *txn, int64_t key);

/* ---- log lines ---- */

/* A log is chunks in order, without a hole, each of one accepted batch. Every change gives its
 * chunk a new version, so "what is new since version V" is everything from the lowest line of the
 * chunks with a version above V. */

/* log = log[0:lines->first] + lines. lines->text: never NULL; without times: now. Where first is
 * behind the end, a gap is put between. Keeps row->lines and row->stored up to date
 * (txn_run_save_counts stores them). 1: changed; 0: it was so already. */
int txn_log_splice(struct txn *txn, struct run_row *row, const struct chunk *lines);
/* True if these lines stand in the log from line `from` on. More lines may follow. */
bool txn_log_equal(struct txn *txn, int64_t key, int64_t from, const char *text, size_t size);
/* SHA-256 in hex of all lines joined by LF; false when there is a gap or the store failed. */
bool txn_log_digest(struct txn *txn, int64_t key, char out[STORE_HASH_SIZE]);
/* Drops lines from the middle until the text is at most `bytes` large: the first quarter (or what
 * is in front of the first gap) and the newest stay. 1: changed; 0: it was small enough. */
int txn_log_shorten(struct txn *txn, struct run_row *row, int64_t bytes);
/* Removes up to max chunks of a hidden run. Returns how many are removed, or -1. */
int64_t txn_log_remove(struct txn *txn, int64_t key, int64_t max);

/* Visits the chunks in order, from the chunk that holds line `from` on (or the first one behind
 * it), until visit returns false. */
int store_log(struct store *store, int64_t key, int64_t from,
              bool (*visit)(void *context, const struct chunk *chunk), void *context);
/* Visits the gaps only. */
int store_log_gaps(struct store *store, int64_t key,
                   void (*visit)(void *context, int64_t first, int64_t count), void *context);
/* The lowest line that changed after version; -1: none did. *newest: the highest version of the
 * run, left alone if there is none above version. */
int64_t store_log_changed(struct store *store, int64_t key, int64_t version, int64_t *newest);
/* The same for lines that arrived after a wall time. */
int64_t store_log_arrived(struct store *store, int64_t key, int64_t at_ms, int64_t *newest);

/* ---- retention ---- */

/* When a host was last heard, and when the server's clock last jumped, by the clock after the jump;
 * 0: never. */
void store_clock(struct store *store, int64_t *newest_ms, int64_t *jumped_ms);
/* The keys of up to max runs that go: runs that are not open and beyond a limit, and runs that were
 * hidden before and still have text. Returns how many; 0 also when the store failed. */
size_t store_runs_expired(struct store *store, const struct retention_limits *limits,
                          int64_t now_ms, int64_t *keys, size_t max);
/* Removes up to max rows of each kind: history and commands before oldest_ms, hidden runs without
 * text that were last heard of before forgotten_ms. Returns how many, or -1. */
int64_t txn_expire(struct txn *txn, int64_t oldest_ms, int64_t forgotten_ms, int64_t max);

#endif
