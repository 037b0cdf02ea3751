#include "build_logs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../common/io.h"
#include "../../common/utf8.h"
#include "delivery_internal.h"

#define READ_SIZE ((size_t)64 << 10)
#define TAB_WIDTH 8
/* bytes that one line can take in JSON */
#define LINE_ROOM (2 * TRANSCRIPT_LINE_MAX)
#define PIECE_ROOM 128 /* bytes of the fields around a text */
#define FAST_MS 250    /* a batch that took less time can be larger */
#define SLOW_MS 1000

/* ---- pieces ---- */

static bool piece_add(struct log_piece *piece, uint64_t number, const char *text, size_t length)
{
    if (piece->room - piece->size < length + 1) {
        size_t room = (piece->size + length + 1) * 2;
        char *grown = realloc(piece->bytes, room);

        if (!grown)
            return false;
        piece->bytes = grown;
        piece->room = room;
    }
    if (piece->lines == 0)
        piece->from = number;
    if (length > 0)
        memcpy(piece->bytes + piece->size, text, length);
    piece->bytes[piece->size + length] = '\n';
    piece->size += length + 1;
    piece->lines++;
    return true;
}

static void piece_drop(struct log_piece *piece, uint64_t lines, size_t size)
{
    piece->from += lines;
    piece->lines -= lines;
    piece->size -= size;
    if (piece->size > 0)
        memmove(piece->bytes, piece->bytes + size, piece->size);
}

/* Drops the oldest lines, such that at most `most` bytes are left. */
static void piece_trim(struct log_piece *piece, size_t most)
{
    uint64_t lines = 0;
    size_t at = 0;

    while (piece->size - at > most) {
        at = (size_t)((char *)memchr(piece->bytes + at, '\n', piece->size - at) - piece->bytes) + 1;
        lines++;
    }
    piece_drop(piece, lines, at);
}

static void piece_free(struct log_piece *piece)
{
    free(piece->bytes);
    *piece = (struct log_piece){0};
}

/* ---- logs ---- */

static void log_free(struct build_log *log)
{
    piece_free(&log->head);
    piece_free(&log->tail);
    *log = (struct build_log){0};
}

/* The text of the log that can be sent. NULL: none. */
static struct log_piece *sendable(struct build_log *log)
{
    if (!log->path[0])
        return NULL;
    if (log->head.lines > 0)
        return &log->head;
    return log->ended && log->tail.lines > 0 ? &log->tail : NULL;
}

static void log_end(struct build_logs *logs, struct build_log *log)
{
    if (log->ended)
        return;
    log->ended = true;
    piece_trim(&log->tail, BUILD_LOG_TAIL);
    logs->waiting += log->tail.size;
    if (!sendable(log))
        log_free(log);
}

static struct build_log *log_find(struct build_logs *logs, const char *path)
{
    if (strcmp(logs->open[logs->last].path, path) == 0)
        return &logs->open[logs->last];
    for (size_t i = 0; i < BUILD_LOGS_OPEN; i++)
        if (strcmp(logs->open[i].path, path) == 0) {
            logs->last = i;
            return &logs->open[i];
        }
    return NULL;
}

/* Finds the log, or begins it in a free place. NULL if there is none, or if the derivation is not
 * known to the dashboard. */
static struct build_log *log_of(struct delivery *delivery, const char *path)
{
    struct build_logs *logs = &delivery->build_logs;
    struct build_log *log = log_find(logs, path);
    size_t n;

    if (log || strlen(path) >= BUILD_LOG_PATH_SIZE)
        return log;
    n = transcript_derivation_at(delivery->transcript, path);
    if (n == SIZE_MAX || !(log = log_find(logs, "")))
        return NULL;
    log->n = n;
    strcpy(log->path, path);
    return log;
}

