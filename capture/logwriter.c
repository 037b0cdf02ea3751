/* Copies the output from the ring to the disk. */
#include "logwriter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "../common/io.h"
#include "../common/system.h"
#include "nixspool.h"
#include "nixversion.h"

/* The pause between two looks at the ring while output comes. For the pump, waking the log writer
 * for each piece of output would cost more than the piece itself. */
#define NAP_MS 10
#define CHUNK ((size_t)64 << 10)
/* Output that was streamed should be on the disk soon. */
#define SYNC_FIRST_MS 1000
#define SYNC_MS 5000
/* after the start; a run that is shorter prunes at its end, without a fork */
#define PRUNE_MS 200
/* A pipe or device whose reader takes nothing for this long gets no more copies. */
#define COPY_PATIENCE_MS 5000
#define COPY_PATIENCE_END_MS 100
#define COPY_LOOK_MS 20
/* POSIX's minimum of PIPE_BUF: a write of this size does not block after poll says writable */
#define COPY_PIECE 512
/* The pause between two looks at nix's internal log: nix does not report what it writes. */
#define NIX_LOOK_MS 200

struct writer {
    const struct log_writer_start *start;
    struct status_page *page;
    struct log_files files;
    struct nix_spool nix;
    int channel, acks; /* -1: closed by the other end */
    int copy_fd;       /* of the caller, until the files have it; -1: none */
    bool alone;        /* no other process can write to the ring any more */
    uint32_t ack_seq;  /* of the acknowledgement that is on the disk */
    /* bytes of output when the end was written; UINT64_MAX: the end is not written */
    uint64_t ended_at;
    uint64_t ended_size; /* log_size when the end was written */
    uint64_t identified; /* log_size when the identity of the file was written */
    uint64_t synced;     /* log_size when the file was last synced */
    int64_t sync_ms;     /* monotonic time of the earliest next sync */
    int64_t prune_ms;    /* monotonic time of the look for old runs; 0: done */
};

/* ---- what is written ---- */

static void failed(struct writer *writer, enum log_problem what, int problem)
{
    int32_t none = 0;

    atomic_compare_exchange_strong(&writer->page->problem[what], &none, problem ? problem : EIO);
}

static void log_failed(struct writer *writer, int problem)
{
    failed(writer, LOG_ENDED, problem);
    close_fd(&writer->files.log_fd);
}

/* Returns how many bytes were written; if fewer than size, errno is set. */
static size_t write_some(int fd, const char *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = write(fd, bytes + done, size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = ENOSPC;
            break;
        }
        done += (size_t)n;
    }
    return done;
}

/* Marks are written before the output that they describe. */
static void take_marks(struct writer *writer)
{
    struct status_page *page = writer->page;
    uint64_t n = atomic_load(&page->marks_taken);
    struct run_mark mark;

    while (n < atomic_load(&page->marks)) {
        mark = page->mark[n % STATUS_MARKS];
        mark.offset = mark.offset + atomic_load(&page->log_size) - atomic_load(&page->taken);
        /* For readers, an incomplete mark ends the file, so nothing may follow it. */
        if (writer->files.marks_fd >= 0 &&
            write(writer->files.marks_fd, &mark, sizeof mark) != (ssize_t)sizeof mark)
            close_fd(&writer->files.marks_fd);
        atomic_store(&page->marks_taken, ++n);
    }
}

/* Waits until the reader of the copy takes something. False if the time is over. */
static bool copy_ready(const struct writer *writer)
{
    struct pollfd ready = {.fd = writer->files.copy_fd, .events = POLLOUT};
    int64_t since = monotonic_ms();

    while (poll(&ready, 1, COPY_LOOK_MS) <= 0) {
        int patience = atomic_load(&writer->page->over) ? COPY_PATIENCE_END_MS : COPY_PATIENCE_MS;

        if (monotonic_ms() - since >= patience)
            return false;
    }
    return true;
}

static void copy(struct writer *writer, const char *bytes, size_t size)
{
    struct log_files *files = &writer->files;

    while (size > 0 && files->copy_fd >= 0) {
        size_t piece = files->copy_blocks && size > COPY_PIECE ? COPY_PIECE : size;
        ssize_t n = -1;

        errno = ETIMEDOUT;
        if (copy_ready(writer))
            n = write(files->copy_fd, bytes, piece);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0) {
            failed(writer, LOG_COPY_ENDED, errno);
            close_fd(&files->copy_fd);
            return;
        }
        bytes += n;
        size -= (size_t)n;
    }
}

