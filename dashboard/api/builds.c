/* The derivations and changes of a run: reads them from a batch, and writes them for people. */
#include <string.h>

#include "dashboard/api/api.h"
#include "dashboard/api/report.h"
#include "dashboard/fleet/clock.h"
#include "dashboard/server/server.h"
#include "dashboard/store/store.h"

#define NAME_MAX_BYTES 256
#define TIME_MAX_MS INT64_C(253402300799999)
#define LINE_MAX INT64_C(1000000000000)

static const char *const states[] = {"waiting", "building", "built", "failed", "fetched"};

/* ---- reading ---- */

/* Reads an optional string. False if it has another type, or is too long. */
static bool string_of(json_object *object, const char *name, const char **out)
{
    json_object *value;

    *out = NULL;
    if (!json_object_object_get_ex(object, name, &value))
        return true;
    *out = json_object_get_string(value);
    return json_object_is_type(value, json_type_string) &&
           json_object_get_string_len(value) <= NAME_MAX_BYTES;
}

static bool int_of(json_object *object, const char *name, int64_t missing, int64_t most,
                   int64_t *out)
{
    json_object *value;

    *out = missing;
    if (!json_object_object_get_ex(object, name, &value))
        return true;
    *out = json_object_get_int64(value);
    return json_object_is_type(value, json_type_int) && *out >= 0 && *out <= most;
}

static bool is_state(const char *text)
{
    for (size_t i = 0; text && i < sizeof states / sizeof *states; i++)
        if (strcmp(states[i], text) == 0)
            return true;
    return false;
}

static bool derivation_of(json_object *object, struct derivation_row *row)
{
    return json_object_is_type(object, json_type_object) &&
           int_of(object, "n", -1, DERIVATIONS_MAX - 1, &row->n) && row->n >= 0 &&
           string_of(object, "name", &row->name) && row->name &&
           string_of(object, "state", &row->state) && is_state(row->state) &&
           string_of(object, "machine", &row->machine) && string_of(object, "step", &row->step) &&
           int_of(object, "started", 0, TIME_MAX_MS, &row->started_ms) &&
           int_of(object, "ended", 0, TIME_MAX_MS, &row->ended_ms) &&
           int_of(object, "line", -1, LINE_MAX, &row->line) &&
           int_of(object, "lines", 0, LINE_MAX, &row->lines);
}

bool builds_valid(json_object *list)
{
    struct derivation_row row;

    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (!derivation_of(json_object_array_get_idx(list, i), &row))
            return false;
    return true;
}

/* Puts the times of a derivation on the server's clock. How long it took stays as it was. */
static void convert_times(const struct report *report, struct derivation_row *row)
{
    int64_t started = clock_server_time(row->started_ms, report->offset_ms, report->now_ms),
            ended = clock_server_time(row->ended_ms, report->offset_ms, report->now_ms);

    if (started && ended && row->started_ms <= row->ended_ms)
        started = ended - (row->ended_ms - row->started_ms);
    row->started_ms = clock_server_time(started, 0, report->now_ms); /* 0 if that was before 2020 */
    row->ended_ms = ended;
}

int builds_apply(struct txn *txn, int64_t key, const struct report *report)
{
    json_object *list = report->derivations;
    struct derivation_row row;

    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        if (!derivation_of(json_object_array_get_idx(list, i), &row))
            continue;
        convert_times(report, &row);
        if (txn_derivation_put(txn, key, &row) < 0)
            return -1;
    }
    return report->changes ? txn_changes_put(txn, key, report->changes) : 0;
}

/* ---- writing ---- */

static void add_derivation(void *context, const struct derivation_row *row)
{
    struct text *out = context;

    text_comma(out);
    text_puts(out, "{");
    text_key_int(out, "n", row->n);
    text_key_json(out, "name", row->name);
    text_key_json(out, "state", row->state);
    if (row->machine)
        text_key_json(out, "machine", row->machine);
    if (row->step)
        text_key_json(out, "step", row->step);
    if (row->started_ms)
        text_key_int(out, "started", row->started_ms);
    if (row->started_ms && row->ended_ms >= row->started_ms)
        text_key_int(out, "duration", row->ended_ms - row->started_ms);
    if (row->line >= 0)
        text_key_int(out, "line", row->line);
    text_key_int(out, "lines", row->lines);
    if (row->log_lines > 0)
        text_key_int(out, "log", row->log_lines);
    text_puts(out, "}");
}

void get_derivations(struct request *request)
{
    struct text out = {0};
    struct run_row run;

    if (!find_run(request, &run))
        return;
    text_puts(&out, "{\"derivations\":[");
    if (store_derivations(request->server->store, run.key,
                          request_number(request, "from", 0, DERIVATIONS_MAX, 0),
                          request_number(request, "limit", 1, DERIVATIONS_MAX, DERIVATIONS_MAX),
                          add_derivation, &out) < 0) {
        text_free(&out);
        answer_no_store(request);
        return;
    }
    text_puts(&out, "]}");
    answer_text(request, &out);
}

static void add_changes(void *context, const char *changes)
{
    text_puts(context, changes);
}

void get_changed(struct request *request)
{
    struct text out = {0};
    struct run_row run;
    int found;

    if (!find_run(request, &run))
        return;
    text_puts(&out, "{\"changes\":");
    found = store_changes(request->server->store, run.key, add_changes, &out);
    if (found < 0) {
        text_free(&out);
        answer_no_store(request);
        return;
    }
    text_puts(&out, found ? "}" : "[]}");
    answer_text(request, &out);
}