/* Adds a line that is clean. Out of memory: the line is left out. */
static void log_add(struct build_logs *logs, struct build_log *log, const char *text, size_t length)
{
    uint64_t number;

    if (log->ended) /* another build of the same derivation: the tail may be in the batch in flight
                     */
        return;
    number = log->lines++;
    if (log->full || log->taken + length > BUILD_LOG_HEAD ||
        logs->heads + length > BUILD_LOGS_HEADS) {
        log->full = true;
        (void)piece_add(&log->tail, number, text, length);
        if (log->tail.size > 2 * BUILD_LOG_TAIL)
            piece_trim(&log->tail, BUILD_LOG_TAIL);
        return;
    }
    if (!piece_add(&log->head, number, text, length)) {
        log->full = true; /* a piece must not have a gap, so the next lines go to the tail */
        return;
    }
    log->taken += length + 1;
    logs->heads += length + 1;
    logs->waiting += length + 1;
}

/* ---- lines ---- */

/* The end of the escape sequence at text. */
static const char *skip_escape(const char *text, const char *end)
{
    const char *at = text + 1;

    if (at < end && *at == '[') {
        for (at++; at < end && (*at < 0x40 || *at > 0x7e); at++)
            ;
        return at < end ? at + 1 : end;
    }
    if (at < end && *at == ']') { /* a title or a link, up to BEL or ESC \ */
        for (at++; at < end && *at != '\a' && *at != '\033'; at++)
            ;
        return at + 1 < end && *at == '\033' ? at + 2 : at < end ? at + 1 : end;
    }
    return at < end ? at + 1 : end;
}

/* Writes the text as a person sees it: without escape sequences and control characters, with blanks
 * for tabs. out has space for TAB_WIDTH times the length. Returns the size. */
static size_t make_plain(const char *text, size_t length, char *out)
{
    const char *end = text + length;
    size_t size = 0, column = 0;

    while (text < end) {
        unsigned char c = (unsigned char)*text;

        if (c == '\033') {
            text = skip_escape(text, end);
            continue;
        }
        if (c == 0xc2 && text + 1 < end && (unsigned char)text[1] < 0xa0) {
            text += 2; /* a C1 control character */
            continue;
        }
        if (c == '\t') {
            do
                out[size++] = ' ';
            while (++column % TAB_WIDTH != 0);
        } else if (c >= ' ' && c != 0x7f) {
            out[size++] = *text;
            column += (c & 0xc0) != 0x80;
        }
        text++;
    }
    return size;
}

/* Adds a line without LF: plain and redacted, and divided if it is longer than a line may be. */
static void take_line(struct delivery *delivery, struct build_log *log, const char *text,
                      size_t length)
{
    AUTO_FREE char *plain = malloc(TAB_WIDTH * length + 1);
    const char *clean;
    size_t size, part;

    if (!plain)
        return;
    size = make_plain(text, length, plain);
    clean = redact_text(delivery->redactor, plain, size, &size);
    do {
        part = utf8_cut(clean, size, TRANSCRIPT_LINE_MAX);
        log_add(&delivery->build_logs, log, clean, part);
        clean += part;
        size -= part;
    } while (size > 0 && part > 0);
}

static void on_built(void *context, const char *path, const char *text, size_t length)
{
    struct delivery *delivery = context;
    struct build_log *log = log_of(delivery, path);
    const char *end = text + length;

    while (log) {
        const char *lf = memchr(text, '\n', (size_t)(end - text));

        take_line(delivery, log, text, (size_t)((lf ? lf : end) - text));
        if (!lf || lf + 1 == end)
            return;
        text = lf + 1;
    }
}

static void on_ended(void *context, const char *path)
{
    struct delivery *delivery = context;
    struct build_log *log = log_find(&delivery->build_logs, path);

    if (log)
        log_end(&delivery->build_logs, log);
}

