/* Which of the four sources of a setting counts, which values are refused, and how a run is
   named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../config/config.h"
#include "../../config/settings.h"

#define WORDS_MAX 16

struct scene {
    char home[64];
    char error[CONFIG_ERROR_SIZE];
    struct config config;
};

static int set_scene(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    char path[128];

    for (int i = 0; i < SET_COUNT; i++)
        unsetenv(setting_rows[i].variable);
    strcpy(scene->home, "/tmp/test-config-XXXXXX");
    assert_non_null(mkdtemp(scene->home));
    snprintf(path, sizeof path, "%s/nixfleet", scene->home);
    assert_int_equal(mkdir(path, 0700), 0);
    setenv("XDG_CONFIG_HOME", scene->home, 1);
    *state = scene;
    return 0;
}

static int clear_scene(void **state)
{
    struct scene *scene = *state;
    char path[128];

    config_free(&scene->config);
    snprintf(path, sizeof path, "%s/nixfleet/run.conf", scene->home);
    unlink(path);
    snprintf(path, sizeof path, "%s/nixfleet", scene->home);
    rmdir(path);
    rmdir(scene->home);
    free(scene);
    return 0;
}

static void write_file(struct scene *scene, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/nixfleet/run.conf", scene->home);
    file = fopen(path, "w");
    if (!file) {
        fail();
        return;
    }
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* Loads the words (separated by single blanks) behind the program's name. */
static int load(struct scene *scene, const char *line)
{
    static char copy[512];
    static char *argv[WORDS_MAX + 2];
    char *rest = copy, *word;
    int argc = 1;

    snprintf(copy, sizeof copy, "%s", line);
    argv[0] = "nixfleet-run";
    while (argc < WORDS_MAX && (word = strsep(&rest, " ")))
        if (*word)
            argv[argc++] = word;
    argv[argc] = NULL;
    config_free(&scene->config);
    return config_load(&scene->config, argc, argv, scene->error);
}

static void assert_loads(struct scene *scene, const char *line)
{
    if (load(scene, line) < 0)
        fail_msg("'%s': %s", line, scene->error);
}

/* Fails unless a warning contains these words. Each warning must be one line. */
static void assert_told(const struct scene *scene, const char *words)
{
    const struct config_warnings *warnings = &scene->config.warnings;

    for (size_t i = 0; i < warnings->count; i++) {
        assert_null(strchr(warnings->line[i], '\n'));
        if (strstr(warnings->line[i], words))
            return;
    }
    fail_msg("nobody says '%s'", words);
}

static void option_beats_environment_beats_file(void **state)
{
    struct scene *scene = *state;

    write_file(scene, "NIXFLEET_HOST=from-file\nNIXFLEET_HEARTBEAT=20\nOTHER=x\n");
    assert_loads(scene, "true");
    assert_string_equal(scene->config.host, "from-file");
    assert_int_equal(scene->config.heartbeat_s, 20);
    setenv("NIXFLEET_HOST", "from-environment", 1);
    assert_loads(scene, "true");
    assert_string_equal(scene->config.host, "from-environment");
    assert_int_equal(scene->config.heartbeat_s, 20);
    assert_loads(scene, "--host from-option -i 30 true");
    assert_string_equal(scene->config.host, "from-option");
    assert_int_equal(scene->config.heartbeat_s, 30);
}

static void options_may_follow_the_operand_of_a_mode(void **state)
{
    struct scene *scene = *state;

    assert_loads(scene, "--show a.log --rows 50 --cols 200 --color");
    assert_string_equal(scene->config.operand, "a.log");
    assert_int_equal(scene->config.rows, 50);
    assert_int_equal(scene->config.cols, 200);
    assert_true(scene->config.color);
    assert_loads(scene, "--analyze - --rows 50");
    assert_string_equal(scene->config.operand, "-");
    assert_int_equal(scene->config.rows, 50);
    assert_loads(scene, "--show -- --rows");
    assert_string_equal(scene->config.operand, "--rows");
    assert_int_equal(load(scene, "--show a --rows 50 b"), -1);
    assert_loads(scene, "ls --rows 50");
    assert_int_equal(scene->config.rows, 0);
}

