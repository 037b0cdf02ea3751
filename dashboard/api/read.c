/* What people and scripts read: hosts, runs, lines, the whole log, search, metrics, health. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/io.h"
#include "dashboard/api/api.h"
#include "dashboard/store/sqlite/log.h"
#include "dashboard/live/hub.h"
#include "dashboard/store/sqlite/runs.h"
#include "dashboard/server/server.h"

#define EPOCH "1970-01-01T00:00:00" /* the one time that is 0 */
#define WINDOW_LINES 2000
#define WINDOW_BYTES ((size_t)2 << 20)
#define SEARCH_MAX 1000
#define SEARCH_TEXT 200
#define SEARCH_BYTES ((size_t)16 << 20) /* looked through for one answer */
#define STREAM_BLOCK 65536

static void no_store(struct request *request)
{
    answer_error(request, 503, "the store cannot be read now");
    request->answer.retry_after_s = 5;
}

/* The run of the path, if it is this host's; else answers 404. */
static bool find_view(struct request *request, struct run_view *view)
{
    if (run_view(request->server->store, request->run, view) && !view->deleted &&
        strcmp(view->host, request->host) == 0)
        return true;
    answer_detail(request, 404, "Run not found");
    return false;
}

void get_hosts(struct request *request)
{
    struct text out = {0};

    text_puts(&out, "{\"hosts\":[");
    if (!hosts_json(request->server->store, true, wall_ms(), &out)) {
        text_free(&out);
        no_store(request);
        return;
    }
    text_puts(&out, "]}");
    answer_text(request, &out);
}

void get_host(struct request *request)
{
    struct text out = {0};

    if (host_json(request->server->store, request->host, true, wall_ms(), &out)) {
        answer_text(request, &out);
    } else {
        text_free(&out);
        answer_detail(request, 404, "Host not found");
    }
}

void get_runs(struct request *request)
{
    struct text out = {0};

    text_puts(&out, "{\"runs\":");
    if (!runs_json(request->server->store, request->host, request_query(request, "before"),
                   request_number(request, "limit", 1, 500, 50), wall_ms(), &out)) {
        text_free(&out);
        no_store(request);
        return;
    }
    text_puts(&out, "}");
    answer_text(request, &out);
}

void get_run(struct request *request)
{
    struct text out = {0};

    if (run_json(request->server->store, request->host, request->run, wall_ms(), &out)) {
        answer_text(request, &out);
        return;
    }
    text_free(&out);
    answer_detail(request, 404, "Run not found");
}

