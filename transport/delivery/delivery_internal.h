/* Declarations for the three files of a delivery. */
#ifndef NIXFLEET_DELIVERY_INTERNAL_H
#define NIXFLEET_DELIVERY_INTERNAL_H

#include "delivery.h"

#define DELIVERY_DIGEST_HEX_SIZE (2 * EVP_MAX_MD_SIZE + 1)

/* Starts from the first byte again; the dashboard has the lines below resume. Returns 0, or -1 when
 * out of memory. */
int delivery_restart(struct delivery *delivery, uint64_t resume);
/* Writes the SHA-256 of the final lines so far as hex digits. False when out of memory. */
bool delivery_digest(struct delivery *delivery, char hex[DELIVERY_DIGEST_HEX_SIZE]);
/* Sends no hyperlinks from now on, because the dashboard is too old for them. False when out of
 * memory. */
bool delivery_refuse_links(struct delivery *delivery);
/* The text as the dashboard takes it: without hyperlinks after delivery_refuse_links. Valid until
 * the next call. */
const char *delivery_leave_out_links(const struct delivery *delivery, const char *text,
                                     size_t *length);
/* The number of lines that may be shown now: all, except those behind a long line whose next line
 * is not known. */
uint64_t delivery_sendable(const struct delivery *delivery);
/* Drops the lines that the dashboard has. The time of a line that can still change is kept, for
 * sending it again. */
void delivery_drop_synced(struct delivery *delivery);

/* Reads some of nix's internal log for the logs of builders. True if there may be more. */
bool build_logs_read(struct delivery *delivery);
/* Begins again with the first byte. */
void build_logs_restart(struct build_logs *logs);
/* Whether text can be sent now; whether all text was sent. */
bool build_logs_pending(const struct delivery *delivery);
bool build_logs_done(const struct delivery *delivery);
/* Adds pieces of logs to the body, if it has all lines of the run. */
void build_logs_put(struct delivery *delivery);
/* The batch in flight was accepted. */
void build_logs_accepted(struct build_logs *logs);
/* The dashboard, or a proxy in front of it, refused the batch with pieces as too large: the next
 * one has fewer bytes of them, and at last none. */
void build_logs_too_large(struct build_logs *logs);

#endif
