/* The files of the page, compiled into the binary: scripts/embed.c turns dashboard/web/ into
   build/assets.c, which defines them. Nothing is allocated and nothing can fail at run time. */
#ifndef NIXFLEET_DASHBOARD_SERVER_ASSETS_H
#define NIXFLEET_DASHBOARD_SERVER_ASSETS_H

#include <stddef.h>

struct asset {
    const char
        *path; /* as in the URL: "/" for index.html, else "/" and the path below dashboard/web */
    const char *content_type; /* with charset=utf-8 for text */
    const char *etag; /* a strong one, with its quotes: it changes with every change of the file */
    const unsigned char *bytes;
    size_t size;
};

/* The file with exactly this path (without query), or NULL. index.html has the paths "/" and
 * "/index.html". */
const struct asset *asset_find(const char *path);

#endif
