/* The logs of builders, from nix's internal log to the batches for a dashboard, which accepts some
   batches and loses others. The delivery must end, every batch must fit, the lines of a log must be
   numbered without overlap, and no control character may leave the machine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../common/json_read.h"
#include "../../transport/delivery/delivery.h"

#define BATCHES_MAX 10000
#define BODY_DEPTH 8

static uint64_t next_line[PHASE_DERIVATIONS_MAX];

static int64_t int_of(json_object *object, const char *name)
{
    json_object *value;
    if (!json_object_object_get_ex(object, name, &value))
        abort();
    return json_object_get_int64(value);
}

/* taken: the batch is accepted, so its lines must follow the lines of earlier batches. */
static void check_piece(json_object *piece, bool taken)
{
    int64_t n = int_of(piece, "n"), from = int_of(piece, "from");
    json_object *text;
    if (n < 0 || n >= PHASE_DERIVATIONS_MAX || !json_object_object_get_ex(piece, "text", &text))
        abort();
    const char *at = json_object_get_string(text);
    uint64_t lines = 1;
    for (int i = 0; i < json_object_get_string_len(text); i++) {
        unsigned char c = (unsigned char)at[i];
        lines += c == '\n';
        if ((c < ' ' && c != '\n') || c == 0x7f)
            abort();
    }
    if (from != 0 && (uint64_t)from < next_line[n])
        abort();
    if (taken)
        next_line[n] = (uint64_t)from + lines;
}

static void check_body(const struct text *body, bool taken)
{
    struct json_problem problem;
    json_object *object, *list;
    if (body->size > DELIVERY_BODY_MAX ||
        json_read(body->bytes, body->size, BODY_DEPTH, &object, &problem) < 0)
        abort();
    if (json_object_object_get_ex(object, "build_logs", &list))
        for (size_t i = 0; i < json_object_array_length(list); i++)
            check_piece(json_object_array_get_idx(list, i), taken);
    json_object_put(object);
}

static void deliver(struct delivery *delivery, uint64_t lost)
{
    struct client_answer answer = {.status = 200, .retry_after_ms = -1};
    char text[64];
    for (int batches = 0; batches < BATCHES_MAX; batches++) {
        bool taken = batches >= 64 || !(lost >> batches & 1);
        while (delivery_read(delivery, SIZE_MAX, false))
            continue;
        if (delivery_over(delivery))
            return;
        if (!delivery_build(delivery))
            return;
        check_body(&delivery->body, taken);
        answer.status = taken ? 200 : 0;
        answer.body = text;
        answer.size = (size_t)snprintf(text, sizeof text, "{\"next\":%llu}",
                                       (unsigned long long)delivery->sent_end);
        if (delivery_take(delivery, &answer) == DELIVERY_DONE)
            return;
    }
    abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static char directory[256], path[300], *argv[] = {NULL};
    const struct run_info info = {
        .id = "record", .host = "h", .argv = argv, .rows = 24, .cols = 80};
    const struct run_end end = {.known = true};
    struct redactor *redactor = redactor_new("", NULL, NULL, NULL);
    struct delivery delivery;
    struct source source;
    uint64_t lost = 0;

    if (!path[0]) {
        const char *parent = getenv("TMPDIR"); /* scripts/fuzz removes the directory */
        snprintf(directory, sizeof directory, "%s/build-logs-XXXXXX", parent ? parent : "/tmp");
        if (!mkdtemp(directory))
            abort();
        snprintf(path, sizeof path, "%s/record.nix", directory);
    }
    FILE *file = fopen(path, "w");
    if (!file || !redactor)
        abort();
    if (size > sizeof lost)
        memcpy(&lost, data + size - sizeof lost, sizeof lost);
    fwrite(data, 1, size, file);
    fclose(file);
    memset(next_line, 0, sizeof next_line);
    source_open(&source, -1, -1, NULL, 0, 24, 80, 0);
    if (delivery_open(&delivery, &info, redactor, &source, &(struct run_ack){0}) == 0) {
        delivery_read_record(&delivery, directory, "record");
        delivery_output_ends(&delivery, &end);
        deliver(&delivery, lost);
        delivery_close(&delivery);
    }
    redactor_free(redactor);
    unlink(path);
    return 0;
}
