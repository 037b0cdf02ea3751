#include "nixsource.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../common/io.h"

void nix_source_open(struct nix_source *source, const struct status_page *page, const char *dir,
                     const char *id)
{
    *source = (struct nix_source){.page = page, .memory_fd = -1, .disk_fd = -1};
    if (!dir || asprintf(&source->path, "%s/%s.nix", dir, id) < 0)
        source->path = NULL;
    if (page && page->nix_path[0])
        source->memory_fd =
            open(page->nix_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
}

static size_t read_at(int fd, char *bytes, size_t size, uint64_t at)
{
    ssize_t n;

    do
        n = pread(fd, bytes, size, (off_t)at);
    while (n < 0 && errno == EINTR);
    return n > 0 ? (size_t)n : 0;
}

static size_t read_disk(struct nix_source *source, char *bytes, size_t size, uint64_t at)
{
    if (source->disk_fd < 0)
        source->disk_fd =
            open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
    return source->disk_fd < 0 ? 0 : read_at(source->disk_fd, bytes, size, at);
}

/* The bytes below this offset are not in memory. */
static uint64_t freed(const struct nix_source *source)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load(&source->page->nix_freed);
}

/* For a run that is alive. */
static size_t read_memory_or_disk(struct nix_source *source, uint64_t *at, char *bytes, size_t size)
{
    size_t n = 0;

    if (freed(source) <= *at)
        n = read_at(source->memory_fd, bytes, size, *at);
    if (freed(source) <= *at)
        return n;
    n = read_disk(source, bytes, size, *at);
    if (n == 0) { /* these bytes waited too long for the disk */
        *at = freed(source);
        n = read_at(source->memory_fd, bytes, size, *at);
        if (freed(source) > *at)
            return 0; /* the next call finds them */
    }
    return n;
}

size_t nix_source_read(struct nix_source *source, uint64_t *at, char *bytes, size_t size)
{
    size_t n;

    if (!source->path || (source->page && !source->page->nix_path[0]))
        return 0;
    n = source->memory_fd < 0 ? read_disk(source, bytes, size, *at)
                              : read_memory_or_disk(source, at, bytes, size);
    *at += n;
    return n;
}

void nix_source_close(struct nix_source *source)
{
    free(source->path);
    close_fd(&source->memory_fd);
    close_fd(&source->disk_fd);
    source->path = NULL;
}
