/* A table is copied in the order of its key, in transactions of some rows; a copy that was
   interrupted continues behind the last key that is there. */
#include <openssl/evp.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/json.h"
#include "dashboard/store/copy.h"
#include "dashboard/store/sql/sql.h"

#define ROWS_MAX 500                /* rows in one transaction */
#define BYTES_MAX ((size_t)2 << 20) /* bytes of text in one transaction */
#define KEYS_MAX 4
#define COLUMNS_MAX 48

/* types: as statement_bind has them, a letter for each column. The first `keys` columns are the
 * key. */
static const struct table {
    const char *name, *columns, *types;
    int keys;
} tables[] = {
    {"hosts",
     "id, hostname, host_type, location, device_type, theme_color, criticality, icon, last_seen, "
     "last_switch, last_audit, last_fix, current_generation, status, pending_command, "
     "command_queued_at, comment, test_status, config_repo, test_running, test_current, "
     "test_total, test_passed_count, test_result, poll_interval, metrics, metrics_updated_at, "
     "agent_version, nixpkgs_version, os_version, os_name, agent_token_hash, run, changes_at, "
     "agent_seen, verdict",
     "ttttttttiiiitttitttiiiititi"
     "ttttttiit",
     1},
    {"runs",
     "k, id, host, command, name, argv, \"user\", started, created, ended, phase, last_phase, "
     "progress, outcome, exit, error, error_line, failed, failed_units, lines, bytes, "
     "silent_since, last_seen, \"interval\", lost, stop, deleted, stored, heartbeats, doubt, "
     "stop_at, stop_by, phases, phase_at, eta, eta_low, eta_high, estimate_due, builds_stored",
     "ittttttiiittttttitt"
     "iiiiiiiiiiiittiiiiii",
     1},
    {"chunks", "run, first, count, version, at, text, times, sum", "iiiiitti", 2},
    {"command_log", "id, host, command, status, output, created, completed", "ittttii", 1},
    {"history", "id, host, at, icon, message, output", "itittt", 1},
    {"sessions", "token_hash, created, expires", "tii", 1},
    {"verdicts", "host, name, run, outcome, error, started, ended, success, failure", "tttttiiii",
     2},
    {"derivations", "run, n, name, state, machine, step, started, ended, line, lines, log_lines",
     "iittttiiiii", 2},
    {"build_logs", "run, n, first, count, size, text", "iiiiit", 3},
    {"run_changes", "run, text", "it", 1},
    {"durations", "host, name, kind, what, at, last", "ttttit", 4},
};
#define TABLES (sizeof tables / sizeof *tables)

/* The statements of a table. They live until the stores are closed, because their addresses are the
 * keys of prepared statements. */
struct plan {
    const struct table *table;
    char *last, *all, *rest, *insert;
    int columns;
};

struct copying {
    struct store *from, *to;
    struct plan plans[TABLES];
    char *error;
};

/* Texts and numbers of some rows, to be inserted in one transaction. */
struct batch {
    const struct plan *plan;
    struct sql_value values[ROWS_MAX][COLUMNS_MAX];
    struct text texts; /* of the values, whose `text` is an offset until it is complete */
    size_t rows;
};

/* ---- jobs that are waited for ---- */

struct wait {
    struct job job;
    enum job_result (*apply)(struct txn *txn, void *context);
    void *context;
    sem_t done;
    bool ok;
};

static enum job_result apply_waited(struct txn *txn, void *context)
{
    struct wait *wait = context;

    return wait->apply(txn, wait->context);
}

static void done_waited(void *context, bool ok)
{
    struct wait *wait = context;

    wait->ok = ok;
    sem_post(&wait->done);
}

static bool do_job(struct store *store, enum job_result (*apply)(struct txn *, void *),
                   void *context)
{
    struct wait wait = {.apply = apply, .context = context};

    sem_init(&wait.done, 0, 0);
    wait.job = (struct job){.apply = apply_waited, .done = done_waited, .context = &wait};
    store_submit(store, &wait.job);
    while (sem_wait(&wait.done) < 0)
        ; /* a signal */
    sem_destroy(&wait.done);
    return wait.ok;
}

