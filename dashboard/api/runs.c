/* What runs write: batches of lines, heartbeats; and their deletion. Bodies are read on the
 * connection's thread, applied on the writer's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/api/api.h"
#include "dashboard/store/sqlite/log.h"
#include "dashboard/store/sqlite/runs.h"
#include "dashboard/server/server.h"

#define DIGEST_MAX ((int64_t)64 << 20) /* of text that the writer hashes at the end of a run */
#define SILENT_MAX_S INT64_C(10000000000)
#define LINES_MAX INT64_C(1000000000000) /* an index beyond this is an error, not a log */

static const char *const phases[] = {"evaluating", "fetching", "building", "activating",
                                     "switching",  "pulling",  "updating", "testing",
                                     "done",       "failed"};

/* A body, read and checked. Strings live as long as the object. */
struct report {
    json_object *object;
    char run[RUN_ID_SIZE];
    const char *text; /* lines joined by LF, NULL: none */
    char *joined;     /* text made from `lines` */
    size_t size;
    int64_t count, from, skipped; /* from -1: append */
    const char *times, *command, *name, *user, *phase, *progress, *argv, *status, *outcome, *error,
        *failed, *failed_units, *exit, *digest;
    int64_t started, ended, error_line, line_count, byte_count, silent_for, bytes;
    int64_t interval;  /* between heartbeats, ms; 0: not said */
    int64_t newest_ms; /* when the newest of the lines came, by the writer's clock; 0: now */
    bool lost, finished;
};

static void report_free(void *context)
{
    struct report *report = context;

    json_object_put(report->object);
    free(report->joined);
    free(report);
}

static bool time_field(json_object *object, const char *name, int64_t *out, const char **why)
{
    const char *text;

    if (!field_string(object, name, &text, why))
        return false;
    *out = request_time(text);
    if (*out == 0)
        *why = name;
    return *out != 0;
}

/* What *why is when nothing is wrong with the body. */
static const char no_memory[] = "out of memory";

/* A value as text that lives as long as the value. */
static const char *json_text(json_object *value, const char **why)
{
    const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);

    if (!text)
        *why = no_memory;
    return text;
}

/* A field that is kept as JSON text. */
static void raw_field(json_object *object, const char *name, enum json_type type, const char **out,
                      const char **why)
{
    json_object *value;

    if (field_typed(object, name, type, &value, why))
        *out = json_text(value, why);
}

static bool list_of(json_object *list, enum json_type type)
{
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (!json_object_is_type(json_object_array_get_idx(list, i), type))
            return false;
    return true;
}

static void list_field(json_object *object, const char *name, enum json_type type, const char **out,
                       const char **why)
{
    json_object *value;

    if (field_typed(object, name, json_type_array, &value, why) && !list_of(value, type))
        *why = name;
    else
        raw_field(object, name, json_type_array, out, why);
}

/* U+0080 to U+009F: a terminal may take U+009B for ESC [. */
static bool is_c1(const char *text, size_t size)
{
    return size > 1 && (unsigned char)text[0] == 0xc2 && (unsigned char)text[1] < 0xa0;
}

/* Bytes that are looked at twice: what a C1 begins with, and controls, but LF. */
static const unsigned char special[256] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1,          1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, [0x7f] = 1, [0xc2] = 1,
};

/* The length of the SGR sequence at text; 0: there is none. */
static size_t sgr_length(const char *text, size_t size)
{
    size_t i = 2;

    if (size < 3 || text[0] != '\033' || text[1] != '[')
        return 0;
    while (i < size && ((text[i] >= '0' && text[i] <= '9') || text[i] == ';' || text[i] == ':'))
        i++;
    return i < size && text[i] == 'm' ? i + 1 : 0;
}

/* Only SGR may be in a log: everything else that a terminal acts on becomes a replacement
 * character. */
static bool clean(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        size_t sgr;

        if (!special[(unsigned char)text[i]])
            continue;
        if ((unsigned char)text[i] == 0xc2) {
            if (is_c1(text + i, size - i))
                return false;
            continue;
        }
        if (!(sgr = sgr_length(text + i, size - i)))
            return false;
        i += sgr - 1;
    }
    return true;
}

