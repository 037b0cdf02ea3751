/* Which commands have to do with nix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka_versions.h"

#include "capture/nixcommand.h"
#include "capture/nixversion.h"

#define WORDS_MAX 8

/* The words of a line, which is split at '|'. */
static bool about_nix(const char *line)
{
    char text[256], *rest = text, *words[WORDS_MAX] = {0};

    assert_true(strlen(line) < sizeof text);
    strcpy(text, line);
    for (int i = 0; i + 1 < WORDS_MAX && rest; i++)
        words[i] = strsep(&rest, "|");
    return nix_command(words);
}

static void commands_that_use_nix_are_recognized_by_their_words(void **state)
{
    static const char *const yes[] = {"nix|build|.#a",
                                      "/run/current-system/sw/bin/nixos-rebuild|switch",
                                      "sudo|-u|me|nix-env|-i|hello",
                                      "home-manager|switch",
                                      "darwin-rebuild|switch",
                                      "nh|os|test",
                                      "env|A=b|sh|-c|cd /etc && nixos-rebuild boot",
                                      "./switch.sh",
                                      "make|deploy",
                                      "bash|/home/me/rebuild",
                                      "colmena|apply"};

    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!about_nix(yes[i]))
            fail_msg("not known: %s", yes[i]);
}

static void other_commands_do_not_count_in_any_directory(void **state)
{
    static const char *const no[] = {"true",
                                     "echo|x",
                                     "/nix/store/00705yadhzm4c5k1y4iccfkqcvicyn7b-coreutils/bin/ls",
                                     "git|pull",
                                     "/bin/sh|-c|exit 3",
                                     "unix2dos|phoenix",
                                     "",
                                     "/"};

    (void)state;
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (about_nix(no[i]))
            fail_msg("taken for one: %s", no[i]);
}

static void a_path_in_the_store_names_the_version_of_nix(void **state)
{
#define STORE "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-"
    static const struct {
        const char *path;
        int has;
    } cases[] = {{STORE "nix-2.30.1/bin/nix", 1},
                 {STORE "nix-cli-2.34.8/bin/nix", 1},
                 {STORE "nix-2.31pre20250712_c0ffee0/bin/nix", 1},
                 {STORE "nix-3.0/bin/nix", 1},
                 {STORE "nix-2.29.1/bin/nix", 0},
                 {STORE "nix-2.3.16/bin/nix", 0},
                 {STORE "lix-2.93.0/bin/nix", -1},
                 {STORE "determinate-nix-3.8.1/bin/nix", -1},
                 {STORE "nix-profile/bin/nix", -1},
                 {STORE, -1},
                 {"/nix/store/nix-2.30.1", -1},
                 {"/usr/bin/nix", -1}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (nix_version_of_path(cases[i].path) != cases[i].has)
            fail_msg("%s", cases[i].path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_in_the_store_names_the_version_of_nix),
        cmocka_unit_test(commands_that_use_nix_are_recognized_by_their_words),
        cmocka_unit_test(other_commands_do_not_count_in_any_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
