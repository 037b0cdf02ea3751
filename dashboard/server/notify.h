/* Messages of a service to systemd, by the protocol of sd_notify(3): one datagram to the socket
   that NOTIFY_SOCKET names. Without that variable nothing is sent. */
#ifndef NIXFLEET_DASHBOARD_SERVER_NOTIFY_H
#define NIXFLEET_DASHBOARD_SERVER_NOTIFY_H

#include <stdint.h>

/* Sends the lines ("READY=1", "STOPPING=1", "STATUS=…", joined by LF). Best effort. */
void notify_send(const char *lines);
/* Announces a reload, with the time stamp that systemd 253 and newer wait for; "READY=1" ends it.
 */
void notify_reloading(void);
/* How often to look whether "WATCHDOG=1" can be sent, in milliseconds: a third of WATCHDOG_USEC,
   within which it must come once. 0: systemd watches nobody, or another process. */
int64_t notify_watchdog_ms(void);

#endif
