/* Shared memory, and the process that empties it. */
#include "runlog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../common/io.h"
#include "logwriter.h"

#define STARTS_MAX 4
/* How long to wait for space in a full ring, counted from the last progress of the log writer. */
#define PATIENCE_MS 1000
#define PAUSE_MS 2
/* In a flood, the pump waits for the log writer at this distance, so that a small part of the ring
 * is enough (status.c). */
#define PACE_BYTES ((uint64_t)1 << 20)
#define PACE_PATIENCE_MS 50

/* ---- the log writer ---- */

static int above_standard(int fd)
{
    int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);

    close_fd(&fd);
    return moved;
}

/* Neither end may be one of the standard descriptors, which the caller may have closed. */
static int make_channel(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        return -1;
    ends[0] = above_standard(ends[0]);
    ends[1] = above_standard(ends[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return 0;
    close_fd(&ends[0]);
    close_fd(&ends[1]);
    return -1;
}

static int make_acks(struct run_log *log)
{
    int ends[2];

    if (pipe(ends) < 0)
        return -1;
    log->acks_read = above_standard(ends[0]);
    log->acks_write = above_standard(ends[1]);
    if (log->acks_write >= 0)
        /* a byte that does not fit is not needed: a full pipe wakes the reader, too */
        fcntl(log->acks_write, F_SETFL, O_NONBLOCK);
    return log->acks_read < 0 || log->acks_write < 0 ? -1 : 0;
}

/* Signals are blocked here, because the pump's handlers must not run in the new process. */
static int start_writer(struct run_log *log)
{
    struct log_writer_start start = {
        .plan = log->plan, .page = log->page, .acks = log->acks_read, .again = log->starts > 0};
    sigset_t all, before;
    int ends[2];

    if (make_channel(ends) < 0)
        return -1;
    start.channel = ends[1];
    log->starts++;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    log->writer = fork();
    if (log->writer == 0)
        log_writer_run(&start);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close_fd(&ends[1]);
    if (log->writer < 0) {
        close_fd(&ends[0]);
        return -1;
    }
    close_fd(&log->channel);
    log->channel = ends[0];
    return 0;
}

int run_log_open(struct run_log *log, const struct log_plan *plan)
{
    size_t size = 0;
    AUTO_FREE char *record = run_record_format(&plan->info, "", &size);

    *log = (struct run_log){.plan = plan,
                            .page_fd = -1,
                            .channel = -1,
                            .acks_read = -1,
                            .acks_write = -1,
                            .writer = -1};
    if (!record || !(log->page = status_create(record, size, &log->page_fd)))
        return -1;
    snprintf(log->page->nix_path, sizeof log->page->nix_path, "%s",
             plan->nix_path ? plan->nix_path : "");
    log->page->rows = plan->info.rows;
    log->page->cols = plan->info.cols;
    log->page->output_ms = monotonic_ms();
    run_log_resize(log, plan->info.rows, plan->info.cols);
    if ((plan->info.stream && make_acks(log) < 0) || start_writer(log) < 0)
        log->start_problem = errno;
    return 0;
}

static void wake_writer(const struct run_log *log)
{
    if (log->channel >= 0)
        /* a full socket has enough bytes */
        (void)send(log->channel, "p", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void wake_writer_if_wanted(const struct run_log *log)
{
    struct status_page *page = log->page;
    uint32_t sleeps = atomic_load(&page->writer_sleeps);

    if (sleeps == WRITER_AWAKE ||
        (sleeps == WRITER_NAPS &&
         atomic_load(&page->bytes) - atomic_load(&page->taken) < WRITER_NAP_BYTES))
        return;
    atomic_store(&page->writer_sleeps, WRITER_AWAKE);
    wake_writer(log);
}

void run_log_reaped(struct run_log *log, pid_t pid)
{
    if (!log->page || pid <= 0 || pid != log->writer)
        return;
    log->writer = -1;
    if (log->starts >= STARTS_MAX)
        log->start_problem = ECHILD;
    else if (start_writer(log) < 0)
        log->start_problem = errno;
}

/* ---- output ---- */

/* True if there is no log, or writing to it failed, so that no output will be taken any more. */
static bool given_up(const struct run_log *log)
{
    return log->start_problem || atomic_load(&log->page->problem[LOG_NONE]) ||
           atomic_load(&log->page->problem[LOG_ENDED]);
}

/* Milliseconds since the log writer made progress. */
static int64_t standing_still_ms(struct run_log *log)
{
    uint64_t taken = atomic_load(&log->page->taken);
    int64_t now = monotonic_ms();

    if (taken != log->moved_to || log->moved_ms == 0) {
        log->moved_to = taken;
        log->moved_ms = now;
    }
    return now - log->moved_ms;
}

/* Whether the pump must wait for space for size bytes. False: there is space, or waiting is
 * useless. */
static bool wait_for_space(struct run_log *log, size_t size)
{
    if (status_ring_space(log->page) >= size || given_up(log))
        return false;
    wake_writer_if_wanted(log);
    return standing_still_ms(log) < PATIENCE_MS;
}

int run_log_pause(struct run_log *log)
{
    if (!log->page ||
        atomic_load(&log->page->bytes) - atomic_load(&log->page->taken) < PACE_BYTES ||
        given_up(log))
        return 0;
    wake_writer_if_wanted(log);
    atomic_store(&log->page->pump_waits, 1);
    if (standing_still_ms(log) < PACE_PATIENCE_MS)
        return PAUSE_MS;
    return wait_for_space(log, log->page->ring_size / 8) ? PAUSE_MS : 0;
}

void run_log_read_channel(struct run_log *log)
{
    char bytes[64];

    if (recv(log->channel, bytes, sizeof bytes, MSG_DONTWAIT) == 0)
        close_fd(&log->channel); /* the log writer was killed */
}

static void mark(struct run_log *log)
{
    struct status_page *page = log->page;
    const struct run_mark new = {.offset = atomic_load(&page->bytes),
                                 .wall_ms = wall_ms(),
                                 .rows = atomic_load(&page->rows),
                                 .cols = atomic_load(&page->cols)};

    status_mark(page, &new);
}

void run_log_append(struct run_log *log, const void *bytes, size_t size)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    int64_t now;

    if (!log->page)
        return;
    now = monotonic_ms();
    if (now - log->last_mark_ms >= RUN_MARK_MS) {
        log->last_mark_ms = now;
        mark(log);
    }
    for (int i = 0; wait_for_space(log, size) && i < PATIENCE_MS / PAUSE_MS; i++)
        nanosleep(&pause, NULL);
    status_ring_write(log->page, bytes, size);
    atomic_store(&log->page->output_ms, now);
    wake_writer_if_wanted(log);
}

void run_log_resize(struct run_log *log, uint32_t rows, uint32_t cols)
{
    if (!log->page)
        return;
    atomic_store(&log->page->rows, rows);
    atomic_store(&log->page->cols, cols);
    log->last_mark_ms = monotonic_ms();
    mark(log);
}

/* ---- the end ---- */

void run_log_end(struct run_log *log, enum status_end how, int code)
{
    if (!log->page)
        return;
    if (how != STATUS_RUNNING) {
        log->page->end_code = (uint32_t)code;
        log->page->ended_ms = wall_ms();
        atomic_store(&log->page->end, how);
    }
    atomic_store(&log->page->over, 1);
    wake_writer(log);
}

bool run_log_wait(struct run_log *log, int64_t until_ms)
{
    if (!log->page)
        return true;
    while (!atomic_load(&log->page->finished) && log->channel >= 0) {
        struct pollfd writer = {.fd = log->channel, .events = POLLIN};
        int64_t left = until_ms - monotonic_ms();

        if (left <= 0 || (poll(&writer, 1, (int)left) < 0 && errno != EINTR))
            return false;
        if (writer.revents)
            run_log_read_channel(log);
    }
    return atomic_load(&log->page->finished);
}

void run_log_let_go(struct run_log *log, int64_t until_ms)
{
    int64_t left;

    if (!log->page)
        return;
    close_fd(&log->acks_read);
    close_fd(&log->acks_write);
    if (log->channel >= 0)
        (void)shutdown(log->channel, SHUT_WR);
    while (log->channel >= 0 && (left = until_ms - monotonic_ms()) > 0) {
        struct pollfd writer = {.fd = log->channel, .events = POLLIN};

        if (poll(&writer, 1, (int)left) < 0 && errno != EINTR)
            return;
        if (writer.revents)
            run_log_read_channel(log);
    }
}

void run_log_close(struct run_log *log)
{
    if (!log->page)
        return;
    close_fd(&log->channel);
    close_fd(&log->acks_read);
    close_fd(&log->acks_write);
    close_fd(&log->page_fd);
    status_unmap(log->page);
    *log = (struct run_log){0};
}

/* ---- messages about problems ---- */

struct report {
    const struct run_log *log;
    void (*say)(void *context, const char *line);
    void *context;
};

static void report_problem(const struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void report_problem(const struct report *report, const char *format, ...)
{
    char line[640];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    report->say(report->context, line);
}

static int problem_of(const struct report *report, enum log_problem which)
{
    return atomic_load(&report->log->page->problem[which]);
}

/* Why there is no log, or no record. */
static const char *why_not(const struct report *report)
{
    int problem = problem_of(report, LOG_NO_DIRECTORY);

    if (problem_of(report, LOG_SHARED))
        return "other users may write to this directory (chmod go-w, or NIXFLEET_STATE_DIR)";
    if (!problem)
        problem = problem_of(report, LOG_NONE);
    return strerror(problem ? problem : problem_of(report, LOG_NO_RECORD));
}

static void report_opening(const struct report *report)
{
    const struct log_plan *plan = report->log->plan;
    const char *dir = plan->dir ? plan->dir : "HOME";
    int elsewhere = problem_of(report, LOG_ELSEWHERE);

    if (problem_of(report, LOG_NONE))
        report_problem(report, "no log: %s: %s", dir, why_not(report));
    else if (problem_of(report, LOG_NO_DIRECTORY) || problem_of(report, LOG_SHARED) ||
             problem_of(report, LOG_NO_RECORD))
        report_problem(report, "no record of this run: %s: %s", dir, why_not(report));
    if (problem_of(report, LOG_NONE))
        return;
    if (problem_of(report, LOG_IN_USE))
        report_problem(report, "%s: another run uses this file: the log is %s", plan->file,
                       report->log->page->log_path);
    else if (elsewhere)
        report_problem(report, "%s: %s: the log is %s", plan->file, strerror(elsewhere),
                       report->log->page->log_path);
}

static void report_nix(const struct report *report)
{
    const struct status_page *page = report->log->page;
    const struct log_plan *plan = report->log->plan;
    unsigned long long lost = atomic_load(&page->nix_lost);
    uint64_t taken = atomic_load(&page->nix_taken), freed = atomic_load(&page->nix_freed);

    if (freed > taken) /* the log writer still waits for the disk */
        lost += freed - taken;
    if (problem_of(report, LOG_NIX_ENDED))
        report_problem(report, "nix's internal log ends early: %s/%s.nix: %s", plan->dir,
                       plan->info.id, strerror(problem_of(report, LOG_NIX_ENDED)));
    if (lost)
        report_problem(
            report, "%llu bytes of nix's internal log are lost, the disk was too slow: %s/%s.nix",
            lost, plan->dir, plan->info.id);
}

static void report_writing(const struct report *report)
{
    const struct status_page *page = report->log->page;
    const struct log_plan *plan = report->log->plan;
    unsigned long long gap = atomic_load(&page->gap);

    if (problem_of(report, LOG_ENDED) && !problem_of(report, LOG_NO_RECORD))
        report_problem(report, "the log ends early: %s: %s", page->log_path,
                       strerror(problem_of(report, LOG_ENDED)));
    if (problem_of(report, LOG_COPY_ENDED))
        report_problem(report, "%s did not get everything (%s): the log is %s", plan->file,
                       strerror(problem_of(report, LOG_COPY_ENDED)), page->log_path);
    if (problem_of(report, LOG_REMOVED))
        report_problem(report, "%s/%s.run was removed while the command ran", plan->dir,
                       plan->info.id);
    report_nix(report);
    if (gap)
        report_problem(report, "%llu bytes of output are not in the log, its disk was too slow: %s",
                       gap, page->log_path);
}

void run_log_report(const struct run_log *log, void (*say)(void *context, const char *line),
                    void *context)
{
    const struct report report = {log, say, context};

    if (!log->page)
        return;
    report_opening(&report);
    report_writing(&report);
    if (log->start_problem)
        report_problem(&report, "no log: the process that writes it %s: %s",
                       log->starts < STARTS_MAX ? "could not be started"
                                                : "was killed again and again",
                       strerror(log->start_problem));
    else if (atomic_load(&log->page->over) && !atomic_load(&log->page->finished))
        report_problem(&report,
                       "the log's disk does not answer: a process stays behind to write the rest");
}
