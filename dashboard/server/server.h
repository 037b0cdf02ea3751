/* What all parts of the server share. main fills it before the first request, and nobody changes it
   later; only the settings are replaced as a whole (settings_use). */
#ifndef NIXFLEET_DASHBOARD_SERVER_SERVER_H
#define NIXFLEET_DASHBOARD_SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "dashboard/server/settings.h"
#include "dashboard/store/store.h"

/* The locks of the program, outermost first. A thread that holds one lock may take only locks
   further down. libmicrohttpd has locks of its own, below all of these: a connection may be
   suspended or resumed under any of them. Each struct says which fields its lock protects.

   store  changes           the watcher; held while the watcher passes changes to the live thread
   live   live thread       changes and new pages for the live thread
   live   events            the list of event streams, and their flags
   live   change feed       its entries and queues
   fleet  retention         its step; held while the step is submitted to the store
   fleet  target            the commit, and who waits for it; released while these are called
   server task queue        the waiting tasks
   server sharing           its job; held while the job is submitted to the store
   store  jobs              the waiting jobs, and counters
   server http              the number of requests that are being handled
   server connections       the list of connections
   server settings          the settings in use
   server rate limit, auth known passwords: their tables; under these no other lock is taken

   Threads: two of libmicrohttpd, and one worker (common/worker.h) each for the store's writer, the
   live channel, the task queue, retention, the target commit, connections and the check of a large
   database. With PostgreSQL: one for what other servers have written, and one for shared counts. */
struct known_password;
struct live;
struct ratelimit;
struct sharing;
struct task_queue;
struct target;

struct server {
    struct settings_in_use settings;
    struct store *store;
    struct live *live;
    struct target *target; /* NULL: not configured */
    struct ratelimit *limits, *sign_ins;
    struct sharing *sharing; /* of limits; NULL: the store is not shared */
    struct task_queue *tasks;
    struct known_password *known;
    bool dev;          /* --dev: everything is allowed without signing in, on loopback only */
    char dev_csrf[65]; /* what a page in dev mode must send with a change */
    int64_t started_ms;
    char *data_dir;
};

#endif
