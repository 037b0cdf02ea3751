/* Whether the store can be read and written, and how much is in it. */
#include "dashboard/store/sql/sql.h"

static int64_t count_rows(struct store *store, const char *sql)
{
    struct statement *find = store_statement(store, sql);
    int64_t count = -1;
    int found;

    if (!find)
        return -1;
    if ((found = statement_first(find)) > 0)
        count = column_int64(find, 0);
    return statement_close(find, found) < 0 ? -1 : count;
}

void sql_count(struct store *store, struct store_counts *counts)
{
    counts->hosts = count_rows(store, "SELECT count(*) FROM hosts");
    counts->runs_open =
        count_rows(store, "SELECT count(*) FROM runs WHERE ended IS NULL AND lost=0 AND deleted=0");
}

int sql_store_probe(struct store *store)
{
    return count_rows(store, "SELECT count(*) FROM kv") < 0 ? -1 : 0;
}

int sql_txn_probe(struct txn *txn)
{
    return txn_exec(txn,
                    "INSERT INTO kv(name, value) VALUES('health',?1) ON CONFLICT(name) DO UPDATE "
                    "SET value=?1",
                    "i", txn->now_ms);
}
