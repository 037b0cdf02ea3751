/* What runs write: batches of lines, heartbeats; and their deletion. Bodies are read on the
 * connection's thread, applied on the writer's. */
#include <stdio.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/api/api.h"
#include "dashboard/api/report.h"
#include "dashboard/store/sqlite/log.h"
#include "dashboard/store/sqlite/runs.h"
#include "dashboard/server/server.h"

#define DIGEST_MAX ((int64_t)64 << 20) /* of text that the writer hashes at the end of a run */

static bool done(sqlite3_stmt *statement)
{
    int result = statement ? sqlite3_step(statement) : SQLITE_ERROR;

    if (statement)
        sqlite3_reset(statement);
    return result == SQLITE_DONE;
}

/* The sign of life that a report is. Lines are one of when they were written: those of a run that
 * is delivered late do not make it look alive. Nor does the word that it was lost, unless it was
 * thought alive until now. */
static int64_t seen_ms(const struct txn *txn, const struct run_row *run,
                       const struct report *report)
{
    int64_t before = run->fresh ? 0 : run->last_seen;

    if (report->lost && !run->fresh && txn->now_ms >= before + STATE_INTERVALS * run->interval)
        return before;
    if (!report->newest_ms || report->newest_ms > txn->now_ms)
        return txn->now_ms;
    return report->newest_ms > before ? report->newest_ms : before;
}

/* What the writer says, else what its reports show: but those that lines delivered late make show
 * nothing. */
static int64_t interval_ms(const struct txn *txn, const struct run_row *run,
                           const struct report *report)
{
    int64_t gap = report->interval    ? report->interval
                  : report->newest_ms ? 0
                                      : txn->now_ms - run->last_seen,
            least = report->interval ? STATE_INTERVAL_MIN : run->interval;

    return gap < least ? least : gap > STATE_INTERVAL_MAX ? STATE_INTERVAL_MAX : gap;
}

/* No run begins after it was heard of first, however wrong its host's clock is. */
static int64_t started_ms(const struct run_row *run, const struct report *report)
{
    return !report->started                 ? run->started
           : report->started < run->created ? report->started
                                            : run->created;
}

/* What both calls tell of a run. A run that has ended keeps its end, and one that was lost is lost
 * until its end is told. */
static bool update_run(struct txn *txn, const struct run_row *run, const struct report *report)
{
    sqlite3_stmt *update = txn_statement(
        txn,
        "UPDATE runs SET last_seen=?2, interval=?3, command=coalesce(?4,command), "
        "argv=coalesce(?5,argv), user=coalesce(?6,user),"
        " name=coalesce(?7,name), started=?8,"
        " last_phase=CASE WHEN coalesce(?9,'') IN ('','done','failed') THEN last_phase ELSE ?9 END,"
        " phase=CASE WHEN ended IS NOT NULL AND ?11=0 THEN phase ELSE coalesce(?9,phase) END, "
        "progress=coalesce(?10,progress),"
        " lost=CASE WHEN ?12=1 AND ended IS NULL THEN 1 WHEN ?11=1 THEN 0 ELSE lost END WHERE "
        "k=?1");

    if (!update)
        return false;
    statement_bind(update,
                   "iiitttti"
                   "tt"
                   "ii",
                   run->k, seen_ms(txn, run, report), interval_ms(txn, run, report),
                   report->command, report->argv, report->user, report->name,
                   started_ms(run, report), report->phase, report->progress,
                   (int64_t)report->finished, (int64_t)report->lost);
    return done(update);
}