static void read_text(struct report *report, const char **why)
{
    json_object *value;

    if (!field_typed(report->object, "text", json_type_string, &value, why))
        return;
    report->text = json_object_get_string(value);
    report->size = (size_t)json_object_get_string_len(value);
    report->count = lines_count(report->text, report->size);
    if (!clean(report->text, report->size))
        *why = "text (a control character)";
}

static void make_harmless(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (is_c1(text + i, size - i))
            text[i] = text[i + 1] = '?';
        else if (text[i] == '\033' || text[i] == 0x7f)
            text[i] = '?';
    }
}

/* `lines`, for people: control characters are made harmless instead of refused. */
static void read_lines(struct report *report, const char **why)
{
    struct text joined = {0};
    json_object *list;

    if (!field_typed(report->object, "lines", json_type_array, &list, why))
        return;
    if (report->text || !list_of(list, json_type_string)) {
        *why = "lines";
        return;
    }
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *line = json_object_array_get_idx(list, i);
        size_t start = joined.size + (i > 0);

        if (i > 0)
            text_puts(&joined, "\n");
        text_add(&joined, json_object_get_string(line), (size_t)json_object_get_string_len(line));
        for (size_t at = start; at < joined.size; at++)
            if ((unsigned char)joined.bytes[at] < 0x20 && joined.bytes[at] != '\033')
                joined.bytes[at] = ' ';
        if (joined.size > start && !clean(joined.bytes + start, joined.size - start))
            make_harmless(joined.bytes + start, joined.size - start);
    }
    text_add(&joined, "", 1);
    report->joined = joined.bytes;
    report->text = joined.bytes;
    report->size = joined.size - 1;
    report->count = (int64_t)json_object_array_length(list);
    if (joined.failed)
        *why = no_memory;
}

static bool time_pair(json_object *pair, int64_t *count, int64_t *ms)
{
    if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2 ||
        !list_of(pair, json_type_int))
        return false;
    *count = json_object_get_int64(json_object_array_get_idx(pair, 0));
    *ms = json_object_get_int64(json_object_array_get_idx(pair, 1));
    return *count >= 0 && *count <= LINES_MAX;
}

static void read_times(struct report *report, const char **why)
{
    json_object *list;
    int64_t timed = 0, count;

    if (!field_typed(report->object, "times", json_type_array, &list, why))
        return;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (!time_pair(json_object_array_get_idx(list, i), &count, &report->newest_ms)) {
            *why = "times";
            return;
        }
        timed += count;
    }
    if (timed == report->count) /* else the times of all lines behind these would slip */
        report->times = json_text(list, why);
}

static void read_phase(struct report *report, const char **why)
{
    if (!field_string(report->object, "phase", &report->phase, why))
        return;
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (strcmp(report->phase, phases[i]) == 0)
            return;
    report->phase = NULL; /* of a later version of the protocol: shown as none */
}

static void read_exit(struct report *report, const char **why)
{
    json_object *value, *part;

    if (!field_typed(report->object, "exit", json_type_object, &value, why))
        return;
    if (!(json_object_object_get_ex(value, "code", &part) &&
          json_object_is_type(part, json_type_int)) &&
        !(json_object_object_get_ex(value, "signal", &part) &&
          json_object_is_type(part, json_type_string))) {
        *why = "exit";
        return;
    }
    report->exit = json_text(value, why);
    if (json_object_object_get_ex(value, "code", &part) && json_object_is_type(part, json_type_int))
        report->outcome = json_object_get_int64(part) == 0 ? "success" : "failure";
    else
        report->outcome = "failure";
}

static void read_run(struct report *report, const char **why)
{
    const char *run;

    if (!field_string(report->object, "run", &run, why))
        return;
    if (strlen(run) != RUN_ID_SIZE - 1 || !run_id_valid(run))
        *why = "run";
    else
        snprintf(report->run, sizeof report->run, "%s", run);
}

