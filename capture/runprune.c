/* Throwing old runs away. Every run does this, beside its command, so that it costs no more than
   a look at the directory and at the sizes: a record is read only when its run has crossed a
   bound. */
#include "runlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"

#define FILE_NAME_SIZE (RUN_ID_SIZE + 8)

struct prune {
    const char *dir;
    int dir_fd;
    size_t runs;    /* kept so far: the newer ones */
    uint64_t bytes; /* that they take in dir */
    size_t removed;
};

static uint64_t size_of_file(const struct prune *prune, const char *id, const char *ending)
{
    char name[FILE_NAME_SIZE];
    struct stat info;

    snprintf(name, sizeof name, "%s.%s", id, ending);
    return fstatat(prune->dir_fd, name, &info, 0) == 0 ? (uint64_t)info.st_size : 0;
}

static void remove_file(const struct prune *prune, const char *id, const char *ending)
{
    char name[FILE_NAME_SIZE];

    snprintf(name, sizeof name, "%s.%s", id, ending);
    unlinkat(prune->dir_fd, name, 0); /* what stays is found again by the next run */
}

/* The record goes last: what is left of an interrupted removal is then found again. */
static void remove_run(struct prune *prune, const char *id)
{
    remove_file(prune, id, "log");
    remove_file(prune, id, "marks");
    remove_file(prune, id, "nix");
    remove_file(prune, id, "run");
    prune->removed++;
}

/* Milliseconds since the epoch in a run id (RFC 9562, version 7: its first 48 bits). */
static int64_t id_time(const char *id)
{
    char digits[13];

    snprintf(digits, sizeof digits, "%.8s%.4s", id, id + 9);
    return strtoll(digits, NULL, 16);
}

/* False for one that lives, is owed, or cannot be read: that is not ours to judge. */
static bool may_go(const struct prune *prune, const char *id)
{
    struct run_record record;
    bool result;

    if (run_record_read(prune->dir, id, &record) < 0)
        return false;
    result = !record.alive && !run_owed(&record);
    run_record_free(&record);
    return result;
}

size_t run_prune(const char *dir, size_t max_count, int64_t max_age_ms, uint64_t max_bytes)
{
    AUTO_CLOSE int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct prune prune = {.dir = dir, .dir_fd = dir_fd};
    char **ids = dir_fd < 0 ? NULL : run_record_list(dir);
    int64_t oldest_ms = wall_ms() - max_age_ms;
    size_t count = 0;

    while (ids && ids[count])
        count++;
    while (count-- > 0) { /* newest first: the bounds are met by the oldest */
        const char *id = ids[count];
        uint64_t bytes = size_of_file(&prune, id, "log") + size_of_file(&prune, id, "nix");

        if (prune.runs < max_count && id_time(id) >= oldest_ms &&
            prune.bytes + bytes <= max_bytes) {
            prune.runs++;
            prune.bytes += bytes;
        } else if (may_go(&prune, id)) {
            remove_run(&prune, id);
        } else {
            prune.runs++;
        }
    }
    for (char **id = ids; id && *id; id++)
        free(*id);
    free(ids);
    return prune.removed;
}
