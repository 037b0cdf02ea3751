/* The files of a run, opened by its log writer. Every call here may wait for the disk without a
 * limit: never call them in the pump. */
#ifndef NIXFLEET_LOGFILES_H
#define NIXFLEET_LOGFILES_H

#include <stdbool.h>

#include "runrecord.h"
#include "status.h"

/* What the log writer logs, and where. Strings are borrowed. */
struct log_plan {
    const char *dir;  /* the state directory, absolute; NULL: there is none */
    const char *file; /* --log, absolute; NULL: none */
    struct run_info info;
    struct run_bounds keep;
    bool nix_record; /* nix was given a file for its own record (nixrecord.h) */
    bool nix_ask;    /* whether this nix can keep one is not known yet */
};

struct log_files {
    int run_fd, marks_fd, log_fd; /* -1: none */
    int copy_fd;      /* of --log, where that is no file of its own: a pipe, a device, or
                         the file that the caller's output goes to. -1: none */
    bool copy_blocks; /* it is the caller's own description */
};

/* If --log names one of this process's own descriptors (/dev/stdout, /dev/fd/N): returns a
 * duplicate. To be called before these are closed; does not wait. -1: --log names none. */
int log_files_own_descriptor(const struct log_plan *plan);
/* Makes the directory, the log, the record and the marks; writes problems and the path of the log
 * to the page. copy_fd: what log_files_own_descriptor returned. Every file in the directory must be
 * new; an existing one is refused. */
void log_files_create(struct log_files *files, const struct log_plan *plan, int copy_fd,
                      struct status_page *page);
/* After the death of a log writer: opens the files that it left, and makes the missing ones. Sets
 * the page's counters to the content of the files. */
void log_files_resume(struct log_files *files, const struct log_plan *plan,
                      struct status_page *page);
void log_files_close(struct log_files *files);

#endif
