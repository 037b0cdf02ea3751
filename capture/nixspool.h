/* nix's internal log on its way from memory (nixmemory.h) to ID.nix in the state directory. Only
   the log writer calls this.

   A byte has the same offset in both files. What is on the disk is freed in memory. While the disk
   does not answer, the log writer waits, and a process of its own frees the oldest part when more
   than NIX_SPOOL_MOST bytes wait: this part is a hole in ID.nix. A reader finds a byte in memory if
   page->nix_freed is still not above its offset after the read, else in ID.nix. */
#ifndef NIXFLEET_NIXSPOOL_H
#define NIXFLEET_NIXSPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

#define NIX_SPOOL_MOST ((uint64_t)16 << 20)

struct nix_spool {
    struct status_page *page;
    int memory_fd; /* -1: there is no record */
    int disk_fd;   /* -1: not created yet */
    int guard;     /* write end of a pipe: its end of file ends the process that frees memory */
    int dir_fd;    /* the state directory; -1: nothing is written, what comes is dropped */
    const char *id;
};

/* Takes the file that page->nix_path names, and starts the process that frees memory. prepare is
   called in this process: it must close what the log writer must hold alone. Does not wait for a
   disk. Without a record, or if this fails, spool->memory_fd is -1. */
void nix_spool_open(struct nix_spool *spool, struct status_page *page,
                    void (*prepare)(void *context), void *context);
/* Says where ID.nix will be; before, nothing is copied. dir NULL: nowhere. */
void nix_spool_to(struct nix_spool *spool, const char *dir, const char *id);
/* Copies what nix has written. False if there was nothing. May wait for the disk. */
bool nix_spool_copy(struct nix_spool *spool);
/* Whether bytes are left to be copied. */
bool nix_spool_waits(const struct nix_spool *spool);
/* After the run: what nix writes from now on is dropped. */
void nix_spool_close(struct nix_spool *spool);

#endif
