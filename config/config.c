/* Fills a struct config: options on top of what settings.c found. Each text is checked and
 * converted once. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/io.h"
#include "settings.h"

#define NAME_SIZE 64 /* size of a label, as in struct run_info */

enum {
    OPTION_SHOW = 1000,
    OPTION_LIST,
    OPTION_FLUSH,
    OPTION_ANALYZE,
    OPTION_ROWS,
    OPTION_COLS,
    OPTION_COLOR,
    OPTION_MOVED_FROM,
    OPTION_DERIVATION,
    OPTION_CHANGES,
    OPTION_SETTING
};

static int fail(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(char *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error, CONFIG_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return -1;
}

static int whole_number(const char *what, const char *text, long low, long high, long *out,
                        char *error)
{
    char *end;

    errno = 0;
    *out = strtol(text, &end, 10);
    if (errno || end == text || *end || *out < low || *out > high)
        return fail(error, "%s: '%s' is not a whole number from %ld to %ld", what, text, low, high);
    return 0;
}

/* ---- options ---- */

static void fill_options(struct option *options, char *letters)
{
    static const struct option modes[] = {
        {"show", no_argument, NULL, OPTION_SHOW},
        {"list", no_argument, NULL, OPTION_LIST},
        {"flush", no_argument, NULL, OPTION_FLUSH},
        {"analyze", no_argument, NULL, OPTION_ANALYZE},
        {"rows", required_argument, NULL, OPTION_ROWS},
        {"cols", required_argument, NULL, OPTION_COLS},
        {"color", no_argument, NULL, OPTION_COLOR},
        {"moved-from", required_argument, NULL, OPTION_MOVED_FROM},
        {"changes", no_argument, NULL, OPTION_CHANGES},
        {"derivation", required_argument, NULL, OPTION_DERIVATION},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
    };
    size_t count = sizeof modes / sizeof *modes;

    memcpy(options, modes, sizeof modes);
    letters += sprintf(letters, "+:hV");
    for (int i = 0; i < SET_COUNT; i++) {
        const struct setting_row *row = &setting_rows[i];

        if (!row->option)
            continue;
        options[count++] = (struct option){
            row->option, row->kind == SETTING_FLAG ? no_argument : required_argument, NULL,
            OPTION_SETTING + i};
        if (row->letter)
            letters += sprintf(letters, "%c%s", row->letter, row->kind == SETTING_FLAG ? "" : ":");
    }
    options[count] = (struct option){0};
}

static int setting_of_letter(int letter)
{
    for (int i = 0; i < SET_COUNT; i++)
        if (setting_rows[i].letter == letter)
            return i;
    return -1;
}

static int set_mode(struct config *config, enum config_mode mode, char *error)
{
    /* --help and --version also mean the help and version of another mode */
    bool asks = mode == MODE_HELP || mode == MODE_VERSION;

    if (config->mode != MODE_RUN && config->mode != mode && !asks)
        return fail(error, "only one of --show, --list, --flush, --analyze can be given");
    config->mode = mode;
    return 0;
}

static int take_size(uint32_t *out, const char *what, char *error)
{
    long number;

    if (whole_number(what, optarg, 0, 10000, &number, error) < 0)
        return -1;
    *out = (uint32_t)number;
    return 0;
}

static int take_url(char **url, char *error)
{
    static const struct setting_row row = {.kind = SETTING_URL};
    char why[SETTING_WHY_SIZE];

    if (!setting_check(&row, optarg, why))
        return fail(error, "--moved-from: %s", why);
    return setting_set(&row, url, optarg) < 0 ? fail(error, "out of memory") : 0;
}

static int take_setting(struct setting_values *values, enum setting which, char *error)
{
    const struct setting_row *row = &setting_rows[which];
    const char *text = row->kind == SETTING_FLAG ? "1" : optarg;
    char why[SETTING_WHY_SIZE];

    if (*text == '\0')
        return fail(error, "--%s: the value is empty", row->option);
    if (!setting_check(row, text, why))
        return fail(error, "--%s: %s", row->option, why);
    return setting_put(values, which, text) < 0 ? fail(error, "out of memory") : 0;
}

static int take_option(struct config *config, struct setting_values *values, int option,
                       char *error)
{
    int which = option >= OPTION_SETTING ? option - OPTION_SETTING : setting_of_letter(option);

    switch (option) {
    case 'h':
        return set_mode(config, MODE_HELP, error);
    case 'V':
        return set_mode(config, MODE_VERSION, error);
    case OPTION_SHOW:
        return set_mode(config, MODE_SHOW, error);
    case OPTION_LIST:
        return set_mode(config, MODE_LIST, error);
    case OPTION_FLUSH:
        return set_mode(config, MODE_FLUSH, error);
    case OPTION_ANALYZE:
        return set_mode(config, MODE_ANALYZE, error);
    case OPTION_ROWS:
        return take_size(&config->rows, "--rows", error);
    case OPTION_COLS:
        return take_size(&config->cols, "--cols", error);
    case OPTION_COLOR:
        config->color = true;
        return 0;
    case OPTION_CHANGES:
        config->changes = true;
        return 0;
    case OPTION_DERIVATION:
        free(config->derivation);
        config->derivation = strdup(optarg);
        return config->derivation ? 0 : fail(error, "out of memory");
    case OPTION_MOVED_FROM:
        return take_url(&config->moved_from, error);
    default:
        return take_setting(values, (enum setting)which, error);
    }
}

/* getopt keeps state: other code in this process may have used it. */
static void restart_getopt(void)
{
#ifdef __GLIBC__
    optind = 0;
#else
    optind = optreset = 1;
#endif
    opterr = 0;
}

/* getopt_long accepts any unambiguous beginning of a name, so that --token would mean
 * --token-file. */
static bool is_abbreviated(const char *word, const char *name)
{
    return strlen(name) != strcspn(word + 2, "=");
}

static bool takes_operand(const struct config *config)
{
    return config->mode == MODE_SHOW || config->mode == MODE_ANALYZE;
}

/* In `--show FILE --color`, options may follow the operand of a mode, since no command follows.
   Skips the operand. False if optind is not at such an operand. */
static bool skip_operand(struct config *config, int argc, char **argv)
{
    if (!takes_operand(config) || config->operand || optind >= argc ||
        strcmp(argv[optind - 1], "--") == 0)
        return false;
    config->operand = strdup(argv[optind]);
    optind += config->operand != NULL;
    return config->operand != NULL;
}

/* Reads the options. Then optind is at the command or operand. */
static int read_options(struct config *config, struct setting_values *values, int argc, char **argv,
                        char *error)
{
    struct option options[SET_COUNT + 16];
    char letters[64];
    int option;

    fill_options(options, letters);
    restart_getopt();
    for (;;) {
        int at = optind > 0 ? optind : 1, which = -1;
        const char *word;

        option = getopt_long(argc, argv, letters, options, &which);
        if (option == -1 && skip_operand(config, argc, argv))
            continue;
        if (option == -1)
            return 0;
        word = argv[optind - 1];
        if (which >= 0 && is_abbreviated(argv[at], options[which].name))
            return fail(error, "unknown option %.*s (see --help)", (int)strcspn(argv[at], "="),
                        argv[at]);
        if (option == '?' && optopt > 0 && optopt < OPTION_SHOW)
            return fail(error, "unknown option -%c (see --help)", optopt);
        if (option == '?' && optopt >= OPTION_SHOW)
            return fail(error, "%s: the option takes no value", word);
        if (option == '?')
            return fail(error, "unknown option %s (see --help)", word);
        if (option == ':')
            return fail(error, "%s: the option needs a value", word);
        if (take_option(config, values, option, error) < 0)
            return -1;
        if (config->mode == MODE_HELP || config->mode == MODE_VERSION)
            return 0;
    }
}

/* ---- texts to values ---- */

static void host_from_system(struct config *config)
{
    char name[256];

    if (gethostname(name, sizeof name) < 0)
        name[0] = '\0';
    name[sizeof name - 1] = '\0';
    name[strcspn(name, ".")] = '\0';
    if (!host_id_normalize(name, config->host))
        config->host[0] = '\0'; /* an error only when something must be sent */
}

/* The place where v1's agent stores its token. Accepted only if the file belongs to this user or
 * root. */
static char *default_token_cache(const struct config *config)
{
    const char *home = getenv("HOME");
    char *paths[3] = {strdup("/var/lib/nixfleet-agent/token"), NULL, NULL}, *found = NULL;

    if (asprintf(&paths[1], "%s/.local/state/nixfleet-agent/token", home ? home : "") < 0)
        paths[1] = NULL;
    if (asprintf(&paths[2], "/tmp/nixfleet-agent-token-%s", config->host) < 0)
        paths[2] = NULL;
    for (int i = 0; i < 3; i++) {
        struct stat info;

        if (!found && paths[i] && access(paths[i], R_OK) == 0 && lstat(paths[i], &info) == 0 &&
            S_ISREG(info.st_mode) && (info.st_uid == geteuid() || info.st_uid == 0))
            found = paths[i];
        else
            free(paths[i]);
    }
    return found;
}

/* A helper has another working directory. If the own directory is not known, the path stays
 * relative. */
static int make_absolute(char **path)
{
    AUTO_FREE char *cwd = *path && **path != '/' ? getcwd(NULL, 0) : NULL;
    char *absolute;

    if (!cwd)
        return 0;
    if (asprintf(&absolute, "%s/%s", cwd, *path) < 0)
        return -1;
    free(*path);
    *path = absolute;
    return 0;
}

/* If a person asks for a certain key or authority, nothing may be sent without it. */
static int check_tls(struct config *config, bool by_option, char *error)
{
    const char *what = config->ca_file ? "--cacert" : "--pinned-pubkey";

    if (!config->url || strncasecmp(config->url, "http:", 5) != 0 ||
        (!config->ca_file && !config->pinned_pubkey))
        return 0;
    if (by_option)
        return fail(error, "%s is for https, and the URL is %s", what, config->url);
    config_warn(&config->warnings, "%s is for https, and the URL is %s: nothing is sent", what,
                config->url);
    free(config->url);
    config->url = NULL;
    return 0;
}

static int set_all(struct config *config, const struct setting_values *values, char *error)
{
    char name[NAME_SIZE];

    for (int i = 0; i < SET_COUNT; i++)
        if (setting_set(&setting_rows[i], config, values->text[i]) < 0)
            return fail(error, "out of memory");
    if (!config->host[0])
        host_from_system(config);
    if (!config->name && config->command) {
        config_derive_name(config->command, name, sizeof name);
        config->name = strdup(name);
    }
    if (!config->token_cache)
        config->token_cache = default_token_cache(config);
    if (!config->state_dir)
        config->state_dir = config_state_dir();
    if (make_absolute(&config->token_file) < 0 || make_absolute(&config->token_cache) < 0 ||
        make_absolute(&config->ca_file) < 0 || make_absolute(&config->state_dir) < 0 ||
        (config->pinned_pubkey && strncmp(config->pinned_pubkey, "sha256//", 8) != 0 &&
         make_absolute(&config->pinned_pubkey) < 0))
        return fail(error, "out of memory");
    return 0;
}

/* Takes what follows the options: a command, or the operand of a mode. */
static int take_operands(struct config *config, int argc, char **argv, char *error)
{
    int left = argc - optind;
    bool operand = takes_operand(config) && !config->operand;

    if (config->changes && config->mode != MODE_SHOW)
        return fail(error, "--changes is for --show only");
    if (config->derivation && config->mode != MODE_SHOW)
        return fail(error, "--derivation is for --show only");
    if (config->moved_from && config->mode != MODE_FLUSH)
        return fail(error, "--moved-from is for --flush only");
    if (config->mode == MODE_RUN) {
        /* NULL: a helper of a run has no command */
        config->command = left > 0 ? argv + optind : NULL;
        return 0;
    }
    if (left > (operand ? 1 : 0))
        return fail(error, "%s: unexpected argument", argv[optind + (operand ? 1 : 0)]);
    if (config->mode == MODE_ANALYZE && !config->operand && left == 0)
        return fail(error, "--analyze needs a file ('-' for standard input)");
    if (left > 0 && !(config->operand = strdup(argv[optind])))
        return fail(error, "out of memory");
    return 0;
}

/* Loads settings and options. */
static int load(struct config *config, struct setting_values *values, int argc, char **argv,
                char *error)
{
    struct setting_values options = {{0}};
    bool by_option;
    int result = -1;

    if (settings_from_sources(values, SOURCE_COUNT, &config->warnings) == 0 &&
        read_options(config, &options, argc, argv, error) == 0)
        result = settings_merge(values, &options);
    by_option =
        options.text[SET_URL] || options.text[SET_CA_FILE] || options.text[SET_PINNED_PUBKEY];
    settings_free(&options);
    if (result < 0)
        return error[0] ? -1 : fail(error, "out of memory");
    if (config->mode == MODE_HELP || config->mode == MODE_VERSION)
        return 0;
    if (take_operands(config, argc, argv, error) < 0 || set_all(config, values, error) < 0)
        return -1;
    return check_tls(config, by_option, error);
}

int config_load(struct config *config, int argc, char **argv, char error[CONFIG_ERROR_SIZE])
{
    struct setting_values values = {{0}};
    int result;

    memset(config, 0, sizeof *config);
    error[0] = '\0';
    result = load(config, &values, argc, argv, error);
    settings_free(&values);
    if (result < 0)
        config_free(config);
    return result;
}

bool config_of_dashboard(struct config *config, const char *url)
{
    for (int count = SOURCE_COUNT; count > 0; count--) {
        struct setting_values values = {{0}};
        char error[CONFIG_ERROR_SIZE];
        bool ok;

        memset(config, 0, sizeof *config);
        ok = settings_from_sources(&values, count, &config->warnings) == 0 &&
             set_all(config, &values, error) == 0 && check_tls(config, false, error) == 0 &&
             config->url && strcmp(config->url, url) == 0;
        settings_free(&values);
        if (ok)
            return true;
        config_free(config);
    }
    return false;
}

void config_free(struct config *config)
{
    for (int i = 0; i < SET_COUNT; i++)
        setting_free(&setting_rows[i], config);
    for (size_t i = 0; i < config->warnings.count; i++)
        free(config->warnings.line[i]);
    free(config->operand);
    free(config->moved_from);
    free(config->derivation);
    memset(config, 0, sizeof *config);
}