/* ---- the mark of a copy that is not whole ---- */

static enum job_result mark(struct txn *txn, void *context)
{
    (void)context;
    return txn_exec(txn,
                    "INSERT INTO kv(name, value) VALUES('copying',?1) ON CONFLICT(name) DO UPDATE "
                    "SET value=?1",
                    "i", txn->now_ms) < 0
               ? JOB_FAILED
               : JOB_DONE;
}

static enum job_result unmark(struct txn *txn, void *context)
{
    const struct copying *copying = context;

    return ((struct sql_store *)copying->to)->driver->copied(txn) < 0 ||
                   txn_exec(txn, "DELETE FROM kv WHERE name='copying'", "") < 0
               ? JOB_FAILED
               : JOB_DONE;
}

static int64_t count(struct store *store, const char *sql)
{
    struct statement *find = store_statement(store, sql);
    int64_t number;
    int found;

    if (!find)
        return -1;
    found = statement_first(find);
    number = found > 0 ? column_int64(find, 0) : -1;
    return statement_close(find, found) > 0 ? number : -1;
}

int store_unfinished(struct store *store)
{
    return (int)count(store, "SELECT count(*) FROM kv WHERE name='copying'");
}

/* ---- plans ---- */

static char *key_of(const struct table *table)
{
    const char *end = table->columns;

    for (int i = 0; i < table->keys; i++)
        end = strchr(end + (i > 0), ',') ? strchr(end + (i > 0), ',') : end + strlen(end);
    return strndup(table->columns, (size_t)(end - table->columns));
}

/* "?1,?2,…" */
static void parameters(char *out, int number)
{
    for (int i = 1; i <= number; i++)
        out += sprintf(out, "%s?%d", i > 1 ? "," : "", i);
}

/* "a DESC, b DESC" */
static char *downwards(const char *key)
{
    struct text out = {0};

    for (; *key; key++) {
        if (*key == ',')
            text_puts(&out, " DESC");
        text_add(&out, key, 1);
    }
    text_add(&out, " DESC", 6);
    return out.failed ? NULL : out.bytes;
}

static int make_plan(struct plan *plan, const struct table *table)
{
    AUTO_FREE char *key = key_of(table), *down = key ? downwards(key) : NULL;
    char all[COLUMNS_MAX * 4], keys[KEYS_MAX * 4];

    plan->table = table;
    plan->columns = (int)strlen(table->types);
    parameters(all, plan->columns);
    parameters(keys, table->keys);
    if (!down ||
        asprintf(&plan->last, "SELECT %s FROM %s ORDER BY %s LIMIT 1", key, table->name, down) <
            0 ||
        asprintf(&plan->all, "SELECT %s FROM %s ORDER BY %s", table->columns, table->name, key) <
            0 ||
        asprintf(&plan->rest, "SELECT %s FROM %s WHERE (%s)>(%s) ORDER BY %s", table->columns,
                 table->name, key, keys, key) < 0 ||
        asprintf(&plan->insert, "INSERT INTO %s(%s) VALUES(%s)", table->name, table->columns, all) <
            0)
        return -1;
    return 0;
}

/* ---- one table ---- */

static struct sql_value read_value(struct statement *row, const struct table *table, int column)
{
    struct sql_value value = {.is_text = table->types[column] == 't'};

    value.is_null = column_null(row, column);
    if (!value.is_text)
        value.number = column_int64(row, column);
    return value;
}

/* The text can move in memory while it grows, so a value has an offset instead of a pointer.
 * Offsets begin at 1. */
static void take_row(struct batch *batch, struct statement *row)
{
    struct sql_value *values = batch->values[batch->rows++];

    for (int i = 0; i < batch->plan->columns; i++) {
        values[i] = read_value(row, batch->plan->table, i);
        if (!values[i].is_text || values[i].is_null)
            continue;
        values[i].size = column_size(row, i);
        values[i].text = (const char *)(batch->texts.size + 1);
        text_add(&batch->texts, column_text(row, i), values[i].size);
        text_add(&batch->texts, "", 1);
        values[i].lives = true;
    }
}

