/* The form of the records is that of nix's JSONLogger (src/libutil/logging.cc). The numbers are its
   ActivityType and ResultType, which are part of the format. */
#include "nixlog.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../common/json_read.h"

/* The beginning of a line that is a record; the last character is the first one of the JSON. */
static const char *const marks[] = {[NIXLOG_LINES] = "@nix {", [NIXLOG_RECORDS] = "{"};
#define LEVEL_SHOWN 3   /* lvlInfo: what nix prints without -v */
#define RECORD_DEPTH 16 /* only the traces of an error are nested in nix's records */
#define ACTIVITIES 1024 /* remembered at once; ids rise, so the oldest are dropped */
/* A new activity takes one of so many places. A build that still runs is dropped only if builds
 * have all of them: a build may take longer than thousands of downloads. */
#define NEIGHBOURS 64

enum {
    ACT_COPY_PATH = 100,
    ACT_TRANSFER = 101,
    ACT_COPY_PATHS = 103,
    ACT_BUILDS = 104,
    ACT_BUILD = 105
};
enum {
    RES_LOG_LINE = 101,
    RES_PHASE = 104,
    RES_PROGRESS = 105,
    RES_EXPECTED = 106,
    RES_POST_LINE = 107
};

struct activity {
    uint64_t id;
    int type;
    bool running;
    int64_t done;
    char name[72];
    char path[256]; /* of a build or a copy; "" if it is too long */
};

struct nixlog {
    struct nixlog_sink sink;
    const char *mark;
    size_t mark_length;
    bool line_start;
    char *held; /* a line that is a record, or may become one */
    size_t held_size, held_capacity;
    struct activity *activities; /* allocated with the first record */
    int64_t transferred, to_transfer;
};

/* ---- functions that the sink does not have ---- */

static void no_text(void *context, const void *bytes, size_t size)
{
    (void)context, (void)bytes, (void)size;
}

static void no_count(void *context, uint64_t process, enum nixlog_count what, int64_t done,
                     int64_t expected, int64_t running, int64_t failed)
{
    (void)context, (void)process, (void)what, (void)done, (void)expected, (void)running;
    (void)failed;
}

static void no_start(void *context, const char *path, const char *machine, bool build)
{
    (void)context, (void)path, (void)machine, (void)build;
}

static void no_path(void *context, const char *path)
{
    (void)context, (void)path;
}

static void no_step(void *context, const char *path, const char *phase)
{
    (void)context, (void)path, (void)phase;
}

static void no_built(void *context, const char *path, const char *text, size_t size)
{
    (void)context, (void)path, (void)text, (void)size;
}

static void no_download(void *context, int64_t done, int64_t expected)
{
    (void)context, (void)done, (void)expected;
}

static struct nixlog_sink complete(struct nixlog_sink sink)
{
    sink.text = sink.text ? sink.text : no_text;
    sink.count = sink.count ? sink.count : no_count;
    sink.started = sink.started ? sink.started : no_start;
    sink.ended = sink.ended ? sink.ended : no_path;
    sink.step = sink.step ? sink.step : no_step;
    sink.owner = sink.owner ? sink.owner : no_path;
    sink.built = sink.built ? sink.built : no_built;
    sink.download = sink.download ? sink.download : no_download;
    return sink;
}

/* ---- the filter ---- */

struct nixlog *nixlog_new(enum nixlog_form form, const struct nixlog_sink *sink)
{
    struct nixlog *nixlog = calloc(1, sizeof *nixlog);
    if (!nixlog)
        return NULL;
    nixlog->sink = complete(*sink);
    nixlog->mark = marks[form];
    nixlog->mark_length = strlen(nixlog->mark);
    nixlog->line_start = true;
    nixlog->to_transfer = -1;
    return nixlog;
}

void nixlog_free(struct nixlog *nixlog)
{
    if (!nixlog)
        return;
    free(nixlog->held);
    free(nixlog->activities);
    free(nixlog);
}

static void pass(struct nixlog *nixlog, const void *bytes, size_t size)
{
    if (size > 0)
        nixlog->sink.text(nixlog->sink.context, bytes, size);
}

/* Passes on a text of one or more lines in the form for a terminal. */
static void print(struct nixlog *nixlog, const char *text, size_t length, const char *suffix)
{
    const char *end = text + length;
    for (const char *line_end; (line_end = memchr(text, '\n', (size_t)(end - text)));
         text = line_end + 1) {
        pass(nixlog, text, (size_t)(line_end - text));
        pass(nixlog, "\r\n", 2);
    }
    pass(nixlog, text, (size_t)(end - text));
    pass(nixlog, suffix, strlen(suffix));
    pass(nixlog, "\x1b[m\r\n", 5);
}

