/* Calls that read for people and scripts: hosts, runs, lines, the whole log, health. Search:
 * search.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/rfc3339.h"
#include "dashboard/api/api.h"
#include "dashboard/view/log.h"
#include "dashboard/live/hub.h"
#include "dashboard/store/lines.h"
#include "dashboard/view/host.h"
#include "dashboard/view/run.h"
#include "dashboard/server/server.h"

#define ALL_RUNS_MAX 2000
#define WINDOW_LINES 2000
#define WINDOW_BYTES ((size_t)2 << 20)
#define STREAM_BLOCK 65536

void answer_no_store(struct request *request)
{
    answer_error(request, 503, "the store cannot be read now");
    request->answer.retry_after_s = 5;
}

bool find_run(struct request *request, struct run_row *run)
{
    int found = store_run_find(request->server->store, request->run, run);

    if (found > 0 && !run->deleted && strcmp(run->host, request->host) == 0)
        return true;
    if (found < 0)
        answer_no_store(request);
    else
        answer_detail(request, 404, "Run not found");
    return false;
}

/* Answers with out and its end; ok: whether the store has filled out. Takes out over. */
static void answer_list(struct request *request, bool ok, struct text *out, const char *end)
{
    if (!ok) {
        text_free(out);
        answer_no_store(request);
        return;
    }
    text_puts(out, end);
    answer_text(request, out);
}

/* Answers with out; found: 1, 0 if there is no such thing, -1 if the store failed. Takes out
 * over. */
static void answer_found(struct request *request, int found, struct text *out, const char *missing)
{
    if (found > 0) {
        answer_text(request, out);
        return;
    }
    text_free(out);
    if (found < 0)
        answer_no_store(request);
    else
        answer_detail(request, 404, "%s", missing);
}

void get_hosts(struct request *request)
{
    struct text out = {0};

    text_puts(&out, "{\"hosts\":[");
    answer_list(
        request,
        hosts_json(request->server->store, true, store_now_ms(request->server->store), &out), &out,
        "]}");
}

void get_host(struct request *request)
{
    struct text out = {0};
    int found = host_json(request->server->store, request->host, true,
                          store_now_ms(request->server->store), &out);

    answer_found(request, found, &out, "Host not found");
}

void get_runs(struct request *request)
{
    struct text out = {0};
    bool ok;

    text_puts(&out, "{\"runs\":");
    ok = runs_json(request->server->store, request->host, request_query(request, "before"),
                   request_number(request, "limit", 1, 500, 50),
                   store_now_ms(request->server->store), &out);
    answer_list(request, ok, &out, "}");
}

void get_run(struct request *request)
{
    struct text out = {0};
    int found = run_json(request->server->store, request->host, request->run,
                         store_now_ms(request->server->store), &out);

    answer_found(request, found, &out, "Run not found");
}

void get_all_runs(struct request *request)
{
    struct text out = {0};
    bool ok;

    text_puts(&out, "{\"runs\":");
    ok = runs_brief_json(request->server->store, request_query(request, "before"),
                         request_number(request, "since", 0, INT64_MAX / 2, 0),
                         request_number(request, "limit", 1, ALL_RUNS_MAX, 500),
                         store_now_ms(request->server->store), &out);
    answer_list(request, ok, &out, "}");
}

static void get_window(struct request *request)
{
    struct text out = {0};
    struct run_row run;
    int64_t from = request_number(request, "from", INT64_MIN / 2, INT64_MAX / 2, 0), next;
    int64_t limit = request_number(request, "limit", 0, WINDOW_LINES, WINDOW_LINES);

    if (!find_run(request, &run))
        return;
    if (from < 0)
        from = run.lines + from < 0 ? 0 : run.lines + from;
    text_puts(&out, "{");
    text_key_json(&out, "run", request->run);
    text_key_int(&out, "first", 0);
    text_key_int(&out, "total", run.lines);
    if (!log_window_json(request->server->store, run.key, from, limit, WINDOW_BYTES, &out, &next)) {
        text_free(&out);
        answer_no_store(request);
        return;
    }
    text_key(&out, "gaps");
    out.failed |= !log_gaps_json(request->server->store, run.key, &out);
    text_puts(&out, "}");
    answer_text(request, &out);
}

