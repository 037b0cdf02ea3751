/* Reads and checks what nixfleet-run and scripts post. */
#include "dashboard/api/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hyperlink.h"
#include "common/rfc3339.h"
#include "common/io.h"
#include "common/progress.h"
#include "dashboard/api/clean.h"
#include "dashboard/fleet/clock.h"
#include "dashboard/server/server.h"
#include "dashboard/store/lines.h"

#define SILENT_MAX_S INT64_C(10000000000)
#define LINES_MAX INT64_C(1000000000000) /* an index above this limit is an error */
/* the end of the year 9999, the limit of browsers and RFC 3339 */
#define TIME_MAX_MS INT64_C(253402300799999)
#define COUNT_MAX INT64_C(1000000000) /* derivations, paths, tests */

/* What each field must be, for the answer to a wrong field. */
static const struct {
    const char *name, *expected;
} expectations[] = {
    {"run", "a UUID"},
    {"text", "a string; not together with lines; of control characters only LF, colours (SGR) "
             "and hyperlinks (OSC 8, http or https)"},
    {"lines", "an array of strings; not together with text"},
    {"times", "an array of [count, milliseconds since 1970]"},
    {"from", "an integer from 0 on"},
    {"skipped", "an integer from 0 on"},
    {"argv", "an array of strings"},
    {"failed", "an array of strings"},
    {"failed_units", "an array of strings"},
    {"derivations", "an array of objects with n (below 10000), name and state"},
    {"build_logs", "an array of objects with n (below 10000), from and text, which has the same "
                   "rules as the field text"},
    {"changes", "an array of objects"},
    {"progress", "an object"},
    {"exit", "an object with an integer code or a string signal"},
    {"started", "an RFC 3339 time in a string"},
    {"ended", "an RFC 3339 time in a string"},
    {"silent_for", "seconds, from 0 on"},
    {"load", "an array of numbers"},
    {"digest", "64 hex digits"},
    {"cols", "an integer"},
    {"rows", "an integer"},
    {"seq", "an integer"},
    {"interval", "an integer"},
    {"error_line", "an integer"},
    {"line_count", "an integer"},
    {"byte_count", "an integer"},
    {"acked", "an integer"},
    {"bytes", "an integer"},
};

static const char *expected(const char *field)
{
    for (size_t i = 0; i < sizeof expectations / sizeof *expectations; i++)
        if (strcmp(expectations[i].name, field) == 0)
            return expectations[i].expected;
    return "a string";
}

static const char *const phases[] = {"evaluating", "fetching", "building", "activating",
                                     "switching",  "pulling",  "updating", "testing",
                                     "done",       "failed"};

void report_free(void *context)
{
    struct report *report = context;

    json_object_put(report->object);
    free(report->joined);
    free(report);
}

/* Reads a time of the writer's clock. *out: the same moment on the server's clock. */
static void time_field(const struct report *report, const char *name, int64_t *out,
                       const char **why)
{
    const char *text;
    int64_t ms;

    if (!field_string(report->object, name, &text, why))
        return;
    if (rfc3339_parse(text, &ms))
        *out = clock_server_time(ms, report->offset_ms, report->now_ms);
    else
        *why = name;
}

/* The writer's clock when it sent the request; 0: not sent. */
static int64_t writer_ms(const struct request *request)
{
    const char *text = request_header(request, "X-Nixfleet-Time");
    char *end;
    long long ms;

    if (!text)
        return 0;
    ms = strtoll(text, &end, 10);
    return *end || ms < 0 || ms > TIME_MAX_MS ? 0 : ms;
}

/* The value of *why if memory is short, but the body is not wrong. */
static const char no_memory[] = "out of memory";

/* The JSON text of a value, which is valid as long as the value. */
static const char *json_text(json_object *value, const char **why)
{
    const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
                                                                 JSON_C_TO_STRING_NOSLASHESCAPE);

    if (!text)
        *why = no_memory;
    return text;
}

/* Reads a field that is kept as JSON text. */
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

/* Bytes that need a closer look: the first byte of a C1 control, and controls except LF. */
static const unsigned char special[256] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1,          1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, [0x7f] = 1, [0xc2] = 1,
};

