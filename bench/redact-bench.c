/* How fast output is searched for secrets, on one core: MB/s of plain lines for several numbers of
   secret values, and the time for preparing the values at the start of a run. One line each. */
#include "../common/secrets.h"
#include "../transport/body/redact.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_SIZE ((size_t)32 << 20)
#define BLOCK_SIZE ((size_t)64 << 10) /* the size of a read from a log */
#define ROUNDS 4

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Lines of words and numbers, 75 bytes each. */
static char *plain_text(void)
{
    char *text = malloc(TEXT_SIZE + 80);

    if (!text)
        err(1, NULL);
    for (size_t at = 0, line = 0; at < TEXT_SIZE; line++)
        at += (size_t)sprintf(text + at,
                              "[%8zu] building '/nix/store/%08zx%08zx-source.drv' on "
                              "host-%02zu now\n",
                              line, line * 2654435761u % 0xffffffff, line * 40503u % 0xffffffff,
                              line % 100);
    return text;
}

/* `count` values of 20 to 59 random letters and digits, which begin alike, as tokens do. */
static char *fingerprints(size_t count, double *seconds)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    struct secrets secrets;
    double start = now();
    char *text;

    secrets_init(&secrets);
    for (size_t i = 0; i < count; i++) {
        char value[64] = "ghp_";
        size_t length = 20 + i % 40;

        for (size_t j = 4; j < length; j++)
            value[j] = letters[(size_t)rand() % (sizeof letters - 1)];
        value[length] = '\0';
        secrets_add(&secrets, value);
    }
    text = secrets_format(&secrets);
    secrets_free(&secrets);
    *seconds = now() - start;
    return text;
}

int main(void)
{
    static const size_t counts[] = {0, 1, 10, 100, 300, 1000};
    char *text = plain_text();

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        double preparing, start, seconds;
        char *secrets = fingerprints(counts[i], &preparing);
        struct redactor *redactor = redactor_new(secrets, NULL, NULL, NULL);

        if (!redactor)
            errx(1, "no redactor");
        start = now();
        for (int round = 0; round < ROUNDS; round++)
            for (size_t at = 0; at + BLOCK_SIZE <= TEXT_SIZE; at += BLOCK_SIZE)
                if (!redact_needless(redactor, text + at, BLOCK_SIZE))
                    errx(1, "a secret in plain text");
        seconds = now() - start;
        printf("%4zu secrets: %6.0f MB/s, %5.2f ms to prepare, %zu bytes in the record\n",
               counts[i], ROUNDS * (double)TEXT_SIZE / 1e6 / seconds, preparing * 1000,
               strlen(secrets));
        redactor_free(redactor);
        free(secrets);
    }
    free(text);
    return 0;
}
