/* nixfleet-dashboard: the server and the page that show the runs of a fleet. main reads the
   settings, refuses unsafe ones, and starts the store, the live channel and HTTP; then it waits for
   a signal. */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/id.h"
#include "common/io.h"
#include "common/log.h"
#include "common/system.h"
#include "dashboard/api/routes.h"
#include "dashboard/auth/known.h"
#include "dashboard/auth/password.h"
#include "dashboard/auth/policy.h"
#include "dashboard/auth/secret.h"
#include "dashboard/auth/setup.h"
#include "dashboard/fleet/retention.h"
#include "dashboard/fleet/target.h"
#include "dashboard/live/hub.h"
#include "dashboard/store/copy.h"
#include "dashboard/server/http.h"
#include "dashboard/server/listen.h"
#include "dashboard/server/lock.h"
#include "dashboard/server/notify.h"
#include "dashboard/server/ratelimit.h"
#include "dashboard/server/sharing.h"
#include "dashboard/server/server.h"
#include "dashboard/server/task_queue.h"

#define RATE_SLOTS 20000
#define DESCRIPTORS 65536
#define INSTALLED_CONFIG "/etc/nixfleet/dashboard.conf"

static const char usage[] =
    "usage: nixfleet-dashboard [options]\n"
    "       nixfleet-dashboard [options] COMMAND\n"
    "Show what the hosts of a fleet are doing.\n"
    "  -l, --listen ADDRESS:PORT  where to serve (127.0.0.1:8000; port 0: a free one)\n"
    "  -d, --data DIR             the database (/var/lib/nixfleet-dashboard for root,\n"
    "                             else $XDG_STATE_HOME/nixfleet-dashboard)\n"
    "  -c, --config FILE          settings: NAME=value; the environment outranks them\n"
    "      --check-config         list what is wrong with the settings, and end\n"
    "      --dev                  try it out: loopback, no login, a token printed\n"
    "  -h, --help   -V, --version\n"
    "Commands:\n"
    "  setup          write a configuration with new secrets\n"
    "  hash-password  read a password and print its hash\n"
    "  token HOST     make a new token for a host and print it\n"
    "  backup FILE    copy the database while the server runs\n"
    "  copy FROM TO   copy everything to another store\n"
    "  restore FILE   put a backup in its place; the server must be stopped\n"
    "See nixfleet-dashboard(8).\n";

struct options {
    const char *listen, *data, *config;
    bool dev, check;
};

static int complain(const char *what, const char *why)
{
    log_line(LOG_ERR, "%s%s%s", what, why ? ": " : "", why ? why : "");
    return EXIT_FAILURE;
}

/* ---- settings ---- */

static char *find_data_dir(const struct options *options, const struct dashboard_settings *settings)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME"),
               *systemd = getenv("STATE_DIRECTORY");
    char *dir = NULL;

    if (options->data)
        return strdup(options->data);
    if (settings->data_dir)
        return strdup(settings->data_dir);
    if (systemd && *systemd)
        return strndup(systemd, strcspn(systemd, ":"));
    if (geteuid() == 0)
        return strdup("/var/lib/nixfleet-dashboard");
    if (state && *state)
        return asprintf(&dir, "%s/nixfleet-dashboard", state) < 0 ? NULL : dir;
    return asprintf(&dir, "%s/.local/state/nixfleet-dashboard", home ? home : "") < 0 ? NULL : dir;
}

/* Prints all problems, one line each. Returns whether the program may continue. */
static bool report(const struct problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        log_line(problems->list[i].fatal ? LOG_ERR : LOG_WARNING, "%s%s",
                 problems->list[i].fatal ? "" : "warning: ", problems->list[i].text);
    return problems->fatal == 0;
}

/* The commands find the settings of the installed service without -c. */
static const char *installed_config(const struct options *options)
{
    return options->config                       ? options->config
           : access(INSTALLED_CONFIG, R_OK) == 0 ? INSTALLED_CONFIG
                                                 : NULL;
}

/* Returns 0, or the exit status after printing the reason. */
static int take_settings(struct server *server, struct dashboard_settings *settings,
                         const struct options *options)
{
    server->dev = options->dev;
    server->data_dir = settings ? find_data_dir(options, settings) : NULL;
    if (server->data_dir && settings_use(&server->settings, settings) == 0)
        return 0;
    dashboard_settings_free(settings);
    return complain("out of memory", NULL);
}