static void settle_texts(struct batch *batch)
{
    for (size_t row = 0; row < batch->rows; row++)
        for (int i = 0; i < batch->plan->columns; i++) {
            struct sql_value *value = &batch->values[row][i];

            if (value->is_text && !value->is_null)
                value->text = batch->texts.bytes + ((size_t)value->text - 1);
        }
}

static enum job_result insert_rows(struct txn *txn, void *context)
{
    struct batch *batch = context;

    for (size_t i = 0; i < batch->rows; i++) {
        struct statement *insert = txn_statement(txn, batch->plan->insert);

        if (!insert || insert->driver->bind(insert, batch->values[i], batch->plan->columns) < 0 ||
            insert->driver->run(txn, insert) < 0)
            return JOB_FAILED;
    }
    return JOB_DONE;
}

static bool write_batch(struct store *to, struct batch *batch)
{
    bool ok = !batch->texts.failed;

    settle_texts(batch);
    ok = ok && (batch->rows == 0 || do_job(to, insert_rows, batch));
    batch->rows = 0;
    batch->texts.size = 0;
    return ok;
}

/* The rows behind what is copied already, bound. NULL: a store failed. */
static struct statement *find_rest(struct copying *copying, const struct plan *plan)
{
    struct statement *last = store_statement(copying->to, plan->last), *rest = NULL;
    struct sql_value key[KEYS_MAX];
    int found = statement_first(last);

    if (found == 0)
        rest = store_statement_many(copying->from, plan->all);
    if (found > 0 && (rest = store_statement_many(copying->from, plan->rest))) {
        for (int i = 0; i < plan->table->keys; i++) {
            key[i] = read_value(last, plan->table, i);
            key[i].text = key[i].is_text ? column_text(last, i) : NULL;
            key[i].size = key[i].is_text ? column_size(last, i) : 0;
        }
        rest->driver->bind(rest, key, plan->table->keys);
    }
    if (last)
        statement_close(last, found);
    return rest;
}

static int copy_table(struct copying *copying, const struct plan *plan, struct batch *batch)
{
    struct statement *rest = find_rest(copying, plan);
    bool ok = rest != NULL;
    int step = 0;

    batch->plan = plan;
    while (ok && (step = statement_step(rest)) > 0) {
        take_row(batch, rest);
        if (batch->rows == ROWS_MAX || batch->texts.size >= BYTES_MAX)
            ok = write_batch(copying->to, batch);
    }
    if (rest && statement_end(rest, step) < 0)
        ok = false;
    if (ok && write_batch(copying->to, batch))
        return 0;
    snprintf(copying->error, STORE_ERROR_SIZE, "%s could not be copied; the same command continues",
             plan->table->name);
    return -1;
}

/* ---- verifying ---- */

static void digest_row(EVP_MD_CTX *context, struct statement *row, const struct plan *plan)
{
    for (int i = 0; i < plan->columns; i++) {
        struct sql_value value = read_value(row, plan->table, i);
        int64_t head[2] = {value.is_null, value.number};

        if (value.is_text && !value.is_null)
            head[1] = (int64_t)(value.size = column_size(row, i));
        EVP_DigestUpdate(context, head, sizeof head);
        if (value.is_text && !value.is_null)
            EVP_DigestUpdate(context, column_text(row, i), value.size);
    }
}

/* SHA-256 of all rows of a table in the order of its key; their number, or -1. */
static int64_t digest_table(struct store *store, const struct plan *plan,
                            unsigned char out[EVP_MAX_MD_SIZE])
{
    struct statement *all = store_statement_many(store, plan->all);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = all && context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
    int64_t rows = 0;
    int step = 0;

    memset(out, 0, EVP_MAX_MD_SIZE);
    for (; ok && (step = statement_step(all)) > 0; rows++)
        digest_row(context, all, plan);
    if (all && statement_end(all, step) < 0)
        ok = false;
    ok = ok && EVP_DigestFinal_ex(context, out, NULL) == 1;
    EVP_MD_CTX_free(context);
    return ok ? rows : -1;
}