/* A derivation that is built again has a new log. */
static void on_started(void *context, const char *path, const char *machine, bool build)
{
    struct delivery *delivery = context;
    struct build_logs *logs = &delivery->build_logs;
    struct build_log *log = build ? log_find(logs, path) : NULL;

    (void)machine;
    if (!log)
        return;
    logs->waiting -= log->head.size + (log->ended ? log->tail.size : 0);
    log_free(log);
}

/* ---- reading ---- */

void build_logs_restart(struct build_logs *logs)
{
    size_t batch_max = logs->batch_max, batch_most = logs->batch_most;
    bool refused = logs->refused;

    nixlog_free(logs->nixlog);
    for (size_t i = 0; logs->open && i < BUILD_LOGS_OPEN; i++)
        log_free(&logs->open[i]);
    free(logs->open);
    *logs = (struct build_logs){.batch_max = batch_max ? batch_max : BUILD_LOGS_BATCH_FIRST,
                                .batch_most = batch_most ? batch_most : BUILD_LOGS_BATCH_MAX,
                                .refused = refused};
}

static bool start(struct delivery *delivery)
{
    struct build_logs *logs = &delivery->build_logs;
    const struct nixlog_sink sink = {
        .context = delivery, .built = on_built, .started = on_started, .ended = on_ended};

    if (!logs->open)
        logs->open = calloc(BUILD_LOGS_OPEN, sizeof *logs->open);
    if (logs->open && !logs->nixlog)
        logs->nixlog = nixlog_new(NIXLOG_RECORDS, &sink);
    return logs->nixlog != NULL;
}

static void finish(struct build_logs *logs)
{
    if (logs->nixlog)
        nixlog_finish(logs->nixlog);
    for (size_t i = 0; logs->open && i < BUILD_LOGS_OPEN; i++)
        if (logs->open[i].path[0])
            log_end(logs, &logs->open[i]);
    logs->over = true;
}

bool build_logs_read(struct delivery *delivery)
{
    struct build_logs *logs = &delivery->build_logs;
    char bytes[READ_SIZE];
    uint64_t left =
        delivery->record_offset > logs->offset ? delivery->record_offset - logs->offset : 0;
    size_t n;

    if (logs->over || logs->waiting >= BUILD_LOGS_QUEUE)
        return false;
    if (left == 0 || !start(delivery)) {
        if (delivery->done)
            finish(logs);
        return false;
    }
    n = nix_source_read(&delivery->nix, &logs->offset, bytes,
                        left < sizeof bytes ? (size_t)left : sizeof bytes);
    if (n == 0) { /* the file became shorter */
        logs->offset = delivery->record_offset;
        return false;
    }
    nixlog_feed(logs->nixlog, bytes, n);
    return true;
}

/* ---- sending ---- */

/* Whether the dashboard knows the derivation, also from this batch. */
static bool is_known(const struct derivation_acks *acks, size_t n)
{
    if (n < acks->count && acks->version[n] != 0)
        return true;
    for (size_t i = 0; i < acks->sent_count; i++)
        if (acks->sent[i].index == n)
            return true;
    return false;
}

bool build_logs_pending(const struct delivery *delivery)
{
    const struct build_logs *logs = &delivery->build_logs;

    if (delivery->refusals.bare || delivery->refusals.additions || logs->refused)
        return false;
    for (size_t i = 0; logs->open && logs->waiting > 0 && i < BUILD_LOGS_OPEN; i++)
        if (sendable(&logs->open[i]) && is_known(&delivery->derivation_acks, logs->open[i].n))
            return true;
    return false;
}

bool build_logs_done(const struct delivery *delivery)
{
    if (delivery->refusals.bare || delivery->refusals.additions || delivery->build_logs.refused ||
        !delivery->nix.path)
        return true;
    return delivery->build_logs.over && !build_logs_pending(delivery);
}

/* Writes as many lines of the piece as fit in `room` bytes of the body. Returns the bytes that the
 * piece takes there; 0: not even the first line fits. */
