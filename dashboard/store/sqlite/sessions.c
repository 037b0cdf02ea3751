/* Sessions of people who are signed in. */
#include "dashboard/store/sqlite/sqlite.h"

int sqlite_txn_session_add(struct txn *txn, const char *hash, int64_t lifetime_ms)
{
    if (txn_exec(txn, "DELETE FROM sessions WHERE expires<?", "i", txn->now_ms) < 0)
        return -1;
    return txn_exec(txn, "INSERT OR REPLACE INTO sessions VALUES(?,?,?)", "tii", hash, txn->now_ms,
                    txn->now_ms + lifetime_ms);
}

int sqlite_txn_session_drop(struct txn *txn, const char *hash)
{
    return txn_exec(txn, "DELETE FROM sessions WHERE token_hash=?", "t", hash);
}

int64_t sqlite_store_session_end(struct store *store, const char *hash, int64_t now_ms)
{
    sqlite3_stmt *find =
        store_statement(store, "SELECT expires FROM sessions WHERE token_hash=? AND expires>?");
    int64_t end;

    if (!find)
        return 0;
    statement_bind(find, "ti", hash, now_ms);
    end = sqlite3_step(find) == SQLITE_ROW ? sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    return end;
}

int sqlite_txn_totp_use(struct txn *txn, int64_t step)
{
    sqlite3_stmt *find = txn_statement(txn, "SELECT value FROM kv WHERE name='totp_step'");
    int64_t last;

    if (!find)
        return -1;
    last = sqlite3_step(find) == SQLITE_ROW ? sqlite3_column_int64(find, 0) : -1;
    sqlite3_reset(find);
    if (step <= last)
        return 0;
    return txn_exec(txn, "INSERT OR REPLACE INTO kv VALUES('totp_step',?)", "i", step) < 0 ? -1 : 1;
}