static void an_empty_variable_is_an_unset_one(void **state)
{
    struct scene *scene = *state;

    write_file(scene, "NIXFLEET_HOST=from-file\nNIXFLEET_URL=\nNIXFLEET_FLUSH_TIMEOUT=\"\"\n");
    setenv("NIXFLEET_HOST", "", 1);
    setenv("NIXFLEET_QUIET", "", 1);
    assert_loads(scene, "true");
    assert_string_equal(scene->config.host, "from-file");
    assert_null(scene->config.url);
    assert_int_equal(scene->config.flush_timeout_s, 10);
    assert_false(scene->config.quiet);
}

static void a_flag_that_is_on_in_the_file_can_be_switched_off(void **state)
{
    struct scene *scene = *state;

    write_file(scene, "NIXFLEET_NOHUP=yes\nNIXFLEET_NO_STREAM=true\nNIXFLEET_QUIET=1\n");
    assert_loads(scene, "true");
    assert_true(scene->config.nohup && scene->config.no_stream && scene->config.quiet);
    setenv("NIXFLEET_NOHUP", "0", 1);
    assert_loads(scene, "true");
    assert_false(scene->config.nohup);
}

static void without_any_source_the_defaults_hold(void **state)
{
    struct scene *scene = *state;

    assert_loads(scene, "true");
    assert_null(scene->config.url);
    assert_int_equal(scene->config.heartbeat_s, 10);
    assert_int_equal(scene->config.flush_timeout_s, 10);
    assert_int_equal(scene->config.keep_runs, 100);
    assert_int_equal(scene->config.keep_days, 90);
    assert_true(scene->config.keep_bytes == UINT64_C(1) << 30);
    assert_false(scene->config.no_stream || scene->config.nohup || scene->config.quiet ||
                 scene->config.allow_insecure_http || scene->config.scope);
}

static void options_end_where_the_command_begins(void **state)
{
    struct scene *scene = *state;

    assert_loads(scene, "-q echo -v --url x");
    assert_string_equal(scene->config.command[0], "echo");
    assert_string_equal(scene->config.command[3], "x");
    assert_int_equal(scene->config.verbose, 0);
    assert_loads(scene, "-- -v");
    assert_string_equal(scene->config.command[0], "-v");
}

static void every_bad_option_or_value_is_one_line(void **state)
{
    static const char *const bad[] = {
        "--no-such true",
        "-z true",
        "--url",
        "--quiet=1 true",
        "--url example.org true",
        "--url ftp://example.org true",
        "--url https:// true",
        "--url https://me:secret@example.org true",
        "--url https://example.org/?a=b true",
        "--url https://example.org/#a true",
        "--host -a true",
        "--host a%b true",
        "--host= true",
        "-i 4 true",
        "-i 61 true",
        "-i ten true",
        "-i 10s true",
        "--flush-timeout -1 true",
        "--flush-timeout 99999999999999999999 true",
        "--rows -1 --show",
        "--cols x --show",
        "--show --list",
        "--list x",
        "--flush x",
        "--show a b",
        "--analyze",
        "-n 0123456789012345678901234567890123456789012345678901234567890123 x"};
    struct scene *scene = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (load(scene, bad[i]) == 0)
            fail_msg("'%s' was taken", bad[i]);
        assert_true(strlen(scene->error) > 5 && !strchr(scene->error, '\n'));
    }
}

static void help_and_version_may_be_asked_for_beside_any_other_mode(void **state)
{
    struct scene *scene = *state;

    assert_loads(scene, "--flush --help");
    assert_int_equal(scene->config.mode, MODE_HELP);
    assert_loads(scene, "--show -V");
    assert_int_equal(scene->config.mode, MODE_VERSION);
}