static bool finish_run(struct txn *txn, const struct run_row *run, const struct report *report)
{
    sqlite3_stmt *update = txn_statement(
        txn,
        "UPDATE runs SET ended=coalesce(ended,?2), exit=coalesce(?3,exit),"
        " outcome=CASE WHEN ?4 IS NULL OR (?9=0 AND outcome IS NOT NULL) THEN outcome ELSE ?4 END,"
        " error=coalesce(?5,error), error_line=CASE WHEN ?6>=0 THEN ?6 ELSE error_line END,"
        " failed=coalesce(?7,failed), failed_units=coalesce(?8,failed_units), lost=0,"
        " phase=CASE WHEN phase IN ('done','failed') THEN phase WHEN ?4='failure' THEN 'failed' "
        "ELSE 'done' END"
        " WHERE k=?1");

    if (!report->finished)
        return true;
    if (!update)
        return false;
    statement_bind(update,
                   "iittt"
                   "itti",
                   run->k, report->ended ? report->ended : txn->now_ms, report->exit,
                   report->outcome, report->error, report->error_line, report->failed,
                   report->failed_units, (int64_t)(report->status == NULL));
    return done(update);
}

/* The run that a report is about: made if it is new. 1: found; 0: answered (deleted, another
 * host's); -1: the store failed. */
static int locate_run(struct txn *txn, struct request *request, const struct report *report,
                      struct run_row *run)
{
    if (report->run[0] ? run_find(txn, report->run, run)
                       : run_find_open(txn, request->host, run) < 0)
        return -1;
    if (!run->k && run_create(txn, request->host, report->run, run) < 0)
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

static bool settle(struct txn *txn, const char *host)
{
    return host_seen(txn, host) == 0 && host_settle(txn, host) == 0;
}

/* run is as it was before the report. A run that only went on is told of at leisure. */
static bool host_changed(struct txn *txn, const struct run_row *run, const struct report *report)
{
    struct run_facts before = {.exists = true,
                               .ended = run->ended,
                               .lost = run->lost,
                               .started_ms = run->started,
                               .last_seen_ms = run->last_seen,
                               .interval_ms = run->interval},
                     after = before;
    bool news = run->fresh || report->lost || report->finished;
    int done = 0;

    after.started_ms = started_ms(run, report);
    after.last_seen_ms = seen_ms(txn, run, report);
    after.interval_ms = interval_ms(txn, run, report);
    news |= state_of_run(&before, txn->now_ms) != state_of_run(&after, txn->now_ms);
    if (!news && state_of_run(&after, txn->now_ms) == RUN_BUSY && after.started_ms == run->started)
        done = host_goes_on(txn, run->host, run->id, &after);
    if (news || (report->phase && strcmp(report->phase, run->phase) != 0))
        txn_changed(txn, run->host, run->id);
    else
        txn_progressed(txn, run->host, run->id);
    return done ? done > 0 : settle(txn, run->host);
}

static void answer_next(struct request *request, unsigned status, int64_t next)
{
    char json[64];

    snprintf(json, sizeof json, "{\"next\":%lld}", (long long)next);
    answer_puts(request, status, json);
}

static bool save_counts(struct txn *txn, struct run_row *run, const struct report *report)
{
    sqlite3_stmt *update = txn_statement(
        txn,
        "UPDATE runs SET lines=?2, stored=?3, bytes=CASE WHEN ?4>=0 THEN ?4 ELSE max(bytes,?3) END,"
        " silent_since=?5 WHERE k=?1");

    if (!update)
        return false;
    statement_bind(update, "iiiii", run->k, run->lines, run->stored, report->byte_count,
                   txn->now_ms);
    return done(update);
}

/* A batch that was overtaken, as one of a process that was killed may be behind a slow proxy:
 * the run has ended with more lines than it knows of, and begins with these. It must not cut
 * them off. */
static bool is_late(struct txn *txn, const struct run_row *run, const struct report *report,
                    int64_t from)
{
    return run->ended && !report->exit && report->text && !report->skipped && from < run->lines &&
           from + report->count < run->lines &&
           lines_equal(txn, run->k, from, report->text, report->size);
}

static enum job_result apply_batch(struct txn *txn, struct request *request, void *context)
{
    const struct report *report = context;
    int64_t limit = (int64_t)request->server->settings.run_mb << 20;
    struct run_row run;
    int located = locate_run(txn, request, report, &run), spliced = 0;
    int64_t from;

