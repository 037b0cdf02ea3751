/* What an engine of the store provides: each function of store.h, with a prefix of its own. To add
   an engine NAME: define its struct store, which begins with struct store_head; define its
   functions, NAME_txn_host_seen and so on; define its table with STORE_FUNCTIONS; and make
   store_open choose it. tests/unit/test_store_contract.c tests what every engine must do. */
#ifndef NIXFLEET_DASHBOARD_STORE_ENGINE_H
#define NIXFLEET_DASHBOARD_STORE_ENGINE_H

#include "dashboard/store/store.h"

/* F(name) for each function of store.h that is called on a store or a transaction: first the
 * functions that every engine has of its own, then those that engines with SQL share (sql/). */
#define STORE_FUNCTIONS(F) STORE_OWN_FUNCTIONS(F) STORE_SHARED_FUNCTIONS(F)
#define STORE_OWN_FUNCTIONS(F) \
    F(store_close)             \
    F(store_submit)            \
    F(txn_changed)             \
    F(txn_progressed)          \
    F(store_watch)             \
    F(store_snapshot)          \
    F(store_snapshot_end)      \
    F(store_counts)            \
    F(store_trouble)           \
    F(store_read_failed)       \
    F(store_now_ms)            \
    F(store_is_shared)         \
    F(txn_calls_add)
#define STORE_SHARED_FUNCTIONS(F) \
    F(store_probe)                \
    F(txn_probe)                  \
    F(txn_host_seen)              \
    F(txn_host_agent_seen)        \
    F(txn_runs_suspect)           \
    F(txn_host_refresh)           \
    F(txn_host_keepalive)         \
    F(txn_host_register)          \
    F(txn_host_add)               \
    F(txn_host_patch)             \
    F(txn_host_status)            \
    F(txn_host_tests)             \
    F(txn_host_remove)            \
    F(txn_host_facts)             \
    F(txn_host_token)             \
    F(txn_host_set_token)         \
    F(store_host_token)           \
    F(store_token_owner)          \
    F(store_hosts)                \
    F(store_host)                 \
    F(store_hosts_due)            \
    F(txn_verdict)                \
    F(txn_run_verdict)            \
    F(store_verdicts)             \
    F(txn_command_queue)          \
    F(txn_command_stop)           \
    F(txn_command_take)           \
    F(txn_command_cancel)         \
    F(txn_command_finish)         \
    F(txn_history_add)            \
    F(store_history)              \
    F(store_commands)             \
    F(txn_session_add)            \
    F(txn_session_drop)           \
    F(store_session_end)          \
    F(txn_totp_use)               \
    F(txn_run_find)               \
    F(txn_run_find_open)          \
    F(txn_run_create)             \
    F(txn_run_update)             \
    F(txn_run_finish)             \
    F(txn_run_save_counts)        \
    F(txn_run_hide)               \
    F(store_run_find)             \
    F(store_run_of_host)          \
    F(store_run)                  \
    F(store_runs)                 \
    F(txn_derivation_put)         \
    F(store_derivations)          \
    F(txn_derivations)            \
    F(txn_changes_put)            \
    F(store_changes)              \
    F(txn_builds_remove)          \
    F(txn_build_log_splice)       \
    F(store_build_log)            \
    F(store_build_log_lines)      \
    F(txn_run_timing)             \
    F(txn_run_set_timing)         \
    F(txn_duration_add)           \
    F(txn_durations)              \
    F(txn_durations_trim)         \
    F(txn_log_splice)             \
    F(txn_log_equal)              \
    F(txn_log_digest)             \
    F(txn_log_shorten)            \
    F(txn_log_remove)             \
    F(store_log)                  \
    F(store_log_gaps)             \
    F(store_log_changed)          \
    F(store_log_arrived)          \
    F(store_clock)                \
    F(store_runs_expired)         \
    F(txn_expire)

#define STORE_ENGINE_MEMBER(name) __typeof__(name) *name;

struct store_engine {
    __typeof__(store_open) *open;
    __typeof__(store_check) *check;
    __typeof__(store_backup) *backup;
    __typeof__(store_restore) *restore;
    STORE_FUNCTIONS(STORE_ENGINE_MEMBER)
};

/* The beginning of every engine's struct store. */
struct store_head {
    const struct store_engine *engine;
};

extern const struct store_engine sqlite_engine, postgres_engine;

#endif