/* Writes one line in place of the output that the ring lost while the disk did not answer. */
static bool write_gap(struct writer *writer, uint64_t size)
{
    struct status_page *page = writer->page;
    struct run_gap gap = {.offset = atomic_load(&page->log_size), .missing = size};
    char line[80];
    int length =
        snprintf(line, sizeof line, "\n[nixfleet-run: %llu bytes of output were not logged]\n",
                 (unsigned long long)size);

    atomic_store(&page->gap, atomic_load(&page->gap) + size);
    atomic_store(&page->taken, atomic_load(&page->taken) + size);
    if (write_some(writer->files.log_fd, line, (size_t)length) < (size_t)length)
        return false;
    gap.length = (uint64_t)length;
    if (writer->files.run_fd >= 0) /* if this fails, a delivery treats the line as output */
        (void)run_gap_write(writer->files.run_fd, &gap);
    atomic_store(&page->log_size, atomic_load(&page->log_size) + (uint64_t)length);
    return true;
}

static void wake_pump(const struct writer *writer)
{
    if (writer->channel >= 0)
        /* a failure means that the pump is gone */
        (void)send(writer->channel, "t", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void let_pump_continue(const struct writer *writer)
{
    struct status_page *page = writer->page;

    if (atomic_load(&page->pump_waits) &&
        atomic_load(&page->bytes) - atomic_load(&page->taken) <= WRITER_LOW_BYTES &&
        atomic_exchange(&page->pump_waits, 0))
        wake_pump(writer);
}

/* Takes one piece of output. False if there is none, or no log. */
static bool take_output(struct writer *writer)
{
    static char bytes[CHUNK];
    struct status_page *page = writer->page;
    uint64_t taken = atomic_load(&page->taken), lost;
    size_t size, done;

    if (writer->files.log_fd < 0)
        return false;
    size = status_ring_read(page, taken, bytes, sizeof bytes, &lost);
    if (size == 0 && lost == 0)
        return false;
    if (lost > 0 && !write_gap(writer, lost)) {
        log_failed(writer, errno);
        return false;
    }
    done = write_some(writer->files.log_fd, bytes, size);
    if (done < size)
        log_failed(writer, errno);
    atomic_store(&page->log_size, atomic_load(&page->log_size) + done);
    if (atomic_load(&page->gap) == 0)
        atomic_store(&page->log_bytes, taken + done);
    atomic_store(&page->taken, taken + lost + done);
    let_pump_continue(writer);
    copy(writer, bytes, size);
    return done == size;
}

static void take_ack(struct writer *writer)
{
    uint32_t seq = atomic_load(&writer->page->ack_seq);
    struct run_ack ack;

    if (seq == writer->ack_seq || !status_get_ack(writer->page, &ack))
        return;
    writer->ack_seq = seq;
    if (writer->files.run_fd >= 0)
        /* without it, lines are delivered again, which changes nothing */
        (void)run_ack_write(writer->files.run_fd, &ack);
}

/* Writes the identity of the log, so that a reader can recognize the file. */
static void identify(struct writer *writer)
{
    uint64_t size = atomic_load(&writer->page->log_size);
    struct run_file file;

    if (size == writer->identified || writer->files.run_fd < 0 || writer->files.log_fd < 0)
        return;
    writer->identified = size;
    if (run_file_of(writer->files.log_fd, size, &file))
        /* without it, readers do not check the log */
        (void)run_file_write(writer->files.run_fd, &file);
}

/* Writes how the command ended, and how much output there is. Writes this again after further
 * output. */
static void take_end(struct writer *writer)
{
    struct status_page *page = writer->page;
    uint32_t how = atomic_load(&page->end);
    uint64_t bytes = atomic_load(&page->bytes), size = atomic_load(&page->log_size);
    struct run_end end = {.known = true,
                          .by_signal = how == STATUS_KILLED,
                          .code = (int)atomic_load(&page->end_code),
                          .wall_ms = atomic_load(&page->ended_ms),
                          .bytes = size + bytes - atomic_load(&page->taken),
                          .log_bytes = size};
    struct stat info;

    if (how == STATUS_RUNNING || (bytes == writer->ended_at && size == writer->ended_size))
        return;
    writer->ended_at = bytes;
    writer->ended_size = size;
    if (writer->files.run_fd < 0)
        return;
    identify(writer);
    if (run_end_write(writer->files.run_fd, &end) < 0)
        failed(writer, LOG_NO_RECORD, errno);
    else if (fstat(writer->files.run_fd, &info) == 0 && info.st_nlink == 0)
        failed(writer, LOG_REMOVED, ENOENT);
}

/* ---- work in other processes ---- */

static void close_sockets(void *context)
{
    struct writer *writer = context;

    close_fd(&writer->channel);
    close_fd(&writer->acks);
    close_fd(&writer->copy_fd);
}

/* Makes a process that nobody waits for. */
static pid_t spawn(struct writer *writer)
{
    pid_t pid = fork();

    if (pid == 0)
        close_sockets(writer);
    return pid;
}

static bool unsynced(const struct writer *writer)
{
    return writer->start->plan->info.stream && writer->files.run_fd >= 0 &&
           writer->synced != atomic_load(&writer->page->log_size);
}

/* fdatasync may take seconds, and the ring must be emptied in the meantime. */
static void sync_files(struct writer *writer, bool now)
{
    uint64_t size = atomic_load(&writer->page->log_size);

    if (!unsynced(writer) || (!now && monotonic_ms() < writer->sync_ms))
        return;
    identify(writer);
    writer->synced = size;
    writer->sync_ms = monotonic_ms() + SYNC_MS;
    if (spawn(writer) != 0)
        return;
    if (writer->files.log_fd >= 0)
        /* without it, output may be lost in a power cut; no process can report it from here */
        (void)fdatasync(writer->files.log_fd);
    (void)fdatasync(writer->files.run_fd);
    _exit(0);
}

/* In a process of its own, because a directory may be large, and its disk slow. */
static void prune_beside(struct writer *writer)
{
    const struct log_plan *plan = writer->start->plan;

    if (writer->prune_ms == 0 || monotonic_ms() < writer->prune_ms)
        return;
    writer->prune_ms = 0;
    if (writer->files.run_fd < 0 || spawn(writer) != 0)
        return;
    /* closes the locks, too, which must belong to the writer only */
    log_files_close(&writer->files);
    run_prune(plan->dir, &plan->keep);
    _exit(0);
}

/* In a process of its own: finds out what the next run needs to know about nix. */
static void ask_nix_beside(struct writer *writer)
{
    const struct log_plan *plan = writer->start->plan;

    if (!plan->nix_ask || spawn(writer) != 0)
        return;
    nix_version_learn();
    _exit(0);
}

/* ---- the loop ---- */

/* Reads wake-up bytes from fd. True at the end of file. */
static bool at_end(int fd)
{
    char bytes[64];
    ssize_t n = read(fd, bytes, sizeof bytes);

    return n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
}

static void read_acks(struct writer *writer)
{
    if (at_end(writer->acks))
        close_fd(&writer->acks);
}

static bool waiting(const struct writer *writer)
{
    const struct status_page *page = writer->page;

    return (writer->files.log_fd >= 0 && atomic_load(&page->bytes) != atomic_load(&page->taken)) ||
           (atomic_load(&page->end) && atomic_load(&page->bytes) != writer->ended_at);
}

/* Milliseconds until the next work for which no other process wakes this one; -1: none. */
static int64_t pause_for(const struct writer *writer, bool worked)
{
    int64_t due = unsynced(writer) ? writer->sync_ms : 0, now = monotonic_ms();

    if (worked)
        return NAP_MS;
    if (writer->prune_ms && (due == 0 || writer->prune_ms < due))
        due = writer->prune_ms;
    if (writer->nix.memory_fd >= 0 && (due == 0 || now + NIX_LOOK_MS < due))
        due = now + NIX_LOOK_MS;
    return due == 0 ? -1 : due > now ? due - now : 0;
}

static void sleep_until_woken(struct writer *writer, bool worked)
{
    struct pollfd from[2] = {{.fd = writer->channel, .events = POLLIN},
                             {.fd = writer->acks, .events = POLLIN}};

    atomic_store(&writer->page->writer_sleeps, worked ? WRITER_NAPS : WRITER_SLEEPS);
    if (worked || !waiting(writer))
        /* an interrupted poll leads to a new look */
        (void)poll(from, 2, (int)pause_for(writer, worked));
    atomic_store(&writer->page->writer_sleeps, WRITER_AWAKE);
    if (from[0].revents)
        writer->alone = at_end(writer->channel);
    if (from[1].revents)
        read_acks(writer);
}

/* True once: when the run is over and all is written. */
static bool just_finished(struct writer *writer)
{
    return atomic_load(&writer->page->over) && !waiting(writer) && !nix_spool_waits(&writer->nix) &&
           !atomic_exchange(&writer->page->finished, 1);
}

/* Writes all there is. True if there was something to write. */
static bool work(struct writer *writer)
{
    bool worked = false;

    take_marks(writer);
    while (take_output(writer)) {
        worked = true;
        take_marks(writer);
    }
    take_ack(writer);
    while (nix_spool_copy(&writer->nix))
        worked = true;
    take_end(writer);
    return worked;
}

static void serve(struct writer *writer)
{
    while (!writer->alone) {
        bool worked = work(writer);

        if (just_finished(writer))
            wake_pump(writer);
        sync_files(writer, false);
        prune_beside(writer);
        sleep_until_woken(writer, worked);
    }
    work(writer);
}

static bool shipper_is_gone(struct writer *writer)
{
    struct pollfd acks = {.fd = writer->acks, .events = POLLIN};

    while (writer->acks >= 0 && poll(&acks, 1, 0) > 0)
        read_acks(writer);
    return writer->acks < 0;
}

/* Releases the locks before the pump returns, because a second run with the same --log may follow
 * at once. While a shipper reads the log, the log stays locked. */
static void unlock(struct writer *writer)
{
    /* the end of this process would also do that */
    if (writer->files.run_fd >= 0)
        (void)flock(writer->files.run_fd, LOCK_UN);
    if (writer->files.log_fd >= 0 && shipper_is_gone(writer))
        (void)flock(writer->files.log_fd, LOCK_UN);
    close_fd(&writer->channel);
}

/* No process is left that could write to the ring. */
static void let_run_go(struct writer *writer)
{
    const struct log_plan *plan = writer->start->plan;

    identify(writer);
    sync_files(writer, true);
    close_fd(&writer->files.copy_fd);
    unlock(writer);
    while (writer->acks >= 0) {
        take_ack(writer);
        read_acks(writer);
    }
    take_ack(writer);
    nix_spool_close(&writer->nix);
    if (writer->prune_ms && writer->files.run_fd >= 0) {
        log_files_close(&writer->files);
        run_prune(plan->dir, &plan->keep);
    }
}

/* ---- the start ---- */

/* Closes the caller's pipes, because their readers wait for the end of file. */
static void let_go(const struct writer *writer, int copy_fd)
{
    int kept[] = {writer->channel, writer->acks, copy_fd};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd < 3; fd++)
        if (null >= 0)
            dup2(null, fd);
        else
            close(fd);
    close_others(kept, sizeof kept / sizeof *kept);
}

/* Only faults may end this process. The handlers of the pump must not run here, because their
 * descriptor is another file now. */
static void ignore_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        if (number != SIGSEGV && number != SIGBUS && number != SIGILL && number != SIGFPE &&
            number != SIGABRT && number != SIGTRAP && number != SIGSYS && number != SIGCONT)
            (void)signal(number, SIG_IGN); /* fails for SIGKILL and SIGSTOP */
        else
            (void)signal(number, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become_writer(void)
{
    ignore_signals();
    (void)setsid(); /* cannot fail in a new child */
#ifdef __linux__
    (void)prctl(PR_SET_NAME, "nixfleet-log");
#endif
}

void log_writer_run(const struct log_writer_start *start)
{
    static struct writer writer;
    int64_t now = monotonic_ms();

    writer = (struct writer){.start = start,
                             .page = start->page,
                             .channel = start->channel,
                             .acks = start->acks,
                             .copy_fd = -1,
                             .ended_at = UINT64_MAX,
                             .identified = UINT64_MAX,
                             .synced = UINT64_MAX,
                             .sync_ms = now + SYNC_FIRST_MS,
                             .prune_ms = start->again ? 0 : now + PRUNE_MS};
    become_writer();
    writer.copy_fd = start->again ? -1 : log_files_own_descriptor(start->plan);
    let_go(&writer, writer.copy_fd);
    nix_spool_open(&writer.nix, start->page, close_sockets, &writer);
    if (!start->again)
        ask_nix_beside(&writer);
    if (start->again)
        log_files_resume(&writer.files, start->plan, start->page);
    else
        log_files_create(&writer.files, start->plan, writer.copy_fd, start->page);
    writer.copy_fd = -1; /* the files have it */
    nix_spool_to(&writer.nix, writer.files.run_fd < 0 ? NULL : start->plan->dir,
                 start->plan->info.id);
    serve(&writer);
    let_run_go(&writer);
    _exit(0);
}