void get_run_lines(struct request *request)
{
    store_snapshot(request->server->store);
    get_window(request);
    store_snapshot_end(request->server->store);
}

/* ---- polling: GET logs?since= ---- */

/* "since" is a time (since_ms), or an earlier `next` of ours: "vVERSION", or "vVERSION.LINE" if the
   lines from LINE on are still to be sent. Returns the first line to send; -1: none; -2: the store
   failed. *newest: the version for the next call. */
static int64_t changed_since(struct request *request, int64_t key, const char *since,
                             int64_t since_ms, int64_t *newest)
{
    struct store *store = request->server->store;
    int64_t changed, rest;
    char *end;

    if (!since || since[0] != 'v')
        return since && *since ? store_log_arrived(store, key, since_ms, newest)
                               : store_log_changed(store, key, 0, newest);
    *newest = strtoll(since + 1, &end, 10);
    changed = store_log_changed(store, key, *newest, newest);
    if (changed < -1)
        return changed;
    rest = *end == '.' ? strtoll(end + 1, NULL, 10) : -1;
    return rest >= 0 && (changed < 0 || rest < changed) ? rest : changed;
}

/* Finds the run of the request: by its id, or else the host's run. False: the request is answered.
 */
static bool find_asked(struct request *request, char id[RUN_ID_SIZE], struct run_row *run)
{
    const char *asked = request_query(request, "run");
    int found = 0;

    id[0] = '\0';
    if (asked && strlen(asked) == RUN_ID_SIZE - 1 && run_id_valid(asked))
        snprintf(id, RUN_ID_SIZE, "%s", asked);
    else if (!asked)
        found = store_run_of_host(request->server->store, request->host, id);
    if (found >= 0)
        found = store_run_find(request->server->store, id, run);
    if (found > 0 && !run->deleted && strcmp(run->host, request->host) == 0)
        return true;
    if (found < 0)
        answer_no_store(request);
    else
        answer_detail(request, 404, "Run not found");
    return false;
}

static void get_changes(struct request *request)
{
    struct store *store = request->server->store;
    const char *since = request_query(request, "since");
    struct text out = {0};
    struct run_row run;
    int64_t newest = 0, since_ms = 0, from, end;
    char id[RUN_ID_SIZE];

    if (!find_asked(request, id, &run))
        return;
    if (since && *since && since[0] != 'v' && strcmp(since, "0") != 0 &&
        !rfc3339_parse(since, &since_ms)) {
        answer_detail(request, 400,
                      "since: expected 0, an RFC 3339 time, or the next of an answer");
        return;
    }
    from = changed_since(request, run.key, since, since_ms, &newest);
    text_puts(&out, "{");
    text_key_json(&out, "run", id);
    end = run.lines;
    out.failed |= from < -1;
    if (from < 0) {
        text_key_int(&out, "from", run.lines);
        text_puts(&out, ",\"lines\":[]");
    } else if (!log_window_json(
                   store, run.key, from,
                   request_number(request, "limit", 1, WINDOW_LINES * 10, WINDOW_LINES),
                   WINDOW_BYTES, &out, &end)) {
        text_free(&out);
        answer_no_store(request);
        return;
    }
    text_printf(&out, end < run.lines ? ",\"next\":\"v%lld.%lld\"" : ",\"next\":\"v%lld\"",
                (long long)newest, (long long)end);
    out.failed |= !run_progress_json(store, id, &out);
    text_puts(&out, "}");
    answer_text(request, &out);
}

void get_logs(struct request *request)
{
    if (!request_query(request, "since") && !request_query(request, "run")) {
        get_command_logs(request);
        return;
    }
    store_snapshot(request->server->store);
    get_changes(request);
    store_snapshot_end(request->server->store);
}

/* ---- the whole log, as a stream ---- */

struct stream {
    struct store *store;
    char run[RUN_ID_SIZE];
    int64_t key, at; /* the next line */
    int64_t n;       /* the log is of the derivation with this index; -1: of the run */
    int64_t lines;   /* of the log when the stream began; a running run has more by its end */
    bool color;
    struct text block; /* lines to send; those before `sent` have been sent */
    size_t sent;
};