/* Where the store is: a URL, or the data directory. */
static const char *store_of(const struct server *server)
{
    const char *url = settings_of(server->settings.current)->store;

    return url ? url : server->data_dir;
}

/* ---- commands ---- */

static int hash_password(void)
{
    const char *why = NULL;
    char *password = password_read(&why);
    AUTO_FREE char *hash = password ? password_hash(password) : NULL;

    if (!hash)
        why = password ? errno == EINVAL ? "a password needs 1 to 72 bytes" : strerror(errno) : why;
    if (password)
        wipe(password, strlen(password));
    free(password);
    if (!hash)
        return complain("hash-password", why);
    puts(hash);
    return 0;
}

struct new_token {
    const char *host, *secret;
    char token[TOKEN_SIZE];
    bool ok, done;
};

static enum job_result apply_token(struct txn *txn, void *context)
{
    struct new_token *fresh = context;
    char hash[TOKEN_HASH_SIZE];

    if (token_make(fresh->token) < 0 || token_hash(fresh->secret, fresh->token, hash) < 0)
        return JOB_FAILED;
    return txn_host_set_token(txn, fresh->host, hash, true) > 0 ? JOB_DONE : JOB_FAILED;
}

static void token_done(void *context, bool ok)
{
    ((struct new_token *)context)->ok = ok;
}

/* Root must not create files that the service's user cannot open. */
static int become_owner(const char *dir)
{
    struct stat info;

    if (!dir)
        return complain("out of memory", NULL);
    if (geteuid() != 0 || stat(dir, &info) < 0 || info.st_uid == 0)
        return 0;
    return setegid(info.st_gid) < 0 || seteuid(info.st_uid) < 0 ? complain(dir, strerror(errno))
                                                                : 0;
}

static int make_token(struct server *server, const struct dashboard_settings *settings,
                      const char *name, const char *config)
{
    char host[HOST_ID_SIZE], error[STORE_ERROR_SIZE];
    struct new_token fresh = {.host = host, .secret = settings->agent_token_hash_secret};
    struct job job = {.host = host, .apply = apply_token, .done = token_done, .context = &fresh};

    if (!host_id_normalize(name, host))
        return complain(
            name, "a host id is a letter or digit, then letters, digits, - and _, at most 63");
    if (!fresh.secret) {
        complain("NIXFLEET_AGENT_TOKEN_HASH_SECRET is not set",
                 config ? config : "and " INSTALLED_CONFIG " cannot be read: give --config FILE");
        return EX_CONFIG;
    }
    if (!store_is_url(store_of(server)) && become_owner(server->data_dir))
        return EXIT_FAILURE;
    server->store = store_open(store_of(server), error);
    if (!server->store)
        return complain(error, NULL);
    store_submit(server->store, &job);
    store_close(server->store); /* waits for the job */
    if (!fresh.ok)
        return complain("the token could not be stored", NULL);
    puts(fresh.token);
    return 0;
}

static int backup(const struct server *server, const char *file)
{
    char error[STORE_ERROR_SIZE] = "";

    return store_backup(store_of(server), file, error) == 0 ? 0 : complain(error, NULL);
}

/* Locks the directory. Returns a descriptor, or -1 after printing the reason. Several servers may
 * share a database: a URL needs no lock, and gives 0. */
static int lock_or_complain(const char *dir)
{
    char number[32] = "";
    pid_t holder;
    int lock;

    if (store_is_url(dir))
        return 0;
    lock = lock_directory(dir, &holder);
    if (lock < 0 && errno == EWOULDBLOCK) {
        if (holder)
            snprintf(number, sizeof number, " (process %ld)", (long)holder);
        log_line(LOG_ERR, "%s: another nixfleet-dashboard%s uses this data directory", dir, number);
    } else if (lock < 0) {
        complain(dir, strerror(errno));
    }
    return lock;
}

static int restore(const struct server *server, const char *file)
{
    char kept[STORE_ERROR_SIZE], error[STORE_ERROR_SIZE] = "";
    int lock = lock_or_complain(store_of(server)); /* until the end of the program */

    if (lock < 0)
        return EXIT_FAILURE;
    if (store_restore(store_of(server), file, kept, error) < 0)
        return complain(error, NULL);
    printf("%s is restored; the old database is in %s\n", file, kept);
    return 0;
}

