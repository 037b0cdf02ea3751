/* Creates and opens the files of a run. Files in the state directory are created new (O_EXCL,
   O_NOFOLLOW), in a directory that nobody else can write to: a link that another user put there
   must not make us write to its target. */
#include "logfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"

#define LOCK_TRIES 100 /* milliseconds */
#define NAME_SIZE (RUN_ID_SIZE + 8)

static void note(struct status_page *page, enum log_problem what, int problem)
{
    atomic_store(&page->problem[what], problem ? problem : EIO);
}

/* ---- the directory ---- */

/* Opens the directory. -1 if it cannot be used; the page has the problem then. */
static int open_directory(const char *path, struct status_page *page)
{
    int fd = -1;

    errno = ENOENT;
    if (path) {
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT && run_dir_make(path) == 0)
            fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0) {
        note(page, LOG_NO_DIRECTORY, errno);
    } else if (!run_directory_trusted_fd(fd)) {
        close_fd(&fd);
        note(page, LOG_SHARED, EPERM);
    }
    return fd;
}

static void name_file(char name[NAME_SIZE], const char *id, const char *ending)
{
    snprintf(name, NAME_SIZE, "%s.%s", id, ending);
}

static int open_new(int dir_fd, const char *id, const char *ending)
{
    char name[NAME_SIZE];

    name_file(name, id, ending);
    return openat(dir_fd, name,
                  O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
}

static int open_left(int dir_fd, const char *id, const char *ending)
{
    char name[NAME_SIZE];

    name_file(name, id, ending);
    return openat(dir_fd, name, O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
}

/* ---- the log ---- */

/* Opens a new file description if possible, so that writes need not block; else uses the caller's.
 * For a regular file always uses the caller's, because its offset counts. */
int log_files_own_descriptor(const struct log_plan *plan)
{
    static const char *const places[] = {"/dev/stdout", "/dev/stderr", "/dev/fd/",
                                         "/proc/self/fd/"};
    const char *path = plan->file;
    int number = -1, fd = -1;

    for (int i = 0; path && i < 4 && number < 0; i++)
        if (strncmp(path, places[i], strlen(places[i])) == 0)
            number = i < 2 ? i + 1 : atoi(path + strlen(places[i]));
    if (number < 0)
        return -1;
    if (!is_file(number))
        fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd >= 0 ? fd : fcntl(number, F_DUPFD_CLOEXEC, 3);
}

/* The file may be a FIFO that nobody reads, so the open must not wait. */
static int open_file(const char *path)
{
    static const int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, flags | O_WRONLY, 0600), readable;

    if (fd < 0 || !is_file(fd))
        return fd;
    readable = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (readable < 0)
        return fd; /* the file can only be written to, so its content is not examined */
    close_fd(&fd);
    return readable;
}

/* Opens the file that the caller chose. A regular file that no other run uses becomes the log. A
 * pipe or a device gets a copy of the output. Any other file is not used. */
static void open_chosen(struct log_files *files, const char *path, struct status_page *page)
{
    int fd = open_file(path);

    if (fd < 0) {
        note(page, LOG_ELSEWHERE, errno);
    } else if (!is_file(fd)) {
        files->copy_fd = fd;
    } else if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        note(page, LOG_IN_USE, EBUSY);
        close_fd(&fd);
    } else if (ftruncate(fd, 0) < 0) {
        note(page, LOG_ELSEWHERE, errno);
        close_fd(&fd);
    } else {
        files->log_fd = fd;
    }
}

static void publish_log(const struct log_files *files, const char *path, struct status_page *page)
{
    struct stat info;

    if (files->log_fd < 0 || fstat(files->log_fd, &info) < 0)
        return;
    snprintf(page->log_path, sizeof page->log_path, "%s", path);
    page->log_device = (uint64_t)info.st_dev;
    page->log_inode = (uint64_t)info.st_ino;
    atomic_store(&page->log_open, 1);
}

static void open_log(struct log_files *files, const struct log_plan *plan, int dir_fd,
                     struct status_page *page)
{
    AUTO_FREE char *own = NULL;

    if (plan->file && files->copy_fd < 0)
        open_chosen(files, plan->file, page);
    if (files->log_fd >= 0) {
        publish_log(files, plan->file, page);
        return;
    }
    if (dir_fd >= 0)
        files->log_fd = open_new(dir_fd, plan->info.id, "log");
    if (files->log_fd < 0)
        note(page, LOG_NONE, dir_fd >= 0 ? errno : ENOENT);
    else if (asprintf(&own, "%s/%s.log", plan->dir, plan->info.id) < 0)
        own = NULL;
    if (own)
        publish_log(files, own, page);
}

/* ---- the record ---- */

/* A reader that checks whether the run is alive holds the lock for a moment. */
static int lock(int fd)
{
    int result = -1;

    for (int i = 0; i < LOCK_TRIES && result < 0; i++) {
        result = flock(fd, LOCK_EX | LOCK_NB);
        if (result < 0 && errno != EWOULDBLOCK && errno != EINTR)
            return -1;
        if (result < 0)
            usleep(1000);
    }
    return result;
}