/* The length of the SGR sequence at text; 0: none. */
static size_t sgr_length(const char *text, size_t size)
{
    size_t i = 2;

    if (size < 3 || text[0] != '\033' || text[1] != '[')
        return 0;
    while (i < size && ((text[i] >= '0' && text[i] <= '9') || text[i] == ';' || text[i] == ':'))
        i++;
    return i < size && text[i] == 'm' ? i + 1 : 0;
}

/* SGR sequences and hyperlinks are the only escape sequences in a log. */
bool log_text_valid(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        size_t sequence;

        if (!special[(unsigned char)text[i]])
            continue;
        if ((unsigned char)text[i] == 0xc2) {
            if (is_c1(text + i, size - i))
                return false;
            continue;
        }
        if (!(sequence = sgr_length(text + i, size - i)) &&
            !(sequence = hyperlink_length(text + i, size - i)))
            return false;
        i += sequence - 1;
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
    if (!log_text_valid(report->text, report->size))
        *why = "text";
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

/* `lines`, for scripts: control characters are made harmless instead of refused. */
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
        if (joined.size > start && !log_text_valid(joined.bytes + start, joined.size - start))
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
    return *count >= 0 && *count <= LINES_MAX && *ms >= 0 && *ms <= TIME_MAX_MS;
}

/* Converts the time of a pair to the server's clock. False if the time is not known. */
static bool convert_time(struct report *report, json_object *pair, int64_t ms)
{
    int64_t converted = clock_server_time(ms, report->offset_ms, report->now_ms);

    if (converted != ms)
        json_object_set_int64(json_object_array_get_idx(pair, 1), converted);
    report->newest_ms = converted;
    return converted != 0;
}

/* Reads the times of the lines. The lines count as new if there are no times, if the times are for
   another number of lines (later times would move to wrong lines), or if the writer's clock was
   never set. */
static void read_times(struct report *report, const char **why)
{
    json_object *list;
    int64_t timed = 0, count, ms;
    bool known = true;

    if (!field_typed(report->object, "times", json_type_array, &list, why))
        return;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *pair = json_object_array_get_idx(list, i);

        if (!time_pair(pair, &count, &ms)) {
            *why = "times";
            return;
        }
        known &= convert_time(report, pair, ms);
        timed += count;
    }
    if (known && timed == report->count)
        report->times = json_text(list, why);
}

/* A phase of a later protocol version is ignored. */
static const char *read_phase(struct report *report, const char *field, const char **why)
{
    const char *phase;

    if (!field_string(report->object, field, &phase, why))
        return NULL;
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (strcmp(phase, phases[i]) == 0)
            return phase;
    return NULL;
}

static bool member(json_object *object, const char *name, json_type type, json_object **value)
{
    return json_object_object_get_ex(object, name, value) && json_object_is_type(*value, type);
}

/* Removes the members of an object that the protocol does not know. */
static void keep_members(json_object *object, const char *const *names)
{
    json_object_object_foreach(object, key, value)
    {
        const char *const *name = names;

        (void)value;
        while (*name && strcmp(*name, key) != 0)
            name++;
        if (!*name)
            json_object_object_del(object, key);
    }
}

static void read_exit(struct report *report, const char **why)
{
    static const char *const members[] = {"code", "signal", "core", NULL};
    json_object *value, *code, *signal;

    if (!field_typed(report->object, "exit", json_type_object, &value, why))
        return;
    keep_members(value, members);
    report->killed = member(value, "signal", json_type_string, &signal);
    if (member(value, "code", json_type_int, &code))
        /* the exit status of a shell if a signal ended the command */
        report->killed |= json_object_get_int64(code) > 128;
    else if (!report->killed) {
        *why = "exit";
        return;
    }
    report->exit = json_text(value, why);
    report->outcome =
        member(value, "code", json_type_int, &code) && json_object_get_int64(code) == 0 ? "success"
                                                                                        : "failure";
}

/* A count of the progress; -1: it is not there. */
static int64_t count_of(json_object *progress, const char *name)
{
    json_object *value;

    return member(progress, name, json_type_int, &value) ? json_object_get_int64(value) : -1;
}

#define COUNT_NAME(name) #name,

