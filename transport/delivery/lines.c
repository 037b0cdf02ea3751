/* Two queues that grow at the end and shrink at the front. */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

#include "../../common/io.h"

#define BLOCK ((size_t)1024) /* bytes whose lines are counted together */

/* Space for DELIVERY_QUEUE_MAX and one more read. Allocated at once, because unused memory costs
   nothing, and growing means moving. */
#define LINE_QUEUE_CAPACITY ((size_t)1408 << 10)

bool line_queue_add(struct line_queue *queue, size_t count, const char *text, size_t length)
{
    /* Moving is cheap, and saves memory. */
    if (queue->capacity - queue->end < length + 1 && queue->start > line_queue_size(queue) / 4) {
        memmove(queue->bytes, queue->bytes + queue->start, line_queue_size(queue));
        queue->end -= queue->start;
        queue->start = 0;
    }
    if (queue->capacity - queue->end < length + 1) {
        size_t needed = queue->end + length + 1;
        size_t capacity = needed < LINE_QUEUE_CAPACITY ? LINE_QUEUE_CAPACITY : needed / 2 * 3 + 256;
        char *grown = realloc(queue->bytes, capacity);

        if (!grown)
            return false;
        queue->bytes = grown;
        queue->capacity = capacity;
    }
    if (length > 0)
        memcpy(queue->bytes + queue->end, text, length);
    queue->bytes[queue->end + length] = '\n';
    queue->end += length + 1;
    queue->count += count;
    return true;
}

static void forget(struct line_queue *queue, uint64_t lines)
{
    queue->first += lines;
    queue->count -= lines;
}

/* Drops whole blocks of lines. */
static void skip_blocks(struct line_queue *queue, uint64_t number)
{
    while (line_queue_size(queue) >= BLOCK) {
        uint64_t lines = count_lf(queue->bytes + queue->start, BLOCK);

        if (queue->first + lines >= number) /* the block may have the beginning of line `number` */
            return;
        forget(queue, lines);
        queue->start += BLOCK;
    }
}

void line_queue_drop(struct line_queue *queue, uint64_t number)
{
    if (number >= queue->first + queue->count) {
        queue->first += queue->count;
        queue->start = queue->end = queue->count = 0;
        return;
    }
    skip_blocks(queue, number);
    /* Lines are short, so a call of memchr for each line is slower than a look at each byte. */
    while (queue->first < number)
        if (queue->bytes[queue->start++] == '\n')
            forget(queue, 1);
}

void line_queue_restart(struct line_queue *queue, uint64_t number)
{
    queue->start = queue->end = queue->count = 0;
    queue->first = number;
}

void line_queue_free(struct line_queue *queue)
{
    free(queue->bytes);
    *queue = (struct line_queue){0};
}

/* ---- times ---- */

static struct time_run *newest(struct time_runs *times)
{
    return times->count ? &times->run[times->start + times->count - 1] : NULL;
}

static void append_run(struct time_runs *times, uint64_t count, int64_t ms)
{
    if (times->run && times->start > 0 && times->start + times->count == times->capacity) {
        memmove(times->run, times->run + times->start, times->count * sizeof *times->run);
        times->start = 0;
    }
    if (!times->run || times->count == times->capacity) {
        size_t capacity = times->capacity ? times->capacity * 2 : 64;
        struct time_run *grown = realloc(times->run, capacity * sizeof *grown);

        if (!grown) { /* out of memory: the lines get the time of those before them */
            if (times->count)
                newest(times)->count += count;
            return;
        }
        times->run = grown;
        times->capacity = capacity;
    }
    times->run[times->start + times->count++] = (struct time_run){count, ms};
}

void time_runs_set_end(struct time_runs *times, uint64_t end, int64_t ms)
{
    struct time_run *last;

    while (end < times->end && (last = newest(times))) {
        uint64_t gone = times->end - end < last->count ? times->end - end : last->count;

        last->count -= gone;
        times->end -= gone;
        if (last->count == 0)
            times->count--;
    }
    if (end <= times->end)
        return;
    last = newest(times);
    if (last && last->ms == ms)
        last->count += end - times->end;
    else
        append_run(times, end - times->end, ms);
    times->end = end;
}

void time_runs_drop(struct time_runs *times, uint64_t number)
{
    while (times->first < number && times->count > 0) {
        struct time_run *oldest = &times->run[times->start];
        uint64_t gone =
            number - times->first < oldest->count ? number - times->first : oldest->count;

        oldest->count -= gone;
        times->first += gone;
        if (oldest->count == 0) {
            times->start++;
            times->count--;
        }
    }
}

uint64_t time_runs_reach(const struct time_runs *times, uint64_t from, size_t most)
{
    uint64_t at = times->first;

    for (size_t i = 0; i < times->count; i++) {
        at += times->run[times->start + i].count;
        if (at > from && --most == 0)
            return at;
    }
    return UINT64_MAX;
}

void time_runs_restart(struct time_runs *times, uint64_t number)
{
    times->start = times->count = 0;
    times->first = times->end = number;
}

void time_runs_free(struct time_runs *times)
{
    free(times->run);
    *times = (struct time_runs){0};
}
