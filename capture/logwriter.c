/* From the ring to the disk. */
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
#include "nixrecord.h"

/* Between two looks at the ring while output comes: a poke for each piece of it would cost the pump
 * more than the piece. */
#define NAP_MS 10
#define CHUNK ((size_t)64 << 10)
/* What is streamed should be on the disk soon after. */
#define SYNC_FIRST_MS 1000
#define SYNC_MS 5000
#define PRUNE_MS 200 /* after the start: a shorter run does it at its end, without a fork */
/* Without a reader that takes something for so long, a pipe or device gets no more copies. */
#define COPY_PATIENCE_MS 5000
#define COPY_PATIENCE_END_MS 100
#define COPY_LOOK_MS 20
#define COPY_PIECE 512 /* POSIX's least PIPE_BUF: does not block where poll says writable */

struct writer {
    const struct log_writer_start *start;
    struct status_page *page;
    struct log_files files;
    int channel, acks;   /* -1: at its end */
    uint32_t ack_seq;    /* of the acknowledgement on the disk */
    uint64_t ended_at;   /* bytes of output when the end was written; UINT64_MAX: it is not */
    uint64_t identified; /* log_size when the file's identity was written */
    uint64_t synced;     /* and when the disk was last asked for it */
    int64_t sync_ms;     /* monotonic: not before */
    int64_t prune_ms;    /* monotonic: old runs are looked for then; 0: it is done */
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

/* Returns how much was written; less than size with errno. */
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

/* Marks go before the output that they are about. */
static void take_marks(struct writer *writer)
{
    struct status_page *page = writer->page;
    uint64_t n = atomic_load(&page->marks_taken);
    struct run_mark mark;

    while (n < atomic_load(&page->marks)) {
        mark = page->mark[n % STATUS_MARKS];
        mark.offset = mark.offset + atomic_load(&page->log_size) - atomic_load(&page->taken);
        /* Half a record ends the file for its readers: nothing may follow it. */
        if (writer->files.marks_fd >= 0 &&
            write(writer->files.marks_fd, &mark, sizeof mark) != (ssize_t)sizeof mark)
            close_fd(&writer->files.marks_fd);
        atomic_store(&page->marks_taken, ++n);
    }
}

/* Waits until the reader of the copy takes something. False: it does not. */
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

/* What the ring has lost while the disk did not answer: one line takes its place. */
static bool write_gap(struct writer *writer, uint64_t size)
{
    struct status_page *page = writer->page;
    char line[80];
    int length =
        snprintf(line, sizeof line, "\n[nixfleet-run: %llu bytes of output were not logged]\n",
                 (unsigned long long)size);

    atomic_store(&page->gap, atomic_load(&page->gap) + size);
    atomic_store(&page->taken, atomic_load(&page->taken) + size);
    if (write_some(writer->files.log_fd, line, (size_t)length) < (size_t)length)
        return false;
    atomic_store(&page->log_size, atomic_load(&page->log_size) + (uint64_t)length);
    return true;
}

/* Takes one piece of output. False: there is none, or no log. */
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
        (void)run_ack_write(writer->files.run_fd, &ack); /* else it is delivered again, which
                                                            changes nothing */
}

/* So that a reader knows the file again. */
static void identify(struct writer *writer)
{
    uint64_t size = atomic_load(&writer->page->log_size);
    struct run_file file;

    if (size == writer->identified || writer->files.run_fd < 0 || writer->files.log_fd < 0)
        return;
    writer->identified = size;
    if (run_file_of(writer->files.log_fd, size, &file))
        (void)run_file_write(writer->files.run_fd, &file); /* the log is then not checked */
}

/* How the command ended, and how much of its output there is. Again, where output has come since.
 */
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

    if (how == STATUS_RUNNING || bytes == writer->ended_at)
        return;
    writer->ended_at = bytes;
    if (writer->files.run_fd < 0)
        return;
    identify(writer);
    if (run_end_write(writer->files.run_fd, &end) < 0)
        failed(writer, LOG_NO_RECORD, errno);
    else if (fstat(writer->files.run_fd, &info) == 0 && info.st_nlink == 0)
        failed(writer, LOG_REMOVED, ENOENT);
}

/* ---- what others do ---- */

/* A process of its own, that nobody waits for. */
static pid_t spawn(struct writer *writer)
{
    pid_t pid = fork();

    if (pid == 0) {
        close_fd(&writer->channel);
        close_fd(&writer->acks);
    }
    return pid;
}

static bool unsynced(const struct writer *writer)
{
    return writer->start->plan->info.stream && writer->files.run_fd >= 0 &&
           writer->synced != atomic_load(&writer->page->log_size);
}

/* fdatasync may take seconds, and the ring must be emptied meanwhile. */
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
        (void)fdatasync(writer->files.log_fd); /* what was not synced is delivered again, or lost in
                                                  a power cut: no one can be told */
    (void)fdatasync(writer->files.run_fd);
    _exit(0);
}

/* A directory may be large, and its disk slow. */
static void prune_beside(struct writer *writer)
{
    const struct log_plan *plan = writer->start->plan;

    if (writer->prune_ms == 0 || monotonic_ms() < writer->prune_ms)
        return;
    writer->prune_ms = 0;
    if (writer->files.run_fd < 0 || spawn(writer) != 0)
        return;
    log_files_close(&writer->files); /* with them the locks, which are the writer's */
    run_prune(plan->dir, &plan->keep);
    _exit(0);
}

