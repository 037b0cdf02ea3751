/* Closures of store paths: what nix-store -q reports about two of them, and how they differ. Pure
   functions: text in, JSON out. The text is of another program, so it may be anything. */
#ifndef NIXFLEET_CHANGES_CLOSURE_H
#define NIXFLEET_CHANGES_CLOSURE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* packages listed for one profile; the others are counted as "more" */
#define CLOSURE_PACKAGES_MAX 1000

struct closure {
    char *text;  /* the answer, cut into its lines */
    char **path; /* sorted by name */
    size_t count;
};

/* Reads the answer of nix-store -q --requisites: one path a line. Takes the ownership of text,
 * which may be NULL. False if there is no line, or out of memory. In any case closure_free must
 * follow. */
bool closure_parse(struct closure *closure, char *text);
void closure_free(struct closure *closure);
/* Puts the paths that only `one` has into out, which has space for one->count. The pointers live as
 * long as `one`. Returns their number. */
size_t closure_only_in(const struct closure *one, const struct closure *other, char **out);
/* Adds `packages`, `rebuilt` and `more` of docs/protocol.md to profile: what was removed with the
 * paths in gone, and added with those in come. Adds nothing when out of memory. */
void closure_put_packages(json_object *profile, char **gone, size_t gone_count, char **come,
                          size_t come_count);
/* The sum of the answer of nix-store -q --size: one number a line. -1 if a line is no number from 0
 * on, or the sum is too large. */
int64_t closure_sizes(const char *text);

#endif
