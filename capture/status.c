/* The status page: memory that the processes of a run share without a lock. */
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* An update takes nanoseconds; after this many tries its writer must have died during the
 * update. */
#define READ_TRIES 1000
#define PAGE ((size_t)4096) /* the ring begins at a multiple of this */
#define RING_SMALL ((uint64_t)2 << 20)

static int shared_memory(void)
{
#ifdef __linux__
    return memfd_create("nixfleet-status", MFD_CLOEXEC);
#else
    char name[32];
    int fd;

    snprintf(name, sizeof name, "/nixfleet-%ld", (long)getpid());
    fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd >= 0) {
        shm_unlink(name);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    return fd;
#endif
}

/* The positions of the parts of a page: the struct, the record, the ring. */
struct layout {
    size_t record_size, ring_at, ring_size;
};

static struct layout lay_out(size_t record_size, size_t ring_size)
{
    size_t before = sizeof(struct status_page) + record_size;

    return (struct layout){record_size, (before + PAGE - 1) / PAGE * PAGE, ring_size};
}

static struct status_page *map(int fd, size_t size)
{
    int flags = MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    return page == MAP_FAILED ? NULL : page;
}

/* Maps the largest ring that is possible: a limit on the size of files applies to shared memory,
 * too, and the address space may be limited. */
static struct status_page *map_largest(int fd, struct layout *layout, size_t record_size)
{
    for (size_t ring = STATUS_RING_SIZE; ring >= STATUS_RING_LEAST; ring /= 4) {
        struct status_page *page = NULL;

        *layout = lay_out(record_size, ring);
        if (fd < 0 || ftruncate(fd, (off_t)(layout->ring_at + ring)) == 0)
            page = map(fd, layout->ring_at + ring);
        if (page)
            return page;
    }
    return NULL;
}

static uint64_t small_window(const struct status_page *page)
{
    return page->ring_size < RING_SMALL ? page->ring_size : RING_SMALL;
}

static void fill(struct status_page *page, const struct layout *layout, const char *record)
{
    page->page_size = sizeof *page;
    page->record_size = (uint32_t)layout->record_size;
    page->ring_at = layout->ring_at;
    page->ring_size = layout->ring_size;
    page->ring_window = small_window(page);
    page->progress = (struct status_progress){.progress = PROGRESS_UNKNOWN};
    memcpy(page + 1, record, layout->record_size);
}

struct status_page *status_create(const char *record, size_t size, int *fd)
{
    struct status_page *page = NULL;
    struct layout layout;

    *fd = shared_memory();
    if (*fd >= 0 && !(page = map_largest(*fd, &layout, size))) {
        close(*fd);
        *fd = -1;
    }
    if (page || (page = map_largest(-1, &layout, size)))
        fill(page, &layout, record);
    return page;
}

struct status_page *status_map(int fd)
{
    struct status_page *page;
    struct stat info;

    if (fstat(fd, &info) < 0)
        return NULL;
    if (info.st_size >= (off_t)sizeof *page && (page = map(fd, (size_t)info.st_size))) {
        if (page->page_size == sizeof *page && page->ring_at >= sizeof *page + page->record_size &&
            page->ring_at + page->ring_size == (uint64_t)info.st_size)
            return page;
        munmap(page, (size_t)info.st_size);
    }
    errno = EINVAL;
    return NULL;
}

void status_unmap(struct status_page *page)
{
    if (page)
        munmap(page, page->ring_at + page->ring_size);
}

const char *status_record(const struct status_page *page)
{
    return (const char *)(page + 1);
}

static uint32_t begin_update(_Atomic uint32_t *seq)
{
    /* correct even if another writer died during its update */
    uint32_t odd = atomic_load(seq) | 1;
    atomic_store(seq, odd);
    atomic_thread_fence(memory_order_seq_cst);
    return odd;
}

static void end_update(_Atomic uint32_t *seq, uint32_t odd)
{
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store(seq, odd + 1);
}

/* ---- the ring ---- */

/* While the log writer keeps up, only a small part of the ring is used again and again: this part
   stays in the processor's cache, and the first use of memory costs more than anything else here.
   When this part is full of output that is not in the log yet, the whole ring is used, until the
   log has everything. A reader reads ring_seq and reserved before and after it copies. */

static unsigned char *ring_of(const struct status_page *page)
{
    return (unsigned char *)page + page->ring_at;
}

static void set_window(struct status_page *page, uint64_t window, uint64_t origin, uint64_t first)
{
    uint32_t odd = begin_update(&page->ring_seq);

    atomic_store(&page->ring_window, window);
    atomic_store(&page->ring_origin, origin);
    atomic_store(&page->ring_first, first);
    end_update(&page->ring_seq, odd);
}

/* The log has everything, so the ring can start again with a small part. */
static void begin_again(struct status_page *page)
{
    uint64_t bytes = atomic_load(&page->bytes), small = small_window(page);
    bool grown = page->ring_window > small;

    if (bytes == page->ring_first || atomic_load(&page->log_bytes) != bytes ||
        atomic_load(&page->taken) != bytes)
        return;
    set_window(page, small, bytes, bytes);
#ifdef MADV_REMOVE
    if (grown) /* returns the memory to the system */
        (void)madvise(ring_of(page) + small, page->ring_size - small, MADV_REMOVE);
#else
    (void)grown;
#endif
}

/* Changes from the small window to the whole ring. Bytes behind the position of the next byte are
 * older than those before it, so they move to the end of the ring. Sizes of window and ring are
 * powers of two. */
