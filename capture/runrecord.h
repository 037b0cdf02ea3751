/* A run's record on disk: what the command wrote, when, in which window, how it ended, and how much
   of the output a dashboard has. The record is the local log and the spool at once. In the state
   directory (mode 0700, files 0600):

     ID.log       the raw bytes (or elsewhere, with --log)
     ID.marks     struct run_mark records, appended at the start, at each change of the window, and
                  before output that comes RUN_MARK_MS or more after the last mark
     ID.nix       with --nix-log: nix's internal log (nixspool.h), if nix has written something
     ID.profiles  which nix profiles the command changed (profiles.h)
     ID.changes   what these changes mean, made by the helpers (changes/changes.h)
     ID.refused   why a dashboard refused a part of the run; usually missing
     ID.run       the description: text lines "key=value", values with %XX for '%' and control
                  characters. Its first three lines are the slots `end=…`, `ack=…` and `file=…`,
                  padded with spaces to a fixed width and rewritten in place, so that they can be
                  written on a full disk. The last line of the description is `whole=1`; a file
                  without it was cut. After it may come lines `gap=…` (struct run_gap).

   The log writer of the run (logwriter.h) writes all of it, except `ack` after the end of the run,
   which the delivering process rewrites.

   Locks (flock): the log writer holds ID.run while output can still come; an unlocked .run without
   an end is a lost run. The process that delivers (the shipper, or a flush) holds ID.marks, so that
   only one delivers at a time. A log of --log is locked by the writer of its run, too. */
#ifndef NIXFLEET_RUNRECORD_H
#define NIXFLEET_RUNRECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../common/id.h"
#include "status.h"

#define RUN_MARK_MS 250
#define RUN_RECORD_LIMIT ((size_t)8 << 20) /* bytes of a description; argv may be long */
/* bytes at each end of a log, by which the log is identified */
#define RUN_SAMPLE 4096
struct run_end {
    bool known; /* false: the run has not ended, or is lost */
    bool by_signal;
    int code; /* exit status, or number of the signal */
    int64_t wall_ms;
    uint64_t bytes;     /* the size that a complete log would have */
    uint64_t log_bytes; /* of these bytes, how many are in the log */
};

/* The identity of a log file when its run last wrote to it. */
struct run_file {
    bool known;
    uint64_t device, inode;
    uint64_t size; /* bytes that the run has written */
    /* The hashes are of this many bytes: at the start of the file, and before `size`. */
    uint32_t first_size, last_size;
    uint64_t first, last;
};

/* Output that is missing inside a log, because its disk did not answer. At offset in the log, a
 * line of `length` bytes stands for `missing` bytes of output. */
struct run_gap {
    uint64_t offset, length, missing;
};
#define RUN_GAPS_MAX 1000 /* read from a record */

/* The facts of a run when it started. Strings belong to the struct. */
struct run_info {
    char id[RUN_ID_SIZE];
    char host[HOST_ID_SIZE];
    char name[64]; /* the label: switch, pull… */
    char user[64];
    /* of the dashboard for this run, in the form of config->url: scheme, host, port and path,
     * without '/' at the end. "" or NULL: none, or written by an older version */
    char *url;
    char *log_path; /* absolute; "": there is no log */
    char **argv;    /* NULL-terminated */
    char *cwd;
    int64_t started_ms; /* wall clock */
    int pid;            /* of the pump */
    uint32_t rows, cols;
    bool stream;   /* false: --no-stream or no URL, so never delivered */
    char *secrets; /* the text form of common/secrets.h; may be "" */
};

struct run_record {
    struct run_info info;
    struct run_end end;
    struct run_ack ack;
    struct run_file file;
    struct run_gap *gaps; /* in the order of their offsets */
    size_t gap_count;
    bool alive; /* its log writer holds the lock */
    /* cut, empty or overwritten (a power cut): missing fields are guesses. Such a run is
     * undelivered, unless the rest of the record says otherwise */
    bool damaged;
};

/* Reads DIR/ID.run. Returns 0; or -1 with errno: ENOENT, or EBADMSG if it is not a regular file. Of
   a file that is empty or damaged, returns what is left, and the time of the id. Never waits for a
   FIFO or a device. */
