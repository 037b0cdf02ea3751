/* The calls that write runs: batches of lines, heartbeats, deletion. Bodies are read on the HTTP
 * thread and applied on the store's writer thread. */
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/api/api.h"
#include "dashboard/api/report.h"
#include "dashboard/fleet/state.h"
#include "dashboard/fleet/timing.h"
#include "dashboard/server/server.h"

/* bytes of text; the writer thread hashes at most this much at the end of a run */
#define DIGEST_MAX ((int64_t)64 << 20)

/* When the run was last alive, according to the report. Lines count from the time when they were
 * written, so a run that is delivered late does not look alive. A `lost` heartbeat is no sign of
 * life either, except for a run that still counted as busy. */
static int64_t seen_ms(const struct txn *txn, const struct run_row *run,
                       const struct report *report)
{
    int64_t before = run->fresh ? 0 : run->last_seen_ms;

    if (report->lost && !run->fresh && txn->now_ms >= before + STATE_INTERVALS * run->interval_ms)
        return before;
    if (!report->newest_ms || report->newest_ms > txn->now_ms)
        return txn->now_ms;
    return report->newest_ms > before ? report->newest_ms : before;
}

/* The interval of heartbeats: what the writer says, or else the time between its reports. Batches
 * with old lines say nothing about the interval. */
static int64_t interval_ms(const struct txn *txn, const struct run_row *run,
                           const struct report *report)
{
    int64_t gap = report->interval    ? report->interval
                  : report->newest_ms ? 0
                                      : txn->now_ms - run->last_seen_ms,
            least = report->interval ? STATE_INTERVAL_MIN : run->interval_ms;

    return gap < least ? least : gap > STATE_INTERVAL_MAX ? STATE_INTERVAL_MAX : gap;
}

/* The first reported start counts, because the host's clock may be set during the run. No run
 * begins after its first report. */
static int64_t started_ms(const struct run_row *run, const struct report *report)
{
    bool known = !run->fresh && run->started_ms != run->created_ms;

    return report->started && !known && report->started < run->created_ms ? report->started
                                                                          : run->started_ms;
}

/* No run ends before it began. */
static int64_t ended_ms(const struct txn *txn, const struct run_row *run,
                        const struct report *report)
{
    int64_t ended = report->ended ? report->ended : txn->now_ms, started = started_ms(run, report);

    return ended > started ? ended : started;
}

/* output: the run, if the report has its output. */
static int update_run(struct txn *txn, const struct run_row *run, const struct report *report,
                      const struct run_row *output)
{
    bool silence = report->silent_for >= 0;
    int64_t started = started_ms(run, report);
    struct run_update update = {.last_seen_ms = seen_ms(txn, run, report),
                                .interval_ms = interval_ms(txn, run, report),
                                .started_ms = started == run->started_ms ? 0 : started,
                                .command = report->command,
                                .argv = report->argv,
                                .user = report->user,
                                .name = report->name,
                                .phase = report->phase,
                                .progress = report->progress,
                                .finished = report->finished,
                                .lost = report->lost,
                                .heartbeat = report->status && !report->lost,
                                .output = output,
                                .bytes = output    ? report->byte_count
                                         : silence ? report->bytes
                                                   : -1};

    if (silence)
        update.silent_since_ms = txn->now_ms - report->silent_for * 1000;
    /* A run that was delivered at once was never seen in a phase of its work. */
    if (report->finished && report->last_phase) {
        update.phase = report->last_phase;
        if (txn_run_update(txn, run->key, &update) < 0)
            return -1;
        update.phase = report->phase;
    }
    return txn_run_update(txn, run->key, &update);
}

/* A run that a person stopped is not a failure. */
static const char *outcome_of(const struct run_row *run, const struct report *report)
{
    return run->stop && report->killed ? "stopped" : report->outcome;
}

static int finish_run(struct txn *txn, const struct run_row *run, const struct report *report)
{
    struct run_end end = {.ended_ms = ended_ms(txn, run, report),
                          .exit = report->exit,
                          .outcome = outcome_of(run, report),
                          .error = report->error,
                          .error_line = report->error_line,
                          .failed = report->failed,
                          .failed_units = report->failed_units,
                          .authoritative = report->status == NULL};

    if (!report->finished)
        return 0;
    return txn_run_finish(txn, run->key, &end) < 0 ? -1 : txn_run_verdict(txn, run->host, run->id);
}

/* Whether a run with this outcome did all that such a run does. */
static bool is_complete(const char *outcome)
{
    return outcome && (strcmp(outcome, "success") == 0 || strcmp(outcome, "units_failed") == 0);
}

