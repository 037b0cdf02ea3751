/* Combines counts from all sources into one progress that never falls. Legacy builds have no line
   for their end: the one that started last counts as running, earlier ones as done. */
#include "phase_internal.h"

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* From 2.31 on, nix counts a derivation that ends twice until its goal is gone: `expected` rises
   together with `done`, and falls again when the next one starts. Such a rise is not counted,
   except for derivations that have started. */
static int64_t believed_expected(struct meter *meter, int64_t running, int64_t done,
                                 int64_t expected)
{
    int64_t more = expected - meter->raw, ended = done - meter->done;
    if (meter->known && more > 0 && more <= ended)
        meter->excess += more;
    else if (more < 0)
        meter->excess = larger(0, meter->excess + more);
    meter->raw = expected;
    if (meter->excess > larger(0, expected - done - running)) /* this many have started */
        meter->excess = larger(0, expected - done - running);
    return larger(expected - meter->excess, done + running);
}

void meter_set(struct meter *meter, int64_t running, int64_t done, int64_t expected, int64_t failed)
{
    if (expected < done)
        expected = done;
    if (meter->known && done < meter->done) { /* the next nix command counts from 0 */
        meter->base_done += meter->done;
        meter->base_expected += meter->highest;
        meter->base_failed += meter->failed;
        meter->base_final += meter->worked ? meter->expected : 0;
        meter->highest = 0;
        meter->failed = 0;
        meter->worked = false;
        meter->raw = meter->excess = 0;
        meter->known = false;
    }
    expected = believed_expected(meter, running, done, expected);
    meter->known = true;
    meter->worked |= running > 0 || done > 0;
    meter->running = running;
    meter->done = done;
    meter->expected = expected;
    if (expected > meter->highest)
        meter->highest = expected;
    if (failed > meter->failed)
        meter->failed = failed;
}

void nix_progress(struct stream *stream)
{
    struct progress *progress = &stream->progress;
    bool running = stream->phase == PHASE_BUILDING && stream->believe.raw_open;
    int64_t built = -1, total = -1, failed = stream->failed;
    if (stream->lists.listed > 0 || stream->lists.started > 0) {
        bool cut_off = stream->believe.open_failed > 0 && !stream->believe.last_failed &&
                       !stream->believe.kept_going;
        built = stream->lists.started -
                (stream->lists.started > 0 && (stream->believe.raw_open || cut_off)) - failed;
        built = built < 0 ? 0 : built;
        total = stream->lists.listed > 0 ? larger(stream->lists.listed, stream->lists.started) : -1;
        progress->building = running ? 1 : 0;
    }
    if (stream->meters.builds.known) {
        const struct meter *meter = &stream->meters.builds;
        built = meter->base_done + meter->done;
        total = larger(total, meter->base_expected + meter->highest);
        failed = larger(failed, meter->base_failed + meter->failed);
        progress->building = meter->running;
    }
    progress->built = larger(progress->built, built);
    progress->to_build = larger(progress->to_build, total);
    if (progress->to_build >= 0 && progress->to_build < progress->built)
        progress->to_build = progress->built;
    if (failed > 0 || built >= 0)
        progress->failed = larger(progress->failed, failed);
    int64_t fetched = -1, to_fetch = stream->lists.copies_known ? stream->lists.copies_listed : -1;
    if (stream->lists.copies > 0 || to_fetch >= 0)
        fetched = stream->lists.copies -
                  (stream->phase == PHASE_FETCHING && stream->lists.copies > 0 ? 1 : 0);
    if (stream->meters.paths.known &&
        stream->meters.paths.base_expected + stream->meters.paths.highest > 0) {
        fetched = larger(fetched, stream->meters.paths.base_done + stream->meters.paths.done);
        to_fetch =
            larger(to_fetch, stream->meters.paths.base_expected + stream->meters.paths.highest);
    }
    progress->fetched = larger(progress->fetched, fetched);
    progress->to_fetch = larger(progress->to_fetch, to_fetch);
    if (progress->to_fetch >= 0 && progress->to_fetch < progress->fetched)
        progress->to_fetch = progress->fetched;
    progress->fetched_bytes = larger(progress->fetched_bytes, stream->meters.bytes_done);
    progress->to_fetch_bytes = larger(progress->to_fetch_bytes, stream->meters.bytes_expected);
}

void nix_complete(struct stream *stream)
{
    struct progress *progress = &stream->progress;
    const struct meter *builds = &stream->meters.builds, *paths = &stream->meters.paths;
    if (builds->known) { /* builds were expected but did not begin, while paths arrived: those were
                            fetched instead */
        bool needed = builds->worked || !paths->known || paths->highest == 0;
        int64_t built = builds->base_final + (needed ? builds->expected : 0);
        progress->built = larger(built, stream->lists.started);
        progress->to_build = larger(progress->built, stream->lists.listed);
    }
    if (paths->known && paths->base_expected + paths->highest > 0)
        progress->fetched = progress->to_fetch = larger(progress->fetched, progress->to_fetch);
    if (stream->meters.bar_seen && progress->fetched_bytes >= 0)
        progress->fetched_bytes = progress->to_fetch_bytes;
}

static void add(int64_t *sum, int64_t value)
{
    if (value >= 0)
        *sum = (*sum < 0 ? 0 : *sum) + value;
}

/* Uses the counts of nix's internal log; the text may have fewer of them. */
static void record_sum(struct phase *phase)
{
    struct progress *sum = &phase->view.progress;
    int64_t built = 0, running = 0, to_build = 0, failed = 0, fetched = 0, to_fetch = 0;
    for (size_t at = 0; at < phase->record_count; at++) {
        const struct meter *builds = &phase->record[at].builds, *paths = &phase->record[at].paths;
        built += builds->base_done + builds->done;
        running += builds->running;
        to_build += builds->base_expected + builds->highest;
        failed += builds->base_failed + builds->failed;
        fetched += paths->base_done + paths->done;
        to_fetch += paths->base_expected + paths->highest;
    }
    if (phase->record_count == 0)
        return;
    sum->built = larger(sum->built, built);
    sum->building = phase->view.outcome == OUTCOME_UNKNOWN ? running : 0;
    sum->to_build = larger(larger(sum->to_build, to_build), sum->built);
    sum->failed = larger(sum->failed, failed);
    sum->fetched = larger(sum->fetched, fetched);
    sum->to_fetch = larger(larger(sum->to_fetch, to_fetch), sum->fetched);
}

#define ADD_COUNT(name) add(&sum->name, one->name);

static void streams_sum(struct phase *phase)
{
    struct progress *sum = &phase->view.progress;
    if (phase->stream_count == 1) {
        *sum = phase->stream[0]->progress;
        return;
    }
    *sum = PROGRESS_UNKNOWN;
    for (size_t at = 0; at < phase->stream_count; at++) {
        const struct progress *one = &phase->stream[at]->progress;
        PROGRESS_COUNTS(ADD_COUNT)
        if (one->current[0] != '\0')
            memcpy(sum->current, one->current, sizeof sum->current);
    }
    /* the total may be known of one host, but only the done part of another */
    if (sum->to_build >= 0)
        sum->to_build = larger(sum->to_build, sum->built);
    if (sum->to_fetch >= 0)
        sum->to_fetch = larger(sum->to_fetch, sum->fetched);
}

void progress_sum(struct phase *phase)
{
    streams_sum(phase);
    record_sum(phase);
}
