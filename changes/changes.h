/* What a run changed. For each profile that capture/profiles.h found changed: the old and the new
   generation, and the difference of their closures, which nix-store -q reports. */
#ifndef NIXFLEET_CHANGES_H
#define NIXFLEET_CHANGES_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CHANGES_MS 5000                      /* the time for all calls of nix-store */
#define CHANGES_SIZE_MAX ((size_t)200 << 10) /* bytes of the JSON text */

/* True if the record DIR/ID.profiles says that the run changed a profile. */
bool changes_any(const char *dir, const char *id);
/* The JSON text of what changed (docs/protocol.md, `changes`). It is read from DIR/ID.changes, or
   computed and stored there, which takes at most CHANGES_MS, at a low priority; a damaged file is
   made again. If the closures are not available (they were deleted, or the time was over), the
   text has only the generations. The caller frees the text. NULL: nothing changed, or out of
   memory. */
char *changes_read(const char *dir, const char *id);
/* The same text if it is stored and not damaged, else NULL. Does not wait. */
char *changes_made(const char *dir, const char *id);
/* The array in such a text, for json_object_put. NULL: the text is no JSON array, or out of
   memory. */
json_object *changes_parse(const char *text);

#endif