/* Drops impossible counts, and members that the protocol does not know. */
static void read_progress(struct report *report, const char **why)
{
    static const char *const members[] = {PROGRESS_COUNTS(COUNT_NAME) "current", NULL};
    json_object *value;

    if (!field_typed(report->object, "progress", json_type_object, &value, why))
        return;
    keep_members(value, members);
    json_object_object_foreach(value, key, count)
    {
        int64_t most = strstr(key, "_bytes") ? INT64_MAX / 2 : COUNT_MAX;

        if (strcmp(key, "current") == 0
                ? !json_object_is_type(count, json_type_string)
                : !json_object_is_type(count, json_type_int) || json_object_get_int64(count) < 0 ||
                      json_object_get_int64(count) > most)
            json_object_object_del(value, key);
    }
    report->built = count_of(value, "built");
    report->to_build = count_of(value, "to_build");
    report->progress = json_text(value, why);
}

/* Accepts upper and lower case. */
static void read_digest(struct report *report, const char **why)
{
    const char *digest;

    if (!field_string(report->object, "digest", &digest, why))
        return;
    if (strlen(digest) != sizeof report->digest - 1 ||
        strspn(digest, "0123456789abcdefABCDEF") != sizeof report->digest - 1) {
        *why = "digest";
        return;
    }
    for (size_t i = 0; i < sizeof report->digest; i++)
        report->digest[i] =
            (char)(digest[i] >= 'A' && digest[i] <= 'F' ? digest[i] + 32 : digest[i]);
}

static void read_outcome(struct report *report, const char **why)
{
    static const char *const outcomes[] = {"success", "failure", "units_failed"};
    const char *outcome;

    if (!field_string(report->object, "outcome", &outcome, why))
        return;
    for (size_t i = 0; i < sizeof outcomes / sizeof *outcomes; i++)
        if (strcmp(outcome, outcomes[i]) == 0)
            report->outcome = outcomes[i];
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

/* Reads the fields that batches and heartbeats have in common. */
static void read_common(struct report *report, const char **why)
{
    json_object *object = report->object;

    read_run(report, why);
    field_string(object, "command", &report->command, why);
    field_string(object, "name", &report->name, why);
    field_string(object, "user", &report->user, why);
    list_field(object, "argv", json_type_string, &report->argv, why);
    time_field(report, "started", &report->started, why);
    report->phase = read_phase(report, "phase", why);
    report->last_phase = read_phase(report, "last_phase", why);
    read_progress(report, why);
    read_exit(report, why);
    time_field(report, "ended", &report->ended, why);
}

static void read_derivations(struct report *report, const char **why)
{
    json_object *list;

    if (!field_typed(report->object, "derivations", json_type_array, &list, why))
        return;
    if (builds_valid(list))
        report->derivations = list;
    else
        *why = "derivations";
}

static void read_build_logs(struct report *report, const char **why)
{
    json_object *list;

    if (!field_typed(report->object, "build_logs", json_type_array, &list, why))
        return;
    if (build_logs_valid(list))
        report->build_logs = list;
    else
        *why = "build_logs";
}

static void read_batch_fields(struct report *report, const char **why)
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
    read_outcome(report, why);
    field_string(object, "error", &report->error, why);
    field_int(object, "error_line", &report->error_line, why);
    list_field(object, "failed", json_type_string, &report->failed, why);
    list_field(object, "failed_units", json_type_string, &report->failed_units, why);
    list_field(object, "changes", json_type_object, &report->changes, why);
    read_derivations(report, why);
    read_build_logs(report, why);
    read_digest(report, why);
    field_int(object, "line_count", &(int64_t){0}, why);
    field_int(object, "byte_count", &report->byte_count, why);
    report->finished = report->exit != NULL;
}

/* Only checked: the load that a page shows comes with the host's metrics. */
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

static void read_heartbeat_fields(struct report *report, const char **why)
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

/* NULL: the request was answered. */
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
    report->built = report->to_build = -1;
    report->now_ms = store_now_ms(request->server->store);
    report->offset_ms = clock_offset(writer_ms(request), report->now_ms);
    report->object = request_object(request, &problem);
    if (!report->object && !problem.no_memory)
        answer_error(request, 400, "the body is not JSON: byte %zu: %s", problem.at,
                     problem.reason);
    if (report->object && clean_or_answer(request, report->object, 400)) {
        read(report, &why);
        if (!why)
            return report;
        if (why == no_memory)
            answer_no_memory(request);
        else
            answer_error(request, 400, "%s: expected %s", why, expected(why));
    }
    report_free(report);
    return NULL;
}

struct report *read_batch(struct request *request)
{
    return read_report(request, read_batch_fields);
}

struct report *read_heartbeat(struct request *request)
{
    return read_report(request, read_heartbeat_fields);
}