/* The end of the escape sequence at text. *shown: the sequence is a colour. */
static const char *escape_end(const char *text, const char *end, bool *shown)
{
    const char *at = text + 1;
    *shown = false;
    if (at == end || *at != '[')
        return at < end ? at + 1 : end;
    for (at++; at < end && (*at < 0x40 || *at > 0x7E); at++)
        continue;
    *shown = at < end && *at == 'm';
    return at < end ? at + 1 : end;
}

/* Passes on a builder's text as nix prints it: of control characters, only tabs and colours stay,
   so that the text cannot overwrite its prefix. */
static void print_built(struct nixlog *nixlog, const char *prefix, const char *text, size_t length)
{
    const char *end = text + length;
    pass(nixlog, prefix, strlen(prefix));
    while (text < end) {
        const char *from = text;
        bool shown;
        while (text < end && ((unsigned char)*text >= ' ' || *text == '\t'))
            text++;
        pass(nixlog, from, (size_t)(text - from));
        if (text < end && *text == '\n' && text + 1 < end) {
            pass(nixlog, "\x1b[m\r\n", 5);
            pass(nixlog, prefix, strlen(prefix));
        }
        if (text < end && *text == '\x1b') {
            const char *stop = escape_end(text, end, &shown);
            if (shown)
                pass(nixlog, text, (size_t)(stop - text));
            text = stop;
        } else if (text < end) {
            text++;
        }
    }
    pass(nixlog, "\x1b[m\r\n", 5);
}

static int64_t number(json_object *record, const char *key, int64_t missing)
{
    json_object *value;
    if (!json_object_object_get_ex(record, key, &value) ||
        !json_object_is_type(value, json_type_int))
        return missing;
    return json_object_get_int64(value);
}

static const char *string(json_object *record, const char *key, size_t *length)
{
    json_object *value;
    if (!json_object_object_get_ex(record, key, &value) ||
        !json_object_is_type(value, json_type_string))
        return NULL;
    *length = (size_t)json_object_get_string_len(value);
    return json_object_get_string(value);
}

static json_object *field(json_object *record, size_t at)
{
    json_object *fields;
    if (!json_object_object_get_ex(record, "fields", &fields) ||
        !json_object_is_type(fields, json_type_array) || at >= json_object_array_length(fields))
        return NULL;
    return json_object_array_get_idx(fields, at);
}

static int64_t field_number(json_object *record, size_t at)
{
    json_object *value = field(record, at);
    int64_t number =
        value && json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : 0;
    return number < 0 ? 0 : number;
}

static struct activity *neighbour(struct nixlog *nixlog, uint64_t id, uint64_t at)
{
    return &nixlog->activities[(id % ACTIVITIES + at) % ACTIVITIES];
}

/* The place for a new activity: one that is free, or else one without a build. NULL when out of
 * memory. */
static struct activity *activity_slot(struct nixlog *nixlog, uint64_t id)
{
    struct activity *one, *best;
    if (!nixlog->activities)
        nixlog->activities = calloc(ACTIVITIES, sizeof *nixlog->activities);
    if (!nixlog->activities)
        return NULL;
    best = neighbour(nixlog, id, 0);
    for (uint64_t at = 0; at < NEIGHBOURS && best->running; at++) {
        one = neighbour(nixlog, id, at);
        if (!one->running || (best->type == ACT_BUILD && one->type != ACT_BUILD))
            best = one;
    }
    return best;
}

static struct activity *activity_find(struct nixlog *nixlog, uint64_t id)
{
    for (uint64_t at = 0; nixlog->activities && at < NEIGHBOURS; at++)
        if (neighbour(nixlog, id, at)->id == id)
            return neighbour(nixlog, id, at);
    return NULL;
}

/* The name that nix puts before a builder's lines: without directory, hash, .drv and version. */
static void derivation_name(struct activity *activity, json_object *record)
{
    json_object *value = field(record, 0);
    if (!value || !json_object_is_type(value, json_type_string))
        return;
    const char *name = json_object_get_string(value), *slash = strrchr(name, '/');
    name = slash ? slash + 1 : name;
    const char *dash = strchr(name, '-');
    name = dash ? dash + 1 : name;
    size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, ".drv") == 0)
        length -= 4;
    for (size_t at = 0; at + 1 < length; at++)
        if (name[at] == '-' && !((name[at + 1] | 32) >= 'a' && (name[at + 1] | 32) <= 'z'))
            length = at;
    if (length >= sizeof activity->name)
        length = sizeof activity->name - 1;
    memcpy(activity->name, name, length);
    activity->name[length] = '\0';
}