/* Overwrites the content in place. */
static int write_record(int fd, const char *text, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pwrite(fd, text + done, size - done, (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

/* The record is rewritten in place, so the descriptor must not append. */
static bool fill_record(int fd, const struct log_plan *plan, const char *log_path)
{
    size_t size;
    AUTO_FREE char *text = run_record_format(&plan->info, log_path, &size);

    return text && fcntl(fd, F_SETFL, 0) == 0 && lock(fd) == 0 && write_record(fd, text, size) == 0;
}

static void remove_file(int dir_fd, const char *id, const char *ending)
{
    char name[NAME_SIZE];

    name_file(name, id, ending);
    unlinkat(dir_fd, name, 0); /* if this fails, the file is found later as a lost run */
}

static void create_record(struct log_files *files, const struct log_plan *plan, int dir_fd,
                          struct status_page *page)
{
    files->run_fd = open_new(dir_fd, plan->info.id, "run");
    if (files->run_fd < 0) {
        note(page, LOG_NO_RECORD, errno);
    } else if (!fill_record(files->run_fd, plan, page->log_path)) {
        note(page, LOG_NO_RECORD, errno);
        remove_file(dir_fd, plan->info.id, "run");
        close_fd(&files->run_fd);
    }
    files->marks_fd = open_new(dir_fd, plan->info.id, "marks");
}

void log_files_create(struct log_files *files, const struct log_plan *plan, int copy_fd,
                      struct status_page *page)
{
    AUTO_CLOSE int dir_fd = open_directory(plan->dir, page);
    int flags = copy_fd < 0 ? -1 : fcntl(copy_fd, F_GETFL);

    *files = (struct log_files){.run_fd = -1,
                                .marks_fd = -1,
                                .log_fd = -1,
                                .copy_fd = copy_fd,
                                .copy_blocks = !(flags & O_NONBLOCK) && !is_file(copy_fd)};
    open_log(files, plan, dir_fd, page);
    if (dir_fd >= 0)
        create_record(files, plan, dir_fd, page);
}

/* ---- after the death of a log writer ---- */

/* Counts what the dead log writer wrote to the log but did not count. */
static void count_log(const struct log_files *files, struct status_page *page)
{
    uint64_t size = atomic_load(&page->log_size), more;
    struct stat info;

    if (fstat(files->log_fd, &info) < 0 || (uint64_t)info.st_size <= size)
        return;
    more = (uint64_t)info.st_size - size;
    if (more > atomic_load(&page->bytes) - atomic_load(&page->taken))
        return; /* part of a line about a gap, or written by another program */
    atomic_store(&page->log_size, size + more);
    atomic_store(&page->taken, atomic_load(&page->taken) + more);
    if (atomic_load(&page->gap) == 0)
        atomic_store(&page->log_bytes, atomic_load(&page->log_bytes) + more);
}

static void count_marks(const struct log_files *files, struct status_page *page)
{
    struct stat info;
    uint64_t whole;

    if (fstat(files->marks_fd, &info) < 0)
        return;
    whole = (uint64_t)info.st_size / sizeof(struct run_mark);
    if (whole <= atomic_load(&page->marks) &&
        ftruncate(files->marks_fd, (off_t)(whole * sizeof(struct run_mark))) == 0)
        atomic_store(&page->marks_taken, whole);
}

static void resume_log(struct log_files *files, const struct log_plan *plan, int dir_fd,
                       struct status_page *page)
{
    struct stat info;

    if (!atomic_load(&page->log_open)) {
        if (dir_fd >= 0)
            remove_file(dir_fd, plan->info.id, "log"); /* nothing was written to it */
        open_log(files, plan, dir_fd, page);
        return;
    }
    files->log_fd = open(page->log_path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (files->log_fd < 0)
        note(page, LOG_ENDED, errno);
    else if (fstat(files->log_fd, &info) < 0 || (uint64_t)info.st_dev != page->log_device ||
             (uint64_t)info.st_ino != page->log_inode) {
        note(page, LOG_ENDED, ESTALE);
        close_fd(&files->log_fd);
    } else {
        (void)flock(files->log_fd, LOCK_EX | LOCK_NB);
        count_log(files, page);
    }
}

void log_files_resume(struct log_files *files, const struct log_plan *plan,
                      struct status_page *page)
{
    AUTO_CLOSE int dir_fd = open_directory(plan->dir, page);

    *files = (struct log_files){.run_fd = -1, .marks_fd = -1, .log_fd = -1, .copy_fd = -1};
    resume_log(files, plan, dir_fd, page);
    if (dir_fd < 0)
        return;
    files->run_fd = open_left(dir_fd, plan->info.id, "run");
    files->marks_fd = open_left(dir_fd, plan->info.id, "marks");
    if (files->run_fd < 0 || !fill_record(files->run_fd, plan, page->log_path)) {
        close_fd(&files->run_fd);
        remove_file(dir_fd, plan->info.id, "run");
        close_fd(&files->marks_fd);
        remove_file(dir_fd, plan->info.id, "marks");
        create_record(files, plan, dir_fd, page);
    }
    if (files->marks_fd >= 0)
        count_marks(files, page);
}

void log_files_close(struct log_files *files)
{
    close_fd(&files->log_fd);
    close_fd(&files->copy_fd);
    close_fd(&files->marks_fd);
    close_fd(&files->run_fd);
}
