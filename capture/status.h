/* The status page: shared memory of a run. The pump puts the command's output into its ring; the
   log writer takes the output from there to the disk, and the shipper reads there what is not on
   the disk (yet). It also carries counters, the phase, and what the log's disk failed at. Nobody
   ever waits for anybody here: every field has one writer, readers poll or are poked. */
#ifndef NIXFLEET_STATUS_H
#define NIXFLEET_STATUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../common/token.h"
#include "common/progress.h"

/* Bytes of output that the ring holds, where the memory can be mapped: a power of two. Memory that
   was never written to costs nothing. */
#define STATUS_RING_SIZE ((size_t)64 << 20)
#define STATUS_RING_LEAST ((size_t)256 << 10)
#define STATUS_MARKS 1024
#define STATUS_PATH_SIZE 4096
#define STATUS_PHASE_SIZE 16
#define STATUS_TOKEN_SIZE (TOKEN_MAX + 1)

/* How far the run has come, as parse/phase knows it. */
struct status_progress {
    char phase[STATUS_PHASE_SIZE]; /* "": not known */
    struct progress progress;
};

/* From this byte of output on it came at this time, in this window. */
struct run_mark {
    uint64_t offset;
    int64_t wall_ms;
    uint32_t rows, cols;
};

/* What the dashboard has of a run. */
struct run_ack {
    uint64_t lines; /* acknowledged by the dashboard, and final */
    uint32_t more;  /* behind these that it has besides: they could still change */
    bool delivered; /* everything, the end included */
    bool refused; /* the dashboard will never accept the run (410, or a token of another dashboard):
                     not undelivered */
    uint64_t bytes; /* of output that made these lines; 0: not known */
};

enum status_end { STATUS_RUNNING, STATUS_EXITED, STATUS_KILLED }; /* by exit status, by signal */

/* What the log writer could not do, each with the errno that it met. */
enum log_problem {
    LOG_NO_DIRECTORY, /* no directory: no record */
    LOG_SHARED,       /* the directory may be written to by others: not used */
    LOG_NO_RECORD,    /* the record could not be made or written */
    LOG_ELSEWHERE,    /* the caller's file could not be opened: logged in the directory */
    LOG_IN_USE,       /* the caller's file is the log of a run that goes on: so, too */
    LOG_NONE,         /* no log could be opened */
    LOG_ENDED,        /* a write to the log failed */
    LOG_COPY_ENDED,   /* a write to the caller's pipe or device failed */
    LOG_REMOVED,      /* the record was removed by someone while the run lasted */
    LOG_PROBLEMS
};

enum status_token { STATUS_TOKEN_UNKNOWN, STATUS_TOKEN_READ, STATUS_TOKEN_NONE };

