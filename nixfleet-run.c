/* nixfleet-run runs a command under a pty, shows its output unchanged, logs it, and makes
   nixfleet-report tell a dashboard.

   The story of a run: read the settings, start the command, open the record, start the helpers,
   copy until the command has ended, record the end, let the helpers deliver, end as the command
   did. Whatever fails, the command runs. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/child.h"
#include "capture/core.h"
#include "capture/helpers.h"
#include "capture/limits.h"
#include "capture/nixcommand.h"
#include "capture/nixrecord.h"
#include "capture/profiles.h"
#include "capture/pump.h"
#include "capture/runlog.h"
#include "capture/scope.h"
#include "capture/signals.h"
#include "capture/status.h"
#include "capture/streams.h"
#include "capture/terminal.h"
#include "common/id.h"
#include "common/io.h"
#include "common/secrets.h"
#include "common/system.h"
#include "common/token.h"
#include "config/config.h"

#define EXIT_OUTPUT_LOST 1 /* the same as tee(1) */
#define EXIT_OWN_ERROR 125 /* the same as env(1) */
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

#define LOG_WAIT_MS 200 /* how long to wait at the end for a slow disk */
/* the width of a pty whose output goes to a file: programs cut fewer lines */
#define PLAIN_COLS 200

extern char **environ;

static const char usage[] =
    "usage: nixfleet-run [options] [--] command [argument ...]\n"
    "       nixfleet-run --show [RUN|FILE] | --list | --flush | --analyze FILE|-\n"
    "Run a command unchanged, and show its output and progress on a dashboard.\n"
    "  -u, --url URL            the dashboard (none: log only)\n"
    "  -H, --host NAME          this host's name there\n"
    "  -n, --name LABEL         switch, pull, test... (derived from the command)\n"
    "  -l, --log FILE           log there instead of into the state directory\n"
    "  -i, --heartbeat SECONDS  between heartbeats (10; 5 to 60)\n"
    "      --token-file FILE, --cacert FILE, --pinned-pubkey HASH\n"
    "      --allow-insecure-http    plain http to other hosts, too\n"
    "      --flush-timeout SECONDS  for delivery after the command's end (10)\n"
    "      --nix-log            let nix >= 2.30 record exact counts and build logs\n"
    "      --no-stream          log only      --nohup  continue when it closes\n"
    "      --scope              in a systemd scope   --no-pty  2>&1 is a pipe\n"
    "      --redact PATTERN     names of variables with secret values (repeatable)\n"
    "  -q, --quiet   -v, --verbose   -h, --help   -V, --version\n"
    "  --show: a run's log as clean text (--color: with colours)   --list: local runs\n"
    "      --changes, --derivation NAME   what it changed; the whole log of a build\n"
    "  --flush: deliver undelivered runs (--moved-from URL: also those for URL)\n"
    "  --analyze: the content of a raw log as JSON\n"
    "      --rows N, --cols N   terminal size, if the log has none recorded\n"
    "Every option has its variable (NIXFLEET_URL...), also in /etc/nixfleet/run.conf\n"
    "and $XDG_CONFIG_HOME/nixfleet/run.conf. Exit: the command's; 125 own error,\n"
    "126 not executable, 127 not found. See nixfleet-run(1).\n";

static void print_line(const char *text)
{
    fprintf(stderr, "nixfleet-run: %s\n", text);
}

/* ---- without a run ---- */

