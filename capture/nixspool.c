#include "nixspool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "../common/io.h"
#include "nixmemory.h"
#include "runrecord.h"

#define COPY_SIZE ((size_t)64 << 10)
#define FREE_STEP ((uint64_t)64 << 10)
/* The pauses of the process that frees memory, while nix writes and while it does not. */
#define GUARD_BUSY_MS 20
#define GUARD_IDLE_MS 500

/* ---- the process that frees memory ---- */

static uint64_t size_of(int fd)
{
    struct stat info;

    return fstat(fd, &info) == 0 ? (uint64_t)info.st_size : 0;
}

/* The bytes below this offset need no memory: they are on the disk, or too many wait for it. */
static uint64_t not_needed(const struct nix_spool *spool, uint64_t size)
{
    uint64_t taken = atomic_load(&spool->page->nix_taken);

    if (size > taken && size - taken > NIX_SPOOL_MOST)
        taken = size - NIX_SPOOL_MOST / 2;
    return taken / FREE_STEP * FREE_STEP;
}

static void free_memory(int fd, uint64_t from, uint64_t to)
{
#ifdef FALLOC_FL_PUNCH_HOLE
    /* on failure, the memory stays in use until the end of the run */
    (void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                    (off_t)(to - from));
#else
    (void)fd, (void)from, (void)to;
#endif
}

/* First writes on the page which bytes will be freed, for the readers; then frees them. */
static void guard_memory(const struct nix_spool *spool, int until)
{
    struct pollfd over = {.fd = until, .events = POLLIN};
    uint64_t freed = atomic_load(&spool->page->nix_freed), before = 0;
    int pause = 0;

    while (poll(&over, 1, pause) == 0 || over.revents == 0) {
        uint64_t size = size_of(spool->memory_fd), to = not_needed(spool, size);

        if (to > freed) {
            atomic_store(&spool->page->nix_freed, to);
            free_memory(spool->memory_fd, freed, to);
            freed = to;
        }
        pause = size == before ? GUARD_IDLE_MS : GUARD_BUSY_MS;
        before = size;
    }
}

static bool start_guard(struct nix_spool *spool, void (*prepare)(void *context), void *context)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    pid = fork();
    if (pid == 0) {
        close_fd(&ends[1]);
        prepare(context);
#ifdef __linux__
        (void)prctl(PR_SET_NAME, "nixfleet-nix");
#endif
        guard_memory(spool, ends[0]);
        _exit(0);
    }
    close_fd(&ends[0]);
    spool->guard = ends[1];
    return pid > 0;
}

/* ---- copying ---- */

void nix_spool_open(struct nix_spool *spool, struct status_page *page,
                    void (*prepare)(void *context), void *context)
{
    *spool =
        (struct nix_spool){.page = page, .memory_fd = -1, .disk_fd = -1, .guard = -1, .dir_fd = -1};
    if (!page->nix_path[0])
        return;
    spool->memory_fd = open(page->nix_path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (!is_file(spool->memory_fd))
        close_fd(&spool->memory_fd);
    /* tells nix_memory_prune that the file is in use */
    else if (flock(spool->memory_fd, LOCK_EX | LOCK_NB) < 0 ||
             !start_guard(spool, prepare, context))
        nix_spool_close(spool);
}

void nix_spool_to(struct nix_spool *spool, const char *dir, const char *id)
{
    spool->id = id;
    if (spool->memory_fd < 0)
        return;
    if (dir)
        spool->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spool->dir_fd < 0)
        nix_spool_close(spool);
}

static void failed(struct nix_spool *spool, int problem)
{
    int32_t none = 0;

    atomic_compare_exchange_strong(&spool->page->problem[LOG_NIX_ENDED], &none,
                                   problem ? problem : EIO);
    close_fd(&spool->disk_fd);
    close_fd(&spool->dir_fd);
}

/* The file is made when there is something to write. A log writer that died may have made it. */
static bool open_disk(struct nix_spool *spool)
{
    char name[RUN_ID_SIZE + sizeof ".nix"];

    if (spool->disk_fd >= 0 || spool->dir_fd < 0)
        return spool->disk_fd >= 0;
    snprintf(name, sizeof name, "%s.nix", spool->id);
    spool->disk_fd =
        openat(spool->dir_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (spool->disk_fd < 0)
        failed(spool, errno);
    return spool->disk_fd >= 0;
}

static void write_at(struct nix_spool *spool, const char *bytes, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size && open_disk(spool);) {
        ssize_t n = pwrite(spool->disk_fd, bytes + done, size - done, (off_t)(offset + done));

        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            failed(spool, n == 0 ? ENOSPC : errno);
    }
}

bool nix_spool_copy(struct nix_spool *spool)
{
    static char bytes[COPY_SIZE];
    struct status_page *page = spool->page;
    uint64_t taken = atomic_load(&page->nix_taken), freed;
    ssize_t n;

    if (spool->memory_fd < 0 || !spool->id)
        return false;
    n = pread(spool->memory_fd, bytes, sizeof bytes, (off_t)taken);
    atomic_thread_fence(memory_order_seq_cst);
    freed = atomic_load(&page->nix_freed);
    if (freed > taken) { /* these bytes waited too long */
        atomic_fetch_add(&page->nix_lost, freed - taken);
        atomic_store(&page->nix_taken, freed);
        return true;
    }
    if (n <= 0)
        return false;
    write_at(spool, bytes, (size_t)n, taken);
    atomic_store(&page->nix_taken, taken + (uint64_t)n);
    return true;
}

bool nix_spool_waits(const struct nix_spool *spool)
{
    return spool->memory_fd >= 0 &&
           size_of(spool->memory_fd) > atomic_load(&spool->page->nix_taken);
}

void nix_spool_close(struct nix_spool *spool)
{
    if (spool->memory_fd < 0)
        return;
    nix_memory_end(spool->page->nix_path);
    nix_memory_prune();
    close_fd(&spool->memory_fd);
    close_fd(&spool->disk_fd);
    close_fd(&spool->dir_fd);
    close_fd(&spool->guard);
}
