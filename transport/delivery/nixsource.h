/* Reads nix's internal log of a run: from memory while the run lives, and from
   ID.nix in the state directory what is no longer in memory (capture/nixspool.h). */
#ifndef NIXFLEET_NIXSOURCE_H
#define NIXFLEET_NIXSOURCE_H

#include <stdint.h>
#include <sys/types.h>

#include "../../capture/status.h"

struct nix_source {
    const struct status_page *page; /* NULL: the run is over */
    char *path;                     /* of ID.nix; NULL: there is nothing to read */
    int memory_fd, disk_fd;         /* -1: not open */
};

/* page: of the run, which must be valid as long as the source; NULL: only ID.nix is read. dir NULL:
 * there is nothing to read. Never fails. */
void nix_source_open(struct nix_source *source, const struct status_page *page, const char *dir,
                     const char *id);
/* Reads at most size bytes from the offset *at on, and adds their number to *at. Lost bytes are
 * passed over, or are NUL bytes. Returns the number of bytes; 0: nothing has been appended. A disk
 * is read only if the bytes are not in memory. */
size_t nix_source_read(struct nix_source *source, uint64_t *at, char *bytes, size_t size);
void nix_source_close(struct nix_source *source);

#endif
