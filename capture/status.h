/* The status page: memory that the processes of a run share. The pump writes the command's output
   to its ring. The log writer copies the output from there to the disk; the shipper reads there
   what is not on the disk yet. The page also has counters, the phase, and the problems of the log.
   No process waits for another one here: every field has one writer; readers poll or are woken. */
#ifndef NIXFLEET_STATUS_H
#define NIXFLEET_STATUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../common/token.h"
#include "common/progress.h"

/* Bytes of the ring if the memory can be mapped: a power of two. Memory that was never written
   costs nothing. */
#define STATUS_RING_SIZE ((size_t)64 << 20)
#define STATUS_RING_LEAST ((size_t)256 << 10)
#define STATUS_MARKS 1024
#define STATUS_PATH_SIZE 4096
#define STATUS_NIX_PATH_SIZE 256
#define STATUS_PHASE_SIZE 16
#define STATUS_TOKEN_SIZE (TOKEN_MAX + 1)

/* The progress of the run, from parse/phase. */
struct status_progress {
    char phase[STATUS_PHASE_SIZE]; /* "": not known */
    struct progress progress;
};

/* Output from this byte on came at this time, with this window. */
struct run_mark {
    uint64_t offset;
    int64_t wall_ms;
    uint32_t rows, cols;
};

/* What the dashboard has of a run. */
struct run_ack {
    uint64_t lines; /* acknowledged by the dashboard, and final */
    uint32_t more;  /* lines behind these that the dashboard also has, but that may still change */
    bool delivered; /* everything, with the end of the run */
    /* the dashboard will never accept the run (410, or a token of another dashboard), so the run is
     * not undelivered */
    bool refused;
    uint64_t bytes; /* of the output that became these lines; 0: not known */
};

/* by exit status, by signal */
enum status_end { STATUS_RUNNING, STATUS_EXITED, STATUS_KILLED };
/* What the log writer could not do; problem[] has the errno of each. */
enum log_problem {
    LOG_NO_DIRECTORY, /* there is no directory, so there is no record */
    LOG_SHARED,       /* other users may write to the directory, so it is not used */
    LOG_NO_RECORD,    /* the record could not be created or written */
    LOG_ELSEWHERE,    /* the caller's file could not be opened, so the log is in the directory */
    /* the caller's file is the log of a run that is alive, so the log is in the directory */
    LOG_IN_USE,
    LOG_NONE,       /* no log could be opened */
    LOG_ENDED,      /* a write to the log failed */
    LOG_COPY_ENDED, /* a write to the caller's pipe or device failed */
    LOG_REMOVED,    /* the record was removed during the run */
    LOG_NIX_ENDED,  /* nix's internal log could not be written */
    LOG_PROBLEMS
};

enum status_token { STATUS_TOKEN_UNKNOWN, STATUS_TOKEN_READ, STATUS_TOKEN_NONE };

