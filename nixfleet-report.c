/* nixfleet-report: everything about a run that nixfleet-run itself must not do. It ships lines and
   beats for a run that lives (docs/helpers.md), delivers what earlier runs owe, and answers --show,
   --list and --analyze. */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "report/report.h"
#if __has_include("transport/shipper.h")
#include "transport/heartbeat.h"
#include "transport/shipper.h"
#include "transport/spool.h"
#endif

#define EXIT_USAGE 125

static const struct mode {
    const char *name;
    int (*run)(const struct config *config);
} modes[] = {
    {"show", show_main},    {"list", list_main},      {"analyze", analyze_main},
#if __has_include("transport/shipper.h")
    {"ship", shipper_main}, {"beat", heartbeat_main}, {"flush", flush_main},
#endif
};

static const struct mode *find_mode(const char *name)
{
    for (size_t at = 0; at < sizeof modes / sizeof modes[0]; at++)
        if (strcmp(modes[at].name, name) == 0)
            return &modes[at];
    return NULL;
}

int main(int argc, char **argv)
{
    char error[CONFIG_ERROR_SIZE];
    struct config config;
    const struct mode *mode = argc > 1 ? find_mode(argv[1]) : NULL;
    if (mode == NULL)
        errx(EXIT_USAGE, "to be called by nixfleet-run: ship, beat, flush, show, list or analyze");
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error to be judged, not an end */
    if (config_load(&config, argc - 1, argv + 1, error) != 0)
        errx(EXIT_USAGE, "%s", error);
    int status = mode->run(&config);
    config_free(&config);
    return status;
}