/* Becomes the command itself. Returns only on failure, with the exit status. */
static int become_command(char **command)
{
    int problem;

    limits_restore();
    execvp(command[0], command);
    problem = errno;
    fprintf(stderr, "nixfleet-run: %s: %s\n", command[0], strerror(problem));
    return problem == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* Becomes nixfleet-report with the same arguments, for --show and similar modes. */
static int become_report(const char *mode, int argc, char **argv)
{
    AUTO_FREE char *program = helpers_find_program();
    AUTO_FREE char **arguments = calloc((size_t)argc + 2, sizeof *arguments);

    if (!program || !arguments) {
        print_line("nixfleet-report was not found: the installation is incomplete");
        return EXIT_OWN_ERROR;
    }
    arguments[0] = "nixfleet-report";
    arguments[1] = (char *)mode;
    for (int i = 1; i < argc; i++)
        arguments[i + 1] = argv[i];
    execv(program, arguments);
    fprintf(stderr, "nixfleet-run: %s: %s\n", program, strerror(errno));
    return EXIT_OWN_ERROR;
}

/* True inside another run whose wrapper is alive: that wrapper streams already. The wrapper is an
 * ancestor; or, if the command is not its descendant any more, its record says that it is alive. */
static bool nested(const struct config *config)
{
    const char *id = getenv("NIXFLEET_RUN_ID"), *pid = getenv("NIXFLEET_RUN_PID");
    struct run_record record;
    bool alive;

    if (!id || !run_id_valid(id))
        return false;
    if (pid && process_is_ancestor(atoi(pid)))
        return true;
    if (!config->state_dir || run_record_read(config->state_dir, id, &record) < 0)
        return false;
    alive = record.alive && !record.end.known;
    run_record_free(&record);
    return alive;
}

/* Inside another run, options have no effect. Says so on a terminal, but not in output that a
 * script captures. */
static void warn_of_options(const struct config *config, char **argv)
{
    bool given = config->command > argv + 1 && strcmp(argv[1], "--") != 0;

    if (config->verbose || (given && !config->quiet && isatty(STDERR_FILENO)))
        print_line(
            "inside another nixfleet-run, which logs and streams: these options have no effect");
}

/* ---- a run ---- */

struct run {
    struct config config;
    char id[RUN_ID_SIZE];
    char gpg_entry[sizeof "GPG_TTY=" + TERMINAL_NAME_SIZE]; /* also in the command's environment */
    char id_entry[sizeof "NIXFLEET_RUN_ID=" + RUN_ID_SIZE]; /* in the command's environment */
    struct profiles profiles;                               /* as they were before the command */
    char *nix_entry; /* in the command's environment, or NULL */
    struct nix_record nix;
    char pid_entry[32];
    int64_t started_ms;
    struct streams streams;
    struct terminal terminal;
    struct child child;
    struct log_plan plan;
    struct run_log log;
    struct helpers helpers;
    struct pump pump;
};

/* gpg-agent, which is not a child of the command, asks for a passphrase at the terminal that
 * GPG_TTY names. At the caller's terminal, the pump would read keys at the same time as gpg-agent.
 * So GPG_TTY must name the command's terminal. */
static bool names_our_terminal(const struct run *run, const char *entry)
{
    return run->streams.pty && strncmp(entry, "GPG_TTY=", 8) == 0 &&
           terminal_is_named(&run->terminal, entry + 8);
}

/* The caller's environment with our additions. The array does not own its entries. */
static char **command_environment(struct run *run)
{
    static const char *const for_files[] = {"TERM=dumb", "PAGER=cat", "GIT_PAGER=cat",
                                            "SYSTEMD_PAGER=cat", "MANPAGER=cat"};
    size_t count = 0;
    char **result;

    while (environ[count])
        count++;
    result = calloc(count + 10, sizeof *result);
    if (!result)
        return NULL;
    if (run->config.nix_log && run->config.state_dir && nix_command(run->config.command))
        run->nix_entry = nix_record_entry(run->id, &run->nix);
    snprintf(run->id_entry, sizeof run->id_entry, "NIXFLEET_RUN_ID=%s", run->id);
    snprintf(run->pid_entry, sizeof run->pid_entry, "NIXFLEET_RUN_PID=%ld", (long)getpid());
    count = 0;
    for (size_t i = 0; environ[i]; i++)
        if (strncmp(environ[i], "NIXFLEET_RUN_ID=", 16) != 0 &&
            strncmp(environ[i], "NIXFLEET_RUN_PID=", 17) != 0 &&
            (!run->nix_entry || strncmp(environ[i], "NIX_CONFIG=", 11) != 0))
            result[count++] = names_our_terminal(run, environ[i]) ? run->gpg_entry : environ[i];
    result[count++] = run->id_entry;
    result[count++] = run->pid_entry;
    if (run->nix_entry)
        result[count++] = run->nix_entry;
    for (size_t i = 0; run->streams.output_pty && i < sizeof for_files / sizeof *for_files; i++) {
        char name[32];

        snprintf(name, sizeof name, "%.*s", (int)strcspn(for_files[i], "="), for_files[i]);
        if (!getenv(name))
            result[count++] = (char *)for_files[i];
    }
    return result;
}

/* The terminal that the command's terminal resembles: the one with the keys, or else the one that
 * shows the output; -1: none. */
static int shown_at(const struct run *run)
{
    if (run->terminal.fd >= 0)
        return run->terminal.fd;
    return run->streams.pty_out;
}

/* The modes with which the command's terminal begins. False: the system's standard. A shell that
 * has started us in the background reads its next line already, with modes of its own: the command
 * must not get these, because later `fg` may bring it to the foreground. */
static bool modes_for_command(const struct run *run, struct termios *modes)
{
    return shown_at(run) >= 0 && terminal_modes(&run->terminal, shown_at(run), modes) == 0 &&
           ((modes->c_lflag & ICANON) || !terminal_in_background(&run->terminal));
}

/* Prepares the start of the command. Returns 0, or -1 with errno if the wrapper lacks a
 * resource. */
static int prepare_command(struct run *run)
{
    AUTO_FREE char **environment = command_environment(run);
    struct termios modes;
    struct child_plan plan = {.streams = &run->streams,
                              .command = run->config.command,
                              .environment = environment,
                              .terminal_name = run->gpg_entry + strlen("GPG_TTY="),
                              .window = run->pump.window,
                              .caller_terminal = run->terminal.fd,
                              .caller_modes = run->terminal.first,
                              .own_group = getpgrp() == getpid(),
                              .hangup_ignored = run->config.nohup};

    if (!environment)
        return -1;
    strcpy(run->gpg_entry, "GPG_TTY=");
    run->pump.signals = signals_catch();
    if (run->pump.signals < 0)
        return -1;
    if (modes_for_command(run, &modes))
        plan.modes = &modes;
    if (child_prepare(&run->child, &plan) == 0)
        return 0;
    signals_restore();
    return -1;
}

/* Where stdout and stderr are one file, a line of the wrapper would spoil the captured output. */
static bool may_speak(const struct run *run)
{
    return !run->config.quiet && (!run->streams.plain || run->config.verbose);
}

/* The wrapper lacks a resource, so the command runs without the wrapper. */
static int run_without_us(struct run *run)
{
    if (may_speak(run))
        fprintf(stderr, "nixfleet-run: no terminal for the command (%s): it runs without a log\n",
                strerror(errno));
    return become_command(run->config.command);
}

/* Waits until the command has started. Returns 0, or the exit status if the command could not be
 * started. */
static int await_start(struct run *run)
{
    enum child_failure failure = child_started(&run->child);
    int problem = errno;

    if (failure == CHILD_STARTED)
        return 0;
    nix_memory_remove(run->nix.path);
    if (failure == CHILD_NO_RESOURCES) {
        signals_restore();
        return run_without_us(run);
    }
    fprintf(stderr, "nixfleet-run: %s: %s\n", run->config.command[0], strerror(problem));
    return problem == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* Uses only the environment: the system's user database may need the network. */
static void user_name(char *out, size_t size)
{
    const char *name = getenv("USER");

    if (!name || !*name)
        name = getenv("LOGNAME");
    if (name && *name)
        snprintf(out, size, "%s", name);
    else if (geteuid() == 0)
        snprintf(out, size, "root");
    else
        snprintf(out, size, "%u", (unsigned)geteuid());
}

/* Adds the token in a file, if the file can be read without waiting. */
static void add_token_of(struct secrets *secrets, const char *path)
{
    AUTO_CLOSE int fd = path ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY) : -1;
    AUTO_FREE char *token = NULL;
    const char *why;

    if (is_file(fd) && (token = token_read(fd, &why)))
        (void)secrets_add_any(secrets, token);
}

/* Finds the secrets of this run. Prints one line about values that cannot be redacted. */
static void find_secrets(struct run *run, struct secrets *secrets)
{
    const struct config *config = &run->config;
    AUTO_FREE char *unknown = NULL;

    secrets_init(secrets);
    unknown = secrets_add_all(secrets, environ, config->command, config->redact);
    if (config->token)
        (void)secrets_add_any(secrets, config->token);
    add_token_of(secrets, config->token_file);
    add_token_of(secrets, config->token_cache);
    if (unknown && config->url && !config->no_stream)
        helpers_problem(&run->helpers,
                        "not redacted, because the value is too short or a plain word: %s",
                        unknown);
}

/* The absolute form of path; NULL on failure. The caller frees it. */
static char *absolute(const char *path, const char *cwd)
{
    char *whole;

    if (!path || path[0] == '/' || !cwd)
        return path ? strdup(path) : NULL;
    return asprintf(&whole, "%s/%s", cwd, path) < 0 ? NULL : whole;
}

/* Describes the log and its record. The strings belong to the run, and are valid as long as the
 * process. */
static void plan_log(struct run *run)
{
    struct config *config = &run->config;
    struct run_info *info = &run->plan.info;
    struct secrets secrets;

    *info = (struct run_info){.argv = config->command,
                              .cwd = getcwd(NULL, 0),
                              .url = config->no_stream ? NULL : config->url,
                              .started_ms = run->started_ms,
                              .pid = (int)getpid(),
                              .rows = run->pump.rows,
                              .cols = run->pump.cols,
                              .stream = config->url && !config->no_stream && config->host[0]};
    find_secrets(run, &secrets);
    info->secrets = secrets_format(&secrets);
    secrets_free(&secrets);
    snprintf(info->id, sizeof info->id, "%s", run->id);
    snprintf(info->host, sizeof info->host, "%s", config->host);
    snprintf(info->name, sizeof info->name, "%s", config->name ? config->name : "");
    user_name(info->user, sizeof info->user);
    run->plan.dir = absolute(config->state_dir, info->cwd);
    run->plan.file = absolute(config->log, info->cwd);
    run->plan.nix_path = run->nix.path;
    run->plan.nix_ask = run->nix.ask;
    run->plan.keep = (struct run_bounds){(size_t)config->keep_runs,
                                         (int64_t)config->keep_days * DAY_MS, config->keep_bytes};
}

/* If no log writer can copy what nix writes, nix writes to /dev/null. */
static void end_nix_record(const struct run *run)
{
    if (run->nix.path[0] && (!run->log.page || run->log.start_problem))
        nix_memory_end(run->nix.path);
}

/* Opens the log and the record. On failure the run continues without them. */
static void open_log(struct run *run)
{
    if (run_log_open(&run->log, &run->plan) < 0)
        helpers_problem(&run->helpers, "no log: no shared memory: %s", strerror(errno));
    if (run->nix.problem)
        helpers_problem(&run->helpers, "no internal log of nix: no place in memory: %s",
                        strerror(run->nix.problem));
    end_nix_record(run);
}

static void start_helpers(struct run *run)
{
    const struct config *config = &run->config;

    if (!config->url || config->no_stream)
        return;
    run->helpers.program = helpers_find_program();
    run->helpers.environment = config_environment(config, environ);
    if (!run->helpers.program)
        helpers_problem(&run->helpers, "nixfleet-report was not found: the run is only logged");
    else if (run->log.page_fd < 0 || !run->log.page)
        helpers_problem(&run->helpers, "no shared memory for a helper: the run is only logged");
    else if (config->host[0] == '\0')
        helpers_problem(&run->helpers,
                        "the name of this host is not a valid host id: the run is only logged "
                        "(see --host)");
    else
        helpers_start(&run->helpers);
}

static void note_log_problem(void *context, const char *line)
{
    helpers_problem(context, "%s", line);
}

/* Records the end of the command, for the log and for the helpers. If nobody saw the end, the run
 * counts as lost, as if the wrapper had died. */
static void record_end(struct run *run)
{
    int status = run->child.status;
    bool killed = WIFSIGNALED(status);

    if (run->child.lost)
        helpers_problem(&run->helpers, "the process that waits for the command was killed: "
                                       "the exit status of the command is unknown");
    /* the shipper reads the result */
    profiles_compare(&run->profiles, run->config.state_dir, run->id);
    run_log_end(&run->log,
                run->child.lost ? STATUS_RUNNING
                : killed        ? STATUS_KILLED
                                : STATUS_EXITED,
                killed ? WTERMSIG(status) : WEXITSTATUS(status));
    helpers_run_ended(&run->helpers);
    run_log_wait(&run->log, monotonic_ms() + LOG_WAIT_MS);
    run_log_report(&run->log, note_log_problem, &run->helpers);
    end_nix_record(run);
}

/* Prints each problem on a line, if a person reads standard error. */
static void print_problems(struct run *run)
{
    if (!may_speak(run))
        return;
    for (size_t i = run->helpers.problems_said; i < run->helpers.problem_count; i++)
        print_line(run->helpers.problems[i]);
    run->helpers.problems_said = run->helpers.problem_count;
}

/* A shipper that was killed, was stopped or had no time cannot report undelivered output. */
static void note_undelivered(struct run *run)
{
    struct helpers *helpers = &run->helpers;

    if (helpers->one[HELPER_SHIPPER].starts > 0 && helpers->problem_count == 0 &&
        !atomic_load(&run->log.page->delivered))
        helpers_problem(helpers, "output is undelivered: "
                                 "`nixfleet-run --flush` delivers it");
}

static void finish(struct run *run)
{
    bool left_behind;

    terminal_leave(&run->terminal);
    child_release(&run->child);
    record_end(run);
    child_wait(&run->child);
    left_behind = pump_stay_behind(&run->pump);
    print_problems(run);
    pump_wait_delivery(&run->pump, monotonic_ms() + (int64_t)run->config.flush_timeout_s * 1000);
    helpers_kill(&run->helpers);
    note_undelivered(run);
    print_problems(run);
    if (run->plan.file && !left_behind)
        run_log_let_go(&run->log, monotonic_ms() + LOG_WAIT_MS);
    run_log_close(&run->log);
}

/* Ends in the same way as the command. Exception: success becomes a failure if output was lost; the
 * command itself would have seen an error from its last write. */
static int end_like(int status, bool output_lost)
{
    if (!WIFSIGNALED(status))
        return status == 0 && output_lost ? EXIT_OUTPUT_LOST : WEXITSTATUS(status);
    core_prepare(WCOREDUMP(status));
    signals_die_of(WTERMSIG(status));
    return 128 + WTERMSIG(status); /* the signal does not kill us */
}

static void enter_scope(struct run *run)
{
    char error[SCOPE_ERROR_SIZE], label[64];

    run->config.nohup = true; /* the process that started us may end soon */
    config_derive_name(run->config.command, label, sizeof label);
    if (scope_enter(run->id, *label ? label : run->config.command[0], error, sizeof error) < 0 &&
        !run->config.quiet && (!run->streams.plain || run->config.verbose))
        print_line(error);
}

/* The window of the command: that of its terminal, even if that has no size (0x0, a serial line),
 * because a program then uses LINES and COLUMNS. Without a terminal: a wide window, so that
 * programs cut few lines. */
static void plan_window(struct run *run)
{
    struct pump *pump = &run->pump;
    bool shown = shown_at(run) >= 0 && ioctl(shown_at(run), TIOCGWINSZ, &pump->window) == 0;

    if (!terminal_rows_and_cols(&pump->window, &pump->rows, &pump->cols) && run->streams.plain)
        pump->cols = PLAIN_COLS;
    if (!shown)
        pump->window = (struct winsize){.ws_row = (unsigned short)pump->rows,
                                        .ws_col = (unsigned short)pump->cols};
}

/* Finds out what each stream is, and the window. */
static void open_streams(struct run *run)
{
    char *const *command = run->config.command;

    /* nohup(1) writes to nohup.out instead of a terminal */
    streams_plan(&run->streams, run->config.no_pty || config_runs_through(command, "nohup"),
                 config_runs_through(command, "sudo"));
    run->terminal = (struct terminal){
        .fd = run->streams.terminal_fd,
        .shared = run->streams.shared,
        .keep_signals = !run->streams.pty_stdin || run->streams.pipe_stdout || run->streams.plain,
        .keep_output = run->streams.pipe_stdout || run->streams.pipe_stderr || run->streams.plain};
    terminal_open(&run->terminal);
    plan_window(run);
}

/* Prints what is wrong with the settings, before the first output of the command. */
static void print_warnings(const struct run *run)
{
    for (size_t i = 0; i < run->config.warnings.count && may_speak(run); i++)
        print_line(run->config.warnings.line[i]);
}

static int run_command(struct run *run)
{
    int status;

    run->started_ms = wall_ms();
    run_id_make(run->started_ms, run->id);
    if (!run->config.url && !run->config.no_stream && !run->config.quiet && isatty(STDERR_FILENO))
        print_line("no dashboard configured (--url): the run is only logged");
    profiles_look(&run->profiles, run->config.command);
    open_streams(run);
    print_warnings(run);
    if (run->config.scope)
        enter_scope(run);
    if (prepare_command(run) < 0) {
        nix_memory_remove(run->nix.path);
        return run_without_us(run);
    }
    helpers_init(&run->helpers, NULL, NULL, &run->log);
    child_begin(&run->child);
    plan_log(run);
    status = await_start(run);
    if (status != 0)
        return status;
    open_log(run); /* after the signals are set, because one of them (SIGXFSZ) could end us here */
    run->pump.child = &run->child;
    run->pump.terminal = &run->terminal;
    run->pump.log = &run->log;
    run->pump.helpers = &run->helpers;
    run->pump.nohup = run->config.nohup;
    pump_init(&run->pump, &run->streams);
    if (may_speak(run))
        run->pump.errors = &run->pump.flows[run->streams.plain        ? 1
                                            : run->streams.pty_stderr ? 0
                                                                      : 2];
    start_helpers(run);
    pump_run(&run->pump);
    finish(run);
    status = run->child.status;
    pump_free(&run->pump);
    child_close(&run->child);
    helpers_free(&run->helpers);
    profiles_free(&run->profiles);
    free(run->nix_entry);
    return end_like(status, run->pump.output_lost);
}

struct arguments {
    int argc;
    char **argv;
};

static int run_all(void *context)
{
    static struct run run;
    int argc = ((struct arguments *)context)->argc;
    char **argv = ((struct arguments *)context)->argv;
    char error[CONFIG_ERROR_SIZE];
    int status;

    if (config_load(&run.config, argc, argv, error) < 0) {
        print_line(error);
        return EXIT_OWN_ERROR;
    }
    switch (run.config.mode) {
    case MODE_HELP:
        fputs(usage, stdout);
        return fflush(stdout) == 0 ? 0 : EXIT_OWN_ERROR;
    case MODE_VERSION:
        puts("nixfleet-run " VERSION);
        return fflush(stdout) == 0 ? 0 : EXIT_OWN_ERROR;
    case MODE_SHOW:
        return become_report("show", argc, argv);
    case MODE_LIST:
        return become_report("list", argc, argv);
    case MODE_FLUSH:
        return become_report("flush", argc, argv);
    case MODE_ANALYZE:
        return become_report("analyze", argc, argv);
    case MODE_RUN:
        break;
    }
    if (!run.config.command) {
        print_line("no command given (see --help)");
        return EXIT_OWN_ERROR;
    }
    if (nested(&run.config)) {
        warn_of_options(&run.config, argv);
        return become_command(run.config.command);
    }
    status = run_command(&run);
    config_free(&run.config);
    return status;
}

int main(int argc, char **argv)
{
    limits_raise();
    return limits_call(run_all, &(struct arguments){argc, argv});
}