/* Copies the lines of a chunk, from stream->at on, into block. */
static bool stream_chunk(void *context, const struct chunk *chunk)
{
    struct stream *stream = context;
    int64_t skip = stream->at > chunk->first ? stream->at - chunk->first : 0;
    size_t start = chunk->text && skip ? lines_prefix(chunk->text, chunk->size, skip) + 1 : 0;

    if (!chunk->count)
        return true;
    if (chunk->text) {
        text_add(&stream->block, chunk->text + start, chunk->size - start);
        if (!stream->color)
            stream->block.size = lines_strip(stream->block.bytes, stream->block.size);
    } else {
        text_printf(&stream->block, "[%lld lines omitted]", (long long)(chunk->count - skip));
    }
    text_puts(&stream->block, "\n");
    stream->at = chunk->first + chunk->count;
    return false;
}

/* Reads the next chunk into block. False: there is none. */
static bool stream_read(struct stream *stream)
{
    int read;

    stream->block.size = stream->sent = 0;
    read = stream->n < 0 ? store_log(stream->store, stream->key, stream->at, stream_chunk, stream)
                         : store_build_log(stream->store, stream->key, stream->n, stream->at,
                                           stream_chunk, stream);
    return read == 0 && !stream->block.failed && stream->block.size > 0;
}

/* The number of lines that the log has now. */
static int64_t lines_now(const struct stream *stream, const struct run_row *run)
{
    return stream->n < 0 ? run->lines
                         : store_build_log_lines(stream->store, stream->key, stream->n);
}

/* Whether the log ends where the stream ends. The run may have been deleted, or the store may have
   failed; a download that ends early must not look complete. */
static bool stream_is_whole(struct stream *stream)
{
    struct run_row run;
    int64_t lines;

    if (stream->block.failed || store_run_find(stream->store, stream->run, &run) <= 0 ||
        run.deleted)
        return false;
    lines = lines_now(stream, &run);
    return lines >= 0 && stream->at >= (lines < stream->lines ? lines : stream->lines);
}

static ssize_t stream_more(void *context, uint64_t position, char *out, size_t max)
{
    struct stream *stream = context;
    size_t size;

    (void)position;
    if (stream->sent == stream->block.size && !stream_read(stream))
        return stream_is_whole(stream) ? MHD_CONTENT_READER_END_OF_STREAM
                                       : MHD_CONTENT_READER_END_WITH_ERROR;
    size = stream->block.size - stream->sent < max ? stream->block.size - stream->sent : max;
    memcpy(out, stream->block.bytes + stream->sent, size);
    stream->sent += size;
    return (ssize_t)size;
}

static void stream_free(void *context)
{
    struct stream *stream = context;

    text_free(&stream->block);
    free(stream);
}

void answer_log(struct request *request, const struct run_row *run, int64_t n, int64_t lines)
{
    const char *color = request_query(request, "color");
    struct stream *stream = calloc(1, sizeof *stream);

    if (!stream) {
        answer_no_store(request);
        return;
    }
    *stream = (struct stream){.store = request->server->store,
                              .key = run->key,
                              .n = n,
                              .lines = lines,
                              .color = color && strcmp(color, "0") != 0};
    memcpy(stream->run, run->id, sizeof stream->run);
    answer_response(request, 200,
                    MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream_more,
                                                      stream, stream_free));
    if (request->answer.response)
        request->answer.type = "text/plain; charset=utf-8";
    else
        stream_free(stream);
}

void get_run_log(struct request *request)
{
    struct run_row run;

    if (find_run(request, &run))
        answer_log(request, &run, -1, run.lines);
}

/* ---- health ---- */

static enum job_result apply_health(struct txn *txn, struct request *request, void *context)
{
    (void)context;
    if (txn_probe(txn) < 0)
        return JOB_FAILED;
    answer_puts(request, 200, "{\"status\":\"healthy\",\"version\":\"" VERSION "\"}");
    return JOB_DONE;
}

/* Takes the same way as a batch: through the writer to the disk. */
void get_health(struct request *request)
{
    const char *trouble = store_trouble(request->server->store);

    if (trouble)
        answer_detail(request, 503, "Unhealthy: %s", trouble);
    else if (store_probe(request->server->store) < 0)
        answer_no_store(request);
    else
        request_submit(request, apply_health, NULL, NULL);
}
