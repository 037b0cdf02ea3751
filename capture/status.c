/* The status page: shared memory that the pump writes and its helpers read, without a lock. */
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* An update takes nanoseconds: more tries than this mean that its writer died in it. */
#define PROGRESS_TRIES 1000

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

struct status_page *status_create(int *fd)
{
    struct status_page *page;

    *fd = shared_memory();
    if (*fd < 0)
        return NULL;
    if (ftruncate(*fd, sizeof *page) < 0 || !(page = status_map(*fd))) {
        int saved = errno;

        close(*fd);
        *fd = -1;
        errno = saved;
        return NULL;
    }
    page->ring_start = UINT64_MAX;
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
    return page;
}

struct status_page *status_map(int fd)
{
    struct stat info;
    void *page;

    if (fstat(fd, &info) < 0)
        return NULL;
    if (info.st_size != (off_t)sizeof(struct status_page)) {
        errno = EINVAL;
        return NULL;
    }
    page = mmap(NULL, sizeof(struct status_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return page == MAP_FAILED ? NULL : page;
}

void status_unmap(struct status_page *page)
{
    if (page)
        munmap(page, sizeof *page);
}

void status_ring_write(struct status_page *page, uint64_t offset, const void *bytes, size_t size)
{
    const unsigned char *from = bytes;

    if (size > STATUS_RING_SIZE) { /* only the newest can stay */
        from += size - STATUS_RING_SIZE;
        offset += size - STATUS_RING_SIZE;
        size = STATUS_RING_SIZE;
    }
    if (page->ring_start == UINT64_MAX)
        page->ring_start = offset;
    while (size > 0) {
        size_t at = offset % STATUS_RING_SIZE;
        size_t part = size < STATUS_RING_SIZE - at ? size : STATUS_RING_SIZE - at;

        memcpy(page->ring + at, from, part);
        from += part;
        offset += part;
        size -= part;
    }
}

size_t status_ring_read(struct status_page *page, uint64_t offset, void *out, size_t size,
                        uint64_t *skipped)
{
    uint64_t start = page->ring_start, end = page->bytes, wanted = offset;

    *skipped = 0;
    if (start == UINT64_MAX || offset >= end)
        return 0;
    if (offset < start)
        offset = start;
    /* Half a ring is kept away from the writer, which may be at work on the oldest part. */
    if (end - offset > STATUS_RING_SIZE / 2)
        offset = end - STATUS_RING_SIZE / 2;
    if (size > end - offset)
        size = (size_t)(end - offset);
    for (size_t done = 0; done < size;) {
        size_t at = (offset + done) % STATUS_RING_SIZE;
        size_t part = size - done < STATUS_RING_SIZE - at ? size - done : STATUS_RING_SIZE - at;

        memcpy((char *)out + done, page->ring + at, part);
        done += part;
    }
    *skipped = offset - wanted;
    if (page->bytes - offset > STATUS_RING_SIZE) { /* overtaken while copying: all of it is lost */
        *skipped += size;
        return 0;
    }
    return size;
}

void status_set_progress(struct status_page *page, const struct status_progress *progress)
{
    uint32_t seq = atomic_load(&page->progress_seq) |
                   1; /* odd: being written, also after a death in the middle */

    atomic_store(&page->progress_seq, seq);
    atomic_thread_fence(memory_order_seq_cst);
    page->progress = *progress;
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store(&page->progress_seq, seq + 1);
}

bool status_get_progress(struct status_page *page, struct status_progress *out)
{
    for (int i = 0; i < PROGRESS_TRIES; i++) {
        uint32_t before = atomic_load(&page->progress_seq);

        atomic_thread_fence(memory_order_seq_cst);
        *out = page->progress;
        atomic_thread_fence(memory_order_seq_cst);
        if (!(before & 1) && before == atomic_load(&page->progress_seq)) {
            out->phase[sizeof out->phase - 1] = '\0';
            out->current[sizeof out->current - 1] = '\0';
            return true;
        }
    }
    return false;
}