static size_t put_piece(struct delivery *delivery, size_t n, struct log_piece *piece, size_t room)
{
    struct text *body = &delivery->body;
    size_t before = body->size, at = 0, length;

    length = (size_t)((char *)memchr(piece->bytes, '\n', piece->size) - piece->bytes);
    if (2 * length + PIECE_ROOM > room)
        return 0;
    json_open(body, NULL, '{');
    json_int(body, "n", (int64_t)n);
    json_int(body, "from", (int64_t)piece->from);
    json_text_begin(body, "text");
    piece->sent_lines = 0;
    do {
        if (piece->sent_lines++ > 0)
            text_escape(body, "\n", 1);
        text_escape(body, piece->bytes + at, length);
        at += length + 1;
        if (at < piece->size)
            length = (size_t)((char *)memchr(piece->bytes + at, '\n', piece->size - at) -
                              (piece->bytes + at));
    } while (at < piece->size && body->size - before + 2 * length + PIECE_ROOM / 2 <= room);
    json_text_end(body);
    json_close(body, '}');
    piece->sent_size = at;
    return body->size - before;
}

/* A builder that writes much gets half of the room that is left, so that it does not starve the
 * others. */
static void put_pieces(struct delivery *delivery, size_t room)
{
    struct build_logs *logs = &delivery->build_logs;

    for (size_t i = 0; i < BUILD_LOGS_OPEN; i++) {
        struct build_log *log = &logs->open[i];
        struct log_piece *piece = sendable(log);
        size_t size;

        if (!piece || !is_known(&delivery->derivation_acks, log->n))
            continue;
        size = put_piece(delivery, log->n, piece, room / 2);
        if (size == 0)
            size = put_piece(delivery, log->n, piece, room);
        room -= size;
        logs->sent |= size > 0;
    }
}

void build_logs_put(struct delivery *delivery)
{
    struct build_logs *logs = &delivery->build_logs;
    size_t used = delivery->body.size + PIECE_ROOM,
           room = used < DELIVERY_BODY_MAX ? DELIVERY_BODY_MAX - used : 0;

    logs->sent = false;
    logs->built_ms = monotonic_ms();
    for (size_t i = 0; logs->open && i < BUILD_LOGS_OPEN; i++)
        logs->open[i].head.sent_lines = logs->open[i].tail.sent_lines = 0;
    if (room < LINE_ROOM + PIECE_ROOM || delivery->sent_end < delivery_sendable(delivery) ||
        !build_logs_pending(delivery))
        return;
    json_open(&delivery->body, "build_logs", '[');
    put_pieces(delivery, room < logs->batch_max ? room : logs->batch_max);
    json_close(&delivery->body, ']');
}

static void forget_sent(struct build_logs *logs, struct build_log *log, struct log_piece *piece)
{
    if (piece->sent_lines == 0)
        return;
    piece_drop(piece, piece->sent_lines, piece->sent_size);
    logs->waiting -= piece->sent_size;
    piece->sent_lines = 0;
    if (log->ended && !sendable(log))
        log_free(log);
}

void build_logs_too_large(struct build_logs *logs)
{
    if (logs->batch_max <= BUILD_LOGS_BATCH_MIN)
        logs->refused = true;
    else
        logs->batch_most = logs->batch_max /= 2;
}

void build_logs_accepted(struct build_logs *logs)
{
    int64_t took = monotonic_ms() - logs->built_ms;

    if (!logs->sent)
        return;
    for (size_t i = 0; i < BUILD_LOGS_OPEN; i++) {
        forget_sent(logs, &logs->open[i], &logs->open[i].head);
        if (logs->open[i].path[0])
            forget_sent(logs, &logs->open[i], &logs->open[i].tail);
    }
    if (took < FAST_MS && logs->batch_max < logs->batch_most)
        logs->batch_max *= 2;
    else if (took > SLOW_MS && logs->batch_max > BUILD_LOGS_BATCH_MIN)
        logs->batch_max /= 2;
}