static void every_bad_variable_is_passed_over_and_named(void **state)
{
    static const char *const bad[][2] = {{"NIXFLEET_URL", "nowhere"},
                                         {"NIXFLEET_HOST", "a.b"},
                                         {"NIXFLEET_HEARTBEAT", "1"},
                                         {"NIXFLEET_FLUSH_TIMEOUT", "soon"},
                                         {"NIXFLEET_KEEP_RUNS", "-1"},
                                         {"NIXFLEET_KEEP_DAYS", "x"},
                                         {"NIXFLEET_KEEP_SIZE", "1T"},
                                         {"NIXFLEET_KEEP_SIZE", "-1"},
                                         {"NIXFLEET_KEEP_SIZE", "1KB"},
                                         {"NIXFLEET_KEEP_SIZE", "17179869184G"},
                                         {"NIXFLEET_NOHUP", "perhaps"},
                                         {"NIXFLEET_QUIET", "2"},
                                         {"NIXFLEET_VERBOSE", "x"},
                                         {"NIXFLEET_NO_STREAM", "on off"},
                                         {"NIXFLEET_ALLOW_INSECURE_HTTP", "ja"}};
    struct scene *scene = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv(bad[i][0], bad[i][1], 1);
        assert_loads(scene, "true");
        if (scene->config.warnings.count != 1)
            fail_msg("%s=%s was taken", bad[i][0], bad[i][1]);
        assert_told(scene, bad[i][0]);
        assert_told(scene, bad[i][1]);
        assert_told(scene, "in the environment");
        unsetenv(bad[i][0]);
    }
    assert_loads(scene, "true");
    assert_int_equal(scene->config.warnings.count, 0);
    assert_int_equal(scene->config.heartbeat_s, 10);
}

static void every_bad_option_is_refused_and_named(void **state)
{
    static const char *const bad[] = {"--url nowhere true", "--host a.b true", "-i 1 true",
                                      "--flush-timeout soon true", "--redact a;b true"};
    struct scene *scene = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(load(scene, bad[i]), -1);
        assert_true(strncmp(scene->error, "--", 2) == 0);
        assert_null(strchr(scene->error, '\n'));
    }
}

static void a_wrong_value_leaves_that_of_a_weaker_source(void **state)
{
    struct scene *scene = *state;

    write_file(scene, "NIXFLEET_HEARTBEAT=20\nNIXFLEET_FLUSH_TIMEOUT=x\n");
    setenv("NIXFLEET_HEARTBEAT", "3", 1);
    assert_loads(scene, "true");
    assert_int_equal(scene->config.heartbeat_s, 20);
    assert_int_equal(scene->config.flush_timeout_s, 10);
    assert_told(scene, "NIXFLEET_HEARTBEAT in the environment: '3' is not a whole number");
    assert_told(scene, "run.conf: 'x'");
}

static void a_key_for_an_address_without_tls_keeps_all_from_being_sent(void **state)
{
    struct scene *scene = *state;

    write_file(scene, "NIXFLEET_URL=http://127.0.0.1:8000\nNIXFLEET_CA_FILE=/etc/ssl/ca.pem\n");
    assert_loads(scene, "true");
    assert_null(scene->config.url);
    assert_told(scene, "--cacert is for https");
    assert_int_equal(load(scene, "--cacert /etc/ssl/ca.pem true"), -1);
}

static void names_that_are_none_are_told_with_what_was_meant(void **state)
{
    struct scene *scene = *state;

    write_file(scene, "NIXFLEET_HARTBEAT=3\nNIXFLET_URL=x\nNIXFLEET_WHATEVER=1\nPATH=/bin\n"
                      "NIXFLEET_API_TOKEN=for-the-dashboard\nHOME=x\n");
    assert_loads(scene, "true");
    assert_told(scene, "NIXFLEET_HARTBEAT in ");
    assert_told(scene, "there is no such setting; is NIXFLEET_HEARTBEAT meant?");
    assert_told(scene, "there is no such setting; is NIXFLEET_URL meant?");
    assert_told(scene, "NIXFLEET_WHATEVER in ");
    assert_int_equal(scene->config.warnings.count, 3);
}

