/* Sessions of people who are signed in. */
#include "dashboard/store/sql/sql.h"

int sql_txn_session_add(struct txn *txn, const char *hash, int64_t lifetime_ms)
{
    if (txn_exec(txn, "DELETE FROM sessions WHERE expires<?", "i", txn->now_ms) < 0)
        return -1;
    return txn_exec(txn,
                    "INSERT INTO sessions(token_hash, created, expires) VALUES(?1,?2,?3) ON "
                    "CONFLICT(token_hash) DO UPDATE SET created=?2, expires=?3",
                    "tii", hash, txn->now_ms, txn->now_ms + lifetime_ms);
}

/* Tells other servers, which may have open pages of this session. */
int sql_txn_session_drop(struct txn *txn, const char *hash)
{
    txn_changed(txn, "", NULL);
    return txn_exec(txn, "DELETE FROM sessions WHERE token_hash=?", "t", hash);
}

int64_t sql_store_session_end(struct store *store, const char *hash, int64_t now_ms)
{
    struct statement *find =
        store_statement(store, "SELECT expires FROM sessions WHERE token_hash=? AND expires>?");
    int64_t end = 0;
    int found;

    if (!find)
        return -1;
    statement_bind(find, "ti", hash, now_ms);
    if ((found = statement_first(find)) > 0)
        end = column_int64(find, 0);
    return statement_close(find, found) < 0 ? -1 : end;
}

#define STEPS_ACCEPTED 2 /* the latest step that is accepted, minus the earliest one */

/* One statement, because another server may use the same step at the same time. A stored step that
 * is later than all accepted steps was stored while a clock was ahead, and does not count. */
int sql_txn_totp_use(struct txn *txn, int64_t step)
{
    int64_t rows;

    if (txn_exec(txn,
                 "INSERT INTO kv(name, value) VALUES('totp_step',?1) ON CONFLICT(name) DO UPDATE "
                 "SET value=?1 WHERE kv.value<?1 OR kv.value>?1+?2",
                 "ii", step, (int64_t)STEPS_ACCEPTED) < 0)
        return -1;
    rows = txn_rows(txn);
    return rows < 0 ? -1 : rows > 0;
}
