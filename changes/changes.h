/* What a run changed: for each profile that capture/profiles.h found changed, the old and the new
   generation and the difference of their closures, read with nix-store -q. */
#ifndef NIXFLEET_CHANGES_H
#define NIXFLEET_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CHANGES_MS 5000                      /* for all that nix-store is asked */
#define CHANGES_PACKAGES_MAX 1000            /* of a profile; the rest is counted as "more" */
#define CHANGES_SIZE_MAX ((size_t)200 << 10) /* bytes of the text */

/* True if the run changed a profile, by its record DIR/ID.profiles. */
bool changes_any(const char *dir, const char *id);
/* The JSON text of what changed (docs/protocol.md, `changes`), from DIR/ID.changes where it was
   made before. Otherwise it is made now, which takes CHANGES_MS at most, at the lowest priority,
   and kept. Without the closures (they are gone, or it took too long) only the generations are in
   it. The caller frees it. NULL: nothing changed, or out of memory. */
char *changes_read(const char *dir, const char *id);
/* The same text if it was made before, else NULL. Takes no time. */
char *changes_made(const char *dir, const char *id);

#endif
