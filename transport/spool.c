/* Deliveries without a pump: one run after the other, each to its dashboard. */
#include "spool.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/io.h"
#include "stored_run.h"

/* the time for writing a token into a pipe: a person may have to answer a question */
#define PIPE_MS 30000
#define TROUBLED_MOST 2 /* after so many failed runs in sequence, the dashboard has a problem */

/* One of the dashboards of the runs. If the dashboard cannot be reached, or fails at one run after
   the other, its remaining runs are only counted. If the dashboard does not accept the runs of one
   host (because the host has a new name and token), the runs of this host are skipped. */
struct dashboard {
    struct dashboard *next;
    const struct config *config; /* NULL: its credentials are not configured here */
    struct config own;           /* config points to this, or to the caller's settings */
    char *url;
    struct token_set tokens; /* of config, when they are needed */
    bool tokens_loaded;
    struct problems problems;
    bool unreachable;
    int troubled;                  /* how many runs in sequence failed */
    struct stored_failure failure; /* the last failure */
    size_t undelivered;
    char unwanted[HOST_ID_SIZE];
};

static void load_tokens(struct dashboard *dashboard)
{
    if (dashboard->tokens_loaded)
        return;
    dashboard->tokens_loaded = true;
    token_set_load(&dashboard->tokens, dashboard->config);
    if (dashboard->tokens.pipe)
        token_set_read_pipe(&dashboard->tokens, PIPE_MS, NULL, NULL);
}

static bool still_undelivered(struct dashboard *dashboard, struct stored_run *run)
{
    const char *host = run->record.info.host;
    struct stored_failure failure;
    enum stored_result result;

    if (!dashboard->config || dashboard->unreachable ||
        (host[0] && strcmp(host, dashboard->unwanted) == 0))
        return true;
    load_tokens(dashboard);
    result = stored_run_deliver(run, dashboard->config, &dashboard->tokens, &dashboard->problems,
                                &failure);
    if (result != STORED_DONE)
        dashboard->failure = failure;
    dashboard->troubled = result == STORED_TROUBLED ? dashboard->troubled + 1 : 0;
    dashboard->unreachable = result == STORED_LATER || dashboard->troubled == TROUBLED_MOST;
    if (result == STORED_UNWANTED)
        snprintf(dashboard->unwanted, sizeof dashboard->unwanted, "%s", host);
    return result == STORED_LATER || result == STORED_UNWANTED || result == STORED_KEPT ||
           result == STORED_TROUBLED;
}

/* The dashboard for which a run was recorded. If the record of an older version has no URL, or the
 * dashboard has moved (--moved-from), the configured dashboard. */
static struct dashboard *dashboard_of(struct dashboard *first, const struct run_info *info)
{
    const char *url = info->url && *info->url ? info->url : first->url;
    const char *moved = first->config->moved_from;
    struct dashboard *last = first, *fresh;

    if (moved && strcmp(url, moved) == 0)
        return first;
    for (; strcmp(last->url, url) != 0; last = last->next)
        if (!last->next) {
            fresh = calloc(1, sizeof *fresh);
            if (!fresh || !(fresh->url = strdup(url))) {
                free(fresh);
                return NULL;
            }
            fresh->problems = (struct problems){.fd = STDERR_FILENO, .said = first->problems.said};
            if (config_of_dashboard(&fresh->own, url))
                fresh->config = &fresh->own;
            last->next = fresh;
        }
    return last;
}

static void dashboards_free(struct dashboard *first)
{
    struct dashboard *next;

    for (struct dashboard *at = first; at; at = at->next)
        token_set_free(&at->tokens);
    for (struct dashboard *at = first->next; at; at = next) {
        next = at->next;
        if (at->config)
            config_free(&at->own);
        free(at->url);
        free(at);
    }
}

/* The ids of all runs, oldest first, except `except`. NULL if they cannot be listed. */
static char **list_runs(const char *dir, const char *except)
{
    char **ids = dir ? run_record_list(dir) : NULL, **to = ids;

    for (char **id = ids; id && *id; id++)
        if (except && strcmp(*id, except) == 0)
            free(*id);
        else
            *to++ = *id;
    if (to)
        *to = NULL;
    return ids;
}

