/* What a dashboard still lacks of one run, as the bodies to send and what their answers mean. No
   I/O but reading the log: the shipper (a run that goes on) and the spool (one that is over) move
   the bodies.

   Lines 0 to synced - 1 are at the dashboard as they are here. A batch carries the lines from there
   on: the final ones from the queue, then the ones that a program can still repaint. What repaints
   lowers `synced` again; a lost or repeated batch therefore needs no bookkeeping. Everything can be
   made again from the log, when the dashboard asks to go back. */
#ifndef NIXFLEET_DELIVERY_H
#define NIXFLEET_DELIVERY_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../capture/runlog.h"
#include "../../parse/transcript.h"
#include "../body/json_out.h"
#include "../http/client.h"
#include "lines.h"
#include "../body/redact.h"
#include "source.h"

#define DELIVERY_QUEUE_MAX ((size_t)1280 << 10) /* bytes of final lines that wait */
/* Bytes that wait, read or not: beyond it the oldest lines are left out. */
#define DELIVERY_BACKLOG_MAX ((uint64_t)8 << 20)
#define DELIVERY_TEXT_MAX ((size_t)640 << 10) /* bytes of lines in a batch */
#define DELIVERY_TIMES_MAX ((size_t)4000)     /* times in a batch, some 20 bytes each */
#define DELIVERY_DIGEST_STEP 4096             /* bytes of text that are digested together */
#define DELIVERY_BODY_MAX ((size_t)1000000)   /* a dashboard takes 1 MiB */

enum delivery_verdict {
    DELIVERY_GO_ON,  /* the next batch when there is one */
    DELIVERY_RETRY,  /* the same again after a pause that grows */
    DELIVERY_WAIT,   /* the same again after wait_ms */
    DELIVERY_DENIED, /* 401, 403: with another token, or not at all */
    DELIVERY_ABSENT, /* 404, 405: there is no such call */
    DELIVERY_DONE,   /* everything is there, the end included */
    DELIVERY_STOP,   /* 410: never again */
    DELIVERY_REFUSED /* it takes nothing of what is left: not now, but perhaps a later version */
};

/* Final lines as they stand in a body. */
struct prepared {
    struct text text;
    uint64_t from, end; /* lines; none: equal */
    size_t queued;      /* bytes of them in the queue */
};

#define DELIVERY_DERIVATIONS_MAX 300 /* in a batch */

/* What the dashboard has of the run's derivations: the version of each that was sent. */
struct told {
    uint32_t *version; /* by index; the first `count` */
    size_t count;
    struct {
        uint32_t index, version;
    } sent[DELIVERY_DERIVATIONS_MAX]; /* by the batch in flight */
    size_t sent_count;
};

#define DELIVERY_REFUSALS_MAX 32 /* lines; a dashboard that refuses more refuses everything */

/* Lines that the dashboard answered with 400. A refused batch is halved until one line is left, and
 * this line is sent without the other fields. If it is still refused, a line that says so replaces
 * it; the other lines keep their numbers. */
struct refusals {
    uint64_t line[DELIVERY_REFUSALS_MAX];
    size_t count;
    bool bare;      /* the next batch holds lines only */
    bool additions; /* the bare line was accepted: the other fields of the batch are refused */
    uint64_t most;  /* lines in the next batch */
    char reason[160];
};

