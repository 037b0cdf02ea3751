/* Removes old runs. Every run does this, in a process of its own, so it should cost no more than
   reading the directory and the file sizes: a record is read only if its run is beyond a limit. If
   thousands of runs are beyond a limit but cannot be removed, because they are undelivered, a few
   hundred of them are examined, others at the next call. */
#include "runrecord.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"

#define FILE_NAME_SIZE (RUN_ID_SIZE + 8)
/* runs that cannot be removed */
#define LOOKS_MOST 256
struct prune {
    const char *dir;
    int dir_fd;
    size_t removed, stay; /* stay: runs beyond a limit that were not removed */
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
    unlinkat(prune->dir_fd, name, 0); /* a file that remains is found again by the next run */
}

/* The record is removed last, so that the rest of an interrupted removal is found again. */
static void remove_run(struct prune *prune, const char *id)
{
    remove_file(prune, id, "log");
    remove_file(prune, id, "marks");
    remove_file(prune, id, "nix");
    remove_file(prune, id, "profiles");
    remove_file(prune, id, "changes");
    remove_file(prune, id, "refused");
    remove_file(prune, id, "run");
    prune->removed++;
}

/* False for a run that is alive, undelivered, or unreadable. */
static bool may_go(const struct prune *prune, const char *id)
{
    struct run_record record;
    bool result;

    if (run_record_read(prune->dir, id, &record) < 0)
        return false;
    result = !record.alive && !run_undelivered(&record);
    run_record_free(&record);
    return result;
}

/* Moves the runs beyond a limit to the end of ids, and returns their number. ids: oldest first. */
static size_t find_old(const struct prune *prune, char **ids, size_t count,
                       const struct run_bounds *bounds)
{
    int64_t oldest_ms = wall_ms() - bounds->age_ms;
    uint64_t bytes = 0;
    size_t runs = 0, old = 0;

    for (size_t i = count; i-- > 0;) {
        bool within = runs < bounds->count && run_id_time(ids[i]) >= oldest_ms;
        uint64_t size =
            within ? size_of_file(prune, ids[i], "log") + size_of_file(prune, ids[i], "nix") : 0;

        if (within && bytes + size <= bounds->bytes) {
            runs++;
            bytes += size;
        } else {
            char *id = ids[i];

            ids[i] = ids[count - 1 - old];
            ids[count - 1 - old++] = id;
        }
    }
    return old;
}

/* Of these runs, removes those that may be removed; begins at a random one. */
static void remove_runs(struct prune *prune, char **ids, size_t count)
{
    size_t start = 0;

    if (count > LOOKS_MOST)
        random_bytes(&start, sizeof start);
    for (size_t i = 0; i < count && prune->stay < LOOKS_MOST; i++) {
        const char *id = ids[(start % count + i) % count];

        if (may_go(prune, id))
            remove_run(prune, id);
        else
            prune->stay++;
    }
}

size_t run_prune(const char *dir, const struct run_bounds *bounds)
{
    AUTO_CLOSE int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct prune prune = {.dir = dir, .dir_fd = dir_fd};
    char **ids = dir_fd < 0 ? NULL : run_record_list(dir);
    size_t count = 0, old;

    while (ids && ids[count])
        count++;
    if (count > 0) {
        old = find_old(&prune, ids, count, bounds);
        remove_runs(&prune, ids + (count - old), old);
    }
    for (char **id = ids; id && *id; id++)
        free(*id);
    free(ids);
    return prune.removed;
}
