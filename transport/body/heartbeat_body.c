/* Writes the content of the status page as a heartbeat. */
#include "heartbeat_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../common/io.h"
#include "describe.h"

static void put_counters(struct text *body, struct status_page *page)
{
    int64_t silent_ms = monotonic_ms() - atomic_load(&page->output_ms);

    json_int(body, "silent_for", silent_ms > 0 ? silent_ms / 1000 : 0);
    json_int(body, "lines", (int64_t)atomic_load(&page->lines));
    json_int(body, "bytes", (int64_t)atomic_load(&page->bytes));
    json_int(body, "acked", (int64_t)atomic_load(&page->acked));
}

static void put_load(struct text *body)
{
    double load[3];

    if (getloadavg(load, 3) != 3)
        return;
    json_open(body, "load", '[');
    for (int i = 0; i < 3; i++)
        json_number(body, NULL, load[i]);
    json_close(body, ']');
}

bool heartbeat_write(struct text *body, enum heartbeat_kind kind, const struct run_info *info,
                     struct status_page *page, const struct run_end *end, struct redactor *redactor,
                     int64_t seq, int interval_s)
{
    struct status_progress status;
    bool known = page && status_get_progress(page, &status);
    const char *phase = known ? status.phase : "";
    const char *word = kind == HEARTBEAT_FINISHED ? "finished"
                       : kind == HEARTBEAT_LOST   ? "lost"
                       : *phase                   ? phase
                                                  : "running";

    text_reset(body);
    json_open(body, NULL, '{');
    json_string(body, "run", info->id, strlen(info->id));
    describe_run(body, info, redactor);
    json_int(body, "seq", seq);
    if (interval_s > 0)
        json_int(body, "interval", interval_s);
    json_string(body, "status", word, strlen(word));
    if (*phase)
        json_string(body, "phase", phase, strlen(phase));
    if (known) /* the shipper has redacted it */
        json_progress(body, &status.progress);
    if (page)
        put_counters(body, page);
    put_load(body);
    if (kind == HEARTBEAT_FINISHED)
        json_exit(body, end->by_signal, end->code);
    json_close(body, '}');
    return !body->failed;
}