static void print_table(void *context, const char *table, int64_t rows)
{
    (void)context;
    printf("%s: %lld rows, the same in both\n", table, (long long)rows);
    fflush(stdout);
}

static int copy(const char *from, const char *to)
{
    AUTO_FREE char *file = NULL;
    char error[STORE_ERROR_SIZE] = "";

    if (!store_is_url(from) &&
        (asprintf(&file, "%s/nixfleet.db", from) < 0 || access(file, R_OK) < 0))
        return complain(file ? file : from, strerror(errno));
    /* both locks are held until the end of the program */
    if (lock_or_complain(from) < 0 || (mkdir(to, 0700), lock_or_complain(to)) < 0)
        return EXIT_FAILURE;
    if (store_copy(from, to, print_table, NULL, error) < 0)
        return complain(error, NULL);
    return 0;
}

static int run_on_data(struct server *server, const struct options *options, char **argv)
{
    const char *config = installed_config(options);
    struct problems problems = {0};
    struct dashboard_settings *settings = dashboard_settings_load(config, &problems);

    if (!report(&problems)) {
        dashboard_settings_free(settings);
        return EX_CONFIG;
    }
    if (take_settings(server, settings, options))
        return EXIT_FAILURE;
    if (strcmp(argv[0], "token") == 0)
        return make_token(server, settings, argv[1], config);
    return strcmp(argv[0], "restore") == 0 ? restore(server, argv[1]) : backup(server, argv[1]);
}

static int run_command(struct server *server, const struct options *options, int argc, char **argv)
{
    if (strcmp(argv[0], "hash-password") == 0 && argc == 1)
        return hash_password();
    if (strcmp(argv[0], "setup") == 0 && argc == 1)
        return setup_run(options->config ? options->config : INSTALLED_CONFIG) < 0 ? EXIT_FAILURE
                                                                                   : 0;
    if (strcmp(argv[0], "copy-config") == 0 && argc == 3)
        return setup_copy(argv[1], argv[2]) < 0 ? EXIT_FAILURE : 0;
    if (strcmp(argv[0], "copy") == 0 && argc == 3)
        return copy(argv[1], argv[2]);
    if ((strcmp(argv[0], "token") == 0 || strcmp(argv[0], "backup") == 0 ||
         strcmp(argv[0], "restore") == 0) &&
        argc == 2)
        return run_on_data(server, options, argv);
    return complain(argv[0], "unknown command, or a wrong number of arguments (see --help)");
}

/* ---- serving ---- */

/* A thread that wakes up does not interrupt the one that runs. Otherwise the writer is interrupted
 * by the first request that it answers, and again and again while it answers the others of the same
 * commit: up to a seventh of all CPU time. A policy that the caller has chosen stays. */
static void avoid_interruptions(void)
{
    const struct sched_param none = {0};

    if (sched_getscheduler(0) == SCHED_OTHER)
        (void)sched_setscheduler(0, SCHED_BATCH, &none); /* a sandbox may forbid this */
}

static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    setrlimit(RLIMIT_NOFILE, &limit); /* on failure, fewer connections are possible */
}

/* Makes secrets for this start, in place of those that are not set. */
static int prepare_dev(struct server *server, struct dashboard_settings *settings)
{
    char token[TOKEN_SIZE];

    if (token_make(token) < 0)
        return complain("no random bytes", NULL);
    snprintf(server->dev_csrf, sizeof server->dev_csrf, "%s", token);
    if (!settings->agent_token_hash_secret && token_make(token) == 0)
        settings->agent_token_hash_secret = strdup(token);
    settings->auto_provision =
        false; /* a token of its own would outlive the secret that was made for this start */
    if (settings->api_token)
        return 0;
    if (token_make(token) < 0 || !(settings->api_token = strdup(token)))
        return complain("no token", NULL);
    return 0;
}

static void announce(const struct server *server, const char *address, uint16_t port)
{
    bool v6 = strchr(address, ':') != NULL;

    log_line(LOG_NOTICE, "listening on http://%s%s%s:%u", v6 ? "[" : "", address, v6 ? "]" : "",
             port);
    if (server->dev)
        log_line(LOG_NOTICE,
                 "dev mode, no login; for hosts: NIXFLEET_URL=http://%s%s%s:%u NIXFLEET_TOKEN=%s",
                 v6 ? "[" : "", address, v6 ? "]" : "", port,
                 settings_of(server->settings.current)->api_token);
    notify_send("READY=1");
}

