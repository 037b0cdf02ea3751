/* nixfleet-report does everything about a run that nixfleet-run itself must not do. It ships lines
   and sends heartbeats for a run (docs/helpers.md), delivers undelivered runs, and answers --show,
   --list and --analyze. */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "report/report.h"
#include "transport/heartbeat.h"
#include "transport/shipper.h"
#include "transport/spool.h"

#define EXIT_USAGE 125

static const struct mode {
    const char *name;
    int (*run)(const struct config *config);
    bool of_run; /* a helper of a run: it has no options, and its first word is not a command */
} modes[] = {
    {"ship", shipper_main, true},   {"heartbeat", heartbeat_main, true},
    {"beat", heartbeat_main, true}, /* a run that an older version started */
    {"flush", flush_main, false},   {"show", show_main, false},
    {"list", list_main, false},     {"analyze", analyze_main, false},
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
    if (!mode)
        errx(EXIT_USAGE,
             "to be called by nixfleet-run: ship, heartbeat, flush, show, list or analyze");
    if (!mode->of_run)
        setprogname("nixfleet-run"); /* the program that a person started */
#ifdef __linux__
    else
        setproctitle_init(argc, argv, environ); /* before anybody keeps a pointer: moves both */
#endif
    /* a reader that is gone must be an error, not the end of this process */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* and so must a limit on the size of files */
    int skip = mode->of_run ? 0 : 1;
    if (config_load(&config, argc - skip, argv + skip, error) != 0)
        errx(EXIT_USAGE, "%s", error);
    for (size_t i = 0; i < config.warnings.count && !mode->of_run && !config.quiet; i++)
        warnx("%s", config.warnings.line[i]);
    int status = mode->run(&config);
    config_free(&config);
    return status;
}