bool spool_has_undelivered(const struct config *config, const char *except)
{
    const char *dir = config->state_dir;
    char **ids = list_runs(dir, except);
    bool found = false;

    for (size_t i = 0; ids && ids[i]; i++) {
        found = found || stored_run_undelivered(dir, ids[i], config);
        free(ids[i]);
    }
    free(ids);
    return found;
}

static void report_undelivered(struct dashboard *at)
{
    const char *what = at->undelivered == 1 ? "run is" : "runs are";

    if (!at->config)
        problem_once(&at->problems, PROBLEM_UNDELIVERED,
                     "%zu %s undelivered: no settings here are for the dashboard %s "
                     "(--moved-from delivers to another dashboard)",
                     at->undelivered, what, at->url);
    else if (at->failure.status)
        problem_once(&at->problems, PROBLEM_UNDELIVERED,
                     "the dashboard fails (%d): %zu %s undelivered", at->failure.status,
                     at->undelivered, what);
    else if (at->problems.said == 0)
        problem_once(&at->problems, PROBLEM_UNDELIVERED,
                     "the dashboard %s could not be reached (%s): %zu %s undelivered", at->url,
                     at->failure.reason[0] ? at->failure.reason : "no answer in time",
                     at->undelivered, what);
}

static size_t deliver_all(struct dashboard *first, const char *dir, char **ids, bool any)
{
    const struct config *config = first->config;
    int64_t until_ms = monotonic_ms() + (int64_t)config->flush_timeout_s * 1000;
    size_t undelivered = 0;

    for (size_t i = 0; ids && ids[i]; i++) {
        struct stored_run run;
        struct dashboard *dashboard = NULL;
        enum stored_result result =
            stored_run_open(&run, dir, ids[i], any ? NULL : config, until_ms);

        if (result == STORED_LATER)
            dashboard = dashboard_of(first, &run.record.info);
        /* STORED_REFUSED here: another process has the run; from the dashboard: it is not
         * undelivered any more. */
        if (result == STORED_REFUSED ||
            (result == STORED_LATER && (!dashboard || still_undelivered(dashboard, &run)))) {
            dashboard = dashboard ? dashboard : first;
            dashboard->undelivered++;
            undelivered++;
        }
        stored_run_close(&run);
    }
    return undelivered;
}

/* If others can write to the directory, they could make us send foreign data. */
static bool may_use(const char *dir, struct problems *problems)
{
    if (!dir || access(dir, F_OK) < 0 || run_directory_trusted(dir))
        return true;
    problem_once(problems, PROBLEM_LOG,
                 "%s: other users may write to this directory: nothing is delivered from there",
                 dir);
    return false;
}

static int deliver(const struct config *config, bool quiet, bool any, const char *except)
{
    struct dashboard first = {.config = config, .url = config->url};
    const char *dir = config->state_dir;
    char **ids;
    size_t undelivered;

    first.problems = (struct problems){.fd = STDERR_FILENO, .said = quiet ? ~0U : 0};
    if (!may_use(dir, &first.problems))
        return 1;
    ids = list_runs(dir, except);
    undelivered = deliver_all(&first, dir, ids, any);
    for (size_t i = 0; ids && ids[i]; i++)
        free(ids[i]);
    free(ids);
    for (struct dashboard *at = &first; at; at = at->next)
        if (at->undelivered > 0)
            report_undelivered(at);
    dashboards_free(&first);
    return undelivered > 0;
}

void spool_deliver(const struct config *config, const char *except)
{
    (void)deliver(config, true, false, except); /* the next run or flush delivers what is left */
}

int flush_main(const struct config *config)
{
    if (!config->url) {
        if (!config->quiet)
            fputs("nixfleet-run: no dashboard is configured (--url or NIXFLEET_URL)\n", stderr);
        return 1;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail */
    return deliver(config, config->quiet, true, NULL);
}