struct status_page {
    /* Written at the start, before anybody else maps it. */
    uint32_t page_size;   /* sizeof(struct status_page) of the program that made it */
    uint32_t record_size; /* bytes of the run's record, behind this struct */
    uint64_t ring_at;     /* bytes from the start of this struct */
    uint64_t ring_size;
    /* Written by the pump. */
    _Atomic uint64_t bytes;       /* written by the command so far */
    _Atomic uint64_t reserved;    /* bytes, and what the pump is copying into the ring now */
    _Atomic uint32_t ring_seq;    /* odd while the next three change */
    _Atomic uint64_t ring_window; /* bytes of the ring that are in use */
    _Atomic uint64_t
        ring_origin; /* the byte at offset o stands at (o - ring_origin) % ring_window */
    _Atomic uint64_t ring_first; /* older bytes are in the log, and not in the ring */
    _Atomic uint64_t marks;      /* made so far; number n stands at mark[n % STATUS_MARKS] */
    struct run_mark mark[STATUS_MARKS];
    _Atomic int64_t output_ms;   /* monotonic time of the last output (at first: of the start) */
    _Atomic uint32_t rows, cols; /* the window now */
    _Atomic uint32_t end;        /* enum status_end; set when bytes is what the command wrote */
    _Atomic uint32_t end_code;   /* exit status or signal number */
    _Atomic int64_t ended_ms;    /* wall time of the end */
    _Atomic uint32_t over;       /* 1: the pump waits for finished; with an end or without one */
    _Atomic uint32_t
        poke_wanted; /* set to 1 by the shipper before it sleeps; cleared by the pump's poke */
    /* Written by the log writer. */
    _Atomic uint64_t taken;     /* bytes that are in the log, or that it will never hold */
    _Atomic uint64_t log_bytes; /* the first bytes of output that are in the log without a gap */
    _Atomic uint64_t log_size;  /* bytes that this run has written to the log file */
    _Atomic uint64_t gap;       /* bytes of output that are missing in the middle of the log */
    _Atomic uint64_t marks_taken;
    _Atomic uint32_t writer_sleeps; /* enum of logwriter.c: whether it wants to be poked */
    _Atomic uint32_t log_open;      /* 1: log_path and the file's identity are known */
    _Atomic uint32_t finished;      /* 1: all of a run that is over is on the disk, or failed */
    _Atomic int32_t problem[LOG_PROBLEMS]; /* errno, 0: none */
    uint64_t log_device, log_inode;
    char log_path[STATUS_PATH_SIZE]; /* "": there is no log */
    /* Written by the shipper. */
    _Atomic uint64_t lines;        /* lines that the output has so far */
    _Atomic uint64_t acked;        /* lines that the dashboard has */
    _Atomic uint32_t delivered;    /* 1: everything is acknowledged, the end included */
    _Atomic uint32_t progress_seq; /* odd while progress is being written */
    struct status_progress progress;
    _Atomic uint32_t ack_seq; /* odd while ack is being written */
    struct run_ack ack;
    /* A token that came through a pipe (--token-file <(command)), for both helpers. */
    _Atomic uint32_t token_state; /* enum status_token; set after the token */
    char token[STATUS_TOKEN_SIZE];
    /* Written by the heartbeat. */
    _Atomic uint32_t beats; /* sent so far, also by one that has died */
};

/* Makes a page in new shared memory (memfd where there is one, an unlinked POSIX object elsewhere)
   with a copy of the run's record. Returns it mapped and its descriptor (close-on-exec) in *fd;
   *fd is -1 where only memory without a name was to be had: child processes share it, other
   programs cannot. NULL with errno. */
struct status_page *status_create(const char *record, size_t size, int *fd);
/* Maps a page that was handed down as fd. NULL with errno; EINVAL for what is no such page. */
struct status_page *status_map(int fd);
void status_unmap(struct status_page *page);
/* The run's record (runlog.h): page->record_size bytes. */
const char *status_record(const struct status_page *page);

/* Pump only: appends output to the ring and counts it. Never fails or waits: where there is no room
   the oldest bytes are overwritten. */
void status_ring_write(struct status_page *page, const void *bytes, size_t size);
/* Pump only: how many bytes can be appended before the log has lost some. */
size_t status_ring_room(const struct status_page *page);
/* Anyone: copies up to size bytes of output from offset on. Returns how many; *skipped is set to
   the number of bytes that were overwritten before they could be read (they come before the ones
   returned). 0 and nothing skipped: they do not exist yet, or are in the log only. */
size_t status_ring_read(const struct status_page *page, uint64_t offset, void *out, size_t size,
                        uint64_t *skipped);

/* Pump only: makes a mark, unless all that are there wait for the log writer. */
void status_mark(struct status_page *page, const struct run_mark *mark);
/* Anyone: mark number n. False: it does not exist yet, or is in the file of marks only. */
bool status_get_mark(const struct status_page *page, uint64_t n, struct run_mark *mark);

/* Shipper only: publishes what the dashboard has, for the log writer. */
void status_set_ack(struct status_page *page, const struct run_ack *ack);
/* False: it is being written now, or its writer died in that. */
bool status_get_ack(struct status_page *page, struct run_ack *out);

/* Shipper only: publishes progress. */
void status_set_progress(struct status_page *page, const struct status_progress *progress);
/* Anyone: a consistent copy, also when the shipper died in the middle of an update (then false:
 * last tries failed). */
bool status_get_progress(struct status_page *page, struct status_progress *out);

#endif