static void store_path(struct activity *activity, json_object *record)
{
    json_object *value = field(record, 0);
    if (!value || !json_object_is_type(value, json_type_string))
        return;
    size_t length = (size_t)json_object_get_string_len(value);
    if (length < sizeof activity->path)
        memcpy(activity->path, json_object_get_string(value), length + 1);
}

static void stop(struct nixlog *nixlog, json_object *record)
{
    struct activity *activity = activity_find(nixlog, (uint64_t)number(record, "id", 0));
    if (activity && activity->path[0] != '\0')
        nixlog->sink.ended(nixlog->sink.context, activity->path);
    if (activity) {
        activity->path[0] = '\0';
        activity->running = false;
    }
}

/* The second field of a build is the machine. */
static void announce(struct nixlog *nixlog, const struct activity *activity, json_object *record)
{
    bool build = activity->type == ACT_BUILD;
    json_object *value = build ? field(record, 1) : NULL;
    const char *machine =
        value && json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
    nixlog->sink.started(nixlog->sink.context, activity->path, machine, build);
}

static void start(struct nixlog *nixlog, json_object *record)
{
    size_t length;
    const char *text = string(record, "text", &length);
    uint64_t id = (uint64_t)number(record, "id", 0);
    struct activity *activity = activity_slot(nixlog, id);
    if (activity) {
        *activity =
            (struct activity){.id = id, .type = (int)number(record, "type", 0), .running = true};
        if (activity->type == ACT_BUILD)
            derivation_name(activity, record);
        if (activity->type == ACT_BUILD || activity->type == ACT_COPY_PATH)
            store_path(activity, record);
        if (activity->path[0] != '\0')
            announce(nixlog, activity, record);
    }
    if (text && length > 0 && number(record, "level", 99) <= LEVEL_SHOWN)
        print(nixlog, text, length, "...");
}

static void report_download(struct nixlog *nixlog)
{
    nixlog->sink.download(nixlog->sink.context, nixlog->transferred, nixlog->to_transfer);
}

static void progress(struct nixlog *nixlog, json_object *record, struct activity *activity)
{
    int64_t done = field_number(record, 0), expected = field_number(record, 1);
    if (!activity)
        return;
    if (activity->type == ACT_BUILDS || activity->type == ACT_COPY_PATHS) {
        nixlog->sink.count(nixlog->sink.context, activity->id >> 32,
                           activity->type == ACT_BUILDS ? NIXLOG_BUILDS : NIXLOG_PATHS, done,
                           expected, field_number(record, 2), field_number(record, 3));
    } else if (activity->type == ACT_TRANSFER && done > activity->done && done < INT64_MAX / 2048) {
        if (nixlog->transferred < INT64_MAX / 2)
            nixlog->transferred += done - activity->done;
        activity->done = done;
        report_download(nixlog);
    }
}

static void result(struct nixlog *nixlog, json_object *record)
{
    struct activity *activity = activity_find(nixlog, (uint64_t)number(record, "id", 0));
    int64_t type = number(record, "type", 0);
    if (type == RES_LOG_LINE || type == RES_POST_LINE) {
        json_object *text = field(record, 0);
        char prefix[sizeof activity->name + 2] = "builder> ";
        if (!text || !json_object_is_type(text, json_type_string))
            return;
        if (activity && activity->name[0] != '\0') {
            size_t length = strlen(activity->name);
            memcpy(prefix, activity->name, length);
            memcpy(prefix + length, "> ", 3);
        }
        if (activity && activity->path[0] != '\0') {
            nixlog->sink.owner(nixlog->sink.context, activity->path);
            nixlog->sink.built(nixlog->sink.context, activity->path, json_object_get_string(text),
                               (size_t)json_object_get_string_len(text));
        }
        print_built(nixlog, prefix, json_object_get_string(text),
                    (size_t)json_object_get_string_len(text));
        nixlog->sink.owner(nixlog->sink.context, NULL);
    } else if (type == RES_PHASE && activity && activity->path[0] != '\0') {
        json_object *name = field(record, 0);
        if (name && json_object_is_type(name, json_type_string))
            nixlog->sink.step(nixlog->sink.context, activity->path, json_object_get_string(name));
    } else if (type == RES_PROGRESS) {
        progress(nixlog, record, activity);
    } else if (type == RES_EXPECTED && field_number(record, 0) == ACT_TRANSFER &&
               field_number(record, 1) > 0) {
        nixlog->to_transfer = field_number(record, 1);
        report_download(nixlog);
    }
}