static void lines_of_another_form_and_relative_paths_are_told(void **state)
{
    struct scene *scene = *state;

    write_file(scene, "NIXFLEET_KEEP_RUNS=7\nNIXFLEET_TOKEN: secret\nNIXFLEET_STATE_DIR=runs\n"
                      "NIXFLEET_TOKEN_FILE=~/token\n");
    assert_loads(scene, "true");
    assert_told(scene, "run.conf: line 2 is not NAME=value");
    assert_told(scene, "'runs' does not begin with /: not used");
    assert_told(scene, "'~/token' does not begin with /: not used");
    assert_int_equal(scene->config.warnings.count, 3);
    assert_int_equal(scene->config.keep_runs, 7);
    assert_null(scene->config.token_file);
    assert_int_equal(scene->config.state_dir[0], '/');
    assert_null(strstr(scene->config.state_dir, "/runs"));
}

static void what_is_no_file_of_settings_is_told_and_passed_over(void **state)
{
    struct scene *scene = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/nixfleet/run.conf", scene->home);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_loads(scene, "true");
    assert_told(scene, "run.conf is a directory");
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* reading the FIFO would wait for ever */
    assert_loads(scene, "true");
    assert_told(scene, "run.conf is no file");
    unlink(path);
    assert_int_equal(symlink(path, path), 0);
    assert_loads(scene, "true");
    assert_told(scene, "Too many levels");
    unlink(path);
    assert_int_equal(symlink("/dev/null", path), 0); /* this is how systemd masks a file */
    assert_loads(scene, "true");
    assert_int_equal(scene->config.warnings.count, 0);
}

static void values_are_brought_into_form(void **state)
{
    struct scene *scene = *state;

    setenv("NIXFLEET_KEEP_SIZE", "3M", 1);
    assert_loads(scene, "--url https://example.org/fleet// --host MyHost true");
    assert_string_equal(scene->config.url, "https://example.org/fleet");
    assert_string_equal(scene->config.host, "myhost");
    assert_true(scene->config.keep_bytes == UINT64_C(3) << 20);
}

static void redact_patterns_of_all_sources_add_up(void **state)
{
    static const char *const all[] = {"FILE_*", "A_*", "B", "C", "D"};
    struct scene *scene = *state;

    write_file(scene, "NIXFLEET_REDACT=FILE_*\n");
    setenv("NIXFLEET_REDACT", "A_*,B", 1);
    assert_loads(scene, "--redact C --redact D --redact B true");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_string_equal(scene->config.redact[i], all[i]);
    assert_null(scene->config.redact[5]);
}

/* Which token is used if files and environment name dashboards and tokens. */
static void a_token_goes_to_no_other_dashboard_than_its_own(void **state)
{
    static const struct {
        const char *file, *url, *token, *options, *expected;
    } rows[] = {
        {"NIXFLEET_URL=https://a\nNIXFLEET_TOKEN=of-a\n", "", "", "true", "of-a"},
        {"NIXFLEET_URL=https://a/\nNIXFLEET_TOKEN=of-a\n", "https://a", "", "true", "of-a"},
        {"NIXFLEET_URL=https://a\nNIXFLEET_TOKEN=of-a\n", "https://b", "", "true", NULL},
        {"NIXFLEET_URL=https://a\nNIXFLEET_TOKEN=of-a\n", "", "", "-u https://b true", NULL},
        {"NIXFLEET_URL=https://a\nNIXFLEET_TOKEN=of-a\n", "https://b", "of-b", "true", "of-b"},
        {"NIXFLEET_URL=https://a\n", "", "of-a", "-u https://b true", NULL},
        {"NIXFLEET_TOKEN=of-any\n", "https://b", "", "true", "of-any"},
        {"", "", "of-any", "-u https://b true", "of-any"},
    };
    struct scene *scene = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_file(scene, rows[i].file);
        setenv("NIXFLEET_URL", rows[i].url, 1);
        setenv("NIXFLEET_TOKEN", rows[i].token, 1);
        assert_loads(scene, rows[i].options);
        if (rows[i].expected)
            assert_string_equal(scene->config.token, rows[i].expected);
        else
            assert_null(scene->config.token);
    }
}

