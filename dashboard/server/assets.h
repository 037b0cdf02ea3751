/* The page's files, as they are compiled into the binary: scripts/embed.c turns dashboard/web/ into
   build/assets.c, which defines these. Nothing is allocated and nothing can fail at run time. */
#ifndef NIXFLEET_DASHBOARD_SERVER_ASSETS_H
#define NIXFLEET_DASHBOARD_SERVER_ASSETS_H

#include <stddef.h>

struct asset {
    const char
        *path; /* as in the URL: "/" for index.html, else "/" and the path below dashboard/web */
    const char *content_type; /* with charset=utf-8 where it is text */
    const char *etag; /* a strong one, with its quotes: changes whenever a byte of the file does */
    const unsigned char *bytes;
    size_t size;
};

/* The asset at exactly this path (no query string), or NULL. index.html answers to "/" and to
 * "/index.html". */
const struct asset *asset_find(const char *path);

#endif