static int64_t verify_table(struct copying *copying, const struct plan *plan)
{
    unsigned char here[EVP_MAX_MD_SIZE], there[EVP_MAX_MD_SIZE];
    int64_t rows = digest_table(copying->from, plan, here),
            copied = digest_table(copying->to, plan, there);

    if (rows >= 0 && rows == copied && memcmp(here, there, sizeof here) == 0)
        return rows;
    snprintf(
        copying->error, STORE_ERROR_SIZE,
        "%s is not the same in both (%lld and %lld rows): was a server still running? Begin anew "
        "with an empty store",
        plan->table->name, (long long)rows, (long long)copied);
    return -1;
}

/* ---- the whole ---- */

static enum job_result put_step(struct txn *txn, void *context)
{
    return sql_txn_totp_use(txn, *(int64_t *)context) < 0 ? JOB_FAILED : JOB_DONE;
}

static int begin(struct copying *copying)
{
    int unfinished = store_unfinished(copying->to);
    int64_t rows = count(copying->to, "SELECT (SELECT count(*) FROM hosts)+(SELECT count(*) FROM "
                                      "runs)");

    for (size_t i = 0; i < TABLES; i++)
        if (make_plan(&copying->plans[i], &tables[i]) < 0)
            unfinished = -1;
    if (unfinished == 0 && rows > 0) {
        snprintf(copying->error, STORE_ERROR_SIZE,
                 "there is data already in the store that is copied to");
        return -1;
    }
    if (unfinished >= 0 && rows >= 0 && do_job(copying->to, mark, NULL))
        return 0;
    snprintf(copying->error, STORE_ERROR_SIZE, "the store that is copied to cannot be used");
    return -1;
}

static int copy_all(struct copying *copying, struct batch *batch,
                    void (*copied)(void *context, const char *table, int64_t rows), void *context)
{
    int64_t step = count(copying->from,
                         "SELECT coalesce(max(value),-1) FROM kv WHERE name='totp_step'"),
            rows;

    for (size_t i = 0; i < TABLES; i++) {
        if (copy_table(copying, &copying->plans[i], batch) < 0 ||
            (rows = verify_table(copying, &copying->plans[i])) < 0)
            return -1;
        copied(context, tables[i].name, rows);
    }
    if ((step < 0 || do_job(copying->to, put_step, &step)) && do_job(copying->to, unmark, copying))
        return 0;
    snprintf(copying->error, STORE_ERROR_SIZE, "the copy could not be finished; try again");
    return -1;
}

/* To be called after the stores are closed, because they find statements by the addresses of these
 * texts. */
static void free_plans(struct copying *copying)
{
    for (size_t i = 0; i < TABLES; i++) {
        free(copying->plans[i].last);
        free(copying->plans[i].all);
        free(copying->plans[i].rest);
        free(copying->plans[i].insert);
    }
}

static int open_both(struct copying *copying, const char *from, const char *to)
{
    copying->from = store_open(from, copying->error);
    copying->to = copying->from ? store_open(to, copying->error) : NULL;
    return copying->to ? 0 : -1;
}

int store_copy(const char *from, const char *to,
               void (*copied)(void *context, const char *table, int64_t rows), void *context,
               char error[STORE_ERROR_SIZE])
{
    struct copying copying = {.error = error};
    struct batch *batch = calloc(1, sizeof *batch);
    int result = -1;

    if (!batch)
        snprintf(error, STORE_ERROR_SIZE, "out of memory");
    else if (open_both(&copying, from, to) == 0 && begin(&copying) == 0)
        result = copy_all(&copying, batch, copied, context);
    store_close(copying.from);
    store_close(copying.to);
    free_plans(&copying);
    if (batch)
        text_free(&batch->texts);
    free(batch);
    return result;
}
