/* The form of v1's request bodies, as tables, and the 422 answer to a body that has another form:
   {"detail":[{"loc":["body",FIELD],"msg":…,"type":…}]}. Pure functions; unknown keys are
   ignored. */
#ifndef NIXFLEET_DASHBOARD_FLEET_VALIDATE_H
#define NIXFLEET_DASHBOARD_FLEET_VALIDATE_H

#include <stdbool.h>
#include "common/json.h"

enum field_kind { FIELD_TEXT, FIELD_INTEGER, FIELD_FLAG, FIELD_OBJECT };

struct field_rule {
    const char *name;
    enum field_kind kind;
    bool required;
    int minimum;                    /* of an integer, or of the length of a text in characters */
    int maximum;                    /* the same; 0: no limit */
    const char *const *one_of;      /* the allowed texts, ended by NULL; NULL: any */
    bool (*form)(const char *text); /* NULL: any */
};

/* Each table ends with a rule without a name. */
extern const struct field_rule register_fields[];
extern const struct field_rule status_fields[];
extern const struct field_rule test_progress_fields[];
extern const struct field_rule command_fields[];

/* Checks a parsed body. null counts as absent. True if the form is right; otherwise answer, which
   must be empty, becomes the body of the answer, without any value of the checked body. The caller
   frees it. */
bool validate_body(json_object *body, const struct field_rule *rules, struct text *answer);

#endif
