/* Analyzes a raw log and prints one JSON object. The outcome depends only on the text; failed units
 * count as a failure. */
#include "report.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../common/io.h"
#include "../parse/transcript.h"

static void add_count(json_object *object, const char *key, int64_t value)
{
    if (value >= 0)
        json_object_object_add(object, key, json_object_new_int64(value));
}

#define ADD_COUNT(name) add_count(object, #name, progress->name);

static json_object *progress_json(const struct progress *progress)
{
    json_object *object = json_object_new_object();
    PROGRESS_COUNTS(ADD_COUNT)
    if (progress->current[0] != '\0')
        json_object_object_add(object, "current", json_object_new_string(progress->current));
    return object;
}

static json_object *names_json(const struct phase_names *names)
{
    json_object *array = json_object_new_array();
    for (size_t at = 0; at < names->count; at++)
        json_object_array_add(array, json_object_new_string(names->name[at]));
    return array;
}

static json_object *error_texts(const struct phase_errors *errors)
{
    json_object *array = json_object_new_array();
    for (size_t at = 0; at < errors->count; at++)
        json_object_array_add(array, json_object_new_string(errors->text[at]));
    return array;
}

static json_object *error_lines(const struct phase_errors *errors)
{
    json_object *array = json_object_new_array();
    for (size_t at = 0; at < errors->count; at++)
        json_object_array_add(array, json_object_new_int64(errors->line[at]));
    return array;
}

static json_object *hosts_json(const struct phase_view *view)
{
    json_object *array = json_object_new_array();
    for (size_t at = 0; at < view->host_count; at++) {
        const struct phase_host *host = view->hosts[at];
        json_object *object = json_object_new_object();
        json_object_object_add(object, "name", json_object_new_string(host->name));
        json_object_object_add(object, "phase", json_object_new_string(phase_name(host->phase)));
        json_object_object_add(object, "failed_units", names_json(&host->failed_units));
        json_object_array_add(array, object);
    }
    return array;
}

static json_object *derivations_json(const struct transcript *transcript)
{
    json_object *array = json_object_new_array();
    for (size_t at = 0; at < transcript_derivation_count(transcript); at++) {
        const struct derivation *one = transcript_derivation(transcript, at);
        const char *state = derivation_state_name(one->state);
        json_object *object = json_object_new_object();
        json_object_object_add(object, "name", json_object_new_string(one->name));
        json_object_object_add(object, "state", json_object_new_string(state));
        add_count(object, "started", one->started_ms);
        if (one->started_ms >= 0 && one->ended_ms >= one->started_ms)
            add_count(object, "duration", one->ended_ms - one->started_ms);
        if (one->machine[0] != '\0')
            json_object_object_add(object, "machine", json_object_new_string(one->machine));
        add_count(object, "line", one->line);
        json_object_object_add(object, "lines", json_object_new_int64(one->lines));
        json_object_array_add(array, object);
    }
    return array;
}

static const char *outcome_name(enum phase_outcome outcome)
{
    switch (outcome) {
    case OUTCOME_SUCCESS:
        return "success";
    case OUTCOME_FAILURE:
    case OUTCOME_UNITS_FAILED:
        return "failure";
    case OUTCOME_UNKNOWN:
        break;
    }
    return "unknown";
}

static int print_view(struct transcript *transcript)
{
    const struct phase_view *view = transcript_phase(transcript);
    uint64_t lines = transcript_line_count(transcript);
    json_object *object = json_object_new_object(), *phases = json_object_new_array();
    for (size_t at = 0; at < view->history_count; at++)
        json_object_array_add(phases, json_object_new_string(phase_name(view->history[at])));
    json_object_object_add(object, "lines", json_object_new_int64((int64_t)lines));
    json_object_object_add(object, "phases", phases);
    json_object_object_add(object, "progress", progress_json(&view->progress));
    json_object_object_add(object, "errors", error_texts(&view->errors));
    json_object_object_add(object, "error_lines", error_lines(&view->errors));
    if (view->error[0] != '\0') {
        json_object_object_add(object, "error", json_object_new_string(view->error));
        add_count(object, "error_line", view->error_line);
    }
    json_object_object_add(object, "failed", names_json(&view->failed));
    json_object_object_add(object, "failed_units", names_json(&view->failed_units));
    json_object_object_add(object, "hosts", hosts_json(view));
    json_object_object_add(object, "derivations", derivations_json(transcript));
    json_object_object_add(object, "outcome", json_object_new_string(outcome_name(view->outcome)));
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
                                                                  JSON_C_TO_STRING_NOSLASHESCAPE);
    bool ok = text && puts(text) != EOF && fflush(stdout) == 0;
    json_object_put(object);
    if (!ok)
        warn("stdout");
    return ok ? 0 : 1;
}

int analyze_main(const struct config *config)
{
    static char buffer[1 << 16];
    AUTO_CLOSE int opened = -1;
    const char *name = config->operand;
    int fd = STDIN_FILENO;
    if (name && strcmp(name, "-") != 0) {
        fd = opened = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            warn("%s", name);
            return 1;
        }
    }
    struct transcript *transcript = transcript_new(config->rows, config->cols, NULL, NULL);
    if (!transcript) {
        warn("%s", name ? name : "-");
        return 1;
    }
    ssize_t size;
    while ((size = read(fd, buffer, sizeof buffer)) > 0 || (size < 0 && errno == EINTR))
        if (size > 0)
            transcript_feed(transcript, buffer, (size_t)size);
    int status = 1;
    if (size < 0) {
        warn("%s", name ? name : "-");
    } else {
        transcript_end_unknown(transcript);
        status = print_view(transcript);
    }
    transcript_free(transcript);
    return status;
}
