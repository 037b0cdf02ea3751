/* The name of a run: the verb that a person would use, found behind commands that only change who
 * runs it. */
#include "config.h"

#include <stdio.h>
#include <string.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

/* Commands that run another command, and their options that take a separate value. */
static const struct prefix {
    const char *program, *letters; /* short options with a value */
    const char *words;             /* long options with a value, each between commas */
} prefixes[] = {
    {"sudo", "CDghpRrtTUu",
     ",close-from,chdir,group,host,prompt,chroot,role,type,command-timeout,other-user,user,"},
    {"doas", "Cu", ","},
    {"env", "uCS", ",unset,chdir,"},
    {"nice", "n", ",adjustment,"},
    {"ionice", "cnPpu", ",class,classdata,"},
    {"nohup", "", ","},
    {"setsid", "", ","},
    {"time", "fo", ",format,output,"},
    {"stdbuf", "ioe", ",input,output,error,"},
    {"timeout", "ks", ",kill-after,signal,"},
    {"systemd-run", "EHMptu",
     ",unit,property,setenv,description,slice,service-type,uid,gid,nice,working-directory,machine,"
     "host,"},
    {"systemd-inhibit", "", ",what,who,why,mode,"},
    {"command", "", ","},
    {"exec", "a", ","},
};

static const struct prefix *find_prefix(const char *program)
{
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strcmp(prefixes[i].program, program) == 0)
            return &prefixes[i];
    return NULL;
}

static int takes_value(const struct prefix *prefix, const char *option)
{
    char word[64];

    /* the value is the next word, unless it is in the same word: -nu root, -uroot */
    if (option[1] != '-') {
        size_t at = 1 + strcspn(option + 1, prefix->letters);

        return option[at] != '\0' && option[at + 1] == '\0';
    }
    if (strchr(option, '='))
        return 0;
    snprintf(word, sizeof word, ",%s,", option + 2);
    return strstr(prefix->words, word) != NULL;
}

/* The command that prefix runs: behind the options of prefix, variable assignments and (timeout)
 * the duration. */
static char *const *skip_prefix(const struct prefix *prefix, char *const *word)
{
    word++;
    while (*word) {
        if (strcmp(*word, "--") == 0) {
            word++;
            break;
        }
        if ((*word)[0] == '-')
            word += takes_value(prefix, *word) && word[1] ? 2 : 1;
        else if (strchr(*word, '=') && !strchr("./", (*word)[0]))
            word++;
        else
            break;
    }
    if (*word && strcmp(prefix->program, "timeout") == 0)
        word++;
    return word;
}

static const char *first_word(char *const *arguments)
{
    for (; *arguments; arguments++)
        if ((*arguments)[0] != '-')
            return *arguments;
    return NULL;
}

/* The sub-command of git, behind options of git that take a value. */
static const char *git_verb(char *const *arguments)
{
    while (*arguments && (*arguments)[0] == '-')
        arguments +=
            (strcmp(*arguments, "-C") == 0 || strcmp(*arguments, "-c") == 0) && arguments[1] ? 2
                                                                                             : 1;
    return *arguments;
}

/* `nix flake update` is an update, `nix build` a build, `nix profile upgrade` an upgrade. */
static const char *nix_verb(char *const *arguments)
{
    const char *verb = first_word(arguments);

    if (verb && (strcmp(verb, "flake") == 0 || strcmp(verb, "profile") == 0 ||
                 strcmp(verb, "store") == 0)) {
        while (*arguments != verb)
            arguments++;
        return first_word(arguments + 1) ? first_word(arguments + 1) : verb;
    }
    return verb;
}

static const char *rebuild_verb(char *const *arguments)
{
    static const char *const verbs[] = {"switch",
                                        "boot",
                                        "test",
                                        "build",
                                        "dry-build",
                                        "dry-activate",
                                        "dry-run",
                                        "edit",
                                        "repl",
                                        "build-vm",
                                        "build-vm-with-bootloader",
                                        "build-image",
                                        "list-generations",
                                        "activate",
                                        "check",
                                        "changelog",
                                        "generations",
                                        "packages",
                                        "news",
                                        "rollback",
                                        "os",
                                        "home",
                                        "darwin"};

    for (; *arguments; arguments++)
        for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
            if (strcmp(*arguments, verbs[i]) == 0)
                return verbs[i];
    return NULL;
}

static const char *nh_verb(char *const *arguments)
{
    const char *what = first_word(arguments);

    while (what && *arguments != what)
        arguments++;
    return what && first_word(arguments + 1) ? first_word(arguments + 1) : what;
}

static const char *verb_of(const char *program, char *const *arguments)
{
    static const char *const rebuilders[] = {"nixos-rebuild", "nixos-rebuild-ng", "home-manager",
                                             "darwin-rebuild"};

    for (size_t i = 0; i < sizeof rebuilders / sizeof *rebuilders; i++)
        if (strcmp(program, rebuilders[i]) == 0)
            return rebuild_verb(arguments);
    if (strcmp(program, "git") == 0)
        return git_verb(arguments);
    if (strcmp(program, "nix") == 0)
        return nix_verb(arguments);
    if (strcmp(program, "nh") == 0)
        return nh_verb(arguments);
    if (strcmp(program, "nix-channel") == 0)
        for (; *arguments; arguments++)
            if (strcmp(*arguments, "--update") == 0)
                return "update";
    if (strcmp(program, "switch-to-configuration") == 0)
        return first_word(arguments);
    return NULL;
}

bool config_runs_through(char *const command[], const char *program)
{
    char *const *word = command;
    const struct prefix *prefix;

    while (*word && (prefix = find_prefix(base_name(*word)))) {
        if (strcmp(prefix->program, program) == 0)
            return true;
        word = skip_prefix(prefix, word);
    }
    return false;
}

void config_derive_name(char *const command[], char *out, size_t size)
{
    char *const *word = command;
    const struct prefix *prefix;
    const char *verb;

    while (*word && (prefix = find_prefix(base_name(*word)))) {
        char *const *next = skip_prefix(prefix, word);

        if (!*next)
            break;
        word = next;
    }
    verb = *word ? verb_of(base_name(*word), word + 1) : NULL;
    snprintf(out, size, "%s", verb ? verb : *word ? base_name(*word) : "");
}
