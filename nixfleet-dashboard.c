/* nixfleet-dashboard: the server and the page where the fleet's runs are seen. main reads the
   settings, refuses what is unsafe, and starts the store, the live channel and HTTP; then it waits
   for a signal. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include "common/id.h"
#include "common/io.h"
#include "dashboard/auth/secret.h"
#include "dashboard/api/routes.h"
#include "dashboard/auth/policy.h"
#include "dashboard/server/http.h"
#include "dashboard/live/hub.h"
#include "dashboard/server/ratelimit.h"
#include "dashboard/fleet/retention.h"
#include "dashboard/server/server.h"
#include "dashboard/server/slow.h"
#include "dashboard/fleet/target.h"

#define RATE_SLOTS 20000
#define DESCRIPTORS 32768

static const char usage[] =
    "usage: nixfleet-dashboard [options]\n"
    "       nixfleet-dashboard [options] hash-password | token HOST | backup FILE\n"
    "Show what the hosts of a fleet are doing.\n"
    "  -l, --listen ADDRESS:PORT  where to serve (127.0.0.1:8000; port 0: a free one)\n"
    "  -d, --data DIR             the database (/var/lib/nixfleet-dashboard for root,\n"
    "                             else $XDG_STATE_HOME/nixfleet-dashboard)\n"
    "  -c, --config FILE          settings: NAME=value; the environment outranks them\n"
    "      --dev                  try it out: loopback, no login, a token printed\n"
    "  -h, --help   -V, --version\n"
    "hash-password reads a password and prints its hash, for NIXFLEET_PASSWORD_HASH.\n"
    "token HOST makes a token for a host and prints it. backup FILE copies the\n"
    "database. See nixfleet-dashboard(8).\n";

struct options {
    const char *listen, *data, *config;
    bool dev;
};

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "nixfleet-dashboard: %s%s%s\n", what, why ? ": " : "", why ? why : "");
    return 1;
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

static int load_settings(struct server *server, const struct options *options)
{
    const char *variable = NULL;

    if (dashboard_settings_load(&server->settings, options->config, &variable) < 0)
        return complain(variable          ? variable
                        : options->config ? options->config
                                          : "settings",
                        variable ? "the value is not one it can have" : strerror(errno));
    server->dev = options->dev;
    server->data_dir = find_data_dir(options, &server->settings);
    return server->data_dir ? 0 : complain("no data directory", NULL);
}

/* "ADDRESS:PORT", "[v6]:PORT". */
static int split_listen(const char *text, char address[64], uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    char *end;
    unsigned long number = colon ? strtoul(colon + 1, &end, 10) : 0;
    size_t length = colon ? (size_t)(colon - text) : 0;

    if (!colon || colon[1] == '\0' || *end || number > 65535 || length == 0 || length >= 64)
        return -1;
    if (text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    snprintf(address, 64, "%.*s", (int)length, text);
    *port = (uint16_t)number;
    return 0;
}

/* ---- commands ---- */

static char *read_password(void)
{
    struct termios saved, silent;
    bool terminal = tcgetattr(STDIN_FILENO, &saved) == 0;
    char *line = NULL;
    size_t room = 0;
    ssize_t length;

    if (terminal) {
        fputs("Password: ", stderr);
        silent = saved;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    length = getline(&line, &room, stdin);
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
        fputs("\n", stderr);
    }
    if (length <= 0) {
        free(line);
        return NULL;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return line;
}

static int hash_password(void)
{
    AUTO_FREE char *password = read_password();
    AUTO_FREE char *hash = password ? password_hash(password) : NULL;

    if (!hash)
        return complain("hash-password", password && errno == EINVAL ? "1 to 72 bytes, please"
                                                                     : "no password was given");
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

static int make_token(struct server *server, const char *name)
{
    char host[HOST_ID_SIZE], error[STORE_ERROR_SIZE];
    struct new_token fresh = {.host = host, .secret = server->settings.agent_token_hash_secret};
    struct job job = {.apply = apply_token, .done = token_done, .context = &fresh};

    if (!host_id_normalize(name, host))
        return complain(name, "is no host id");
    if (!fresh.secret)
        return complain("NIXFLEET_AGENT_TOKEN_HASH_SECRET", "is not set");
    server->store = store_open(server->data_dir, error);
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

    return store_backup(server->data_dir, file, error) == 0 ? 0 : complain(error, NULL);
}

/* ---- serving ---- */

static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    setrlimit(RLIMIT_NOFILE, &limit); /* without it: fewer connections */
}

static int prepare_dev(struct server *server)
{
    char token[TOKEN_SIZE];

    if (token_make(token) < 0)
        return complain("no random bytes", NULL);
    snprintf(server->dev_csrf, sizeof server->dev_csrf, "%s", token);
    if (!server->settings.agent_token_hash_secret && token_make(token) == 0)
        server->settings.agent_token_hash_secret = strdup(token);
    server->settings.auto_provision =
        false; /* a token of its own would outlive the secret that was made for this start */
    if (server->settings.api_token)
        return 0;
    if (token_make(token) < 0 || !(server->settings.api_token = strdup(token)))
        return complain("no token", NULL);
    return 0;
}

static void announce(const struct server *server, const char *address, uint16_t port)
{
    bool v6 = strchr(address, ':') != NULL;

    printf("nixfleet-dashboard: listening on http://%s%s%s:%u\n", v6 ? "[" : "", address,
           v6 ? "]" : "", port);
    if (server->dev)
        printf("nixfleet-dashboard: dev mode, no login; for hosts: NIXFLEET_URL=http://%s:%u "
               "NIXFLEET_TOKEN=%s\n",
               address, port, server->settings.api_token);
    fflush(stdout);
}

static struct retention *start_retention(const struct server *server)
{
    const struct dashboard_settings *settings = &server->settings;
    const int64_t day_ms = INT64_C(24) * 3600 * 1000;
    struct retention_limits limits = {.keep_ms = settings->keep_days * day_ms,
                                      .keep_runs = settings->keep_runs,
                                      .keep_bytes = (int64_t)settings->keep_mb << 20,
                                      .keep_history_ms = settings->history_days * day_ms};

    return retention_start(server->store, &limits);
}

static int serve(struct server *server, const char *address, uint16_t port)
{
    char error[STORE_ERROR_SIZE];
    struct http *http;
    struct retention *retention;
    sigset_t signals;
    int number;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* in every thread: main waits for them */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* too large a file is a disk that is full, not our end */
    raise_limit();
    server->started_ms = wall_ms();
    server->limits = ratelimit_new(RATE_SLOTS);
    server->store = store_open(server->data_dir, error);
    if (!server->store)
        return complain(error, NULL);
    server->target = target_start(server->settings.version_url);
    server->slow = slow_new();
    server->live = live_start(server);
    retention = start_retention(server);
    http = server->live && server->slow && server->limits
               ? http_start(server, &api_app, address, &port, error)
               : NULL;
    if (!http)
        return complain(server->live ? error : "out of resources", NULL);
    announce(server, address, port);
    sigwait(&signals, &number);
    retention_stop(retention);
    target_stop(server->target);
    slow_stop(server->slow);
    http_stop(http);
    live_free(server->live);
    target_free(server->target);
    slow_free(server->slow);
    store_close(server->store);
    ratelimit_free(server->limits);
    return 0;
}

static int run_server(struct server *server, const struct options *options)
{
    char address[64];
    uint16_t port;
    const char *refusal;

    if (split_listen(options->listen, address, &port) < 0)
        return complain(options->listen, "is not ADDRESS:PORT");
    if (!secrets_prepare())
        return complain("OpenSSL cannot be initialised: out of memory?", NULL);
    refusal = auth_refuse_start(&server->settings, address, server->dev);
    if (refusal)
        return complain(refusal, NULL);
    if (server->dev && prepare_dev(server))
        return 1;
    return serve(server, address, port);
}

static int run_command(struct server *server, const struct options *options, int argc, char **argv)
{
    if (argc == 0)
        return run_server(server, options);
    if (strcmp(argv[0], "token") == 0 && argc == 2)
        return make_token(server, argv[1]);
    if (strcmp(argv[0], "backup") == 0 && argc == 2)
        return backup(server, argv[1]);
    return complain(argv[0], "is no command, or lacks what it is about (see --help)");
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"listen", required_argument, NULL, 'l'},
                                          {"data", required_argument, NULL, 'd'},
                                          {"config", required_argument, NULL, 'c'},
                                          {"dev", no_argument, NULL, 'D'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
    struct options options = {.listen = "127.0.0.1:8000"};
    static struct server server;
    int option, status;

    while ((option = getopt_long(argc, argv, "l:d:c:hV", known, NULL)) != -1) {
        switch (option) {
        case 'l':
            options.listen = optarg;
            break;
        case 'd':
            options.data = optarg;
            break;
        case 'c':
            options.config = optarg;
            break;
        case 'D':
            options.dev = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'V':
            puts("nixfleet-dashboard " VERSION);
            return 0;
        default:
            return 1; /* getopt has said why */
        }
    }
    if (optind < argc && strcmp(argv[optind], "hash-password") == 0)
        return hash_password();
    if (load_settings(&server, &options))
        return 1;
    status = run_command(&server, &options, argc - optind, argv + optind);
    dashboard_settings_free(&server.settings);
    free(server.data_dir);
    return status;
}
