/* Checks each body against a table. The answer names every wrong field, not only the first. */
#include "dashboard/fleet/validate.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/id.h"

static const char *const host_types[] = {"nixos", "macos", NULL};
static const char *const device_types[] = {"server", "desktop", "laptop", "gaming", NULL};
static const char *const criticalities[] = {"low", "medium", "high", NULL};
static const char *const statuses[] = {"ok", "error", "unknown", NULL};
static const char *const commands[] = {"pull", "switch",  "pull-switch", "test",
                                       "stop", "restart", "update",      NULL};

static bool is_host(const char *text)
{
    char id[HOST_ID_SIZE];

    return host_id_normalize(text, id);
}

static bool is_color(const char *text)
{
    return text[0] == '#' && strlen(text) == 7 && strspn(text + 1, "0123456789abcdefABCDEF") == 6;
}

static bool is_generation(const char *text)
{
    return !text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")];
}

const struct field_rule register_fields[] = {
    {.name = "hostname", .required = true, .minimum = 1, .maximum = 63, .form = is_host},
    {.name = "host_type", .required = true, .one_of = host_types},
    {.name = "location", .maximum = 50},
    {.name = "device_type", .one_of = device_types},
    {.name = "theme_color", .form = is_color},
    {.name = "criticality", .one_of = criticalities},
    {.name = "icon", .maximum = 10},
    {.name = "comment", .maximum = 500},
    {.name = "test_status", .maximum = 100},
    {.name = "current_generation", .maximum = 64, .form = is_generation},
    {.name = "config_repo", .maximum = 200},
    {.name = "poll_interval", .kind = FIELD_INTEGER, .minimum = 1, .maximum = 3600},
    {.name = "agent_version", .maximum = 20},
    {.name = "nixpkgs_version", .maximum = 64},
    {.name = "os_version", .maximum = 50},
    {.name = "os_name", .maximum = 50},
    {.name = "metrics", .kind = FIELD_OBJECT},
    {0},
};
const struct field_rule status_fields[] = {
    {.name = "status", .required = true, .one_of = statuses},
    {.name = "current_generation", .maximum = 64, .form = is_generation},
    {.name = "output", .maximum = 10000},
    {.name = "test_status", .maximum = 100},
    {.name = "comment", .maximum = 200},
    {0},
};
const struct field_rule test_progress_fields[] = {
    {.name = "current", .kind = FIELD_INTEGER, .required = true},
    {.name = "total", .kind = FIELD_INTEGER, .required = true},
    {.name = "passed", .kind = FIELD_INTEGER},
    {.name = "running", .kind = FIELD_FLAG},
    {.name = "result"},
    {.name = "comment"},
    {0},
};
const struct field_rule command_fields[] = {
    {.name = "command", .required = true, .one_of = commands},
    {0},
};

/* msg and type of a wrong field, in the words of the library that v1 used. */
struct fault {
    char msg[80];
    const char *type;
};

static bool fail(struct fault *fault, const char *type, const char *format, int number)
{
    /* Formats are literals of this file, with at most one %d. */
    const char *number_at = strstr(format, "%d");
    int before = number_at ? (int)(number_at - format) : (int)strlen(format);

    if (number_at)
        snprintf(fault->msg, sizeof fault->msg, "%.*s%d%s", before, format, number, number_at + 2);
    else
        snprintf(fault->msg, sizeof fault->msg, "%s", format);
    fault->type = type;
    return false;
}

static bool check_text(const struct field_rule *rule, json_object *value, struct fault *fault)
{
    const char *text = json_object_get_string(value);
    int bytes = json_object_get_string_len(value), characters = 0;

    if (strlen(text) != (size_t)bytes)
        return fail(fault, "value_error", "string holds a NUL", 0);
    for (int i = 0; i < bytes; i++)
        characters += (text[i] & 0xc0) != 0x80;
    if (characters < rule->minimum)
        return fail(fault, "value_error.any_str.min_length",
                    "ensure this value has at least %d characters", rule->minimum);
    if (rule->maximum && characters > rule->maximum)
        return fail(fault, "value_error.any_str.max_length",
                    "ensure this value has at most %d characters", rule->maximum);
    if (rule->form && !rule->form(text))
        return fail(fault, "value_error.str.regex", "string does not match its form", 0);
    for (const char *const *one = rule->one_of; one; one++) {
        if (!*one)
            return fail(fault, "value_error.const", "unexpected value", 0);
        if (!strcmp(text, *one))
            break;
    }
    return true;
}

static bool check_integer(const struct field_rule *rule, json_object *value, struct fault *fault)
{
    int64_t number = json_object_get_int64(value);

    if (number < rule->minimum)
        return fail(fault, "value_error.number.not_ge",
                    "ensure this value is greater than or equal to %d", rule->minimum);
    if (number > (rule->maximum ? rule->maximum : INT_MAX))
        return fail(fault, "value_error.number.not_le",
                    "ensure this value is less than or equal to %d",
                    rule->maximum ? rule->maximum : INT_MAX);
    return true;
}

static bool check(const struct field_rule *rule, json_object *value, struct fault *fault)
{
    static const struct {
        json_type json;
        const char *msg, *type;
    } kinds[] = {
        [FIELD_TEXT] = {json_type_string, "str type expected", "type_error.str"},
        [FIELD_INTEGER] = {json_type_int, "value is not a valid integer", "type_error.integer"},
        [FIELD_FLAG] = {json_type_boolean, "value could not be parsed to a boolean",
                        "type_error.bool"},
        [FIELD_OBJECT] = {json_type_object, "value is not a valid dict", "type_error.dict"},
    };

    if (!value)
        return !rule->required || fail(fault, "value_error.missing", "field required", 0);
    if (!json_object_is_type(value, kinds[rule->kind].json))
        return fail(fault, kinds[rule->kind].type, kinds[rule->kind].msg, 0);
    if (rule->kind == FIELD_TEXT)
        return check_text(rule, value, fault);
    return rule->kind != FIELD_INTEGER || check_integer(rule, value, fault);
}

static void add(struct text *answer, const char *field, const struct fault *fault)
{
    text_puts(answer, answer->size ? ",{\"loc\":[\"body\"" : "{\"detail\":[{\"loc\":[\"body\"");
    if (field) {
        text_puts(answer, ",");
        text_json(answer, field);
    }
    text_puts(answer, "]");
    text_key_json(answer, "msg", fault->msg);
    text_key_json(answer, "type", fault->type);
    text_puts(answer, "}");
}

bool validate_body(json_object *body, const struct field_rule *rules, struct text *answer)
{
    json_object *value;
    struct fault fault;
    bool right = true;

    if (!json_object_is_type(body, json_type_object)) {
        fail(&fault, "type_error.dict", "value is not a valid dict", 0);
        add(answer, NULL, &fault);
        text_puts(answer, "]}");
        return false;
    }
    for (const struct field_rule *rule = rules; rule->name; rule++) {
        value = NULL;
        json_object_object_get_ex(body, rule->name, &value);
        if (!check(rule, value, &fault)) {
            add(answer, rule->name, &fault);
            right = false;
        }
    }
    if (!right)
        text_puts(answer, "]}");
    return right;
}