static struct retention_limits retention_of(const struct dashboard_settings *settings)
{
    const int64_t day_ms = INT64_C(24) * 3600 * 1000;

    return (struct retention_limits){.keep_ms = settings->keep_days * day_ms,
                                     .keep_runs = settings->keep_runs,
                                     .keep_bytes = (int64_t)settings->keep_mb << 20,
                                     .keep_history_ms = settings->history_days * day_ms};
}

/* SIGHUP. If the new settings are wrong, prints the problems and keeps the old settings. */
static void reload(struct server *server, const struct options *options, const char *address,
                   struct retention *retention)
{
    struct problems problems = {0};
    struct dashboard_settings *settings;
    struct retention_limits limits;

    notify_reloading();
    settings = options->dev ? NULL : dashboard_settings_load(options->config, &problems);
    if (settings)
        auth_check_settings(settings, address, false, &problems);
    if (!settings || !report(&problems) || settings_use(&server->settings, settings) < 0) {
        dashboard_settings_free(settings);
        log_line(LOG_ERR, options->dev ? "SIGHUP does nothing with --dev"
                                       : "the settings are not reloaded; the old ones stay in use");
    } else {
        limits = retention_of(settings);
        retention_set_limits(retention, &limits);
        live_recheck(server->live);
        log_line(LOG_NOTICE, "the settings are reloaded");
    }
    notify_send("READY=1");
}

static void signals_waited_for(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
}

