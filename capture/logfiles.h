/* The files of a run, opened by the log writer. Every call here may wait for the disk without a
 * limit: never call them in the pump. */
#ifndef NIXFLEET_LOGFILES_H
#define NIXFLEET_LOGFILES_H

#include <stdbool.h>

#include "runrecord.h"
#include "status.h"

/* What the log writer logs, and where. The strings belong to the caller. */
struct log_plan {
    const char *dir;  /* the state directory, absolute; NULL: none */
    const char *file; /* --log, absolute; NULL: none */
    struct run_info info;
    struct run_bounds keep;
    const char *nix_path; /* of nix's internal log in memory (nixrecord.h); "": none */
    bool nix_ask;         /* it is not known yet whether this nix can write one */
};

struct log_files {
    int run_fd, marks_fd, log_fd; /* -1: none */
    /* the file of --log if it cannot be the log itself: a pipe, a device, or the file that the
     * caller's output goes to. -1: none */
    int copy_fd;
    bool copy_blocks; /* it is the caller's own file description, so a write may block */
};

/* If --log names a descriptor of this process (/dev/stdout, /dev/fd/N), returns a duplicate. Must
 * be called before these descriptors are closed. Does not wait. -1: --log names none. */
int log_files_own_descriptor(const struct log_plan *plan);
/* Creates the directory, the log, the record and the marks. Writes problems and the path of the log
 * to the page. copy_fd: the result of log_files_own_descriptor. The files in the directory must not
 * exist; an existing file is refused. */
void log_files_create(struct log_files *files, const struct log_plan *plan, int copy_fd,
                      struct status_page *page);
/* After the death of a log writer: opens the files that it left, and creates missing ones. Sets the
 * counters of the page from the content of the files. */
void log_files_resume(struct log_files *files, const struct log_plan *plan,
                      struct status_page *page);
void log_files_close(struct log_files *files);

#endif
