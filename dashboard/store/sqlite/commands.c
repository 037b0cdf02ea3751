/* What v1's calls share. */
#include "dashboard/store/sqlite/commands.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COMMAND_WAITS_MS (5 * 60 * 1000)
#define HISTORY_MAX 1000 /* lines of a host */

bool fleet_run(struct txn *txn, const char *sql, const char *types, ...)
{
    sqlite3_stmt *statement = txn_statement(txn, sql);
    va_list arguments;
    int result;

    if (!statement)
        return false;
    va_start(arguments, types);
    statement_bind_list(statement, types, arguments);
    va_end(arguments);
    result = sqlite3_step(statement);
    sqlite3_reset(statement);
    return result == SQLITE_DONE || result == SQLITE_ROW;
}

bool fleet_history(struct txn *txn, const char *host, const char *icon, const char *message,
                   const char *output)
{
    return fleet_run(txn, "INSERT INTO history(host, at, icon, message, output) VALUES(?,?,?,?,?)",
                     "tittt", host, txn->now_ms, icon, message, output) &&
           fleet_run(txn,
                     "DELETE FROM history WHERE host=?1 AND id<=(SELECT id FROM history WHERE "
                     "host=?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                     "ti", host, (int64_t)HISTORY_MAX);
}

bool fleet_take_command(struct txn *txn, const char *host, char out[32])
{
    sqlite3_stmt *find = txn_statement(txn, "SELECT pending_command, command_queued_at FROM hosts "
                                            "WHERE id=? AND pending_command IS NOT NULL");
    int64_t queued = 0;

    out[0] = '\0';
    if (!find)
        return false;
    statement_bind(find, "t", host);
    if (sqlite3_step(find) == SQLITE_ROW) {
        snprintf(out, 32, "%s", column_text(find, 0));
        queued = sqlite3_column_int64(find, 1);
    }
    sqlite3_reset(find);
    if (!out[0])
        return true;
    if (!fleet_run(txn, "UPDATE hosts SET pending_command=NULL, command_queued_at=NULL WHERE id=?",
                   "t", host))
        return false;
    if (txn->now_ms - queued > COMMAND_WAITS_MS) {
        out[0] = '\0';
        return fleet_run(txn, "UPDATE hosts SET test_running=0 WHERE id=?", "t", host);
    }
    return fleet_run(
        txn, "INSERT INTO command_log(host, command, status, created) VALUES(?,?,'running',?)",
        "tti", host, out, txn->now_ms);
}
