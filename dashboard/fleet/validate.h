/* The form of v1's request bodies, as tables, and the 422 answer to a body with another form:
   {"detail":[{"loc":["body",FIELD],"msg":…,"type":…}]}. Pure functions; unknown keys are
   ignored. */
#ifndef NIXFLEET_DASHBOARD_FLEET_VALIDATE_H
#define NIXFLEET_DASHBOARD_FLEET_VALIDATE_H

#include <stdbool.h>
#include <json-c/json.h>

enum field_kind { FIELD_TEXT, FIELD_INTEGER, FIELD_FLAG, FIELD_OBJECT };

struct field_rule {
    const char *name;
    enum field_kind kind;
    bool required;
    int minimum;                    /* of an integer, or of a text's length in characters */
    int maximum;                    /* likewise; 0: none */
    const char *const *one_of;      /* the texts allowed, ended by NULL; NULL: any */
    bool (*form)(const char *text); /* NULL: any */
};

/* Each ends with a rule without a name. */
extern const struct field_rule register_fields[];
extern const struct field_rule status_fields[];
extern const struct field_rule test_progress_fields[];
extern const struct field_rule command_fields[];

/* Checks a parsed body. null is the same as absent. Returns NULL when the form is right, else the
   answer's body, which the caller puts (json_object_put). The answer repeats no value of the
   body. */
json_object *validate_body(json_object *body, const struct field_rule *rules);

#endif
