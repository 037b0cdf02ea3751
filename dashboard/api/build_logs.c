/* The own logs of derivations: reads their pieces from a batch, and writes the logs for people. */
#include "dashboard/api/api.h"
#include "dashboard/api/report.h"
#include "dashboard/server/server.h"
#include "dashboard/store/lines.h"
#include "dashboard/store/store.h"
#include "dashboard/view/log.h"

#define FROM_MAX INT64_C(1000000000000)
#define WINDOW_LINES 2000
#define WINDOW_BYTES ((size_t)2 << 20)

/* ---- reading ---- */

/* Reads an integer that must be there. */
static bool index_of(json_object *object, const char *name, int64_t most, int64_t *out)
{
    json_object *value;

    if (!json_object_object_get_ex(object, name, &value) ||
        !json_object_is_type(value, json_type_int))
        return false;
    *out = json_object_get_int64(value);
    return *out >= 0 && *out <= most;
}

/* *lines: as txn_build_log_splice needs them; their text is valid as long as object. */
static bool piece_of(json_object *object, int64_t *n, struct chunk *lines)
{
    json_object *text;

    *lines = (struct chunk){0};
    if (!json_object_is_type(object, json_type_object) ||
        !index_of(object, "n", DERIVATIONS_MAX - 1, n) ||
        !index_of(object, "from", FROM_MAX, &lines->first) ||
        !json_object_object_get_ex(object, "text", &text) ||
        !json_object_is_type(text, json_type_string))
        return false;
    lines->text = json_object_get_string(text);
    lines->size = (size_t)json_object_get_string_len(text);
    lines->count = lines_count(lines->text, lines->size);
    return log_text_valid(lines->text, lines->size);
}

bool build_logs_valid(json_object *list)
{
    struct chunk lines;
    int64_t n;

    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (!piece_of(json_object_array_get_idx(list, i), &n, &lines))
            return false;
    return true;
}

int build_logs_apply(struct txn *txn, int64_t key, const struct report *report, int64_t most)
{
    json_object *list = report->build_logs;
    struct chunk lines;
    int64_t n;

    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        if (piece_of(json_object_array_get_idx(list, i), &n, &lines) &&
            txn_build_log_splice(txn, key, n, &lines, most) < 0)
            return -1;
    return 0;
}

/* ---- writing ---- */

/* Finds the run and the log that the request names. False: the request is answered. */
static bool find_log(struct request *request, struct run_row *run, int64_t *lines)
{
    if (!find_run(request, run))
        return false;
    *lines = store_build_log_lines(request->server->store, run->key, request->number);
    if (*lines < 0)
        answer_no_store(request);
    else if (*lines == 0)
        answer_detail(request, 404, "This derivation has no log of its own");
    return *lines > 0;
}

static void get_window(struct request *request)
{
    int64_t from = request_number(request, "from", INT64_MIN / 2, INT64_MAX / 2, 0), lines;
    int64_t limit = request_number(request, "limit", 0, WINDOW_LINES, WINDOW_LINES);
    struct text out = {0};
    struct run_row run;

    if (!find_log(request, &run, &lines))
        return;
    if (from < 0)
        from = lines + from < 0 ? 0 : lines + from;
    text_puts(&out, "{");
    text_key_json(&out, "run", request->run);
    text_key_int(&out, "n", request->number);
    text_key_int(&out, "total", lines);
    if (!build_log_window_json(request->server->store, run.key, request->number, from, limit,
                               WINDOW_BYTES, &out)) {
        text_free(&out);
        answer_no_store(request);
        return;
    }
    text_puts(&out, "}");
    answer_text(request, &out);
}

void get_build_lines(struct request *request)
{
    store_snapshot(request->server->store);
    get_window(request);
    store_snapshot_end(request->server->store);
}

void get_build_log(struct request *request)
{
    struct run_row run;
    int64_t lines;

    if (find_log(request, &run, &lines))
        answer_log(request, &run, request->number, lines);
}