int run_record_read(const char *dir, const char *id, struct run_record *record);
/* Reads a description from memory, as a helper gets it. Returns 0, or -1 with errno ENOMEM or
 * EBADMSG. */
int run_record_parse(const char *text, size_t size, struct run_record *record);
void run_record_free(struct run_record *record);
/* The ids of the runs in dir, oldest first, NULL-terminated. The caller frees each id and the
 * array. NULL on failure. */
char **run_record_list(const char *dir);
/* True if a dashboard should still get a part of the run: it is streamed, neither delivered nor
 * refused, and has ended or is not alive. */
bool run_undelivered(const struct run_record *record);

/* Creates a directory and its parents; the directory itself has mode 0700. Returns 0, or -1 with
 * errno. */
int run_dir_make(const char *path);
/* Whether a state directory may be used: it belongs to this user or root, and nobody else may write
 * to it. False with errno if it cannot be opened. */
bool run_directory_trusted(const char *dir);
bool run_directory_trusted_fd(int dir_fd);

/* Opens DIR/ID.ENDING for reading (flags: O_RDONLY or O_RDWR), close-on-exec. Returns -1 with
   errno: EBADMSG if it is not a regular file. Never waits. */
int run_file_open(const char *dir, const char *id, const char *ending, int flags);
/* The state of the log of a run. */
enum run_log_state {
    RUN_LOG_THERE,
    RUN_LOG_GONE,        /* it cannot be opened; errno has the reason */
    RUN_LOG_NO_FILE,     /* a FIFO or a device, whose content was not kept */
    RUN_LOG_FOREIGN,     /* it belongs to another user than the record */
    RUN_LOG_OVERWRITTEN, /* it holds text of another run or program */
};
/* Opens the log that the record in dir names, if it is a regular file of the record's owner and
   holds what this run wrote. Otherwise *fd is -1. Never waits. */
enum run_log_state run_log_of(const char *dir, const struct run_record *record, int *fd);
/* A sentence for a person, such as "its log was overwritten". problem: the errno of
 * RUN_LOG_GONE. */
const char *run_log_state_text(enum run_log_state state, int problem);
/* How many bytes of an open log belong to the run. NUL bytes at the end of the log do not, unless
   the record includes them: a power cut leaves such bytes. */
uint64_t run_log_length(int log_fd, const struct run_record *record);

/* Rewrites the ack slot of an open .run file in place. Returns 0, or -1 with errno. */
int run_ack_write(int run_fd, const struct run_ack *ack);
/* Writes DIR/ID.refused: what the dashboard refused, as one line for a person. Such a run stays
   undelivered, and is delivered again when a person asks for it. text NULL: removes the file. On
   failure only the reason is lost. */
void run_refusal_write(const char *dir, const char *id, const char *text);
/* Reads DIR/ID.refused. False if nothing was refused. */
bool run_refusal_read(const char *dir, const char *id, char *text, size_t size);
/* Takes the lock for delivery on an open .marks file, without waiting. Returns 0, or -1 with errno
 * EWOULDBLOCK. */
int run_delivery_lock(int marks_fd);

#define DAY_MS INT64_C(86400000)
/* The limits for old runs. */
struct run_bounds {
    size_t count;
    int64_t age_ms;
    uint64_t bytes; /* of logs in the directory */
};
/* Removes the oldest runs beyond a limit, but never a run that is alive or undelivered, nor a log
   outside dir. Of runs that may not be removed, each call examines a few hundred. Returns how many
   runs were removed. */
size_t run_prune(const char *dir, const struct run_bounds *bounds);

/* ---- for the log writer ---- */

/* The text of ID.run with empty slots. The caller frees it. log_path replaces the path in info.
 * NULL when out of memory. */
char *run_record_format(const struct run_info *info, const char *log_path, size_t *size);
/* Rewrites a slot of an open .run file in place. Returns 0, or -1 with errno. */
int run_end_write(int run_fd, const struct run_end *end);
int run_file_write(int run_fd, const struct run_file *file);
/* Adds a line to an open .run file. Returns 0, or -1 with errno. */
int run_gap_write(int run_fd, const struct run_gap *gap);
/* The identity of a log to which this run has written size bytes. False if the log cannot be
 * read. */
bool run_file_of(int log_fd, uint64_t size, struct run_file *file);

#endif