/* When the run is expected to end, as far as the report changes this. */
static int time_run(struct txn *txn, const struct run_row *run, const struct report *report)
{
    const struct timing_report timing = {
        .at_ms = report->newest_ms ? report->newest_ms : txn->now_ms,
        .phase = report->phase ? report->phase : run->phase,
        .phase_changed = report->phase && strcmp(report->phase, run->phase) != 0,
        .derivations = report->derivations != NULL,
        .built = report->built,
        .to_build = report->to_build,
        .ended = report->finished && !report->status,
        .stopped = report->lost || report->finished,
        .success = is_complete(outcome_of(run, report)),
        .ended_ms = ended_ms(txn, run, report)};

    return timing_report(txn, run, &timing);
}

static struct run_facts facts_of(const struct run_row *run)
{
    return (struct run_facts){.exists = true,
                              .ended = run->ended,
                              .lost = run->lost,
                              .heartbeats = run->heartbeats,
                              .started_ms = run->started_ms,
                              .last_seen_ms = run->last_seen_ms,
                              .interval_ms = run->interval_ms,
                              .suspect_ms = run->suspect_ms};
}

/* Whether the run has been silent for too long: then a report without a run id begins a new run. */
static bool is_over(const struct txn *txn, const struct run_row *run)
{
    struct run_facts facts = facts_of(run);

    return state_of_run(&facts, txn->now_ms) != RUN_BUSY;
}

/* Finds the run of a report; creates it if it is new. Returns 1 if found; 0 if answered (deleted,
 * or another host's); -1 if the store failed. */
static int locate_run(struct txn *txn, struct request *request, const struct report *report,
                      struct run_row *run)
{
    if ((report->run[0] ? txn_run_find(txn, report->run, run)
                        : txn_run_find_open(txn, request->host, run)) < 0)
        return -1;
    if (!report->run[0] && run->key && is_over(txn, run))
        run->key = 0;
    if (!run->key && txn_run_create(txn, request->host, report->run, run) < 0)
        return -1;
    if (strcmp(run->host, request->host) != 0) {
        answer_error(request, 400, "the run is another host's");
        return 0;
    }
    if (run->deleted) {
        answer_error(request, 410, "the run was deleted");
        return 0;
    }
    return 1;
}

static int refresh_host(struct txn *txn, const char *host)
{
    return txn_host_seen(txn, host) < 0 ? -1 : txn_host_refresh(txn, host);
}

/* Refreshes the host and notes the change. run: as it was before the report. If the run only made
 * progress, the live channel may delay the change. */
static int host_changed(struct txn *txn, const struct run_row *run, const struct report *report)
{
    struct run_facts before = facts_of(run), after = before;
    bool state_changed = run->fresh || report->lost || report->finished;
    int done = 0;

    after.started_ms = started_ms(run, report);
    after.last_seen_ms = seen_ms(txn, run, report);
    after.interval_ms = interval_ms(txn, run, report);
    if (report->status && !report->lost) {
        after.heartbeats = true;
        after.suspect_ms = 0;
    }
    state_changed |= state_of_run(&before, txn->now_ms) != state_of_run(&after, txn->now_ms);
    if (!state_changed && state_of_run(&after, txn->now_ms) == RUN_BUSY &&
        after.started_ms == run->started_ms)
        done = txn_host_keepalive(txn, run->host, run->id, &after);
    if (state_changed || (report->phase && strcmp(report->phase, run->phase) != 0))
        txn_changed(txn, run->host, run->id);
    else
        txn_progressed(txn, run->host, run->id);
    if (done)
        return done < 0 ? -1 : 0;
    return txn_runs_suspect(txn, run->host, run->id) < 0 ? -1 : refresh_host(txn, run->host);
}

static void answer_next(struct request *request, unsigned status, int64_t next)
{
    char json[64];

    snprintf(json, sizeof json, "{\"next\":%lld}", (long long)next);
    answer_puts(request, status, json);
}

/* Whether the batch is late, such as a batch of a killed process that waited in a slow proxy: the
 * run has ended with more lines than the batch has, and begins with these. The batch must not cut
 * off the others. 1, 0, or -1 if the store failed. */
static int is_late(struct txn *txn, const struct run_row *run, const struct report *report,
                   int64_t from)
{
    if (!run->ended || report->exit || !report->text || report->skipped || from >= run->lines ||
        from + report->count >= run->lines)
        return 0;
    return txn_log_equal(txn, run->key, from, report->text, report->size);
}

/* Whether the log differs from the one that the writer describes: 1, 0, or -1 if the store failed.
 */