static void grow(struct status_page *page)
{
    uint64_t bytes = atomic_load(&page->bytes), window = page->ring_window;
    uint64_t at = (bytes - page->ring_origin) % window, valid = bytes - page->ring_first, behind;

    if (valid > window)
        valid = window;
    behind = valid > at ? valid - at : 0;
    memcpy(ring_of(page) + page->ring_size - behind, ring_of(page) + window - behind, behind);
    set_window(page, page->ring_size, bytes - at, bytes - valid);
}

static void make_space(struct status_page *page, size_t size)
{
    uint64_t needed = atomic_load(&page->taken);

    if (needed < page->ring_first)
        needed = page->ring_first;
    if (page->ring_window < page->ring_size &&
        atomic_load(&page->bytes) + size - needed > page->ring_window)
        grow(page);
}

void status_ring_write(struct status_page *page, const void *bytes, size_t size)
{
    uint64_t offset = atomic_load(&page->bytes), end = offset + size, window;
    const unsigned char *from = bytes;

    begin_again(page);
    make_space(page, size);
    window = page->ring_window;
    atomic_store(&page->reserved, end);
    atomic_thread_fence(memory_order_seq_cst);
    if (size > window) { /* only the newest output fits */
        from += size - window;
        offset = end - window;
    }
    while (offset < end) {
        uint64_t at = (offset - page->ring_origin) % window;
        uint64_t part = end - offset < window - at ? end - offset : window - at;

        memcpy(ring_of(page) + at, from, part);
        from += part;
        offset += part;
    }
    atomic_store(&page->bytes, end);
}

size_t status_ring_space(const struct status_page *page)
{
    uint64_t waiting = atomic_load(&page->bytes) - atomic_load(&page->taken);

    return waiting < page->ring_size ? page->ring_size - waiting : 0;
}

static void copy_out(const struct status_page *page, uint64_t at, uint64_t window, char *out,
                     size_t size)
{
    while (size > 0) {
        size_t part = size < window - at ? size : window - at;

        memcpy(out, ring_of(page) + at, part);
        out += part;
        size -= part;
        at = 0;
    }
}

size_t status_ring_read(const struct status_page *page, uint64_t offset, void *out, size_t size,
                        uint64_t *skipped)
{
    uint32_t seq = atomic_load(&page->ring_seq);
    uint64_t window = atomic_load(&page->ring_window), origin = atomic_load(&page->ring_origin);
    uint64_t first = atomic_load(&page->ring_first), end = atomic_load(&page->bytes);
    uint64_t reserved = atomic_load(&page->reserved), wanted = offset;

    *skipped = 0;
    if (seq & 1 || offset < first || offset >= end)
        return 0;
    /* An eighth of the ring is not read, because the pump overwrites the oldest part now. */
    if (reserved - offset > window)
        offset = reserved - window / 8 * 7;
    if (offset > end)
        offset = end;
    if (size > end - offset)
        size = (size_t)(end - offset);
    copy_out(page, (offset - origin) % window, window, out, size);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&page->ring_seq) != seq)
        return 0;
    /* the pump has overwritten the bytes during the copy: all of them are lost */
    if (atomic_load(&page->reserved) - offset > window) {
        offset += size;
        size = 0;
    }
    if (offset > wanted && atomic_load(&page->log_bytes) > wanted)
        return 0; /* not in the ring any more, but in the log now */
    *skipped = offset - wanted;
    return size;
}

/* ---- marks ---- */

void status_mark(struct status_page *page, const struct run_mark *mark)
{
    uint64_t n = atomic_load(&page->marks);

    if (n - atomic_load(&page->marks_taken) >= STATUS_MARKS)
        return;
    page->mark[n % STATUS_MARKS] = *mark;
    atomic_store(&page->marks, n + 1);
}

bool status_get_mark(const struct status_page *page, uint64_t n, struct run_mark *mark)
{
    uint64_t made = atomic_load(&page->marks);

    if (n >= made || made - n > STATUS_MARKS - 1)
        return false;
    *mark = page->mark[n % STATUS_MARKS];
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load(&page->marks) - n <= STATUS_MARKS - 1;
}

/* ---- values that change as a whole ---- */

/* Copies size bytes while nobody writes to them. False if a writer died during an update. */
static bool read_whole(_Atomic uint32_t *seq, void *out, const void *from, size_t size)
{
    for (int i = 0; i < READ_TRIES; i++) {
        uint32_t before = atomic_load(seq);

        atomic_thread_fence(memory_order_seq_cst);
        memcpy(out, from, size);
        atomic_thread_fence(memory_order_seq_cst);
        if (!(before & 1) && before == atomic_load(seq))
            return true;
    }
    return false;
}

void status_set_ack(struct status_page *page, const struct run_ack *ack)
{
    uint32_t odd = begin_update(&page->ack_seq);

    page->ack = *ack;
    end_update(&page->ack_seq, odd);
}

bool status_get_ack(struct status_page *page, struct run_ack *out)
{
    return read_whole(&page->ack_seq, out, &page->ack, sizeof *out);
}

void status_set_progress(struct status_page *page, const struct status_progress *progress)
{
    uint32_t odd = begin_update(&page->progress_seq);

    page->progress = *progress;
    end_update(&page->progress_seq, odd);
}

bool status_get_progress(struct status_page *page, struct status_progress *out)
{
    if (!read_whole(&page->progress_seq, out, &page->progress, sizeof *out))
        return false;
    out->phase[sizeof out->phase - 1] = '\0';
    out->progress.current[sizeof out->progress.current - 1] = '\0';
    return true;
}