/* What the next run needs to know of nix. */
static void ask_nix_beside(struct writer *writer)
{
    const struct log_plan *plan = writer->start->plan;

    if (!plan->nix_ask || writer->files.run_fd < 0 || spawn(writer) != 0)
        return;
    log_files_close(&writer->files); /* its locks are the writer's */
    nix_version_learn(plan->dir);
    _exit(0);
}

static void prepare_for_nix(struct writer *writer)
{
    const struct log_plan *plan = writer->start->plan;

    if (plan->nix_record && writer->files.run_fd >= 0)
        nix_record_make(plan->dir, plan->info.id);
    ask_nix_beside(writer);
}

/* ---- the loop ---- */

static void hear(int *fd)
{
    char bytes[64];
    ssize_t n = read(*fd, bytes, sizeof bytes);

    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        close_fd(fd);
}

static bool waiting(const struct writer *writer)
{
    const struct status_page *page = writer->page;

    return (writer->files.log_fd >= 0 && atomic_load(&page->bytes) != atomic_load(&page->taken)) ||
           (atomic_load(&page->end) && atomic_load(&page->bytes) != writer->ended_at);
}

/* Milliseconds until something is due that nobody pokes for; -1: nothing is. */
static int64_t pause_for(const struct writer *writer, bool worked)
{
    int64_t due = unsynced(writer) ? writer->sync_ms : 0, left;

    if (worked)
        return NAP_MS;
    if (writer->prune_ms && (due == 0 || writer->prune_ms < due))
        due = writer->prune_ms;
    left = due - monotonic_ms();
    return due == 0 ? -1 : left > 0 ? left : 0;
}

static void sleep_until_poked(struct writer *writer, bool worked)
{
    struct pollfd from[2] = {{.fd = writer->channel, .events = POLLIN},
                             {.fd = writer->acks, .events = POLLIN}};

    atomic_store(&writer->page->writer_sleeps, worked ? WRITER_NAPS : WRITER_SLEEPS);
    if (worked || !waiting(writer))
        (void)poll(from, 2, (int)pause_for(writer, worked)); /* interrupted: looks again */
    atomic_store(&writer->page->writer_sleeps, WRITER_AWAKE);
    if (from[0].revents)
        hear(&writer->channel);
    if (from[1].revents)
        hear(&writer->acks);
}

/* True once. */
static bool just_finished(struct writer *writer)
{
    return atomic_load(&writer->page->over) && !waiting(writer) &&
           !atomic_exchange(&writer->page->finished, 1);
}

static void tell_finished(const struct writer *writer)
{
    if (writer->channel >= 0)
        (void)send(writer->channel, "f", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* else it has gone */
}

/* Writes all there is. True if there was something. */
static bool work(struct writer *writer)
{
    bool worked = false;

    take_marks(writer);
    while (take_output(writer)) {
        worked = true;
        take_marks(writer);
    }
    take_ack(writer);
    take_end(writer);
    return worked;
}

static void serve(struct writer *writer)
{
    while (writer->channel >= 0) {
        bool worked = work(writer);

        if (just_finished(writer))
            tell_finished(writer);
        sync_files(writer, false);
        prune_beside(writer);
        sleep_until_poked(writer, worked);
    }
    work(writer);
}

/* Nobody is left who could write to the ring. */
static void let_run_go(struct writer *writer)
{
    const struct log_plan *plan = writer->start->plan;

    identify(writer);
    sync_files(writer, true);
    close_fd(&writer->files.copy_fd);
    if (writer->files.run_fd >= 0)
        (void)flock(writer->files.run_fd, LOCK_UN); /* its end would do that, too */
    while (writer->acks >= 0) {
        take_ack(writer);
        hear(&writer->acks);
    }
    take_ack(writer);
    if (plan->nix_record)
        nix_record_close(plan->dir, plan->info.id);
    if (writer->prune_ms && writer->files.run_fd >= 0) {
        log_files_close(&writer->files);
        run_prune(plan->dir, &plan->keep);
    }
}

/* ---- the start ---- */

/* Whoever reads from the caller's pipes waits for their end. */
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

/* Faults alone still end it. The pump's handlers must not run here: they write to a descriptor that
 * is something else now. */
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
    int copy_fd;

    writer = (struct writer){.start = start,
                             .page = start->page,
                             .channel = start->channel,
                             .acks = start->acks,
                             .ended_at = UINT64_MAX,
                             .identified = UINT64_MAX,
                             .synced = UINT64_MAX,
                             .sync_ms = now + SYNC_FIRST_MS,
                             .prune_ms = start->again ? 0 : now + PRUNE_MS};
    become_writer();
    copy_fd = start->again ? -1 : log_files_own_descriptor(start->plan);
    let_go(&writer, copy_fd);
    if (start->again) {
        log_files_resume(&writer.files, start->plan, start->page);
    } else {
        log_files_create(&writer.files, start->plan, copy_fd, start->page);
        prepare_for_nix(&writer);
    }
    serve(&writer);
    let_run_go(&writer);
    _exit(0);
}
