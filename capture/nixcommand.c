#include "nixcommand.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* Parts of a program's name: "nixos-rebuild" has two, "./switch.sh" has two. */
static const char *const parts[] = {"nix",     "nixos",    "nh",       "nom",    "manager",
                                    "darwin",  "rebuild",  "switch",   "deploy", "update",
                                    "upgrade", "activate", "rollback", "comin",  "colmena",
                                    "morph",   "nixops"};

static bool is_listed(const char *part, size_t length)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strlen(parts[i]) == length && strncmp(parts[i], part, length) == 0)
            return true;
    return false;
}

static size_t part_length(const char *text)
{
    size_t length = 0;

    while (isalnum((unsigned char)text[length]))
        length++;
    return length;
}

/* Only the last part of a path counts, because all programs of NixOS are below /nix/store. A word
 * with blanks is a script. */
static bool word_counts(const char *word)
{
    const char *slash = word[strcspn(word, " \t\n")] ? NULL : strrchr(word, '/');

    for (const char *at = slash ? slash + 1 : word; *at;) {
        size_t length = part_length(at);

        if (is_listed(at, length))
            return true;
        at += length > 0 ? length : 1;
    }
    return false;
}

bool nix_command(char *const command[])
{
    for (; *command; command++)
        if (word_counts(*command))
            return true;
    return false;
}
