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
   suspended or resumed under any of them. Which fields a lock protects is said in its struct.

   store  changes           the watcher; held while the hub's watcher takes its intake
   live   intake.lock       changes and new pages on their way to the live thread
   live   events.lock       the list of event streams, and their flags
   live   change feed       its entries and queues
   fleet  retention         its step; held while the step is handed to the store
   fleet  target            the commit, and who waits for it; not held while they are called
   server task queue        the tasks that wait
   store  jobs              the jobs that wait, and counters
   server http.lock         how many requests are handled
   server connections       the list of connections
   server settings          the settings that are in use
   server rate limit, auth known passwords: their tables; no other lock is taken under these

   Threads: two of libmicrohttpd, the store's writer, the live thread, and one worker each for the
   task queue, retention, the target commit, connections and the check of a large database. */
struct known_password;
struct live;
struct ratelimit;
struct task_queue;
struct target;

struct server {
    struct settings_in_use settings;
    struct store *store;
    struct live *live;
    struct target *target; /* NULL: not configured */
    struct ratelimit *limits;
    struct task_queue *tasks;
    struct known_password *known;
    bool dev;          /* --dev: everything is allowed without signing in, on loopback only */
    char dev_csrf[65]; /* what a page in dev mode must send with a change */
    int64_t started_ms;
    char *data_dir;
};

#endif
