/* The lines that are final but not yet acknowledged, and the time of each line. */
#ifndef NIXFLEET_LINES_H
#define NIXFLEET_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lines first to first + count - 1, each followed by an LF, from bytes + start on. */
struct line_queue {
    char *bytes;
    size_t start, end, capacity;
    uint64_t first, count;
};

/* Appends `count` lines: a text with count - 1 LFs between them. False when out of memory; then the
 * queue is unchanged. */
bool line_queue_add(struct line_queue *queue, size_t count, const char *text, size_t length);
/* Drops the lines below number. */
void line_queue_drop(struct line_queue *queue, uint64_t number);
/* Empties the queue. The next line gets this number. */
void line_queue_restart(struct line_queue *queue, uint64_t number);
void line_queue_free(struct line_queue *queue);
static inline size_t line_queue_size(const struct line_queue *queue)
{
    return queue->end - queue->start;
}

/* Times of lines first to end - 1, in runs of equal times. */
struct time_run {
    uint64_t count;
    int64_t ms;
};
struct time_runs {
    struct time_run *run;
    size_t start, count, capacity; /* runs start to start + count - 1 are in use */
    uint64_t first, end;
};

/* The output has `end` lines now: new lines came at ms; lines that no longer exist are dropped. */
void time_runs_set_end(struct time_runs *times, uint64_t end, int64_t ms);
/* Drops the times below line number. */
void time_runs_drop(struct time_runs *times, uint64_t number);
/* The first line, from line `from` on, that `most` runs do not reach; UINT64_MAX if fewer runs are
 * enough for all. */
uint64_t time_runs_reach(const struct time_runs *times, uint64_t from, size_t most);
/* Drops all times. The next line has this number. */
void time_runs_restart(struct time_runs *times, uint64_t number);
void time_runs_free(struct time_runs *times);

#endif
