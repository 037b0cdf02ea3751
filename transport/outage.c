#include "outage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../common/io.h"

/* The wrapper promises 1 s and 0.2 s; the processes need the rest of that time to end. */
#define FIRST_MS 900
#define LATER_MS 150
#define LAST_WORD_MS 200 /* before the flush timeout, while the pump still listens */
#define TEXT_SIZE 2048
#define WRITE_MS 100 /* the time for writing a note */

static char *note_path(const struct config *config)
{
    char *path;

    return !config->state_dir || asprintf(&path, "%s/unanswered", config->state_dir) < 0 ? NULL
                                                                                         : path;
}

/* If the disk is frozen, an open for reading does not wait, but an open for writing or creating
 * may. */
static void open_note(struct outage *outage, const struct config *config, int flags)
{
    AUTO_FREE char *path = note_path(config);

    if (!path)
        return;
    outage->fd =
        open(path, flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);
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

static void write_note(const char *path, const char *text)
{
    AUTO_CLOSE int fd =
        open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);

    if (is_file(fd) && ftruncate(fd, 0) == 0 && pwrite(fd, text, strlen(text), 0) < 0) {
        /* an incomplete note counts as none */
    }
}

/* Writes the note in a child, because the disk may be frozen, and waits a moment for the child.
 * Without the note, the next run may wait longer. */
static void write_note_beside(const struct config *config, const char *text)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    AUTO_FREE char *path = note_path(config);
    pid_t child = path ? fork() : -1;

    if (child == 0) {
        close_from(STDERR_FILENO + 1); /* other processes wait for end of file on these */
        write_note(path, text);
        _exit(0);
    }
    for (int i = 0; child > 0 && i < WRITE_MS && waitpid(child, NULL, WNOHANG) == 0; i++)
        nanosleep(&pause, NULL);
}

void outage_answered(struct outage *outage, const struct config *config)
{
    outage->answered = true;
    if (!outage->known)
        return;
    outage->known = false;
    write_note_beside(config, "");
}

void outage_note(struct outage *outage, const struct config *config)
{
    if (outage->known || strlen(config->url) >= TEXT_SIZE)
        return;
    outage->known = true;
    write_note_beside(config, config->url);
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
