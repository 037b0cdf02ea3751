/* Writes the bodies that a run sends (docs/protocol.md), directly, since their text is large and
   their form is fixed. */
#ifndef NIXFLEET_JSON_OUT_H
#define NIXFLEET_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../capture/runlog.h"
#include "../../capture/status.h"
#include "../../parse/phase.h"

/* A JSON text that grows. After an allocation failed, `failed` stays set and writing does
   nothing. */
struct json_out {
    char *bytes; /* not NUL-terminated */
    size_t size, room;
    bool failed;
    bool comma; /* the next member needs one in front */
};

/* Takes memory for a text of that many bytes in advance: grown step by step it would be moved each
   time. If there is none, it is asked for again once it is needed. */
void json_reserve(struct json_out *out, size_t size);
void json_reset(struct json_out *out); /* empty again; keeps the memory */
void json_free(struct json_out *out);
void json_open(struct json_out *out, const char *key,
               char bracket); /* key may be NULL in arrays and at the top */
void json_close(struct json_out *out, char bracket);
void json_int(struct json_out *out, const char *key, int64_t value);
void json_number(struct json_out *out, const char *key, double value); /* two decimals */
/* Text as a string. Invalid UTF-8 becomes U+FFFD, so that the body is always valid. */
void json_string(struct json_out *out, const char *key, const char *text, size_t length);
void json_time(struct json_out *out, const char *key, int64_t wall_ms); /* RFC 3339 */

/* A member that is written in pieces: begin, any number of pieces, end. */
void json_text_begin(struct json_out *out, const char *key);
void json_text_piece(struct json_out *out, const char *text, size_t length);
/* A piece that is such text already. */
void json_text_escaped(struct json_out *out, const char *text, size_t length);
void json_text_end(struct json_out *out);

/* "progress": {…}, with what is known; nothing when nothing is. */
void json_progress(struct json_out *out, const struct progress *progress);
/* "exit": {"code":N} or {"signal":"NAME"}. */
void json_exit(struct json_out *out, bool by_signal, int code);

#endif
