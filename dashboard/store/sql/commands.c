/* The data of v1: for each host one slot for a command, the log of commands, the history. */
#include "dashboard/store/sql/sql.h"

#include <string.h>

#define COMMAND_WAITS_MS (5 * 60 * 1000)
#define HISTORY_MAX 1000 /* lines of a host */

int sql_txn_command_queue(struct txn *txn, const char *host, const char *command)
{
    if (txn_exec(txn, "UPDATE hosts SET pending_command=?2, command_queued_at=?3 WHERE id=?1",
                 "tti", host, command, txn->now_ms) < 0)
        return -1;
    if (strcmp(command, "test") != 0)
        return 0;
    return txn_exec(txn,
                    "UPDATE hosts SET test_running=1, test_current=0, test_total=0, "
                    "test_passed_count=0 WHERE id=?",
                    "t", host);
}

int sql_txn_command_stop(struct txn *txn, const char *host, const char *by)
{
    if (txn_exec(txn,
                 "UPDATE hosts SET pending_command=NULL, command_queued_at=NULL, test_running=0, "
                 "status='ok' WHERE id=?",
                 "t", host) < 0)
        return -1;
    return txn_exec(
        txn,
        "UPDATE runs SET stop=1, stop_at=?2, stop_by=?3 WHERE id=(SELECT run FROM hosts "
        "WHERE id=?1) AND ended IS NULL AND lost=0",
        "tit", host, txn->now_ms, by);
}

/* Returns 0, with command "" if there is none; or -1. */
static int find_command(struct txn *txn, const char *host, char command[STORE_COMMAND_SIZE],
                        int64_t *queued_ms)
{
    struct statement *find =
        txn_statement(txn, "SELECT pending_command, command_queued_at FROM hosts "
                           "WHERE id=? AND pending_command IS NOT NULL");
    int found;

    command[0] = '\0';
    if (!find)
        return -1;
    statement_bind(find, "t", host);
    found = statement_first(find);
    if (found > 0) {
        column_copy(find, 0, command, STORE_COMMAND_SIZE);
        *queued_ms = column_int64(find, 1);
    }
    return statement_close(find, found) < 0 ? -1 : 0;
}

int sql_txn_command_take(struct txn *txn, const char *host, char command[STORE_COMMAND_SIZE])
{
    int64_t queued_ms = 0;

    if (find_command(txn, host, command, &queued_ms) < 0)
        return -1;
    if (!command[0])
        return 0;
    if (txn_exec(txn, "UPDATE hosts SET pending_command=NULL, command_queued_at=NULL WHERE id=?",
                 "t", host) < 0)
        return -1;
    if (txn->now_ms - queued_ms > COMMAND_WAITS_MS) {
        command[0] = '\0';
        return txn_exec(txn, "UPDATE hosts SET test_running=0 WHERE id=?", "t", host);
    }
    return txn_exec(
        txn, "INSERT INTO command_log(host, command, status, created) VALUES(?,?,'running',?)",
        "tti", host, command, txn->now_ms);
}

int sql_txn_command_cancel(struct txn *txn, const char *host, char command[STORE_COMMAND_SIZE])
{
    int64_t queued_ms;

    if (find_command(txn, host, command, &queued_ms) < 0)
        return -1;
    if (!command[0])
        return 0;
    return txn_exec(txn,
                    "UPDATE hosts SET pending_command=NULL, command_queued_at=NULL, "
                    "test_running=0 WHERE id=?",
                    "t", host);
}

/* The newest command that is not completed. 1, or 0 if there is none. */
static int find_running(struct txn *txn, const char *host, int64_t *id, int64_t *created_ms,
                        char command[STORE_COMMAND_SIZE])
{
    struct statement *find =
        txn_statement(txn, "SELECT id, created, command FROM command_log WHERE host=? AND "
                           "completed IS NULL ORDER BY id DESC LIMIT 1");
    int found;

    if (!find)
        return -1;
    statement_bind(find, "t", host);
    if ((found = statement_first(find)) > 0) {
        *id = column_int64(find, 0);
        *created_ms = column_int64(find, 1);
        column_copy(find, 2, command, STORE_COMMAND_SIZE);
    }
    return statement_close(find, found);
}

