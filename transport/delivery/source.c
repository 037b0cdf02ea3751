/* Reads the log by pread at an offset of its own, and the marks along with it. */
#include "source.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "../../capture/runlog.h"
#include "../../common/io.h"

void source_open(struct source *source, int log_fd, int marks_fd, struct status_page *page,
                 uint64_t limit, uint32_t rows, uint32_t cols, int64_t time_ms)
{
    *source = (struct source){.log_fd = log_fd, .marks_fd = marks_fd, .page = page, .limit = limit};
    source_rewind(source, rows, cols, time_ms);
}

void source_rewind(struct source *source, uint32_t rows, uint32_t cols, int64_t time_ms)
{
    source->offset = source->next_mark = 0;
    source->rows = rows;
    source->cols = cols;
    source->time_ms = time_ms;
    source->lossy = source->failed = false;
}

static uint64_t log_limit(const struct source *source)
{
    return source->page ? atomic_load(&source->page->log_bytes) : source->limit;
}

uint64_t source_left(const struct source *source)
{
    uint64_t limit = source->page ? atomic_load(&source->page->bytes) : source->limit;

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

/* Applies the marks up to the current offset. Returns the offset of the next one, UINT64_MAX if
 * there is none yet. */
static uint64_t apply_marks(struct source *source)
{
    struct run_mark mark;

    while (source->marks_fd >= 0 && pread_again(source->marks_fd, &mark, sizeof mark,
                                                source->next_mark * sizeof mark) == sizeof mark) {
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

static size_t read_log(struct source *source, void *out, size_t size, uint64_t limit)
{
    uint64_t until = apply_marks(source);
    ssize_t n;

    if (until > limit)
        until = limit;
    if (size > until - source->offset)
        size = (size_t)(until - source->offset);
    n = pread_again(source->log_fd, out, size, source->offset);
    if (n <= 0) { /* truncated or removed by someone, or a broken disk: the rest cannot be had */
        source->failed = source->lossy = true;
        return 0;
    }
    source->offset += (uint64_t)n;
    return (size_t)n;
}

static size_t read_ring(struct source *source, void *out, size_t size, uint64_t *missing)
{
    size_t n = status_ring_read(source->page, source->offset, out, size, missing);

    if (n > 0 || *missing > 0) {
        source->lossy = true;
        source->time_ms = wall_ms();
    }
    source->offset += *missing + n;
    return n;
}

size_t source_read(struct source *source, void *out, size_t size, uint64_t *missing)
{
    uint64_t limit = log_limit(source);

    *missing = 0;
    if (source->failed || size == 0)
        return 0;
    if (source->offset < limit)
        return read_log(source, out, size, limit);
    if (source->page && atomic_load(&source->page->ring_start) <= source->offset)
        return read_ring(source, out, size, missing);
    return 0;
}
