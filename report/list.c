/* The runs of this host, oldest first, in aligned columns. */
#include "report.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../capture/runrecord.h"
#include "../common/io.h"
#include "../common/system.h"

#define COMMAND_WIDTH 40

static void format_when(int64_t ms, char out[20])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm local;
    if (!localtime_r(&seconds, &local) || strftime(out, 20, "%Y-%m-%d %H:%M:%S", &local) == 0)
        strcpy(out, "?");
}

/* The command's words with a space between them. A character that could control the terminal
 * becomes '?'. */
static void format_command(char *const argv[], char out[COMMAND_WIDTH + 1])
{
    size_t size = 0;
    for (size_t at = 0; argv && argv[at] && size < COMMAND_WIDTH; at++) {
        if (at > 0)
            out[size++] = ' ';
        for (const char *byte = argv[at]; *byte != '\0' && size < COMMAND_WIDTH; byte++)
            out[size++] = *byte > ' ' && *byte < 0x7F ? *byte : *byte == ' ' ? ' ' : '?';
    }
    out[size] = '\0';
}

static void format_exit(const struct run_record *record, char out[32])
{
    char name[SIGNAL_NAME_SIZE];

    if (!record->end.known)
        strcpy(out, "-");
    else if (!record->end.by_signal)
        snprintf(out, 32, "%d", record->end.code);
    else if (signal_name(record->end.code, name))
        snprintf(out, 32, "SIG%s", name);
    else
        snprintf(out, 32, "signal %d", record->end.code);
}

static void format_duration(const struct run_record *record, char out[32])
{
    int64_t end = record->end.known ? record->end.wall_ms : record->alive ? wall_ms() : -1;
    int64_t seconds = (end - record->info.started_ms) / 1000;
    if (end < 0 || seconds < 0)
        strcpy(out, "-");
    else if (seconds < 60)
        snprintf(out, 32, "%" PRId64 "s", seconds);
    else if (seconds < 3600)
        snprintf(out, 32, "%" PRId64 "m%02ds", seconds / 60, (int)(seconds % 60));
    else
        snprintf(out, 32, "%" PRId64 "h%02dm", seconds / 3600, (int)(seconds / 60 % 60));
}

static const char *state_name(const struct run_record *record)
{
    if (record->alive && !record->end.known)
        return "running";
    if (record->ack.delivered)
        return "delivered";
    if (record->ack.refused)
        return "refused";
    if (record->damaged)
        return "damaged";
    if (run_undelivered(record))
        return record->end.known ? "undelivered" : "lost, undelivered";
    return record->end.known ? "local" : "lost";
}

/* Prints the path of the log, or what is wrong with it. */
static void print_log(const char *dir, const struct run_record *record)
{
    AUTO_CLOSE int fd = -1;
    enum run_log_state state = run_log_of(dir, record, &fd);
    int problem = errno;
    const char *path = record->info.log_path;

    if (state == RUN_LOG_THERE)
        puts(path);
    else
        printf("%s (%s)\n", *path ? path : "-", run_log_state_text(state, problem));
}

/* Whether the settings are for the dashboard at url. */
static bool is_configured(const struct config *config, const char *url)
{
    struct config of_url;

    if (config->url && strcmp(config->url, url) == 0)
        return true;
    if (!config_of_dashboard(&of_url, url))
        return false;
    config_free(&of_url);
    return true;
}

/* Prints on a separate line why a run is undelivered, if the reason is known. */
static void print_reason(const char *dir, const struct run_record *record,
                         const struct config *config)
{
    char refusal[256];
    const char *url = record->info.url;

    if (!run_undelivered(record))
        return;
    if (run_refusal_read(dir, record->info.id, refusal, sizeof refusal))
        printf("    not delivered: %s\n", refusal);
    else if (url && *url && !is_configured(config, url))
        printf("    not delivered: no settings here are for the dashboard %s\n", url);
}

static void print_run(const char *dir, const char *id, const struct config *config)
{
    struct run_record record;
    char when[20], command[COMMAND_WIDTH + 1], exit_text[32], duration[32];
    if (run_record_read(dir, id, &record) != 0)
        return; /* the run was pruned a moment ago, or belongs to another user */
    format_when(record.info.started_ms, when);
    format_command(record.info.argv, command);
    format_exit(&record, exit_text);
    format_duration(&record, duration);
    printf("%-19s  %-*s  %-8s  %8s  %-10s  ", when, COMMAND_WIDTH, command, exit_text, duration,
           state_name(&record));
    print_log(dir, &record);
    print_reason(dir, &record, config);
    run_record_free(&record);
}

int list_main(const struct config *config)
{
    const char *dir = config->state_dir;
    char **ids = dir ? run_record_list(dir) : NULL;
    printf("%-19s  %-*s  %-8s  %8s  %-10s  %s\n", "WHEN", COMMAND_WIDTH, "COMMAND", "EXIT",
           "DURATION", "STATE", "LOG");
    for (size_t at = 0; ids && ids[at]; at++) {
        print_run(dir, ids[at], config);
        free(ids[at]);
    }
    free(ids);
    if (fflush(stdout) != 0) {
        warn("stdout");
        return 1;
    }
    return 0;
}