int sql_txn_command_finish(struct txn *txn, const char *host, const char *status,
                           const char *output, const char *error)
{
    bool ok = strcmp(status, "ok") == 0;
    char command[STORE_COMMAND_SIZE];
    int64_t id = 0, created_ms = 0;
    int found = find_running(txn, host, &id, &created_ms, command);
    struct verdict_row verdict = {.name = command,
                                  .outcome = ok ? "success" : "failure",
                                  .error = ok ? NULL : error,
                                  .ended_ms = txn->now_ms};

    if (found <= 0)
        return found;
    if (txn_exec(txn, "UPDATE command_log SET status=?2, output=?3, completed=?4 WHERE id=?1",
                 "itti", id, status, output, txn->now_ms) < 0)
        return -1;
    if (strcmp(command, "restart") == 0 || strcmp(command, "stop") == 0)
        return 0;
    /* a run that this command started began later, so the verdict of the run counts */
    verdict.started_ms = created_ms;
    return sql_txn_verdict(txn, host, &verdict);
}

int sql_txn_history_add(struct txn *txn, const char *host, const struct history_row *row)
{
    if (txn_exec(txn,
                 "INSERT INTO history(host, at, icon, message, output) SELECT ?1,?2,?3,?4,?5 FROM "
                 "hosts WHERE id=?1",
                 "titt"
                 "t",
                 host, txn->now_ms, row->icon, row->message, row->output) < 0)
        return -1;
    return txn_exec(txn,
                    "DELETE FROM history WHERE host=?1 AND id<=(SELECT id FROM history WHERE "
                    "host=?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                    "ti", host, (int64_t)HISTORY_MAX);
}

/* Outputs may be large: without them, their pages are not read. */
int sql_store_history(struct store *store, const char *host, int64_t limit, bool outputs,
                      void (*visit)(void *context, const struct history_row *row), void *context)
{
    struct statement *find =
        outputs ? store_statement_many(store,
                                       "SELECT at, icon, message, output FROM history WHERE host=? "
                                       "ORDER BY id DESC LIMIT ?")
                : store_statement(store, "SELECT at, icon, message, NULL FROM history WHERE host=? "
                                         "ORDER BY id DESC LIMIT ?");
    int step;

    if (!find)
        return -1;
    statement_bind(find, "ti", host, limit ? limit : INT64_MAX);
    while ((step = statement_step(find)) > 0) {
        struct history_row row = {.at_ms = column_int64(find, 0),
                                  .icon = column_text(find, 1),
                                  .message = column_text(find, 2),
                                  .output = column_text(find, 3)};

        visit(context, &row);
    }
    return statement_end(find, step);
}

int sql_store_commands(struct store *store, const char *host, int64_t limit,
                       void (*visit)(void *context, const struct command_row *row), void *context)
{
    struct statement *find = store_statement(
        store, "SELECT id, host, command, status, output, created, completed FROM command_log"
               " WHERE host=? ORDER BY id DESC LIMIT ?");
    int step;

    if (!find)
        return -1;
    statement_bind(find, "ti", host, limit ? limit : INT64_MAX);
    while ((step = statement_step(find)) > 0) {
        struct command_row row = {.id = column_int64(find, 0),
                                  .host = column_text(find, 1),
                                  .command = column_text(find, 2),
                                  .status = column_text(find, 3),
                                  .output = column_text(find, 4),
                                  .created_ms = column_int64(find, 5),
                                  .completed_ms = column_int64(find, 6)};

        visit(context, &row);
    }
    return statement_end(find, step);
}