    if (located <= 0)
        return located < 0 ? JOB_FAILED : JOB_DONE;
    from = report->from < 0 ? run.lines + report->skipped : report->from;
    if (from > run.lines && from - report->skipped > run.lines) {
        answer_next(request, 409, run.lines);
        return JOB_DONE;
    }
    if (is_late(txn, &run, report, from)) {
        answer_next(request, 200, from + report->count);
        return JOB_DONE;
    }
    if (report->text || report->skipped)
        spliced = lines_splice(txn, run.k, from, report->text ? report->text : "", report->size,
                               report->count, report->times, &run.lines, &run.stored);
    if (spliced < 0 || (run.stored > limit &&
                        lines_shorten(txn, run.k, run.lines, &run.stored, limit / 10 * 9) < 0))
        return JOB_FAILED;
    if (report->digest[0] && run.stored <= DIGEST_MAX && run.stored <= limit / 10 * 9) {
        char digest[65];

        if (lines_digest(txn, run.k, digest) && strcmp(digest, report->digest) != 0) {
            answer_next(request, 409,
                        0); /* the end is not recorded: it comes again behind the right lines */
            return save_counts(txn, &run, report) && (!run.fresh || settle(txn, run.host))
                       ? JOB_DONE
                       : JOB_FAILED;
        }
    }
    if (!save_counts(txn, &run, report) || !update_run(txn, &run, report) ||
        !finish_run(txn, &run, report) || !host_changed(txn, &run, report))
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

static enum job_result apply_beat(struct txn *txn, struct request *request, void *context)
{
    const struct report *report = context;
    struct run_row run = {0};
    sqlite3_stmt *update;
    int located = 1;

    if (report->run[0] || report->status)
        located = locate_run(txn, request, report, &run);
    if (located <= 0)
        return located < 0 ? JOB_FAILED : JOB_DONE;
    if (run.k && (!update_run(txn, &run, report) || !finish_run(txn, &run, report) ||
                  !host_changed(txn, &run, report)))
        return JOB_FAILED;
    if (!run.k && !settle(txn, request->host))
        return JOB_FAILED;
    if (run.k && report->silent_for >= 0) {
        update =
            txn_statement(txn, "UPDATE runs SET silent_since=?2, bytes=max(bytes,?3) WHERE k=?1");
        if (!update)
            return JOB_FAILED;
        statement_bind(update, "iii", run.k, txn->now_ms - report->silent_for * 1000,
                       report->bytes);
        if (!done(update))
            return JOB_FAILED;
    }
    answer_puts(request, 200,
                run.stop && !run.ended ? "{\"status\":\"ok\",\"stop\":true}"
                                       : "{\"status\":\"ok\",\"stop\":false}");
    return JOB_DONE;
}

void post_heartbeat(struct request *request)
{
    struct report *report = read_heartbeat(request);

    if (report)
        request_submit(request, apply_beat, report, report_free);
}

static enum job_result apply_delete(struct txn *txn, struct request *request, void *context)
{
    struct run_row run;
    sqlite3_stmt *statement;

    (void)context;
    if (run_find(txn, request->run, &run) < 0)
        return JOB_FAILED;
    if (!run.k || run.deleted || strcmp(run.host, request->host) != 0) {
        answer_detail(request, 404, "Run not found");
        return JOB_DONE;
    }
    if (!(statement = txn_statement(txn, "DELETE FROM chunks WHERE run=?")))
        return JOB_FAILED;
    statement_bind(statement, "i", run.k);
    if (!done(statement) ||
        !(statement = txn_statement(txn, "UPDATE runs SET deleted=1, lines=0, stored=0 WHERE k=?")))
        return JOB_FAILED;
    statement_bind(statement, "i", run.k);
    if (!done(statement))
        return JOB_FAILED;
    if (host_settle(txn, run.host) < 0)
        return JOB_FAILED;
    txn_changed(txn, run.host, run.id);
    answer_puts(request, 200, "{\"status\":\"deleted\"}");
    return JOB_DONE;
}

void delete_run(struct request *request)
{
    request_submit(request, apply_delete, NULL, NULL);
}