/* True if the line was a record; then its text was passed on. */
static bool replace(struct nixlog *nixlog, const char *line, size_t length)
{
    struct json_problem problem;
    json_object *record;
    if (json_read(line, length, RECORD_DEPTH, &record, &problem) < 0)
        return false;
    size_t size = 0;
    const char *action = string(record, "action", &size);
    bool known = true;
    if (!action) {
        known = false;
    } else if (strcmp(action, "start") == 0) {
        start(nixlog, record);
    } else if (strcmp(action, "result") == 0) {
        result(nixlog, record);
    } else if (strcmp(action, "msg") == 0) {
        const char *text = string(record, "msg", &size);
        if (text)
            print(nixlog, text, size, "");
    } else {
        known = strcmp(action, "stop") == 0;
        if (known)
            stop(nixlog, record);
    }
    json_object_put(record);
    return known;
}

/* Handles the held line, which is complete with its LF. */
static void held_line(struct nixlog *nixlog)
{
    size_t length = nixlog->held_size;
    while (length > 0 && (nixlog->held[length - 1] == '\n' || nixlog->held[length - 1] == '\r'))
        length--;
    if (length <= nixlog->mark_length ||
        memcmp(nixlog->held, nixlog->mark, nixlog->mark_length) != 0 ||
        !replace(nixlog, nixlog->held + nixlog->mark_length - 1, length - nixlog->mark_length + 1))
        pass(nixlog, nixlog->held, nixlog->held_size);
    nixlog->held_size = 0;
    nixlog->line_start = true;
}

static bool hold(struct nixlog *nixlog, const char *bytes, size_t size)
{
    size_t needed = nixlog->held_size + size;
    if (needed > nixlog->held_capacity) {
        size_t capacity = needed < 4096 ? 4096 : needed * 2;
        char *larger = realloc(nixlog->held, capacity);
        if (!larger)
            return false;
        nixlog->held = larger;
        nixlog->held_capacity = capacity;
    }
    memcpy(nixlog->held + nixlog->held_size, bytes, size);
    nixlog->held_size = needed;
    return true;
}

/* Takes bytes of a line that may be a record, up to its LF. Returns how many. */
static size_t feed_held(struct nixlog *nixlog, const char *bytes, size_t size)
{
    size_t taken = 0;
    while (taken < size &&
           nixlog->held_size < nixlog->mark_length) { /* byte by byte, until the mark is complete */
        if (bytes[taken] != nixlog->mark[nixlog->held_size]) {
            nixlog->sink.text(nixlog->sink.context, nixlog->mark, nixlog->held_size);
            nixlog->held_size = 0;
            nixlog->line_start = false;
            return taken;
        }
        if (!hold(nixlog, bytes + taken, 1))
            return taken + 1;
        taken++;
    }
    const char *end = memchr(bytes + taken, '\n', size - taken);
    size_t more = end ? (size_t)(end - bytes) + 1 - taken : size - taken;
    size_t space = NIXLOG_RECORD_MAX - nixlog->held_size;
    if (more > space || !hold(nixlog, bytes + taken, more)) { /* too long: passed on unchanged */
        pass(nixlog, nixlog->held, nixlog->held_size);
        nixlog->held_size = 0;
        nixlog->line_start = false;
        return taken;
    }
    if (end)
        held_line(nixlog);
    return taken + more;
}

/* Passes bytes on, up to the next '@' at the start of a line. Returns how many. */
static size_t feed_plain(struct nixlog *nixlog, const char *bytes, size_t size)
{
    const char *from = bytes, *end = bytes + size, *at;
    while ((at = memchr(from, *nixlog->mark, (size_t)(end - from)))) {
        if (at == bytes ? nixlog->line_start : at[-1] == '\n')
            break;
        from = at + 1;
    }
    size_t plain = at ? (size_t)(at - bytes) : size;
    pass(nixlog, bytes, plain);
    if (plain > 0)
        nixlog->line_start = bytes[plain - 1] == '\n';
    return plain;
}

void nixlog_feed(struct nixlog *nixlog, const void *bytes, size_t size)
{
    const char *at = bytes, *end = at + size;
    while (at < end) {
        if (nixlog->held_size == 0)
            at += feed_plain(nixlog, at, (size_t)(end - at));
        if (at < end)
            at += feed_held(nixlog, at, (size_t)(end - at));
    }
}

void nixlog_finish(struct nixlog *nixlog)
{
    if (nixlog->held_size > 0)
        held_line(nixlog);
}