struct delivery {
    const struct run_info *info;
    struct redactor *redactor;
    struct source source;
    char *record_path; /* of nix's own record; NULL: there is none */
    int record_fd;     /* -1: not open */
    struct transcript *transcript;
    struct line_queue queue;
    struct time_runs times;
    EVP_MD_CTX *digest; /* over the first `released` lines, but for what is undigested */
    char undigested[DELIVERY_DIGEST_STEP];
    size_t undigested_size;
    uint64_t released; /* final lines that went through redaction */
    char *held;        /* a long final line that waits for its successor; room for any */
    size_t held_size, held_covered;
    bool holding;
    uint64_t resume;          /* lines below are at the dashboard and need not be queued */
    uint64_t has, had;        /* lines that it has now; that it had when reading began */
    uint64_t acked_bytes;     /* of output, that made the lines that it has; 0: not known */
    uint64_t synced, changed; /* changed: lowest line that changed while a batch was in flight */
    uint64_t cut_line;        /* a line of which only the beginning was sent; UINT64_MAX: none */
    const char *log_problem;  /* why output is missing, for a person; NULL: not known */
    bool left_out;            /* lines were skipped: no digest */
    bool described;
    struct refusals refusals;
    bool output_over;            /* no more bytes will come */
    struct run_end end;          /* with output_over; not known: lost */
    int digest_cycles, setbacks; /* how often the dashboard asked to go back */
    size_t text_max;             /* bytes of lines in the next batch */
    size_t text_most;            /* as many may be taken: halved by 413 */
    struct told told;
    char *changes; /* JSON of what the run changed, for its end; NULL: nothing. Owned */
    bool hold_end; /* it is still being found out: the end waits */
    struct text body;
    struct prepared next; /* begun while a batch is in flight */
    /* The batch in flight. */
    uint64_t sent_from, sent_end, sent_skipped;
    uint64_t sent_bytes; /* of output, that all lines up to sent_end come from; 0: not known */
    size_t sent_queued;  /* bytes of it in the queue; 0 if other lines come after these */
    bool sent_last, sent_description;
    bool sent_mark; /* it is the line that stands for a refused one */
    bool done;
    int64_t wait_ms;   /* what the last answer asks for */
    char problem[256]; /* set when the last answer is worth a line; "" otherwise */
};

/* info and redactor must outlive it. ack: what the dashboard has. 0, or -1 with errno ENOMEM. */
int delivery_open(struct delivery *delivery, const struct run_info *info, struct redactor *redactor,
                  const struct source *source, const struct run_ack *ack);
/* nix may write its own record there (DIR/ID.nix), now or later: read it, too. */
void delivery_read_record(struct delivery *delivery, const char *dir, const char *id);
void delivery_close(struct delivery *delivery);

/* Reads at most budget bytes of output. True if there is more that could be read at once. Stops at
   a full queue, unless may_skip and the backlog is over its bound: then the oldest lines are left
   out. */
bool delivery_read(struct delivery *delivery, size_t budget, bool may_skip);
/* There will be no more output than source has now, and this is how it ended. */
void delivery_output_ends(struct delivery *delivery, const struct run_end *end);
/* True once everything has been read after delivery_output_ends. */
bool delivery_complete(const struct delivery *delivery);

/* True if there is a reason to send. */
bool delivery_pending(const struct delivery *delivery);
/* Makes the next batch in delivery->body. False when out of memory. */
bool delivery_build(struct delivery *delivery);
/* May be called at any time while a batch is in flight: makes what delivery_build then only has to
   put together, once there is enough for all of the next one. It needs a second buffer of
   DELIVERY_BODY_MAX; without memory for it nothing is prepared, which costs time and no more. */
void delivery_prepare(struct delivery *delivery);
/* What the answer to the batch in flight means. */
enum delivery_verdict delivery_take(struct delivery *delivery, const struct client_answer *answer);
/* What the dashboard has refused of all that was sent, for a person: writes to text and returns it,
 * or NULL: nothing. */
const char *delivery_refusal(const struct delivery *delivery, char *text, size_t size);
/* Lines that are final and at the dashboard. */
uint64_t delivery_acked(const struct delivery *delivery);
/* What may be said on disk of what the dashboard has. */
struct run_ack delivery_ack(const struct delivery *delivery);

/* What the run changed, as JSON, goes with its end: redacted, or not at all where a value is part
 * of the JSON's own marks. Takes over changes, which may be NULL. */
void delivery_set_changes(struct delivery *delivery, char *changes);

#endif
