/* A run's record on disk: what the command wrote, when, in which window, how it ended, and how much
   of it a dashboard has. It is at once the local log and the spool. In the state directory, 0700,
   files 0600:

     ID.log     the raw bytes (or elsewhere, with --log)

     ID.marks   struct run_mark records, appended: at the start, at each change of the window, and
                before output that comes RUN_MARK_MS or more after the last mark

     ID.nix     with --nix-log: what nix itself recorded (nixrecord.h); empty at the end: removed

     ID.profiles  which nix profiles the command changed (profiles.h)
     ID.changes   what that means, made by the helpers (changes/changes.h)
     ID.refused what a dashboard refused of it; as a rule there is none

     ID.run     the description: text lines "key=value", values with %XX for '%' and control
                characters. Its first three lines are the slots `end=…`, `ack=…` and `file=…`,
                padded with spaces to a fixed width and rewritten in place, so that a full disk
                cannot keep them from being recorded. The last line is `whole=1`: what has no such
                line was cut.

   All of it is written by the run's log writer (logwriter.h), but for `ack`, which whoever delivers
   a run that is over rewrites.

   Locks (flock): the log writer holds ID.run while the command's output can still come: an unlocked
   .run without an end is a lost run. Whoever delivers (the shipper, or a flush) holds ID.marks, so
   that there is only one at a time. A log that --log names is locked by its run's writer, too. */
#ifndef NIXFLEET_RUNRECORD_H
#define NIXFLEET_RUNRECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../common/id.h"
#include "status.h"

#define RUN_MARK_MS 250
#define RUN_RECORD_LIMIT ((size_t)8 << 20) /* bytes of a description: argv may be long */
#define RUN_SAMPLE 4096                    /* bytes at each end of a log that identify it */

struct run_end {
    bool known; /* false: not ended, or lost */
    bool by_signal;
    int code; /* exit status, or signal number */
    int64_t wall_ms;
    uint64_t bytes;     /* that the log would have if its end were not missing */
    uint64_t log_bytes; /* of these in the log */
};

/* What a log file was when its run last wrote to it. */
struct run_file {
    bool known;
    uint64_t device, inode;
    uint64_t size; /* bytes that the run has written */
    uint32_t first_size,
        last_size; /* bytes at the start and before size, of which the hashes are */
    uint64_t first, last;
};

/* What a run is, as it was when it started. Strings belong to the struct. */
struct run_info {
    char id[RUN_ID_SIZE];
    char host[HOST_ID_SIZE];
    char name[64]; /* label: switch, pull… */
    char user[64];
    char *url; /* of the dashboard that the run is for, as config->url has it: scheme, host, port
                  and path, without a final '/'; "" or NULL: none, or an older version's record */
    char *log_path; /* absolute; "": nothing is logged */
    char **argv;    /* NULL-terminated */
    char *cwd;
    int64_t started_ms; /* wall */
    int pid;            /* of the pump */
    uint32_t rows, cols;
    bool stream;   /* false: --no-stream or no URL: never delivered */
    char *secrets; /* what common/secrets made to recognise secret values; may be "" */
};

struct run_record {
    struct run_info info;
    struct run_end end;
    struct run_ack ack;
    struct run_file file;
    bool alive;   /* its log writer holds the lock */
    bool damaged; /* cut, empty or overwritten (a power cut): what is not there has been guessed.
                     Such a run is undelivered, unless the rest of the record says otherwise. */
};

/* Reads DIR/ID.run. 0, or -1 with errno: ENOENT, or EBADMSG for what is no regular file. A file
   that is empty or damaged gives what is left of it, and the time of the id. Never waits for a FIFO
   or a device. */
int run_record_read(const char *dir, const char *id, struct run_record *record);
/* Reads a description from memory, as a helper gets it. 0, or -1 with errno ENOMEM or EBADMSG. */
int run_record_parse(const char *text, size_t size, struct run_record *record);
void run_record_free(struct run_record *record);
/* Ids of the runs in dir, oldest first, NULL-terminated; caller frees each and the array. */
char **run_record_list(const char *dir);
/* True if a dashboard should still get something of it: streamed, neither delivered nor refused,
 * over or not alive. */
bool run_undelivered(const struct run_record *record);

/* mkdir -p, the last one 0700. 0, or -1 with errno. */
int run_dir_make(const char *path);
/* Whether a state directory may be used: it belongs to this user or root, and nobody else may write
 * to it. False with errno if it cannot be opened. */
bool run_directory_trusted(const char *dir);
bool run_directory_trusted_fd(int dir_fd);

/* Opens DIR/ID.ENDING for a reader (flags: O_RDONLY or O_RDWR), close-on-exec. -1 with errno:
   EBADMSG for what is no regular file. Never waits. */
int run_file_open(const char *dir, const char *id, const char *ending, int flags);
/* What can be wrong with the log of a run. */
enum run_log_state {
    RUN_LOG_THERE,
    RUN_LOG_GONE,        /* it cannot be opened: errno says why */
    RUN_LOG_NO_FILE,     /* a FIFO or a device: what was in it was not kept */
    RUN_LOG_FOREIGN,     /* it belongs to somebody else than the record */
    RUN_LOG_OVERWRITTEN, /* another run, or somebody, has put other text into it */
};
/* Opens the log that the record in dir names, where it is a regular file of the record's owner and
   holds what this run wrote. *fd is -1 otherwise. Never waits. */
enum run_log_state run_log_of(const char *dir, const struct run_record *record, int *fd);
/* A line for a person: "its log was overwritten". problem: errno of RUN_LOG_GONE. */
const char *run_log_state_text(enum run_log_state state, int problem);
/* How many bytes of an open log are the run's own. NUL bytes at its end that the run's record does
   not vouch for are not: a power cut leaves them. */
uint64_t run_log_length(int log_fd, const struct run_record *record);

/* Rewrites the ack slot of an open .run file in place. 0, or -1 with errno. */
int run_ack_write(int run_fd, const struct run_ack *ack);
/* DIR/ID.refused: what the dashboard refused of a run, one line for a person. Such a run stays
   undelivered, and is delivered again when somebody asks for it. text NULL removes it. Failures
   cost the reason only. */
void run_refusal_write(const char *dir, const char *id, const char *text);
/* False: nothing was refused. */
bool run_refusal_read(const char *dir, const char *id, char *text, size_t size);
/* Takes the deliverer's lock on an open .marks file without waiting. 0, or -1 with errno
 * EWOULDBLOCK. */
int run_delivery_lock(int marks_fd);

#define DAY_MS INT64_C(86400000)
/* How many runs are kept. */
struct run_bounds {
    size_t count;
    int64_t age_ms;
    uint64_t bytes; /* of logs in the directory */
};
/* Removes the oldest runs beyond a bound; never one that is alive or undelivered, nor a log outside
   dir. Of those that may not go it looks at a few hundred only, others at the next call. Returns
   how many were removed. */
size_t run_prune(const char *dir, const struct run_bounds *bounds);

/* ---- for the writer of a record ---- */

/* The text of ID.run with empty slots; caller frees. log_path replaces the one in info. */
char *run_record_format(const struct run_info *info, const char *log_path, size_t *size);
/* Rewrite a slot of an open .run file in place. 0, or -1 with errno. */
int run_end_write(int run_fd, const struct run_end *end);
int run_file_write(int run_fd, const struct run_file *file);
/* The identity of a log that this run has written size bytes to. False: it cannot be read. */
bool run_file_of(int log_fd, uint64_t size, struct run_file *file);

#endif