static void the_settings_of_a_dashboard_are_those_of_the_source_that_names_it(void **state)
{
    struct scene *scene = *state;
    struct config of_file, of_environment, none;

    write_file(scene, "NIXFLEET_URL=https://a\nNIXFLEET_TOKEN=of-a\n");
    setenv("NIXFLEET_URL", "https://b", 1);
    setenv("NIXFLEET_TOKEN", "of-b", 1);
    assert_true(config_of_dashboard(&of_file, "https://a"));
    assert_true(config_of_dashboard(&of_environment, "https://b"));
    assert_false(config_of_dashboard(&none, "https://c"));
    assert_string_equal(of_file.token, "of-a");
    assert_string_equal(of_environment.token, "of-b");
    config_free(&of_file);
    config_free(&of_environment);
}

static void a_token_is_never_an_option(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(load(scene, "--token x true"), -1);
    assert_null(strstr(scene->error, "ambiguous"));
    setenv("NIXFLEET_TOKEN", "from-environment", 1);
    assert_loads(scene, "true");
    assert_string_equal(scene->config.token, "from-environment");
}

static const char *variable(char **environment, const char *name)
{
    size_t length = strlen(name);

    for (; *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}

static void a_helper_that_loads_its_environment_has_the_same_settings(void **state)
{
    char *given[] = {"PATH=/bin", "NIXFLEET_HOST=other", "NIXFLEET_TOKEN=kept", NULL};
    struct scene *scene = *state;
    char **made;

    setenv("NIXFLEET_TOKEN", "kept", 1);
    assert_loads(scene, "--url https://example.org -H h -i 7 --redact A --redact B --nohup true");
    made = config_environment(&scene->config, given);
    assert_non_null(made);
    assert_string_equal(variable(made, "PATH"), "/bin");
    assert_string_equal(variable(made, "NIXFLEET_URL"), "https://example.org");
    assert_string_equal(variable(made, "NIXFLEET_HOST"), "h");
    assert_string_equal(variable(made, "NIXFLEET_HEARTBEAT"), "7");
    assert_string_equal(variable(made, "NIXFLEET_REDACT"), "A,B");
    assert_string_equal(variable(made, "NIXFLEET_NOHUP"), "1");
    /* the variable is set because a settings file may have another value */
    assert_string_equal(variable(made, "NIXFLEET_QUIET"), "0");
    assert_string_equal(variable(made, "NIXFLEET_TOKEN"), "kept");
    for (char **entry = made; *entry; entry++)
        free(*entry);
    free(made);
}

static void a_run_is_called_by_the_verb_of_its_command(void **state)
{
    static const char *const rows[][2] = {
        {"sudo nixos-rebuild switch", "switch"},
        {"nixos-rebuild --flake .#host boot", "boot"},
        {"nixos-rebuild-ng test --sudo", "test"},
        {"/run/current-system/sw/bin/nixos-rebuild dry-activate", "dry-activate"},
        {"home-manager switch", "switch"},
        {"home-manager --flake . build", "build"},
        {"darwin-rebuild switch", "switch"},
        {"git pull", "pull"},
        {"git -C /etc/nixos pull --rebase", "pull"},
        {"nix flake update", "update"},
        {"nix build .#x", "build"},
        {"nix-build x.nix", "nix-build"},
        {"nix-channel --update", "update"},
        {"sudo -u root -E nixos-rebuild switch", "switch"},
        {"sudo -nu root nixos-rebuild switch", "switch"},
        {"sudo -uroot git pull", "pull"},
        {"sudo --user=root git pull", "pull"},
        {"sudo A=b nixos-rebuild switch", "switch"},
        {"doas -u root nixos-rebuild switch", "switch"},
        {"env -u X A=b C=d git pull", "pull"},
        {"nice -n 10 nixos-rebuild switch", "switch"},
        {"ionice -c 3 nice nixos-rebuild switch", "switch"},
        {"systemd-run --unit x --pty nixos-rebuild switch", "switch"},
        {"systemd-run -p A=b -t -- nixos-rebuild switch", "switch"},
        {"timeout -k 5 60 nixos-rebuild switch", "switch"},
        {"sudo -- nixos-rebuild switch", "switch"},
        {"/nix/store/x-nixos-system/bin/switch-to-configuration boot", "boot"},
        {"./test.sh --fast", "test.sh"},
        {"sudo", "sudo"},
        {"nixos-rebuild", "nixos-rebuild"},
        {"/usr/bin/make check", "make"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[128], *rest = line, *words[WORDS_MAX + 1], name[64];
        int count = 0;

        snprintf(line, sizeof line, "%s", rows[i][0]);
        while (count < WORDS_MAX && rest)
            words[count++] = strsep(&rest, " ");
        words[count] = NULL;
        config_derive_name(words, name, sizeof name);
        if (strcmp(name, rows[i][1]) != 0)
            fail_msg("%s: %s instead of %s", rows[i][0], name, rows[i][1]);
    }
}

static void a_long_name_is_cut_and_not_overrun(void **state)
{
    char *command[] = {"0123456789", NULL}, name[6] = "xxxxx";

    (void)state;
    config_derive_name(command, name, 4);
    assert_string_equal(name, "012");
    assert_int_equal(name[4], 'x');
}

int main(void)
{
#define WITH_SCENE(test) cmocka_unit_test_setup_teardown(test, set_scene, clear_scene)
    const struct CMUnitTest tests[] = {
        WITH_SCENE(option_beats_environment_beats_file),
        WITH_SCENE(options_may_follow_the_operand_of_a_mode),
        WITH_SCENE(an_empty_variable_is_an_unset_one),
        WITH_SCENE(a_flag_that_is_on_in_the_file_can_be_switched_off),
        WITH_SCENE(without_any_source_the_defaults_hold),
        WITH_SCENE(options_end_where_the_command_begins),
        WITH_SCENE(every_bad_option_or_value_is_one_line),
        WITH_SCENE(help_and_version_may_be_asked_for_beside_any_other_mode),
        WITH_SCENE(every_bad_variable_is_passed_over_and_named),
        WITH_SCENE(every_bad_option_is_refused_and_named),
        WITH_SCENE(a_wrong_value_leaves_that_of_a_weaker_source),
        WITH_SCENE(a_key_for_an_address_without_tls_keeps_all_from_being_sent),
        WITH_SCENE(names_that_are_none_are_told_with_what_was_meant),
        WITH_SCENE(lines_of_another_form_and_relative_paths_are_told),
        WITH_SCENE(what_is_no_file_of_settings_is_told_and_passed_over),
        WITH_SCENE(values_are_brought_into_form),
        WITH_SCENE(redact_patterns_of_all_sources_add_up),
        WITH_SCENE(a_token_goes_to_no_other_dashboard_than_its_own),
        WITH_SCENE(the_settings_of_a_dashboard_are_those_of_the_source_that_names_it),
        WITH_SCENE(a_token_is_never_an_option),
        WITH_SCENE(a_helper_that_loads_its_environment_has_the_same_settings),
        cmocka_unit_test(a_run_is_called_by_the_verb_of_its_command),
        cmocka_unit_test(a_long_name_is_cut_and_not_overrun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
