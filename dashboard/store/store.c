/* Passes each call to the engine of the store. */
#include "dashboard/store/store.h"

#include <string.h>

#include "dashboard/store/engine.h"

static const struct store_engine *engine_of(struct store *store)
{
    return ((struct store_head *)store)->engine;
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool store_is_url(const char *where)
{
    return has_prefix(where, "postgresql://") || has_prefix(where, "postgres://");
}

static const struct store_engine *engine_for(const char *where)
{
    return store_is_url(where) ? &postgres_engine : &sqlite_engine;
}

struct store *store_open(const char *where, char error[STORE_ERROR_SIZE])
{
    return engine_for(where)->open(where, error);
}

int store_check(const char *where, char error[STORE_ERROR_SIZE])
{
    return engine_for(where)->check(where, error);
}

int store_backup(const char *where, const char *file, char error[STORE_ERROR_SIZE])
{
    return engine_for(where)->backup(where, file, error);
}

int store_restore(const char *where, const char *file, char kept[STORE_ERROR_SIZE],
                  char error[STORE_ERROR_SIZE])
{
    return engine_for(where)->restore(where, file, kept, error);
}

void store_close(struct store *store)
{
    if (store)
        engine_of(store)->store_close(store);
}

void store_submit(struct store *store, struct job *job)
{
    engine_of(store)->store_submit(store, job);
}

void txn_changed(struct txn *txn, const char *host, const char *run)
{
    engine_of(txn->store)->txn_changed(txn, host, run);
}

void txn_progressed(struct txn *txn, const char *host, const char *run)
{
    engine_of(txn->store)->txn_progressed(txn, host, run);
}

void store_watch(struct store *store,
                 void (*watch)(void *context, const struct change *changes, size_t count),
                 void *context)
{
    engine_of(store)->store_watch(store, watch, context);
}

void store_snapshot(struct store *store)
{
    engine_of(store)->store_snapshot(store);
}

void store_snapshot_end(struct store *store)
{
    engine_of(store)->store_snapshot_end(store);
}

void store_counts(struct store *store, struct store_counts *counts)
{
    engine_of(store)->store_counts(store, counts);
}

const char *store_trouble(struct store *store)
{
    return engine_of(store)->store_trouble(store);
}

bool store_read_failed(struct store *store)
{
    return engine_of(store)->store_read_failed(store);
}

int store_probe(struct store *store)
{
    return engine_of(store)->store_probe(store);
}

int txn_probe(struct txn *txn)
{
    return engine_of(txn->store)->txn_probe(txn);
}

int txn_host_agent_seen(struct txn *txn, const char *host)
{
    return engine_of(txn->store)->txn_host_agent_seen(txn, host);
}

int txn_host_seen(struct txn *txn, const char *host)
{
    return engine_of(txn->store)->txn_host_seen(txn, host);
}

int txn_runs_suspect(struct txn *txn, const char *host, const char *except)
{
    return engine_of(txn->store)->txn_runs_suspect(txn, host, except);
}

int txn_host_refresh(struct txn *txn, const char *host)
{
    return engine_of(txn->store)->txn_host_refresh(txn, host);
}

int txn_host_keepalive(struct txn *txn, const char *host, const char *run,
                       const struct run_facts *facts)
{
    return engine_of(txn->store)->txn_host_keepalive(txn, host, run, facts);
}

int txn_host_register(struct txn *txn, const char *host, const struct host_fields *fields)
{
    return engine_of(txn->store)->txn_host_register(txn, host, fields);
}

int txn_host_add(struct txn *txn, const char *host, const struct host_fields *fields)
{
    return engine_of(txn->store)->txn_host_add(txn, host, fields);
}

int txn_host_patch(struct txn *txn, const char *host, const struct host_fields *fields)
{
    return engine_of(txn->store)->txn_host_patch(txn, host, fields);
}

int txn_host_status(struct txn *txn, const char *host, const char *status,
                    const struct host_fields *fields)
{
    return engine_of(txn->store)->txn_host_status(txn, host, status, fields);
}

int txn_host_tests(struct txn *txn, const char *host, const struct host_tests *tests)
{
    return engine_of(txn->store)->txn_host_tests(txn, host, tests);
}

int txn_host_remove(struct txn *txn, const char *host)
{
    return engine_of(txn->store)->txn_host_remove(txn, host);
}

int txn_host_facts(struct txn *txn, const char *host, struct host_facts *facts)
{
    return engine_of(txn->store)->txn_host_facts(txn, host, facts);
}

int txn_host_token(struct txn *txn, const char *host, char hash[STORE_HASH_SIZE])
{
    return engine_of(txn->store)->txn_host_token(txn, host, hash);
}

int txn_host_set_token(struct txn *txn, const char *host, const char *hash, bool make)
{
    return engine_of(txn->store)->txn_host_set_token(txn, host, hash, make);
}

int store_host_token(struct store *store, const char *host, char hash[STORE_HASH_SIZE])
{
    return engine_of(store)->store_host_token(store, host, hash);
}

int store_token_owner(struct store *store, const char *hash, char host[HOST_ID_SIZE])
{
    return engine_of(store)->store_token_owner(store, hash, host);
}

int store_hosts(struct store *store, void (*visit)(void *context, const struct host_row *row),
                void *context)
{
    return engine_of(store)->store_hosts(store, visit, context);
}

int store_host(struct store *store, const char *host,
               void (*visit)(void *context, const struct host_row *row), void *context)
{
    return engine_of(store)->store_host(store, host, visit, context);
}

int store_hosts_due(struct store *store, int64_t after_ms, int64_t until_ms,
                    void (*visit)(void *context, const char *host, const char *run), void *context)
{
    return engine_of(store)->store_hosts_due(store, after_ms, until_ms, visit, context);
}

int txn_command_queue(struct txn *txn, const char *host, const char *command)
{
    return engine_of(txn->store)->txn_command_queue(txn, host, command);
}

int txn_verdict(struct txn *txn, const char *host, const struct verdict_row *row)
{
    return engine_of(txn->store)->txn_verdict(txn, host, row);
}

int txn_run_verdict(struct txn *txn, const char *host, const char *id)
{
    return engine_of(txn->store)->txn_run_verdict(txn, host, id);
}

int store_verdicts(struct store *store, const char *host,
                   void (*visit)(void *context, const struct verdict_row *row), void *context)
{
    return engine_of(store)->store_verdicts(store, host, visit, context);
}

int txn_command_stop(struct txn *txn, const char *host, const char *by)
{
    return engine_of(txn->store)->txn_command_stop(txn, host, by);
}

int txn_command_cancel(struct txn *txn, const char *host, char command[STORE_COMMAND_SIZE])
{
    return engine_of(txn->store)->txn_command_cancel(txn, host, command);
}

int txn_command_take(struct txn *txn, const char *host, char command[STORE_COMMAND_SIZE])
{
    return engine_of(txn->store)->txn_command_take(txn, host, command);
}

int txn_command_finish(struct txn *txn, const char *host, const char *status, const char *output,
                       const char *error)
{
    return engine_of(txn->store)->txn_command_finish(txn, host, status, output, error);
}

int txn_history_add(struct txn *txn, const char *host, const struct history_row *row)
{
    return engine_of(txn->store)->txn_history_add(txn, host, row);
}

int store_history(struct store *store, const char *host, int64_t limit, bool outputs,
                  void (*visit)(void *context, const struct history_row *row), void *context)
{
    return engine_of(store)->store_history(store, host, limit, outputs, visit, context);
}

int store_commands(struct store *store, const char *host, int64_t limit,
                   void (*visit)(void *context, const struct command_row *row), void *context)
{
    return engine_of(store)->store_commands(store, host, limit, visit, context);
}

int txn_session_add(struct txn *txn, const char *hash, int64_t lifetime_ms)
{
    return engine_of(txn->store)->txn_session_add(txn, hash, lifetime_ms);
}

int txn_session_drop(struct txn *txn, const char *hash)
{
    return engine_of(txn->store)->txn_session_drop(txn, hash);
}

int64_t store_session_end(struct store *store, const char *hash, int64_t now_ms)
{
    return engine_of(store)->store_session_end(store, hash, now_ms);
}

int txn_totp_use(struct txn *txn, int64_t step)
{
    return engine_of(txn->store)->txn_totp_use(txn, step);
}

int64_t store_now_ms(struct store *store)
{
    return engine_of(store)->store_now_ms(store);
}

bool store_is_shared(struct store *store)
{
    return engine_of(store)->store_is_shared(store);
}

int txn_calls_add(struct txn *txn, int64_t window_ms, struct calls_row *rows, size_t count)
{
    return engine_of(txn->store)->txn_calls_add(txn, window_ms, rows, count);
}

int txn_run_find(struct txn *txn, const char *id, struct run_row *row)
{
    return engine_of(txn->store)->txn_run_find(txn, id, row);
}

int txn_run_find_open(struct txn *txn, const char *host, struct run_row *row)
{
    return engine_of(txn->store)->txn_run_find_open(txn, host, row);
}

int txn_run_create(struct txn *txn, const char *host, const char *id, struct run_row *row)
{
    return engine_of(txn->store)->txn_run_create(txn, host, id, row);
}

int txn_run_update(struct txn *txn, int64_t key, const struct run_update *update)
{
    return engine_of(txn->store)->txn_run_update(txn, key, update);
}

int txn_run_finish(struct txn *txn, int64_t key, const struct run_end *end)
{
    return engine_of(txn->store)->txn_run_finish(txn, key, end);
}

int txn_run_save_counts(struct txn *txn, const struct run_row *row, int64_t bytes)
{
    return engine_of(txn->store)->txn_run_save_counts(txn, row, bytes);
}

int txn_run_hide(struct txn *txn, int64_t key, char host[HOST_ID_SIZE])
{
    return engine_of(txn->store)->txn_run_hide(txn, key, host);
}

int store_run_find(struct store *store, const char *id, struct run_row *row)
{
    return engine_of(store)->store_run_find(store, id, row);
}

int store_run_of_host(struct store *store, const char *host, char id[RUN_ID_SIZE])
{
    return engine_of(store)->store_run_of_host(store, host, id);
}

int store_run(struct store *store, const char *host, const char *id,
              void (*visit)(void *context, const struct run_details *row), void *context)
{
    return engine_of(store)->store_run(store, host, id, visit, context);
}

int store_runs(struct store *store, const char *host, const char *before, int64_t limit,
               void (*visit)(void *context, const struct run_details *row), void *context)
{
    return engine_of(store)->store_runs(store, host, before, limit, visit, context);
}

int txn_log_splice(struct txn *txn, struct run_row *row, const struct chunk *lines)
{
    return engine_of(txn->store)->txn_log_splice(txn, row, lines);
}

int txn_log_equal(struct txn *txn, int64_t key, int64_t from, const char *text, size_t size)
{
    return engine_of(txn->store)->txn_log_equal(txn, key, from, text, size);
}

int txn_log_digest(struct txn *txn, int64_t key, char out[STORE_HASH_SIZE])
{
    return engine_of(txn->store)->txn_log_digest(txn, key, out);
}

int txn_log_shorten(struct txn *txn, struct run_row *row, int64_t bytes)
{
    return engine_of(txn->store)->txn_log_shorten(txn, row, bytes);
}

int64_t txn_log_remove(struct txn *txn, int64_t key, int64_t max)
{
    return engine_of(txn->store)->txn_log_remove(txn, key, max);
}

int store_log(struct store *store, int64_t key, int64_t from,
              bool (*visit)(void *context, const struct chunk *chunk), void *context)
{
    return engine_of(store)->store_log(store, key, from, visit, context);
}

int store_log_gaps(struct store *store, int64_t key,
                   void (*visit)(void *context, int64_t first, int64_t count), void *context)
{
    return engine_of(store)->store_log_gaps(store, key, visit, context);
}

int64_t store_log_changed(struct store *store, int64_t key, int64_t version, int64_t *newest)
{
    return engine_of(store)->store_log_changed(store, key, version, newest);
}

int64_t store_log_arrived(struct store *store, int64_t key, int64_t at_ms, int64_t *newest)
{
    return engine_of(store)->store_log_arrived(store, key, at_ms, newest);
}

void store_clock(struct store *store, int64_t *newest_ms, int64_t *jumped_ms)
{
    engine_of(store)->store_clock(store, newest_ms, jumped_ms);
}

size_t store_runs_expired(struct store *store, const struct retention_limits *limits,
                          int64_t now_ms, struct expired_run *runs, size_t max)
{
    return engine_of(store)->store_runs_expired(store, limits, now_ms, runs, max);
}

int64_t txn_expire(struct txn *txn, int64_t oldest_ms, int64_t forgotten_ms, int64_t max)
{
    return engine_of(txn->store)->txn_expire(txn, oldest_ms, forgotten_ms, max);
}

int txn_derivation_put(struct txn *txn, int64_t key, const struct derivation_row *row)
{
    return engine_of(txn->store)->txn_derivation_put(txn, key, row);
}

int store_derivations(struct store *store, int64_t key, int64_t from, int64_t limit,
                      void (*visit)(void *context, const struct derivation_row *row), void *context)
{
    return engine_of(store)->store_derivations(store, key, from, limit, visit, context);
}

int txn_changes_put(struct txn *txn, int64_t key, const char *changes)
{
    return engine_of(txn->store)->txn_changes_put(txn, key, changes);
}

int store_changes(struct store *store, int64_t key,
                  void (*visit)(void *context, const char *changes), void *context)
{
    return engine_of(store)->store_changes(store, key, visit, context);
}

int txn_builds_remove(struct txn *txn, int64_t key)
{
    return engine_of(txn->store)->txn_builds_remove(txn, key);
}

int txn_build_log_splice(struct txn *txn, int64_t key, int64_t n, const struct chunk *lines,
                         int64_t most)
{
    return engine_of(txn->store)->txn_build_log_splice(txn, key, n, lines, most);
}

int store_build_log(struct store *store, int64_t key, int64_t n, int64_t from,
                    bool (*visit)(void *context, const struct chunk *chunk), void *context)
{
    return engine_of(store)->store_build_log(store, key, n, from, visit, context);
}

int64_t store_build_log_lines(struct store *store, int64_t key, int64_t n)
{
    return engine_of(store)->store_build_log_lines(store, key, n);
}

int txn_derivations(struct txn *txn, int64_t key,
                    void (*visit)(void *context, const struct derivation_row *row), void *context)
{
    return engine_of(txn->store)->txn_derivations(txn, key, visit, context);
}

int txn_run_timing(struct txn *txn, int64_t key, struct run_timing *timing)
{
    return engine_of(txn->store)->txn_run_timing(txn, key, timing);
}

int txn_run_set_timing(struct txn *txn, int64_t key, const struct run_timing *timing)
{
    return engine_of(txn->store)->txn_run_set_timing(txn, key, timing);
}

int txn_duration_add(struct txn *txn, const char *host, const char *name, const char *kind,
                     const char *what, int64_t ms)
{
    return engine_of(txn->store)->txn_duration_add(txn, host, name, kind, what, ms);
}

int txn_durations(struct txn *txn, const char *host, const char *name,
                  void (*visit)(void *context, const struct duration_row *row), void *context)
{
    return engine_of(txn->store)->txn_durations(txn, host, name, visit, context);
}

int txn_durations_trim(struct txn *txn, const char *host, int64_t max)
{
    return engine_of(txn->store)->txn_durations_trim(txn, host, max);
}
