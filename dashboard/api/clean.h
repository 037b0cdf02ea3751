/* Texts from hosts end up in pages, downloads, log lines and terminals. This module makes
   each text of a parsed body harmless and small, once, before anything else looks at the body. */
#ifndef NIXFLEET_DASHBOARD_API_CLEAN_H
#define NIXFLEET_DASHBOARD_API_CLEAN_H

#include <stdbool.h>

#include "common/json.h"
#include "dashboard/fleet/validate.h"
#include "dashboard/server/http.h"

/* Changes the strings of object in place, those of nested objects and arrays included:
   - a complete escape sequence (CSI, OSC) is removed;
   - another control character (C0, DEL, C1) or a direction override becomes U+FFFD; LF, CR and TAB
   become a space, but LF and TAB stay in `output` and `argv`;
   - a string is cut to the limit of its field, between two characters, and ends in "…" then; a long
   list loses its end;
   - a key of a nested object that has a control character is removed with its value.
   The fields `text` and `lines` hold log lines, with rules of their own: they are left as they are.
   Returns NULL, or the name of a field (constant text) whose value is larger than allowed even
   then; its limit is in *limit, in bytes of JSON. When out of memory, returns "" and the object may
   be cleaned in part. */
const char *body_clean(json_object *object, size_t *limit);

/* Does the same. False: the request was answered with status and the reason (503 when out of
   memory). Status 400 uses the form of our own calls, {"error"}, another status that of v1's calls,
   {"detail"}. */
bool clean_or_answer(struct request *request, json_object *object, unsigned status);

/* Checks the form of a body of v1 (fleet/validate.h). False: answered with 422 (503 when out of
   memory). */
bool validate_or_answer(struct request *request, json_object *object,
                        const struct field_rule *rules);

#endif