/* Fields that both calls have. */
static void read_common(struct report *report, const char **why)
{
    json_object *object = report->object;

    read_run(report, why);
    field_string(object, "command", &report->command, why);
    field_string(object, "name", &report->name, why);
    field_string(object, "user", &report->user, why);
    list_field(object, "argv", json_type_string, &report->argv, why);
    time_field(object, "started", &report->started, why);
    read_phase(report, why);
    raw_field(object, "progress", json_type_object, &report->progress, why);
    read_exit(report, why);
    time_field(object, "ended", &report->ended, why);
}

static void read_batch(struct report *report, const char **why)
{
    json_object *object = report->object;

    read_common(report, why);
    read_text(report, why);
    read_lines(report, why);
    read_times(report, why);
    if (field_int(object, "from", &report->from, why) &&
        (report->from < 0 || report->from > LINES_MAX))
        *why = "from";
    if (field_int(object, "skipped", &report->skipped, why) &&
        (report->skipped < 0 || report->skipped > LINES_MAX))
        *why = "skipped";
    field_int(object, "cols", &(int64_t){0}, why);
    field_int(object, "rows", &(int64_t){0}, why);
    field_string(object, "outcome", &report->outcome, why);
    field_string(object, "error", &report->error, why);
    field_int(object, "error_line", &report->error_line, why);
    list_field(object, "failed", json_type_string, &report->failed, why);
    list_field(object, "failed_units", json_type_string, &report->failed_units, why);
    field_string(object, "digest", &report->digest, why);
    field_int(object, "line_count", &report->line_count, why);
    field_int(object, "byte_count", &report->byte_count, why);
    report->finished = report->exit != NULL;
}

/* Only looked at: what a page shows of a host's load comes with its metrics. */
static void read_load(json_object *object, const char **why)
{
    json_object *list;

    if (!field_typed(object, "load", json_type_array, &list, why))
        return;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *value = json_object_array_get_idx(list, i);

        if (!json_object_is_type(value, json_type_double) &&
            !json_object_is_type(value, json_type_int))
            *why = "load";
    }
}

static void read_beat(struct report *report, const char **why)
{
    json_object *object = report->object;

    read_common(report, why);
    field_string(object, "status", &report->status, why);
    field_int(object, "seq", &(int64_t){0}, why);
    if (field_int(object, "silent_for", &report->silent_for, why) &&
        (report->silent_for < 0 || report->silent_for > SILENT_MAX_S))
        *why = "silent_for";
    read_load(object, why);
    if (field_int(object, "interval", &report->interval, why))
        report->interval =
            report->interval < 1 || report->interval > 3600 ? 0 : report->interval * 1000;
    field_int(object, "lines", &(int64_t){0}, why);
    field_int(object, "acked", &(int64_t){0}, why);
    field_int(object, "bytes", &report->bytes, why);
    report->lost = report->status && strcmp(report->status, "lost") == 0;
    report->finished = report->status && strcmp(report->status, "finished") == 0;
}

/* Reads the request's body; NULL: answered. */
static struct report *read_report(struct request *request,
                                  void (*read)(struct report *, const char **))
{
    struct report *report = calloc(1, sizeof *report);
    const char *why = NULL;
    struct json_problem problem;

    if (!report) {
        answer_no_memory(request);
        return NULL;
    }
    report->from = -1;
    report->error_line = report->silent_for = report->bytes = report->byte_count = -1;
    report->object = request_object(request, &problem);
    if (report->object) {
        read(report, &why);
        if (!why)
            return report;
        if (why == no_memory)
            answer_no_memory(request);
        else
            answer_error(request, 400, "the field %s is not as it must be", why);
    } else if (!problem.no_memory) {
        answer_error(request, 400, "the body is not JSON: byte %zu: %s", problem.at,
                     problem.reason);
    }
    report_free(report);
    return NULL;
}

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
    if (report->digest && run.stored <= DIGEST_MAX && run.stored <= limit / 10 * 9) {
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
    struct report *report = read_report(request, read_batch);

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
    struct report *report = read_report(request, read_beat);

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