static void set_up_signals(void)
{
    sigset_t signals;

    signals_waited_for(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* in every thread, because main waits for them */
    signal(SIGPIPE, SIG_IGN);
    /* a file over the limit fails like a full disk, and does not end this process */
    signal(SIGXFSZ, SIG_IGN);
}

/* The check of the watchdog: does the writer thread do its jobs, and does the live thread run? */
struct probe {
    struct job job;
    atomic_bool answered; /* false while the job waits */
};

static enum job_result apply_probe(struct txn *txn, void *context)
{
    (void)txn, (void)context;
    return JOB_DONE;
}

static void probe_done(void *context, bool ok)
{
    (void)ok; /* a restart would not cure a full disk */
    atomic_store(&((struct probe *)context)->answered, true);
}

/* If the last probe was answered: reports to systemd, and sends the next probe. */
static void watch(struct server *server, struct probe *probe)
{
    if (!atomic_exchange(&probe->answered, false))
        return;
    if (probe->job.done && live_runs(server->live))
        notify_send("WATCHDOG=1");
    probe->job = (struct job){.apply = apply_probe, .done = probe_done, .context = probe};
    store_submit(server->store, &probe->job);
}

/* Waits until SIGTERM or SIGINT. */
static void wait_for_end(struct server *server, const struct options *options, const char *address,
                         struct retention *retention, struct probe *probe)
{
    int64_t period_ms = notify_watchdog_ms();
    struct timespec period = {.tv_sec = period_ms / 1000, .tv_nsec = period_ms % 1000 * 1000000};
    sigset_t signals;
    int number;

    signals_waited_for(&signals);
    do {
        number = period_ms ? sigtimedwait(&signals, NULL, &period) : sigwaitinfo(&signals, NULL);
        if (number == SIGHUP)
            reload(server, options, address, retention);
        else if (number < 0 && errno == EAGAIN)
            watch(server, probe);
    } while (number != SIGTERM && number != SIGINT);
}

/* Starts what a thread needs besides the store. False when out of resources. */
static bool start_parts(struct server *server)
{
    const char *url = settings_of(server->settings.current)->version_url;

    server->started_ms = store_now_ms(server->store);
    server->limits = ratelimit_new(RATE_SLOTS);
    server->sign_ins = ratelimit_new(RATE_SLOTS);
    server->known = known_password_new();
    server->tasks = task_queue_new();
    server->live = live_start(server);
    server->target = target_start(url);
    if (server->limits && store_is_shared(server->store) &&
        !(server->sharing = sharing_start(server->store, server->limits)))
        return false;
    return server->limits && server->sign_ins && server->known && server->tasks && server->live &&
           (server->target || !url);
}

static int serve(struct server *server, const struct options *options, const char *address,
                 int listener, uint16_t port)
{
    struct retention_limits limits = retention_of(settings_of(server->settings.current));
    struct probe probe = {.answered = true}; /* valid until the store is closed */
    struct retention *retention;
    struct http *http;

    raise_limit();
    if (!start_parts(server) || !(retention = retention_start(server->store, &limits)) ||
        !(http = http_start(server, &api_app, listener)))
        return complain("out of resources: no memory, or no more threads", strerror(errno));
    announce(server, address, port);
    wait_for_end(server, options, address, retention, &probe);
    notify_send("STOPPING=1");
    retention_stop(retention);
    target_stop(server->target);
    task_queue_stop(server->tasks);
    sharing_stop(server->sharing);
    http_stop(http);
    store_close(server->store); /* its last jobs tell the live thread's parts how they ended */
    live_free(server->live);
    target_free(server->target);
    task_queue_free(server->tasks);
    ratelimit_free(server->limits);
    ratelimit_free(server->sign_ins);
    known_password_free(server->known);
    return 0;
}

/* Takes what only one server may have: its directory and its port. */
static int open_and_serve(struct server *server, const struct options *options, const char *address,
                          uint16_t port)
{
    char error[STORE_ERROR_SIZE];
    int lock = lock_or_complain(store_of(server)), listener;

    if (lock < 0)
        return EXIT_FAILURE;
    listener = listen_on(address, &port);
    if (listener < 0)
        return complain(options->listen,
                        errno == EINVAL ? "the address is not numeric" : strerror(errno));
    set_up_signals(); /* before the first thread */
    avoid_interruptions();
    server->store = store_open(store_of(server), error);
    if (!server->store)
        return complain(error, NULL);
    if (store_unfinished(server->store) > 0) {
        store_close(server->store);
        return complain("the store is a copy that is not whole; the same copy command continues it",
                        NULL);
    }
    return serve(server, options, address, listener, port);
}

static int run_server(struct server *server, const struct options *options)
{
    const char *config = options->check ? installed_config(options) : options->config;
    struct problems problems = {0};
    struct dashboard_settings *settings = dashboard_settings_load(config, &problems);
    char address[LISTEN_ADDRESS_SIZE] = "", error[STORE_ERROR_SIZE] = "";
    uint16_t port;

    if (!secrets_prepare())
        return complain("OpenSSL cannot be initialised: out of memory?", NULL);
    if (listen_split(options->listen, address, &port) < 0)
        problem_add(&problems, true, "--listen %s: expected ADDRESS:PORT, such as 127.0.0.1:8000",
                    options->listen);
    if (settings)
        auth_check_settings(settings, address, options->dev, &problems);
    if (!report(&problems)) {
        dashboard_settings_free(settings);
        return EX_CONFIG;
    }
    if (settings && options->dev && prepare_dev(server, settings))
        return EXIT_FAILURE;
    if (take_settings(server, settings, options))
        return EXIT_FAILURE;
    if (!options->check)
        return open_and_serve(server, options, address, port);
    if (store_check(store_of(server), error) < 0) {
        complain(error, NULL);
        return EX_CONFIG;
    }
    printf("%s: in order\n", config ? config : "the settings");
    return 0;
}

static int parse_options(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"listen", required_argument, NULL, 'l'}, {"data", required_argument, NULL, 'd'},
        {"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'C'},
        {"dev", no_argument, NULL, 'D'},          {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0}};
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, ":l:d:c:hV", known, NULL)) != -1) {
        switch (option) {
        case 'l':
            options->listen = optarg;
            break;
        case 'd':
            options->data = optarg;
            break;
        case 'c':
            options->config = optarg;
            break;
        case 'C':
            options->check = true;
            break;
        case 'D':
            options->dev = true;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        case 'V':
            puts("nixfleet-dashboard " VERSION);
            exit(EXIT_SUCCESS);
        default:
            return complain(argv[optind - 1], option == ':' ? "needs an argument (see --help)"
                                                            : "unknown option (see --help)");
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.listen = "127.0.0.1:8000"};
    static struct server server = {.settings = {.lock = PTHREAD_MUTEX_INITIALIZER}};
    int status = parse_options(&options, argc, argv);

    if (status == 0)
        status = optind < argc ? run_command(&server, &options, argc - optind, argv + optind)
                               : run_server(&server, &options);
    settings_forget(&server.settings);
    free(server.data_dir);
    return status;
}
