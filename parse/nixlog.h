/* nix's --log-format internal-json back to the text that nix would have printed: a filter from
   bytes to bytes.

   A line "@nix {json}" is replaced with what a person would want to read of it: the message, "NAME>
   text" for a line of a builder's output, "building '…'..." for an activity that nix would
   announce. The counts in it go to the sink. Everything else passes through unchanged, also a
   record that is malformed or longer than NIXLOG_RECORD_MAX. Pure, bounded in memory; the result
   does not depend on how the bytes are cut. */
#ifndef NIXFLEET_NIXLOG_H
#define NIXFLEET_NIXLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NIXLOG_RECORD_MAX ((size_t)1 << 20)

enum nixlog_count { NIXLOG_BUILDS, NIXLOG_PATHS };

/* Who is told. Pointers live until the call returns. */
struct nixlog_sink {
    void *context;
    void (*text)(void *context, const void *bytes, size_t size);
    /* process: the nix that counts, since several may write one after the other, or at once. */
    void (*count)(void *context, uint64_t process, enum nixlog_count what, int64_t done,
                  int64_t expected, int64_t running, int64_t failed);
    /* A derivation begins to be built, or a path to come; machine: "" for this one. */
    void (*started)(void *context, const char *path, const char *machine, bool build);
    /* It is over, whatever became of it. */
    void (*ended)(void *context, const char *path);
    /* The builder of path says that it begins this phase. */
    void (*step)(void *context, const char *path, const char *phase);
    /* The text that comes next is of this builder; NULL: no longer. */
    void (*owner)(void *context, const char *path);
    /* Bytes that have come and are expected by download, of all transfers. */
    void (*download)(void *context, int64_t done, int64_t expected);
};

enum nixlog_form {
    NIXLOG_LINES,  /* "@nix {json}" among other lines, as on a terminal */
    NIXLOG_RECORDS /* "{json}" alone, as in the file of nix's setting json-log-path */
};

struct nixlog;
struct nixlog *
nixlog_new(enum nixlog_form form,
           const struct nixlog_sink *sink); /* the sink is copied; NULL when out of memory */
void nixlog_free(struct nixlog *nixlog);
void nixlog_feed(struct nixlog *nixlog, const void *bytes, size_t size);
void nixlog_finish(struct nixlog *nixlog); /* what was held back passes through */

#endif