static void get_window(struct request *request)
{
    struct text out = {0};
    struct run_view view;
    int64_t from = request_number(request, "from", INT64_MIN / 2, INT64_MAX / 2, 0), next;
    int64_t limit = request_number(request, "limit", 0, WINDOW_LINES, WINDOW_LINES);

    if (!find_view(request, &view))
        return;
    if (from < 0)
        from = view.lines + from < 0 ? 0 : view.lines + from;
    text_puts(&out, "{");
    text_key_json(&out, "run", request->run);
    text_key_int(&out, "first", 0);
    text_key_int(&out, "total", view.lines);
    if (!lines_window(request->server->store, view.k, from, limit, WINDOW_BYTES, &out, &next)) {
        text_free(&out);
        no_store(request);
        return;
    }
    text_key(&out, "gaps");
    lines_gaps(request->server->store, view.k, &out);
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

/* "since" is a time, or our own `next`: "vVERSION", or "vVERSION.LINE" where the lines from LINE on
   are still to come. Returns the first line to tell, or -1; *newest: the version to go on from. */
static int64_t changed_since(struct request *request, int64_t k, const char *since, int64_t *newest)
{
    struct store *store = request->server->store;
    int64_t changed, rest;
    char *end;

    if (!since || since[0] != 'v')
        return since && *since ? lines_arrived_since(store, k, request_time(since), newest)
                               : lines_changed_since(store, k, 0, newest);
    *newest = strtoll(since + 1, &end, 10);
    changed = lines_changed_since(store, k, *newest, newest);
    rest = *end == '.' ? strtoll(end + 1, NULL, 10) : -1;
    return rest >= 0 && (changed < 0 || rest < changed) ? rest : changed;
}

/* The run that is asked for: by its id, else the host's. */
static bool find_asked(struct request *request, char id[RUN_ID_SIZE], struct run_view *view)
{
    const char *run = request_query(request, "run");

    id[0] = '\0';
    if (run && strlen(run) == RUN_ID_SIZE - 1 && run_id_valid(run))
        snprintf(id, RUN_ID_SIZE, "%s", run);
    else if (!run)
        run_of_host(request->server->store, request->host, id);
    return run_view(request->server->store, id, view) && !view->deleted &&
           strcmp(view->host, request->host) == 0;
}

static void get_changes(struct request *request)
{
    struct store *store = request->server->store;
    const char *since = request_query(request, "since");
    struct text out = {0};
    struct run_view view;
    int64_t newest = 0, from, end;
    char id[RUN_ID_SIZE];

    if (!find_asked(request, id, &view)) {
        answer_detail(request, 404, "Run not found");
        return;
    }
    if (since && *since && since[0] != 'v' && !request_time(since) &&
        strncmp(since, EPOCH, sizeof EPOCH - 1) != 0) {
        answer_detail(request, 400, "since is neither a time nor the next of an answer");
        return;
    }
    from = changed_since(request, view.k, since, &newest);
    text_puts(&out, "{");
    text_key_json(&out, "run", id);
    end = view.lines;
    if (from < 0) {
        text_key_int(&out, "from", view.lines);
        text_puts(&out, ",\"lines\":[]");
    } else if (!lines_window(store, view.k, from,
                             request_number(request, "limit", 1, WINDOW_LINES * 10, WINDOW_LINES),
                             WINDOW_BYTES, &out, &end)) {
        text_free(&out);
        no_store(request);
        return;
    }
    text_printf(&out, end < view.lines ? ",\"next\":\"v%lld.%lld\"" : ",\"next\":\"v%lld\"",
                (long long)newest, (long long)end);
    add_run_progress(store, id, &out);
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

/* ---- search ---- */

static bool is_kind(const char *text, const char *kind)
{
    static const char *const errors[] = {"error:", "error ", "fatal:", "failed", "failure", NULL},
                             *const warnings[] = {"warning:", "warning ", NULL};

    for (const char *const *word = strcmp(kind, "warning") == 0 ? warnings : errors; *word;
         word++) {
        const char *at = strcasestr(text, *word);

        if (at && (at == text ||
                   !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_", at[-1])))
            return true;
    }
    return false;
}

struct search {
    const char *q, *kind;
    int64_t from, limit, found;
    int64_t next; /* where to go on, if there is more */
    bool more;
    struct text out;
};

/* One chunk; its text is changed. False: enough was found. */
static bool search_chunk(struct search *search, char *text, size_t size, int64_t first)
{
    char *rest = text;

    text[size] = '\0';
    for (char *line; (line = strsep(&rest, "\n")); first++) {
        size_t length = lines_strip(line, strlen(line)), shown;

        line[length] = '\0';
        if (first < search->from || (search->q && !strcasestr(line, search->q)) ||
            (search->kind && !is_kind(line, search->kind)))
            continue;
        if (search->found == search->limit) {
            search->more = true;
            search->next = first;
            return false;
        }
        for (shown = length < SEARCH_TEXT ? length : SEARCH_TEXT;
             shown < length && shown > 0 && ((unsigned char)line[shown] & 0xc0) == 0x80; shown--)
            ;
        text_printf(&search->out, "%s{\"line\":%lld,\"text\":", search->found++ ? "," : "",
                    (long long)first);
        text_json_bytes(&search->out, line, shown);
        text_puts(&search->out, "}");
    }
    return true;
}

/* Reads chunks until enough is found, or so much is read that others should have their turn. */
static void search_run(struct search *search, sqlite3_stmt *chunks)
{
    size_t read = 0;

    while (sqlite3_step(chunks) == SQLITE_ROW) {
        size_t size = (size_t)sqlite3_column_bytes(chunks, 1);
        int64_t first = sqlite3_column_int64(chunks, 0);
        AUTO_FREE char *copy = NULL;

        if (read >= SEARCH_BYTES || !(copy = malloc(size + 1))) {
            search->more = true;
            search->next = first > search->from ? first : search->from;
            return;
        }
        memcpy(copy, sqlite3_column_blob(chunks, 1), size);
        read += size;
        if (!search_chunk(search, copy, size, first))
            return;
    }
}

void get_run_search(struct request *request)
{
    struct search search = {.q = request_query(request, "q"),
                            .kind = request_query(request, "kind"),
                            .from = request_number(request, "from", 0, INT64_MAX / 2, 0),
                            .limit = request_number(request, "limit", 1, SEARCH_MAX, 100)};
    sqlite3_stmt *chunks;
    struct run_view view;

    if (!find_view(request, &view))
        return;
    chunks = store_prepare(request->server->store,
                           "SELECT first, text FROM chunks WHERE run=?1 AND first>="
                           "coalesce((SELECT max(first) FROM chunks WHERE run=?1 AND first<=?2),0) "
                           "AND text IS NOT NULL AND count>0 ORDER BY first");
    if (!chunks) {
        no_store(request);
        return;
    }
    statement_bind(chunks, "ii", view.k, search.from);
    text_puts(&search.out, "{\"matches\":[");
    search_run(&search, chunks);
    sqlite3_finalize(chunks);
    if (search.more)
        text_printf(&search.out, "],\"more\":true,\"next\":%lld}", (long long)search.next);
    else
        text_puts(&search.out, "],\"more\":false}");
    answer_text(request, &search.out);
}

/* ---- the whole log, as a stream ---- */

struct stream {
    struct store *store;
    int64_t k, at; /* the next line */
    bool color, started;
    struct text block; /* read, and not sent yet: from sent on */
    size_t sent;
};

/* Reads the next chunk into block. False: there is none. */
static bool stream_read(struct stream *stream)
{
    sqlite3_stmt *find =
        store_prepare(stream->store, "SELECT first, count, text FROM chunks WHERE run=?1 AND "
                                     "first>=?2 AND count>0 ORDER BY first LIMIT 1");
    bool found;

    stream->block.size = stream->sent = 0;
    if (!find)
        return false;
    statement_bind(find, "ii", stream->k, stream->at);
    found = sqlite3_step(find) == SQLITE_ROW;
    if (found) {
        int64_t count = sqlite3_column_int64(find, 1);

        if (column_text(find, 2)) {
            text_add(&stream->block, column_text(find, 2), (size_t)sqlite3_column_bytes(find, 2));
            if (!stream->color)
                stream->block.size = lines_strip(stream->block.bytes, stream->block.size);
        } else {
            text_printf(&stream->block, "[%lld lines omitted]", (long long)count);
        }
        text_puts(&stream->block, "\n");
        stream->at = sqlite3_column_int64(find, 0) + count;
    }
    sqlite3_finalize(find);
    return found;
}

static ssize_t stream_more(void *context, uint64_t position, char *out, size_t max)
{
    struct stream *stream = context;
    size_t size;

    (void)position;
    if (stream->sent == stream->block.size && !stream_read(stream))
        return MHD_CONTENT_READER_END_OF_STREAM;
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

void get_run_log(struct request *request)
{
    const char *color = request_query(request, "color");
    struct stream *stream;
    struct run_view view;

    if (!find_view(request, &view))
        return;
    stream = calloc(1, sizeof *stream);
    if (!stream) {
        no_store(request);
        return;
    }
    *stream = (struct stream){
        .store = request->server->store, .k = view.k, .color = color && strcmp(color, "0") != 0};
    request->answer.status = 200;
    request->answer.type = "text/plain; charset=utf-8";
    request->answer.response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
                                                                 stream_more, stream, stream_free);
    if (!request->answer.response)
        stream_free(stream);
}

/* ---- metrics and health ---- */

static int64_t count_of(struct store *store, const char *sql)
{
    sqlite3_stmt *statement = store_prepare(store, sql);
    int64_t value = -1;

    if (statement && sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

void get_metrics(struct request *request)
{
    struct store *store = request->server->store;
    uint64_t waiting, commits, jobs;
    struct text out = {0};

    store_counts(store, &waiting, &commits, &jobs);
    text_printf(&out, "# TYPE nixfleet_hosts gauge\nnixfleet_hosts %lld\n",
                (long long)count_of(store, "SELECT count(*) FROM hosts"));
    text_printf(&out, "# TYPE nixfleet_runs_open gauge\nnixfleet_runs_open %lld\n",
                (long long)count_of(store, "SELECT count(*) FROM hosts h JOIN runs r ON r.id=h.run "
                                           "WHERE r.ended IS NULL AND r.lost=0"));
    text_printf(&out, "# TYPE nixfleet_store_jobs_total counter\nnixfleet_store_jobs_total %llu\n",
                (unsigned long long)jobs);
    text_printf(&out,
                "# TYPE nixfleet_store_commits_total counter\nnixfleet_store_commits_total %llu\n",
                (unsigned long long)commits);
    text_printf(&out, "# TYPE nixfleet_store_waiting gauge\nnixfleet_store_waiting %llu\n",
                (unsigned long long)waiting);
    text_printf(&out, "# TYPE nixfleet_live_clients gauge\nnixfleet_live_clients %zu\n",
                live_count(request->server->live));
    text_printf(&out, "# TYPE nixfleet_uptime_seconds counter\nnixfleet_uptime_seconds %lld\n",
                (long long)((wall_ms() - request->server->started_ms) / 1000));
    answer_text(request, &out);
    request->answer.type = "text/plain; version=0.0.4; charset=utf-8";
}

static enum job_result apply_health(struct txn *txn, struct request *request, void *context)
{
    sqlite3_stmt *statement = txn_statement(txn, "INSERT OR REPLACE INTO kv VALUES('health',?)");

    (void)context;
    if (!statement)
        return JOB_FAILED;
    statement_bind(statement, "i", txn->now_ms);
    if (sqlite3_step(statement) != SQLITE_DONE) {
        sqlite3_reset(statement);
        return JOB_FAILED;
    }
    sqlite3_reset(statement);
    answer_puts(request, 200, "{\"status\":\"healthy\",\"version\":\"" VERSION "\"}");
    return JOB_DONE;
}

/* By the way that a batch goes: through the writer to the disk. */
void get_health(struct request *request)
{
    const char *trouble = store_trouble(request->server->store);

    if (trouble)
        answer_detail(request, 503, "Unhealthy: %s", trouble);
    else if (count_of(request->server->store, "SELECT count(*) FROM kv") < 0)
        no_store(request);
    else
        request_submit(request, apply_health, NULL, NULL);
}
