/* Turns nix's --log-format internal-json back into the text that nix would have printed: a filter
   from bytes to bytes.

   A line "@nix {json}" is replaced by its text for a person: the message, "NAME> text" for a line
   of a builder, or "building '…'..." for an activity that nix would announce. The counts in the
   line go to the sink. Everything else passes unchanged, also a record that is malformed or longer
   than NIXLOG_RECORD_MAX. Pure, bounded in memory. The result does not depend on how the bytes are
   divided into calls. */
#ifndef NIXFLEET_NIXLOG_H
#define NIXFLEET_NIXLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NIXLOG_RECORD_MAX ((size_t)1 << 20)

enum nixlog_count { NIXLOG_BUILDS, NIXLOG_PATHS };

/* Receives the results. Pointers are valid until the call returns. Each function may be NULL. */
struct nixlog_sink {
    void *context;
    void (*text)(void *context, const void *bytes, size_t size);
    /* process: the nix process that counts. Several may write, one after the other or at the same
     * time. */
    void (*count)(void *context, uint64_t process, enum nixlog_count what, int64_t done,
                  int64_t expected, int64_t running, int64_t failed);
    /* A build of a derivation, or a download of a path, begins. machine: "" for the local
     * machine. */
    void (*started)(void *context, const char *path, const char *machine, bool build);
    /* The build or download has ended, with or without success. */
    void (*ended)(void *context, const char *path);
    /* The builder of path begins this phase. */
    void (*step)(void *context, const char *path, const char *phase);
    /* The text that follows is from this builder; NULL: no longer from a builder. */
    void (*owner)(void *context, const char *path);
    /* One or more lines of the builder of path, as it wrote them, with any escape sequences. */
    void (*built)(void *context, const char *path, const char *text, size_t size);
    /* Bytes downloaded and expected, of all transfers. */
    void (*download)(void *context, int64_t done, int64_t expected);
};

enum nixlog_form {
    NIXLOG_LINES,  /* "@nix {json}" between other lines, as on a terminal */
    NIXLOG_RECORDS /* only "{json}", as in the file of nix's setting json-log-path */
};

struct nixlog;
struct nixlog *
nixlog_new(enum nixlog_form form,
           const struct nixlog_sink *sink); /* copies the sink; NULL when out of memory */
void nixlog_free(struct nixlog *nixlog);
void nixlog_feed(struct nixlog *nixlog, const void *bytes, size_t size);
void nixlog_finish(struct nixlog *nixlog); /* passes on what was held back */

#endif
