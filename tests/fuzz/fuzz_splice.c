/* Splices of all kinds, in one transaction, compared with a plain array: a reader must get the
   content of the array. Three bytes are one operation: which kind, how far back, how many lines. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dashboard/live/follower.h"

#define LINES_MAX 4000
#define LINE_SIZE 24

struct model {
    char line[LINES_MAX][LINE_SIZE];
    bool missing[LINES_MAX], seen[LINES_MAX];
    int64_t count;
};

struct input {
    const uint8_t *bytes;
    size_t size;
    char run[RUN_ID_SIZE];
    struct model *model;
};

static struct store *store;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t finished = PTHREAD_COND_INITIALIZER;
static bool over;

static int64_t splice(struct txn *txn, struct run_row *run, struct model *model, const uint8_t *op)
{
    static char text[256 * LINE_SIZE];
    int64_t skipped = op[0] % 8 == 7 ? op[1] % 5 : 0, back = op[0] % 2 ? op[1] : 0,
            from = skipped               ? model->count + skipped
                   : model->count > back ? model->count - back
                                         : 0,
            count = op[2] % 40, at = 0;
    size_t size = 0;
    struct chunk chunk;

    if (from + count >= LINES_MAX)
        return 0;
    for (; model->count < from; model->count++)
        model->missing[model->count] = true;
    for (; at < count; at++) {
        char *line = model->line[from + at];

        snprintf(line, LINE_SIZE, op[0] % 5 ? "%d of \xc3\xa9 %d" : "%.0d%.0d", op[1], (int)at);
        model->missing[from + at] = false;
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s", at ? "\n" : "", line);
    }
    model->count = from + count;
    chunk = (struct chunk){.first = from, .count = count, .text = text, .size = size};
    if (txn_log_splice(txn, run, &chunk) < 0 || run->lines != model->count)
        abort();
    if (op[0] & 0x40 && count && txn_log_splice(txn, run, &chunk) != 0)
        abort(); /* a retry must change nothing */
    return count;
}

static enum job_result apply(struct txn *txn, void *context)
{
    struct input *input = context;
    struct run_row run = {0};

    if (txn_run_create(txn, "host", "", &run) < 0)
        abort();
    for (size_t i = 0; i + 3 <= input->size; i += 3)
        splice(txn, &run, input->model, input->bytes + i);
    if (txn_run_save_counts(txn, &run, -1) < 0)
        abort();
    snprintf(input->run, sizeof input->run, "%s", run.id);
    return JOB_DONE;
}

static void done(void *context, bool ok)
{
    (void)context;
    if (!ok)
        abort();
    pthread_mutex_lock(&lock);
    over = true;
    pthread_cond_signal(&finished);
    pthread_mutex_unlock(&lock);
}

static void submit(struct input *input)
{
    struct job job = {.apply = apply, .done = done, .context = input};

    over = false;
    store_submit(store, &job);
    pthread_mutex_lock(&lock);
    while (!over)
        pthread_cond_wait(&finished, &lock);
    pthread_mutex_unlock(&lock);
}

/* One message: its lines must be those of the model. */
static void compare(struct model *model, struct text *message)
{
    json_object *object, *lines, *from;
    int64_t at;

    text_add(message, "", 1);
    object = json_tokener_parse(message->bytes);
    if (!object || !json_object_object_get_ex(object, "from", &from) ||
        !json_object_object_get_ex(object, "lines", &lines))
        abort();
    at = json_object_get_int64(from);
    for (size_t i = 0; i < json_object_array_length(lines); i++, at++) {
        if (at >= model->count || model->missing[at] ||
            strcmp(json_object_get_string(json_object_array_get_idx(lines, i)), model->line[at]) !=
                0)
            abort();
        model->seen[at] = true;
    }
    json_object_put(object);
}

static void read_back(const struct input *input)
{
    struct model *model = input->model;
    struct follower follower;

    if (follower_start(store, &follower, input->run, 0) <= 0)
        abort();
    while (follower.due) {
        struct text message = {0};

        if (follower_splice(store, &follower, &message) > 0)
            compare(model, &message);
        text_free(&message);
    }
    for (int64_t line = 0; line < model->count; line++)
        if (model->seen[line] == model->missing[line])
            abort(); /* no message had this line, or a message had a line that was left out */
}

static void open_store(void)
{
    char dir[256], error[STORE_ERROR_SIZE];

    snprintf(dir, sizeof dir, "%s/splice.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(dir) || !(store = store_open(dir, error)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {
        .bytes = bytes, .size = size < 600 ? size : 600, .model = calloc(1, sizeof *input.model)};

    if (!store)
        open_store();
    if (!input.model)
        return 0;
    submit(&input);
    read_back(&input);
    free(input.model);
    return 0;
}
