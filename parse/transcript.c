/* The pipeline: nixlog -> screen -> phase. Each stage passes its results on within the same
 * call. */
#include "transcript.h"

#include <stdbool.h>
#include <stdlib.h>

#include "nixlog.h"
#include "screen.h"

_Static_assert(TRANSCRIPT_LINE_MAX == SCREEN_LINE_MAX && TRANSCRIPT_PLAIN_MAX == SCREEN_PLAIN_MAX &&
                   TRANSCRIPT_LINKS_MAX == SCREEN_LINKS_MAX,
               "what the screen says of its lines is said of them here");

struct transcript {
    struct nixlog *nixlog, *record; /* for the terminal; for nix's internal log */
    struct screen *screen;
    struct phase *phase;
    struct transcript_sink sink;
};

static void on_text(void *context, const void *bytes, size_t size)
{
    struct transcript *transcript = context;
    screen_feed(transcript->screen, bytes, size);
}

static void on_count(void *context, uint64_t process, enum nixlog_count what, int64_t done,
                     int64_t expected, int64_t running, int64_t failed)
{
    struct transcript *transcript = context;
    (void)process;
    if (what == NIXLOG_BUILDS)
        phase_builds(transcript->phase, running, done, expected, failed);
    else
        phase_paths(transcript->phase, running, done, expected);
}

static void on_record_count(void *context, uint64_t process, enum nixlog_count what, int64_t done,
                            int64_t expected, int64_t running, int64_t failed)
{
    struct transcript *transcript = context;
    if (what == NIXLOG_BUILDS)
        phase_record_builds(transcript->phase, process, running, done, expected, failed);
    else
        phase_record_paths(transcript->phase, process, running, done, expected);
}

static void on_record_started(void *context, const char *path, const char *machine, bool build)
{
    struct transcript *transcript = context;
    phase_record_started(transcript->phase, path, machine, build);
}

static void on_ended(void *context, const char *path)
{
    struct transcript *transcript = context;
    phase_path_ended(transcript->phase, path);
}

static void on_step(void *context, const char *path, const char *step)
{
    struct transcript *transcript = context;
    phase_builder_step(transcript->phase, path, step);
}

static void on_owner(void *context, const char *path)
{
    struct transcript *transcript = context;
    phase_owner(transcript->phase, path);
}

static void on_download(void *context, int64_t done, int64_t expected)
{
    struct transcript *transcript = context;
    phase_download(transcript->phase, done, expected);
}

static void on_seen(void *context, uint64_t line, const char *text, size_t length, bool redrawn)
{
    struct transcript *transcript = context;
    phase_line(transcript->phase, text, length, (int64_t)line, redrawn);
}

static void on_line_final(void *context, uint64_t line, const char *text, size_t length)
{
    struct transcript *transcript = context;
    if (transcript->sink.final)
        transcript->sink.final(transcript->sink.context, line, text, length);
}

static void on_lines_final(void *context, uint64_t line, size_t count, const char *text,
                           size_t length)
{
    struct transcript *transcript = context;
    transcript->sink.finals(transcript->sink.context, line, count, text, length);
}

struct transcript *transcript_new(uint32_t rows, uint32_t cols, const char *label,
                                  const struct transcript_sink *sink)
{
    struct transcript *transcript = calloc(1, sizeof *transcript);
    if (!transcript)
        return NULL;
    if (sink)
        transcript->sink = *sink;
    /* On the terminal the text says what starts, too, and phase checks whether it is nix's own. */
    const struct nixlog_sink lines = {.context = transcript,
                                      .text = on_text,
                                      .count = on_count,
                                      .ended = on_ended,
                                      .step = on_step,
                                      .owner = on_owner,
                                      .download = on_download};
    /* The terminal shows the text of the records already. */
    const struct nixlog_sink records = {.context = transcript,
                                        .count = on_record_count,
                                        .started = on_record_started,
                                        .ended = on_ended,
                                        .step = on_step,
                                        .download = on_download};
    transcript->nixlog = nixlog_new(NIXLOG_LINES, &lines);
    transcript->record = nixlog_new(NIXLOG_RECORDS, &records);
    transcript->screen =
        screen_new(rows, cols,
                   &(struct screen_sink){transcript, on_seen, on_line_final,
                                         transcript->sink.finals ? on_lines_final : NULL,
                                         transcript->sink.links});
    transcript->phase = phase_new(label);
    if (!transcript->nixlog || !transcript->record || !transcript->screen || !transcript->phase) {
        transcript_free(transcript);
        return NULL;
    }
    return transcript;
}

void transcript_free(struct transcript *transcript)
{
    if (!transcript)
        return;
    nixlog_free(transcript->nixlog);
    nixlog_free(transcript->record);
    screen_free(transcript->screen);
    phase_free(transcript->phase);
    free(transcript);
}

void transcript_feed(struct transcript *transcript, const void *bytes, size_t size)
{
    nixlog_feed(transcript->nixlog, bytes, size);
}

void transcript_record(struct transcript *transcript, const void *bytes, size_t size)
{
    nixlog_feed(transcript->record, bytes, size);
}

void transcript_time(struct transcript *transcript, int64_t now_ms)
{
    phase_time(transcript->phase, now_ms);
}

void transcript_resize(struct transcript *transcript, uint32_t rows, uint32_t cols)
{
    screen_resize(transcript->screen, rows, cols);
}

static void drain(struct transcript *transcript)
{
    nixlog_finish(transcript->nixlog);
    screen_finish(transcript->screen);
}

void transcript_end(struct transcript *transcript, int by_signal, int code)
{
    drain(transcript);
    phase_end(transcript->phase, by_signal != 0, code);
}

void transcript_end_unknown(struct transcript *transcript)
{
    drain(transcript);
    phase_end_unknown(transcript->phase);
}

uint64_t transcript_final_count(const struct transcript *transcript)
{
    return screen_final_count(transcript->screen);
}

uint64_t transcript_line_count(const struct transcript *transcript)
{
    return screen_line_count(transcript->screen);
}

const char *transcript_live_line(struct transcript *transcript, uint64_t number, size_t *length)
{
    return screen_live_line(transcript->screen, number, length);
}

uint64_t transcript_take_changed(struct transcript *transcript)
{
    return screen_take_changed(transcript->screen);
}

const struct phase_view *transcript_phase(struct transcript *transcript)
{
    screen_look(transcript->screen); /* the last state of a bar is reported when no other follows */
    return phase_view(transcript->phase);
}

size_t transcript_derivation_count(const struct transcript *transcript)
{
    return phase_derivation_count(transcript->phase);
}

size_t transcript_derivation_at(const struct transcript *transcript, const char *path)
{
    return phase_derivation_at(transcript->phase, path);
}

const struct derivation *transcript_derivation(const struct transcript *transcript, size_t index)
{
    return phase_derivation(transcript->phase, index);
}
