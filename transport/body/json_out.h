/* Writes the request bodies of a run (docs/protocol.md) directly as text, because they are large
   and their form is fixed. */
#ifndef NIXFLEET_JSON_OUT_H
#define NIXFLEET_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../capture/runlog.h"
#include "../../capture/status.h"
#include "../../common/json_write.h"
#include "../../parse/phase.h"

void json_open(struct text *out, const char *key,
               char bracket); /* key may be NULL in arrays and at the top level */
void json_close(struct text *out, char bracket);
void json_int(struct text *out, const char *key, int64_t value);
void json_number(struct text *out, const char *key, double value); /* with two decimals */
/* A string. Invalid UTF-8 becomes U+FFFD, so that the body is always valid. */
void json_string(struct text *out, const char *key, const char *text, size_t length);
void json_time(struct text *out, const char *key, int64_t wall_ms); /* in RFC 3339 */

/* The value is JSON already. */
void json_raw(struct text *out, const char *key, const char *json);

/* A string that is written in pieces: begin, any number of calls of text_escape (or of text_add,
   for text that is escaped already), end. */
void json_text_begin(struct text *out, const char *key);
void json_text_end(struct text *out);

/* "progress": {…} with the known counts; nothing if none is known. */
void json_progress(struct text *out, const struct progress *progress);
/* "exit": {"code":N} or {"signal":"NAME"}. */
void json_exit(struct text *out, bool by_signal, int code);

#endif
