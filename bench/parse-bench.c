/* How fast bytes become lines, on one core: MB/s for plain text and for text with many escape
   sequences, through the screen alone and through the transcript (screen and phase). Prints lines
   "what MB/s". */
#include "../parse/screen.h"
#include "../parse/transcript.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUT_SIZE ((size_t)32 << 20)
#define READ_SIZE ((size_t)64 << 10)
#define ROUNDS 4

static uint64_t lines_out;

static void seen(void *context, uint64_t line, const char *text, size_t length, bool redrawn)
{
    (void)context, (void)line, (void)text, (void)length, (void)redrawn;
}

static void final(void *context, uint64_t line, const char *text, size_t length)
{
    (void)context, (void)line, (void)text, (void)length;
    lines_out++;
}

static void finals(void *context, uint64_t line, size_t count, const char *text, size_t length)
{
    (void)context, (void)line, (void)text, (void)length;
    lines_out += count;
}

static size_t plain_line(char *out, size_t capacity, unsigned n)
{
    static const char *const word[] = {
        "compiling", "linking", "src/main.c:42:", "-Wall", "checking for", "ok"};
    int size = snprintf(out, capacity, "builder> [%u] %s %s module_%u.o %s -O2 -o out/%u\n", n,
                        word[n % 6], word[n / 3 % 6], n * 7 % 1000, word[n / 5 % 6], n % 77);
    return (size_t)size;
}

static size_t escape_line(char *out, size_t capacity, unsigned n)
{
    int size = snprintf(
        out, capacity,
        "\r\033[2K\033[1;32m[%u/900]\033[0m \033[38;5;%um%s\033[m \033[1A\033[3Cstep %u\033[1B\r%s",
        n % 900, n % 256, "a package", n, n % 8 == 0 ? "\033[31mdone\033[0m\n" : "");
    return (size_t)size;
}

static char *generate(size_t (*line)(char *, size_t, unsigned))
{
    char *input = malloc(INPUT_SIZE), text[512];
    size_t size = 0, one;

    if (!input)
        err(1, "malloc");
    for (unsigned n = 0; size < INPUT_SIZE; n++) {
        one = line(text, sizeof text, n);
        if (one > INPUT_SIZE - size)
            one = INPUT_SIZE - size;
        memcpy(input + size, text, one);
        size += one;
    }
    return input;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void through_screen(const char *input)
{
    struct screen_sink sink = {NULL, seen, final, finals, false};
    struct screen *screen = screen_new(0, 0, &sink);
    if (!screen)
        err(1, "screen");
    for (size_t i = 0; i < INPUT_SIZE; i += READ_SIZE)
        screen_feed(screen, input + i, READ_SIZE);
    screen_finish(screen);
    screen_free(screen);
}

static void through_transcript(const char *input)
{
    struct transcript *transcript =
        transcript_new(0, 0, NULL, &(struct transcript_sink){NULL, final, finals, true});
    if (!transcript)
        err(1, "transcript");
    for (size_t i = 0; i < INPUT_SIZE; i += READ_SIZE)
        transcript_feed(transcript, input + i, READ_SIZE);
    transcript_end_unknown(transcript);
    transcript_free(transcript);
}

static void measure(const char *what, void (*through)(const char *), const char *input)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        through(input);
        double rate = (double)INPUT_SIZE / 1e6 / (now() - start);
        best = rate > best ? rate : best;
    }
    printf("%-24s %6.0f MB/s\n", what, best);
}

/* The arguments select measurements; without arguments, all. */
static bool wanted(int argc, char **argv, const char *what)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], what) == 0)
            return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    char *plain = generate(plain_line), *escapes = generate(escape_line);

    if (wanted(argc, argv, "screen plain"))
        measure("screen plain", through_screen, plain);
    if (wanted(argc, argv, "screen escapes"))
        measure("screen escapes", through_screen, escapes);
    if (wanted(argc, argv, "transcript plain"))
        measure("transcript plain", through_transcript, plain);
    if (wanted(argc, argv, "transcript escapes"))
        measure("transcript escapes", through_transcript, escapes);
    free(plain);
    free(escapes);
    return 0;
}
