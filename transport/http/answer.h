/* The JSON of a dashboard's answer (docs/protocol.md). */
#ifndef NIXFLEET_ANSWER_H
#define NIXFLEET_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The content of an answer. Missing fields are -1, "" or false. */
struct answer {
    int64_t next;    /* lines that the dashboard has */
    int64_t wait_ms; /* 0 to 30000 */
    bool stop;
    char error[160]; /* printable; "": none */
};
/* Reads a body of any bytes. False if it is not a JSON object, or nested deeper than 16 levels. */
bool answer_parse(const char *body, size_t size, struct answer *answer);

#endif