static int is_other_log(struct txn *txn, const struct run_row *run, const struct report *report,
                        int64_t limit)
{
    char digest[STORE_HASH_SIZE];
    int made;

    if (!report->digest[0] || run->stored > DIGEST_MAX || run->stored > limit / 10 * 9)
        return 0;
    made = txn_log_digest(txn, run->key, digest);
    return made > 0 ? strcmp(digest, report->digest) != 0 : made;
}

static enum job_result apply_batch(struct txn *txn, struct request *request, void *context)
{
    const struct report *report = context;
    int64_t limit = (int64_t)request->settings->run_mb << 20;
    struct run_row run;
    int located = locate_run(txn, request, report, &run), spliced = 0, late, other;
    int64_t from;

    if (located <= 0)
        return located < 0 ? JOB_FAILED : JOB_DONE;
    from = report->from < 0 ? run.lines + report->skipped : report->from;
    if (from > run.lines && from - report->skipped > run.lines) {
        answer_next(request, 409, run.lines);
        return JOB_DONE;
    }
    late = is_late(txn, &run, report, from);
    if (late < 0)
        return JOB_FAILED;
    if (late) {
        answer_next(request, 200, from + report->count);
        return JOB_DONE;
    }
    if (report->text || report->skipped)
        spliced = txn_log_splice(txn, &run,
                                 &(struct chunk){.first = from,
                                                 .count = report->count,
                                                 .text = report->text ? report->text : "",
                                                 .size = report->size,
                                                 .times = report->times});
    if (spliced < 0 || (run.stored > limit && txn_log_shorten(txn, &run, limit / 10 * 9) < 0))
        return JOB_FAILED;
    other = is_other_log(txn, &run, report, limit);
    if (other > 0) {
        /* the end is not recorded: the writer sends it again behind the right lines */
        answer_next(request, 409, 0);
        return txn_run_save_counts(txn, &run, report->byte_count) < 0 ||
                       (run.fresh && refresh_host(txn, run.host) < 0)
                   ? JOB_FAILED
                   : JOB_DONE;
    }
    if (other < 0 || builds_apply(txn, run.key, report) < 0 ||
        build_logs_apply(txn, run.key, report, limit) < 0 ||
        update_run(txn, &run, report, &run) < 0 || finish_run(txn, &run, report) < 0 ||
        time_run(txn, &run, report) < 0 || host_changed(txn, &run, report) < 0)
        return JOB_FAILED;
    answer_next(request, 200, run.lines);
    return JOB_DONE;
}

void post_logs(struct request *request)
{
    struct report *report = read_batch(request);

    if (report)
        request_submit(request, apply_batch, report, report_free);
}

static enum job_result apply_heartbeat(struct txn *txn, struct request *request, void *context)
{
    const struct report *report = context;
    struct run_row run = {0};
    int located = 1;

    if (report->run[0] || report->status)
        located = locate_run(txn, request, report, &run);
    if (located <= 0)
        return located < 0 ? JOB_FAILED : JOB_DONE;
    if (run.key && (update_run(txn, &run, report, NULL) < 0 || finish_run(txn, &run, report) < 0 ||
                    time_run(txn, &run, report) < 0 || host_changed(txn, &run, report) < 0))
        return JOB_FAILED;
    if (!run.key &&
        (txn_runs_suspect(txn, request->host, NULL) < 0 || refresh_host(txn, request->host) < 0))
        return JOB_FAILED;
    answer_puts(request, 200,
                run.stop && !run.ended ? "{\"status\":\"ok\",\"stop\":true}"
                                       : "{\"status\":\"ok\",\"stop\":false}");
    return JOB_DONE;
}

void post_heartbeat(struct request *request)
{
    struct report *report = read_heartbeat(request);

    if (report)
        request_submit(request, apply_heartbeat, report, report_free);
}

static enum job_result apply_delete(struct txn *txn, struct request *request, void *context)
{
    char host[HOST_ID_SIZE];
    struct run_row run;

    (void)context;
    if (txn_run_find(txn, request->run, &run) < 0)
        return JOB_FAILED;
    if (!run.key || run.deleted || strcmp(run.host, request->host) != 0) {
        answer_detail(request, 404, "Run not found");
        return JOB_DONE;
    }
    if (txn_run_hide(txn, run.key, host) < 0 || txn_log_remove(txn, run.key, INT64_MAX) < 0)
        return JOB_FAILED;
    txn_changed(txn, run.host, run.id);
    answer_puts(request, 200, "{\"status\":\"deleted\"}");
    return JOB_DONE;
}

void delete_run(struct request *request)
{
    request_submit(request, apply_delete, NULL, NULL);
}
