/* The JSON of a dashboard's answer (docs/protocol.md). */
#ifndef NIXFLEET_ANSWER_H
#define NIXFLEET_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an answer says; fields that it lacks are -1 or false. */
struct answer {
    int64_t next;    /* lines that the dashboard has */
    int64_t wait_ms; /* 0 to 30000 */
    bool stop;
    char error[160]; /* printable; "" if none */
};
/* Reads a body of any bytes. False when it is not a JSON object of at most 16 levels. */
bool answer_parse(const char *body, size_t size, struct answer *answer);

#endif
