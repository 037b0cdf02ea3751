/* The rules for busy, stale, crashed, idle and offline. */
#include "dashboard/fleet/state.h"

static int64_t stale_at(const struct run_facts *run)
{
    return run->last_seen_ms + STATE_INTERVALS * run->interval_ms;
}

static int64_t crashed_at(const struct run_facts *run)
{
    int64_t silence = run->last_seen_ms + STATE_LOST_MS,
            suspicion = run->suspect_ms + STATE_SUSPECT_INTERVALS * run->interval_ms;

    return run->suspect_ms && suspicion < silence ? suspicion : silence;
}

enum run_state state_of_run(const struct run_facts *run, int64_t now_ms)
{
    if (run->ended)
        return RUN_FINISHED;
    if (run->lost)
        return RUN_CRASHED;
    if (now_ms < stale_at(run))
        return RUN_BUSY;
    if (!run->heartbeats)
        return RUN_FINISHED;
    return now_ms < crashed_at(run) ? RUN_STALE : RUN_CRASHED;
}

static int64_t newest_moment_ms(const struct run_facts *run, enum run_state state)
{
    return state == RUN_STALE ? run->last_seen_ms : run->started_ms;
}

bool run_outranks(const struct run_facts *run, const struct run_facts *other, int64_t now_ms)
{
    enum run_state state = state_of_run(run, now_ms), others = state_of_run(other, now_ms);

    if ((state == RUN_BUSY) != (others == RUN_BUSY))
        return state == RUN_BUSY;
    return newest_moment_ms(run, state) > newest_moment_ms(other, others);
}

static bool is_offline(const struct host_facts *host, int64_t now_ms)
{
    return host->last_seen_ms == 0 || (host->agent_seen_ms && !host_reachable(host, now_ms));
}

bool host_reachable(const struct host_facts *host, int64_t now_ms)
{
    return host->agent_seen_ms && host->last_seen_ms &&
           now_ms < host->last_seen_ms + STATE_OFFLINE_MS;
}

enum host_state state_of_host(const struct host_facts *host, const struct run_facts *run,
                              int64_t now_ms, int64_t *since)
{
    enum run_state state = run->exists ? state_of_run(run, now_ms) : RUN_FINISHED;

    if (state == RUN_BUSY) {
        *since = run->started_ms;
        return HOST_BUSY;
    }
    if (state == RUN_STALE) {
        *since = stale_at(run);
        return HOST_STALE;
    }
    if (state == RUN_CRASHED) {
        *since = run->last_seen_ms;
        return HOST_CRASHED;
    }
    if (is_offline(host, now_ms)) {
        *since = host->last_seen_ms ? host->last_seen_ms + STATE_OFFLINE_MS : 0;
        return HOST_OFFLINE;
    }
    *since = !run->exists ? host->last_seen_ms : run->ended ? run->ended_ms : run->last_seen_ms;
    return HOST_IDLE;
}

int64_t state_changes_at(const struct host_facts *host, const struct run_facts *run, int64_t now_ms)
{
    enum run_state state = run->exists ? state_of_run(run, now_ms) : RUN_FINISHED;

    if (state == RUN_BUSY)
        return stale_at(run);
    if (state == RUN_STALE)
        return crashed_at(run);
    if (state == RUN_CRASHED || !host->agent_seen_ms || is_offline(host, now_ms))
        return INT64_MAX;
    return host->last_seen_ms + STATE_OFFLINE_MS;
}

const char *run_state_name(enum run_state state)
{
    static const char *const names[] = {"busy", "stale", "finished", "crashed"};

    return names[state];
}

const char *host_state_name(enum host_state state)
{
    static const char *const names[] = {"idle", "busy", "stale", "crashed", "offline"};

    return names[state];
}