struct status_page {
    /* Written at the start, before another process maps the page. */
    uint32_t page_size;   /* sizeof(struct status_page) of the program that made it */
    uint32_t record_size; /* bytes of the run's record, which follows this struct */
    uint64_t ring_at;     /* bytes from the start of this struct */
    uint64_t ring_size;
    char nix_path[STATUS_NIX_PATH_SIZE]; /* of nix's internal log in memory; "": none */
    /* Written by the pump. */
    _Atomic uint64_t bytes;       /* of output so far */
    _Atomic uint64_t reserved;    /* bytes, and those that the pump is copying into the ring now */
    _Atomic uint32_t ring_seq;    /* odd while the next three fields change */
    _Atomic uint64_t ring_window; /* bytes of the ring that are in use */
    _Atomic uint64_t ring_origin; /* the byte at offset o is at (o - ring_origin) % ring_window */
    _Atomic uint64_t ring_first;  /* older bytes are in the log, and not in the ring */
    _Atomic uint64_t marks;       /* number of marks so far; mark n is at mark[n % STATUS_MARKS] */
    struct run_mark mark[STATUS_MARKS];
    _Atomic int64_t output_ms;   /* monotonic time of the last output; at first, of the start */
    _Atomic uint32_t rows, cols; /* the present window */
    _Atomic uint32_t end;        /* enum status_end; set when bytes has its final value */
    _Atomic uint32_t end_code;   /* exit status, or number of the signal */
    _Atomic int64_t ended_ms;    /* wall clock time of the end */
    /* 1: the pump wants a byte on the log writer's channel when most of the output is in the log;
       cleared by the log writer */
    _Atomic uint32_t pump_waits;
    _Atomic uint32_t over; /* 1: the pump waits for `finished`, whether there is an end or not */
    _Atomic uint32_t wake_wanted; /* set to 1 by the shipper before it sleeps; cleared by the pump
                                     when it wakes the shipper */
    /* Written by the log writer. */
    _Atomic uint64_t taken; /* bytes that are in the log, or will never be there */
    /* bytes at the start of the output that are in the log without a gap */
    _Atomic uint64_t log_bytes;
    _Atomic uint64_t log_size; /* bytes that this run has written to the log file */
    _Atomic uint64_t gap;      /* bytes of output that are missing inside the log */
    _Atomic uint64_t marks_taken;
    /* bytes of nix's internal log (nixspool.h) that are on the disk, or will never be there */
    _Atomic uint64_t nix_taken;
    _Atomic uint64_t nix_lost;  /* of these, the bytes that waited too long for the disk */
    _Atomic uint64_t nix_freed; /* bytes that are no longer in memory; written by a child */
    /* WRITER_… of logwriter.h: whether the log writer wants to be woken */
    _Atomic uint32_t writer_sleeps;
    _Atomic uint32_t log_open; /* 1: log_path and the identity of the file are known */
    _Atomic uint32_t finished; /* 1: the run is over, and all of it is on the disk or failed */
    _Atomic int32_t problem[LOG_PROBLEMS]; /* errno; 0: no problem */
    uint64_t log_device, log_inode;
    char log_path[STATUS_PATH_SIZE]; /* "": there is no log */
    /* Written by the shipper. */
    _Atomic uint64_t lines;        /* lines of the output so far */
    _Atomic uint64_t acked;        /* lines that the dashboard has */
    _Atomic uint32_t delivered;    /* 1: all lines and the end of the run are acknowledged */
    _Atomic uint32_t progress_seq; /* odd while progress is being written */
    struct status_progress progress;
    _Atomic uint32_t ack_seq; /* odd while ack is being written */
    struct run_ack ack;
    /* A token that was read from a pipe (--token-file <(command)), for both helpers. */
    _Atomic uint32_t token_state; /* enum status_token; set after the token */
    char token[STATUS_TOKEN_SIZE];
    /* Written by the heartbeat. */
    _Atomic uint32_t heartbeats; /* sent so far, also by a heartbeat process that died */
};

/* Makes a page in new shared memory (a memfd, or else an unlinked POSIX object), with a copy of the
   run's record. Returns the mapped page, and its descriptor (close-on-exec) in *fd. *fd is -1 if
   only anonymous memory was available: child processes share it, other programs cannot. NULL with
   errno. */
struct status_page *status_create(const char *record, size_t size, int *fd);
/* Maps a page whose descriptor was inherited. NULL with errno; EINVAL if it is not such a page. */
struct status_page *status_map(int fd);
void status_unmap(struct status_page *page);
/* The run's record (runlog.h), page->record_size bytes. */
const char *status_record(const struct status_page *page);

/* Pump only: appends output to the ring and counts it. Never fails or waits; without space, the
   oldest bytes are overwritten. */
void status_ring_write(struct status_page *page, const void *bytes, size_t size);
/* Pump only: how many bytes can be appended before the log loses some. */
size_t status_ring_space(const struct status_page *page);
/* Any process: copies up to size bytes of output from offset on. Returns how many. *skipped: the
   number of bytes that were overwritten before they could be read; they come before the returned
   bytes. Returns 0 with *skipped 0 if the bytes do not exist yet, or are only in the log. */
size_t status_ring_read(const struct status_page *page, uint64_t offset, void *out, size_t size,
                        uint64_t *skipped);

/* Pump only: appends a mark. Drops it if all marks of the page wait for the log writer. */
void status_mark(struct status_page *page, const struct run_mark *mark);
/* Any process: reads mark n. False if it does not exist yet, or is only in the file of marks. */
bool status_get_mark(const struct status_page *page, uint64_t n, struct run_mark *mark);

/* Shipper only: publishes what the dashboard has, for the log writer. */
void status_set_ack(struct status_page *page, const struct run_ack *ack);
/* Reads it. False if it is being written now, or its writer died during the write. */
bool status_get_ack(struct status_page *page, struct run_ack *out);

/* Shipper only: publishes the progress. */
void status_set_progress(struct status_page *page, const struct status_progress *progress);
/* Any process: reads the progress as a consistent copy. False if the shipper is writing it now, or
 * died during the write. */
bool status_get_progress(struct status_page *page, struct status_progress *out);

#endif
