/* What a dashboard lacks of one run: the bodies to send, and the meaning of their answers. The only
   I/O is reading the log. The shipper (for a running run) and the spool (for one that is over) send
   the bodies.

   Lines 0 to synced - 1 are the same here and at the dashboard. A batch has the lines from there
   on: first final lines from the queue, then lines that a program can still rewrite. A rewrite
   lowers `synced`, so a lost or repeated batch needs no bookkeeping. If the dashboard asks to go
   back, everything can be made again from the log. */
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
#include "build_logs.h"
#include "lines.h"
#include "nixsource.h"
#include "../body/redact.h"
#include "source.h"

#define DELIVERY_QUEUE_MAX ((size_t)1280 << 10) /* bytes of final lines that wait */
/* Bytes that wait, whether read or not. Beyond this limit the oldest lines are left out. */
#define DELIVERY_BACKLOG_MAX ((uint64_t)8 << 20)
#define DELIVERY_TEXT_MAX ((size_t)640 << 10) /* bytes of lines in a batch */
#define DELIVERY_TIMES_MAX ((size_t)4000)     /* times in a batch, about 20 bytes each */
#define DELIVERY_DIGEST_STEP 4096             /* bytes of text that are digested in one call */
#define DELIVERY_BODY_MAX ((size_t)1000000)   /* bytes; a dashboard accepts 1 MiB */

enum delivery_verdict {
    DELIVERY_GO_ON,  /* send the next batch when there is one */
    DELIVERY_RETRY,  /* send the same again after a pause that grows */
    DELIVERY_WAIT,   /* send the same again after wait_ms */
    DELIVERY_DENIED, /* 401, 403: try another token, or stop */
    DELIVERY_ABSENT, /* 404, 405: there is no such call */
    DELIVERY_DONE,   /* the dashboard has everything, with the end */
    DELIVERY_STOP,   /* 410: never send again */
    DELIVERY_REFUSED /* it accepts nothing of what is left; a later version may accept it */
};

/* Final lines in the form in which a body has them. */
struct prepared {
    struct text text;
    uint64_t from, end; /* numbers of the lines; equal: none */
    size_t queued;      /* their bytes in the queue */
};

#define DELIVERY_DERIVATIONS_MAX 300 /* in a batch */

/* What the dashboard has of the run's derivations: the version of each that was sent. */
struct derivation_acks {
    uint32_t *version; /* by index, for the first `count` */
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
    bool bare;      /* the next batch has lines only */
    bool additions; /* the bare line was accepted, so the other fields of the batch are refused */
    uint64_t most;  /* lines in the next batch */
    char reason[160];
};

struct delivery {
    const struct run_info *info;
    struct redactor *redactor;
    struct source source;
    struct nix_source nix;
    uint64_t record_offset; /* of the next byte of nix's internal log */
    struct build_logs build_logs;
    struct transcript *transcript;
    struct line_queue queue;
    struct time_runs times;
    EVP_MD_CTX *digest; /* over the first `released` lines, except those in `undigested` */
    char undigested[DELIVERY_DIGEST_STEP];
    size_t undigested_size;
    uint64_t released; /* final lines that were redacted */
    char *held; /* a long final line that waits for the next line; large enough for any line */
    size_t held_size, held_covered;
    bool holding;
    uint64_t resume;   /* the dashboard has the lines below this one, so they need not be queued */
    uint64_t has, had; /* lines that it has now; lines that it had when reading began */
    uint64_t acked_bytes; /* of the output that became the lines that it has; 0: not known */
    /* changed: the lowest line that changed while a batch was in flight */
    uint64_t known_bytes; /* of output: the next ones, which the dashboard has */
    uint64_t synced, changed;
    uint64_t cut_line;       /* a line of which only the beginning was sent; UINT64_MAX: none */
    const char *log_problem; /* why output is missing, for a person; NULL: not known */
    bool left_out;           /* lines were left out, so there is no digest */
    char *without_links;     /* space for a line; NULL: the dashboard takes hyperlinks */
    bool described;
    struct refusals refusals;
    bool output_over;            /* no more bytes will come */
    struct run_end end;          /* valid with output_over; not known: the run is lost */
    int digest_cycles, setbacks; /* how often the dashboard asked to go back */
    size_t text_max;             /* bytes of lines in the next batch */
    size_t text_most;            /* the limit of text_max; a 413 halves it */
    struct derivation_acks derivation_acks;
    char *changes; /* JSON of what the run changed, sent with its end; NULL: nothing. Owned */
    bool hold_end; /* the changes are not known yet, so the end waits */
    struct text body;
    struct prepared next; /* prepared while a batch is in flight */
    /* The batch in flight. */
    uint64_t sent_from, sent_end, sent_skipped;
    uint64_t sent_bytes; /* of output, from which all lines up to sent_end come; 0: not known */
    size_t sent_queued;  /* its bytes in the queue; 0 if other lines follow */
    bool sent_last, sent_description;
    bool end_told;  /* the dashboard has the end; only logs of builders may be missing */
    bool sent_mark; /* it is the line that replaces a refused line */
    bool done;
    int64_t wait_ms;   /* the pause that the last answer asks for */
    char problem[256]; /* for a person, about the last answer; "": nothing to say */
};

/* info and redactor must be valid until delivery_close. ack: what the dashboard has. Returns 0, or
 * -1 with errno ENOMEM. */
int delivery_open(struct delivery *delivery, const struct run_info *info, struct redactor *redactor,
                  const struct source *source, const struct run_ack *ack);
/* Also reads nix's internal log (nixsource.h). */
void delivery_read_record(struct delivery *delivery, const char *dir, const char *id);
void delivery_close(struct delivery *delivery);

/* Reads at most budget bytes of output. True if more could be read at once. Stops when the queue is
   full; but with may_skip and a backlog over its limit, the oldest lines are left out. */
bool delivery_read(struct delivery *delivery, size_t budget, bool may_skip);
/* There is no more output than source has now, and this is the end of the run. */
void delivery_output_ends(struct delivery *delivery, const struct run_end *end);
/* True when everything was read after delivery_output_ends. */
bool delivery_complete(const struct delivery *delivery);

/* True if there is something to send. */
bool delivery_pending(const struct delivery *delivery);
/* True if the dashboard has the end of the run and everything else. Can become true without another
   batch, when it turns out that nix's internal log has no more text. */
bool delivery_over(const struct delivery *delivery);
/* Writes the next batch to delivery->body. False when out of memory. */
bool delivery_build(struct delivery *delivery);
/* May be called at any time while a batch is in flight: prepares the text of the next batch, once
   there is enough for a full one. Needs a second buffer of DELIVERY_BODY_MAX; without memory for
   it, delivery_build takes longer. */
void delivery_prepare(struct delivery *delivery);
/* Handles the answer to the batch in flight. */
enum delivery_verdict delivery_take(struct delivery *delivery, const struct client_answer *answer);
/* What the dashboard has refused so far, for a person: writes it to text and returns text. NULL:
 * nothing. */
const char *delivery_refusal(const struct delivery *delivery, char *text, size_t size);
/* The number of lines that are final and that the dashboard has. */
uint64_t delivery_acked(const struct delivery *delivery);
/* What may be recorded on disk about the dashboard's state. */
struct run_ack delivery_ack(const struct delivery *delivery);

/* Sets the JSON of what the run changed, which is sent with the end: redacted, or not at all if a
 * value touches the JSON's punctuation. Takes ownership of changes, which may be NULL. */
void delivery_set_changes(struct delivery *delivery, char *changes);

#endif
