#include "outage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "../common/io.h"

/* The wrapper promises 1 s and 0.2 s; the difference is for the end of the processes. */
#define FIRST_MS 900
#define LATER_MS 150
#define LAST_WORD_MS 200 /* before the flush timeout, while the pump still listens */
#define TEXT_SIZE 2048

/* Opening an existing file does not wait for a frozen disk; creating one does. */
static void open_note(struct outage *outage, const struct config *config, int flags)
{
    AUTO_FREE char *path = NULL;

    if (!config->state_dir || asprintf(&path, "%s/unanswered", config->state_dir) < 0) {
        path = NULL;
        return;
    }
    outage->fd = open(path, flags | O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);
    if (outage->fd >= 0 && !is_file(outage->fd))
        close_fd(&outage->fd);
}

void outage_open(struct outage *outage, const struct config *config)
{
    char text[TEXT_SIZE];
    ssize_t size;

    *outage = (struct outage){.fd = -1};
    open_note(outage, config, 0);
    size = outage->fd >= 0 ? pread(outage->fd, text, sizeof text - 1, 0) : 0;
    if (size > 0) {
        text[size] = '\0';
        outage->known = strcmp(text, config->url) == 0;
    }
}

void outage_answered(struct outage *outage)
{
    outage->answered = true;
    if (outage->known && ftruncate(outage->fd, 0) == 0)
        outage->known = false;
}

void outage_note(struct outage *outage, const struct config *config)
{
    size_t size = strlen(config->url);

    if (outage->fd < 0)
        open_note(outage, config, O_CREAT);
    if (outage->fd < 0 || outage->known || size >= TEXT_SIZE)
        return;
    outage->known =
        ftruncate(outage->fd, 0) == 0 && pwrite(outage->fd, config->url, size, 0) == (ssize_t)size;
}

int64_t outage_patience_ms(const struct outage *outage, const struct config *config)
{
    int64_t most = (int64_t)config->flush_timeout_s * 1000 - LAST_WORD_MS;
    int64_t patience = outage->answered ? most : outage->known ? LATER_MS : FIRST_MS;

    return patience < most ? patience : most;
}

bool outage_stay(struct outage *outage, const struct config *config)
{
    if (outage->fd < 0)
        open_note(outage, config, O_CREAT);
    return outage->fd < 0 || flock(outage->fd, LOCK_EX | LOCK_NB) == 0;
}
