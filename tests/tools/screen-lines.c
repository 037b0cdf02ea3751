/* Prints the lines of terminal bytes from stdin, as parse/screen sees them.
   Usage: screen-lines [-c] [-s] [-b BYTES] ROWS COLS   (-c: with colours; -s: what was seen, too;
   -b: feed that many at once) */
#include "../../parse/screen.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int colours, show_seen;

static void print_plain(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!colours && text[i] == '\033')
            while (i < length && text[i] != 'm')
                i++;
        else
            putchar(text[i]);
    }
    putchar('\n');
}

static void seen(void *context, uint64_t line, const char *text, size_t length, bool redrawn)
{
    (void)context;
    if (show_seen) {
        printf("%s%llu: ", redrawn ? "~" : "+", (unsigned long long)line);
        print_plain(text, length);
    }
}

static void final(void *context, uint64_t line, const char *text, size_t length)
{
    (void)context;
    if (show_seen)
        printf("=%llu: ", (unsigned long long)line);
    print_plain(text, length);
}

int main(int argc, char **argv)
{
    static char buffer[65536];
    size_t size, at_once = sizeof buffer;
    int option;

    while ((option = getopt(argc, argv, "csb:")) != -1) {
        if (option == 'c')
            colours = 1;
        else if (option == 's')
            show_seen = 1;
        else if (option == 'b')
            at_once = strtoul(optarg, NULL, 10);
        else
            return 125;
    }
    if (argc - optind != 2 || at_once == 0 || at_once > sizeof buffer)
        errx(125, "usage: screen-lines [-cs] [-b BYTES] ROWS COLS");
    struct screen_sink sink = {NULL, seen, final, NULL, false};
    struct screen *screen = screen_new((uint32_t)strtoul(argv[optind], NULL, 10),
                                       (uint32_t)strtoul(argv[optind + 1], NULL, 10), &sink);
    if (!screen)
        err(125, "screen");
    while ((size = fread(buffer, 1, at_once, stdin)) > 0)
        screen_feed(screen, buffer, size);
    screen_finish(screen);
    screen_free(screen);
    return fflush(stdout) == 0 ? 0 : 1;
}
