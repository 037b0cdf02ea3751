/* Reads the log with pread at an offset of its own, then the ring, and in parallel the marks. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../common/io.h"

void source_open(struct source *source, int log_fd, int marks_fd, struct status_page *page,
                 uint64_t limit, uint32_t rows, uint32_t cols, int64_t time_ms)
{
    *source = (struct source){.log_fd = log_fd, .marks_fd = marks_fd, .page = page, .limit = limit};
    source_rewind(source, rows, cols, time_ms);
}

void source_rewind(struct source *source, uint32_t rows, uint32_t cols, int64_t time_ms)
{
    source->offset = source->next_mark = source->next_gap = source->shift = 0;
    source->rows = rows;
    source->cols = cols;
    source->time_ms = time_ms;
    source->lossy = source->failed = false;
}

/* How many bytes of output exist. */
static uint64_t output_limit(const struct source *source)
{
    uint64_t bytes = source->page ? atomic_load(&source->page->bytes) : source->limit;

    return bytes < source->limit ? bytes : source->limit;
}

/* How many bytes of output are in the log; the ring has the bytes after them. */
static uint64_t log_limit(const struct source *source)
{
    uint64_t limit = output_limit(source), log;

    if (!source->page)
        return limit;
    log = atomic_load(&source->page->log_bytes);
    return log < limit ? log : limit;
}

uint64_t source_position(const struct source *source)
{
    return source->offset + source->shift;
}

uint64_t source_left(const struct source *source)
{
    uint64_t limit = output_limit(source);

    return source->failed || limit < source->offset ? 0 : limit - source->offset;
}

static ssize_t pread_again(int fd, void *out, size_t size, uint64_t offset)
{
    ssize_t n;

    do
        n = pread(fd, out, size, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Reads mark n. For a running run the newest marks are in the page, even if the disk does not take
 * them. */
static bool get_mark(const struct source *source, uint64_t n, struct run_mark *mark)
{
    if (source->page && status_get_mark(source->page, n, mark))
        return true;
    return source->marks_fd >= 0 && pread_again(source->marks_fd, mark, sizeof *mark,
                                                n * sizeof *mark) == (ssize_t)sizeof *mark;
}

/* Applies the marks up to the present offset. Returns the offset of the next mark; UINT64_MAX:
 * there is none yet. */
static uint64_t apply_marks(struct source *source)
{
    struct run_mark mark;

    while (get_mark(source, source->next_mark, &mark)) {
        if (mark.offset > source->offset)
            return mark.offset;
        source->next_mark++;
        source->time_ms = mark.wall_ms;
        if (mark.rows > 0 && mark.cols > 0) {
            source->rows = mark.rows;
            source->cols = mark.cols;
        }
    }
    return UINT64_MAX;
}

/* Opens the log. The log of a running run exists once its log writer has created it. */
static bool open_log(struct source *source)
{
    const struct status_page *page = source->page;
    struct stat info;

    if (source->log_fd >= 0)
        return true;
    if (!page || !atomic_load(&page->log_open))
        return false;
    source->log_fd = open(page->log_path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (source->log_fd >= 0 &&
        (fstat(source->log_fd, &info) < 0 || (uint64_t)info.st_dev != page->log_device ||
         (uint64_t)info.st_ino != page->log_inode))
        close_fd(&source->log_fd);
    return source->log_fd >= 0;
}

static size_t read_log(struct source *source, void *out, size_t size)
{
    ssize_t n = open_log(source) ? pread_again(source->log_fd, out, size, source->offset) : -1;

    if (n <= 0) { /* another program cut the log, or the disk is broken: the rest is lost */
        source->failed = source->lossy = true;
        return 0;
    }
    source->offset += (uint64_t)n;
    return (size_t)n;
}

static size_t read_ring(struct source *source, void *out, size_t size, uint64_t *missing)
{
    size_t n = status_ring_read(source->page, source->offset, out, size, missing);

    if (*missing > 0)
        source->lossy = true;
    source->offset += *missing + n;
    return n;
}

/* The offset of the next gap in the log; UINT64_MAX if there is none. */
static uint64_t next_gap(const struct source *source)
{
    return source->next_gap < source->gap_count ? source->gaps[source->next_gap].offset
                                                : UINT64_MAX;
}

/* Skips the line in the log that replaces missing output. Returns how much output is missing. */
static uint64_t pass_gap(struct source *source)
{
    const struct run_gap *gap = &source->gaps[source->next_gap++];

    source->lossy = true;
    source->offset += gap->length;
    source->shift += gap->missing - gap->length;
    return gap->missing;
}

size_t source_read(struct source *source, void *out, size_t size, uint64_t *missing)
{
    size_t n = 0;

    *missing = 0;
    /* Repeats if the log writer took the bytes that were about to be read from the ring. */
    while (n == 0 && *missing == 0 && size > 0 && source_left(source) > 0) {
        uint64_t log = log_limit(source), next = apply_marks(source);
        uint64_t limit = source->offset < log ? log : output_limit(source);

        if (source->offset >= next_gap(source)) {
            *missing = pass_gap(source);
            break;
        }
        if (limit > next)
            limit = next;
        if (limit > next_gap(source))
            limit = next_gap(source);
        if (size > limit - source->offset)
            size = (size_t)(limit - source->offset);
        if (source->offset < log)
            n = read_log(source, out, size);
        else
            n = read_ring(source, out, size, missing);
    }
    return n;
}
