/* The status page: shared memory of a run's processes, without a lock. */
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* An update takes nanoseconds: more tries than this mean that its writer died in it. */
#define READ_TRIES 1000
#define PAGE ((size_t)4096)         /* the ring begins at a multiple of it */
#define RING_KEPT ((size_t)2 << 20) /* bytes: once used, not given back */

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

/* Where the parts of a page lie: the struct, the record, the ring. */
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

/* With the largest ring that can be had: a limit on the size of files counts for shared memory,
 * too, and there may be one on the address space. */
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

static void fill(struct status_page *page, const struct layout *layout, const char *record)
{
    page->page_size = sizeof *page;
    page->record_size = (uint32_t)layout->record_size;
    page->ring_at = layout->ring_at;
    page->ring_size = layout->ring_size;
    page->progress = (struct status_progress){
        .built = -1,
        .building = -1,
        .to_build = -1,
        .failed = -1,
        .fetched = -1,
        .to_fetch = -1,
        .fetched_bytes = -1,
        .to_fetch_bytes = -1,
        .tests_passed = -1,
        .tests_total = -1,
    };
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

/* ---- the ring ---- */

/* The byte at offset o of the output stands at (o - ring_base) % ring_size. Where the log has
   everything, the next byte goes to the ring's start again: so only as much memory is used as the
   log writer is behind. A reader notes ring_base and reserved before and after it copies. */

static unsigned char *ring_of(const struct status_page *page)
{
    return (unsigned char *)page + page->ring_at;
}

/* After a long wait for the disk the ring has grown: gives most of that memory back. */
static void shrink(struct status_page *page, uint64_t used)
{
#ifdef MADV_REMOVE
    if (used > RING_KEPT)
        (void)madvise(ring_of(page) + RING_KEPT, page->ring_size - RING_KEPT, MADV_REMOVE);
#else
    (void)page;
    (void)used;
#endif
}

static void begin_again(struct status_page *page)
{
    uint64_t bytes = atomic_load(&page->bytes), used = bytes - page->ring_base;

    if (used == 0 || atomic_load(&page->log_bytes) != bytes || atomic_load(&page->taken) != bytes)
        return;
    atomic_store(&page->ring_base, bytes);
    shrink(page, used);
}

void status_ring_write(struct status_page *page, const void *bytes, size_t size)
{
    uint64_t offset = atomic_load(&page->bytes), end = offset + size;
    const unsigned char *from = bytes;

    begin_again(page);
    atomic_store(&page->reserved, end);
    atomic_thread_fence(memory_order_seq_cst);
    if (size > page->ring_size) { /* only the newest can stay */
        from += size - page->ring_size;
        offset = end - page->ring_size;
    }
    while (offset < end) {
        uint64_t at = (offset - page->ring_base) % page->ring_size;
        uint64_t part = end - offset < page->ring_size - at ? end - offset : page->ring_size - at;

        memcpy(ring_of(page) + at, from, part);
        from += part;
        offset += part;
    }
    atomic_store(&page->bytes, end);
}

size_t status_ring_room(const struct status_page *page)
{
    uint64_t waiting = atomic_load(&page->bytes) - atomic_load(&page->taken);

    return waiting < page->ring_size ? page->ring_size - waiting : 0;
}

size_t status_ring_read(const struct status_page *page, uint64_t offset, void *out, size_t size,
                        uint64_t *skipped)
{
    uint64_t base = atomic_load(&page->ring_base), end = atomic_load(&page->bytes);
    uint64_t reserved = atomic_load(&page->reserved), wanted = offset, size_of = page->ring_size;

    *skipped = 0;
    if (offset < base || offset >= end)
        return 0;
    /* An eighth of the ring is kept away from the pump, which is at work on the oldest part. */
    if (reserved - offset > size_of)
        offset = reserved - size_of / 8 * 7;
    if (offset > end)
        offset = end;
    if (size > end - offset)
        size = (size_t)(end - offset);
    for (size_t done = 0; done < size;) {
        uint64_t at = (offset + done - base) % size_of;
        uint64_t part = size - done < size_of - at ? size - done : size_of - at;

        memcpy((char *)out + done, ring_of(page) + at, part);
        done += part;
    }
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&page->ring_base) != base)
        return 0; /* the log has these bytes now */
    *skipped = offset - wanted;
    if (atomic_load(&page->reserved) - offset > size_of) { /* overtaken: all of it is lost */
        *skipped += size;
        return 0;
    }
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

/* ---- what changes as a whole ---- */

static uint32_t begin_update(_Atomic uint32_t *seq)
{
    uint32_t odd = atomic_load(seq) | 1; /* also after a death in the middle */

    atomic_store(seq, odd);
    atomic_thread_fence(memory_order_seq_cst);
    return odd;
}

static void end_update(_Atomic uint32_t *seq, uint32_t odd)
{
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store(seq, odd + 1);
}

/* Copies size bytes when nobody writes to them. */
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
    out->current[sizeof out->current - 1] = '\0';
    return true;
}
