/* A run's record on disk: what the command wrote, when, in which window, how it ended, and how much
   of it a dashboard has. It is at once the local log and the spool. In the state directory, 0700,
   files 0600:

     ID.log     the raw bytes (or elsewhere, with --log)

     ID.marks   struct run_mark records, appended: at the start, at each change of the window, and
                before output that comes RUN_MARK_MS or more after the last mark

     ID.nix     with --nix-log: what nix itself recorded (nixrecord.h); empty at the end: removed

     ID.run     the description: text lines "key=value", values with %XX for '%' and control
                characters. Its first two lines are the slots `end=…` and `ack=…`, padded with
                spaces to a fixed width and rewritten in place, so that a full disk cannot keep
                them from being recorded.

   Locks (flock): the pump holds ID.run while it lives: an unlocked .run without an end is a lost
   run. Whoever delivers (the shipper, or a flush) holds ID.marks, so that there is only one at a
   time. */
#ifndef NIXFLEET_RUNLOG_H
#define NIXFLEET_RUNLOG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../common/id.h"

#define RUN_MARK_MS 250

struct run_mark {
    uint64_t offset; /* of the first byte of the log that this mark is about */
    int64_t wall_ms;
    uint32_t rows, cols;
};

struct run_end {
    bool known; /* false: not ended, or lost */
    bool by_signal;
    int code; /* exit status, or signal number */
    int64_t wall_ms;
    uint64_t bytes;     /* written by the command in all */
    uint64_t log_bytes; /* of these in the log */
};

struct run_ack {
    uint64_t lines; /* acknowledged by the dashboard, and final */
    uint32_t more;  /* behind these that it has besides: they could still change */
    bool delivered; /* everything, the end included */
    bool refused; /* the dashboard will never take it (410, or a token that is not its): not owed */
};

/* What a run is, as it was when it started. Strings belong to the struct. */
struct run_info {
    char id[RUN_ID_SIZE];
    char host[HOST_ID_SIZE];
    char name[64]; /* label: switch, pull… */
    char user[64];
    char *url; /* of the dashboard that the run is for, as config->url has it: scheme, host, port
                  and path, without a final '/'; "" or NULL: none, or an older version's record */
    char *log_path; /* absolute */
    char **argv;    /* NULL-terminated */
    char *cwd;
    int64_t started_ms; /* wall */
    int pid;            /* of the pump */
    uint32_t rows, cols;
    bool stream;   /* false: --no-stream or no URL: never owed */
    char *secrets; /* what common/secrets made to recognise secret values; may be "" */
};

/* Writer's side (the pump). */
struct run_log {
    int log_fd, marks_fd, run_fd; /* -1: could not be opened, or given up after a failed write */
    bool apart; /* the log is a FIFO or a device: what is in it cannot be read again */
    char *dir, *run_path, *log_path;
    int64_t last_mark_ms;
};

/* The state directory: NIXFLEET_STATE_DIR, else $LOGS_DIRECTORY's first entry under systemd, else
   /var/log/nixfleet for root, else $XDG_STATE_HOME/nixfleet or ~/.local/state/nixfleet. Caller
   frees. NULL with errno. Makes nothing. */
char *run_dir(void);

/* mkdir -p, the last one 0700. 0, or -1 with errno. */
int run_dir_make(const char *path);

/* Makes the directory (NULL: there is none) and the files of a run and takes the pump's lock.
   log_path in info may be NULL (then DIR/ID.log). Returns 0; -1 with errno when nothing could be
   made (the struct is then usable: every write is dropped). */
int run_log_create(struct run_log *log, const char *dir, struct run_info *info);
/* Appends bytes. Returns 0, or -1 with errno: the log is then given up (log_fd -1), *written bytes
 * of these are in it. */
int run_log_append(struct run_log *log, const void *bytes, size_t size, size_t *written);
/* Appends a mark if one is due (or always, with force). Failure is not reported: times are then
 * less exact. */
void run_log_mark(struct run_log *log, uint64_t offset, uint32_t rows, uint32_t cols, bool force);
int run_log_end(struct run_log *log, const struct run_end *end);
void run_log_close(struct run_log *log);
/* Instead of an end: the command was never started. Removes the record (not a log outside dir) and
 * closes. */
void run_log_discard(struct run_log *log);

/* Reader's side (report). */
struct run_record {
    struct run_info info;
    struct run_end end;
    struct run_ack ack;
    bool alive; /* its pump holds the lock */
};
/* Reads DIR/ID.run. 0, or -1 with errno (EBADMSG: not such a file). */
int run_record_read(const char *dir, const char *id, struct run_record *record);
int run_record_read_fd(int run_fd, struct run_record *record); /* alive is not set */
void run_record_free(struct run_record *record);
/* Ids of the runs in dir, oldest first, NULL-terminated; caller frees each and the array. */
char **run_record_list(const char *dir);
/* Rewrites the ack slot of an open .run file in place. 0, or -1 with errno. */
int run_ack_write(int run_fd, const struct run_ack *ack);
/* Takes the deliverer's lock on an open .marks file without waiting. 0, or -1 with errno
 * EWOULDBLOCK. */
int run_delivery_lock(int marks_fd);
/* Removes old runs: those beyond max_count, older than max_age_ms, or beyond max_bytes in all
   (oldest first); never one that is alive or still owed, nor a log outside dir. Returns how many
   were removed. */
size_t run_prune(const char *dir, size_t max_count, int64_t max_age_ms, uint64_t max_bytes);
/* True if a dashboard should still get something of it: streamed, neither delivered nor refused,
 * not alive. */
bool run_owed(const struct run_record *record);

#endif
