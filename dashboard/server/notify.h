/* Messages of a service to systemd, by the protocol of sd_notify(3): one datagram to the socket in
   NOTIFY_SOCKET. Without that variable nothing is sent. */
#ifndef NIXFLEET_DASHBOARD_SERVER_NOTIFY_H
#define NIXFLEET_DASHBOARD_SERVER_NOTIFY_H

#include <stdint.h>

/* Sends lines ("READY=1", "STOPPING=1", "STATUS=…", joined by LF). A failure is ignored. */
void notify_send(const char *lines);
/* Announces a reload, with the time stamp that systemd 253 and newer need. "READY=1" ends the
 * reload. */
void notify_reloading(void);
/* How often to check whether "WATCHDOG=1" can be sent, in milliseconds: a third of WATCHDOG_USEC,
   within which it must be sent once. 0: there is no watchdog for this process. */
int64_t notify_watchdog_ms(void);

#endif
