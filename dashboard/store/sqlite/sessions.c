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

bool sqlite_store_session_valid(struct store *store, const char *hash, int64_t now_ms)
{
    sqlite3_stmt *find =
        store_statement(store, "SELECT 1 FROM sessions WHERE token_hash=? AND expires>?");
    bool found;

    if (!find)
        return false;
    statement_bind(find, "ti", hash, now_ms);
    found = sqlite3_step(find) == SQLITE_ROW;
    sqlite3_reset(find);
    return found;
}
