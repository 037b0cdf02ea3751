/* Counts from all sources as one progress that never jumps back. Legacy builds have no line for
   their end: the one started last is taken as running, those before it as done. */
#include "phase_internal.h"

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void nix_progress(struct phase *phase)
{
    struct progress *progress = &phase->view.progress;
    bool running = phase->view.phase == PHASE_BUILDING && phase->raw_open;
    int64_t built = -1, total = -1, failed = (int64_t)phase->view.failed.count;
    if (phase->listed > 0 || phase->started > 0) {
        bool cut_off = phase->open_failed > 0 && !phase->last_failed && !phase->kept_going;
        built = phase->started - (phase->started > 0 && (phase->raw_open || cut_off)) - failed;
        built = built < 0 ? 0 : built;
        total = phase->listed > 0 ? larger(phase->listed, phase->started) : -1;
        progress->building = running ? 1 : 0;
    }
    if (phase->builds.known) {
        const struct meter *meter = &phase->builds;
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
    int64_t fetched = -1, to_fetch = phase->copies_listed > 0 ? phase->copies_listed : -1;
    if (phase->copies > 0 || to_fetch > 0)
        fetched =
            phase->copies - (phase->view.phase == PHASE_FETCHING && phase->copies > 0 ? 1 : 0);
    if (phase->paths.known && phase->paths.base_expected + phase->paths.highest > 0) {
        fetched = larger(fetched, phase->paths.base_done + phase->paths.done);
        to_fetch = larger(to_fetch, phase->paths.base_expected + phase->paths.highest);
    }
    progress->fetched = larger(progress->fetched, fetched);
    progress->to_fetch = larger(progress->to_fetch, to_fetch);
    if (progress->to_fetch >= 0 && progress->to_fetch < progress->fetched)
        progress->to_fetch = progress->fetched;
    progress->fetched_bytes = larger(progress->fetched_bytes, phase->bytes_done);
    progress->to_fetch_bytes = larger(progress->to_fetch_bytes, phase->bytes_expected);
}

void nix_complete(struct phase *phase)
{
    struct progress *progress = &phase->view.progress;
    const struct meter *builds = &phase->builds, *paths = &phase->paths;
    if (builds
            ->known) { /* expected but never begun, while paths came: those were fetched instead */
        bool needed = builds->worked || !paths->known || paths->highest == 0;
        int64_t built = builds->base_final + (needed ? builds->expected : 0);
        progress->built = larger(built, phase->started);
        progress->to_build = larger(progress->built, phase->listed);
    }
    if (paths->known && paths->base_expected + paths->highest > 0)
        progress->fetched = progress->to_fetch = larger(progress->fetched, progress->to_fetch);
    if (phase->bar_seen && progress->fetched_bytes >= 0)
        progress->fetched_bytes = progress->to_fetch_bytes;
}
