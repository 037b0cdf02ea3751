/* What the whole server shares. Made by main before the first request, and not changed after; only
   the settings are exchanged as a whole (settings_use). */
#ifndef NIXFLEET_DASHBOARD_SERVER_SERVER_H
#define NIXFLEET_DASHBOARD_SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "dashboard/server/settings.h"
#include "dashboard/store/store.h"

struct known_password;
struct live;
struct ratelimit;
struct slow;
struct target;

struct server {
    struct settings_in_use settings;
    struct store *store;
    struct live *live;
    struct target *target; /* NULL: none is configured */
    struct ratelimit *limits;
    struct slow *slow;
    struct known_password *known;
    bool dev;          /* --dev: reading and acting without login, on loopback */
    char dev_csrf[65]; /* what a page in dev mode must send with a change */
    int64_t started_ms;
    char *data_dir;
};

#endif
