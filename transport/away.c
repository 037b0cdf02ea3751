#include "away.h"

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
static void open_note(struct away *away, const struct config *config, int flags)
{
    AUTO_FREE char *path = NULL;

    if (!config->state_dir || asprintf(&path, "%s/unanswered", config->state_dir) < 0) {
        path = NULL;
        return;
    }
    away->fd = open(path, flags | O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);
    if (away->fd >= 0 && !is_file(away->fd))
        close_fd(&away->fd);
}

void away_open(struct away *away, const struct config *config)
{
    char text[TEXT_SIZE];
    ssize_t size;

    *away = (struct away){.fd = -1};
    open_note(away, config, 0);
    size = away->fd >= 0 ? pread(away->fd, text, sizeof text - 1, 0) : 0;
    if (size > 0) {
        text[size] = '\0';
        away->known = strcmp(text, config->url) == 0;
    }
}

void away_answered(struct away *away)
{
    away->answered = true;
    if (away->known && ftruncate(away->fd, 0) == 0)
        away->known = false;
}

void away_silent(struct away *away, const struct config *config)
{
    size_t size = strlen(config->url);

    if (away->fd < 0)
        open_note(away, config, O_CREAT);
    if (away->fd < 0 || away->known || size >= TEXT_SIZE)
        return;
    away->known =
        ftruncate(away->fd, 0) == 0 && pwrite(away->fd, config->url, size, 0) == (ssize_t)size;
}

int64_t away_patience_ms(const struct away *away, const struct config *config)
{
    int64_t most = (int64_t)config->flush_timeout_s * 1000 - LAST_WORD_MS;
    int64_t patience = away->answered ? most : away->known ? LATER_MS : FIRST_MS;

    return patience < most ? patience : most;
}

bool away_stay(struct away *away, const struct config *config)
{
    if (away->fd < 0)
        open_note(away, config, O_CREAT);
    return away->fd < 0 || flock(away->fd, LOCK_EX | LOCK_NB) == 0;
}
