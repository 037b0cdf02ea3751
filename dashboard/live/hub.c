/* The live thread: it collects changes and, in rounds, brings all pages up to date. */
#include "dashboard/live/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/worker.h"
#include "dashboard/auth/auth.h"
#include "dashboard/live/events.h"
#include "dashboard/live/socket.h"
#include "dashboard/server/server.h"

#define ROUND_MS 20 /* changes within this time are sent together */
#define ROUND_LATE_MS 10000
#define BLIND_MS                                                                           \
    1500            /* pages must connect again if the store could not be read for so long \
                     */
#define TICK_MS 500 /* how often to look for states and sessions that the clock has changed */
#define PAGES_MAX 1000

/* What other threads pass to the live thread. */
struct intake {
    struct page *arrivals;
    struct change *changes;
    size_t change_count, change_capacity;
    bool lost; /* changes were dropped, because memory was short */
    bool woken;
};

struct live {
    struct server *server;
    struct host_messages messages;
    struct events *events;
    struct worker worker; /* its lock protects intake */
    struct intake intake;
    _Atomic int64_t went_round_ms;
    atomic_bool recheck; /* ask the store whether sessions are still valid */
    atomic_bool stale;   /* a host could not be refreshed: the next tick tries again */
    int wake[2];
    struct page *pages;
    atomic_size_t count;
    int64_t round_ms, tick_ms, ticked_wall_ms;
    int64_t blind_ms; /* monotonic: since when the store cannot be read; 0: the store can be read */
};

/* ---- from other threads ---- */

static void wake(struct live *live)
{
    if (write(live->wake[1], "w", 1) < 0) {
        /* the pipe is full: the thread is awake */
    }
}

static bool reserve(struct intake *intake, size_t count)
{
    size_t capacity = (intake->change_count + count) * 2;
    struct change *grown;

    if (intake->change_count + count <= intake->change_capacity)
        return true;
    grown = realloc(intake->changes, capacity * sizeof *grown);
    if (!grown)
        return false;
    intake->changes = grown;
    intake->change_capacity = capacity;
    return true;
}

static void on_changes(void *context, const struct change *changes, size_t count)
{
    struct live *live = context;
    struct intake *intake = &live->intake;
    bool asleep;

    worker_lock(&live->worker);
    if (reserve(intake, count)) {
        memcpy(intake->changes + intake->change_count, changes, count * sizeof *changes);
        intake->change_count += count;
    } else {
        intake->lost = true;
    }
    asleep = !intake->woken;
    intake->woken = true;
    worker_unlock(&live->worker);
    if (asleep)
        wake(live);
}

static void close_page(struct page *page)
{
    struct MHD_UpgradeResponseHandle *handle = page->handle;

    page_free(page);
    MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}

void live_add(struct live *live, int socket, const struct caller *caller, const char *csrf,
              struct MHD_UpgradeResponseHandle *handle, const char *extra, size_t extra_size)
{
    struct page *page =
        page_new(live->server, &live->messages, socket, caller, csrf, extra, extra_size);
    bool stopping;

    if (!page) {
        MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
        return;
    }
    page->handle = handle;
    worker_lock(&live->worker);
    stopping = live->worker.stopping;
    if (!stopping) {
        page->next = live->intake.arrivals;
        live->intake.arrivals = page;
    }
    worker_unlock(&live->worker);
    if (stopping)
        close_page(page);
    else
        wake(live);
}

void live_recheck(struct live *live)
{
    atomic_store(&live->recheck, true);
    wake(live);
}

size_t live_count(struct live *live)
{
    return live ? atomic_load(&live->count) : 0;
}

bool live_runs(struct live *live)
{
    return monotonic_ms() - atomic_load(&live->went_round_ms) < ROUND_LATE_MS;
}

struct events *live_events(struct live *live)
{
    return live->events;
}

struct change_feed *live_change_feed(struct live *live)
{
    return live->messages.hosts;
}

/* ---- pages ---- */

static void take_arrivals(struct live *live)
{
    struct page *page, *next;

    worker_lock(&live->worker);
    page = live->intake.arrivals;
    live->intake.arrivals = NULL;
    worker_unlock(&live->worker);
    for (; page; page = next) {
        next = page->next;
        if (live->blind_ms || live->count >= PAGES_MAX ||
            !auth_still(live->server, &page->caller) || !page_open(page)) {
            close_page(page);
            continue;
        }
        page->next = live->pages;
        live->pages = page;
        atomic_fetch_add(&live->count, 1);
        page_serve(page, false);
    }
}

static void drop_closed(struct live *live)
{
    for (struct page **at = &live->pages; *at;) {
        struct page *page = *at;

        if (!page->closing) {
            at = &page->next;
            continue;
        }
        *at = page->next;
        atomic_fetch_sub(&live->count, 1);
        close_page(page);
    }
}

/* ---- rounds ---- */

/* The clock has changed the state of a host. The host may have to show another run now. */
struct refresh {
    struct job job;
    struct live *live;
    char host[HOST_ID_SIZE];
};

static enum job_result refresh_host(struct txn *txn, void *context)
{
    const struct refresh *refresh = context;

    if (txn_host_refresh(txn, refresh->host) < 0)
        return JOB_FAILED;
    txn_changed(txn, refresh->host, NULL);
    return JOB_DONE;
}

static void refreshed(void *context, bool ok)
{
    struct refresh *refresh = context;

    if (!ok)
        atomic_store(&refresh->live->stale, true);
    free(refresh);
}

static void submit_refresh(struct live *live, const char *host)
{
    struct refresh *refresh = calloc(1, sizeof *refresh);

    if (!refresh) {
        atomic_store(&live->stale, true);
        return;
    }
    refresh->live = live;
    refresh->job = (struct job){
        .host = refresh->host, .apply = refresh_host, .done = refreshed, .context = refresh};
    strlcpy(refresh->host, host, sizeof refresh->host);
    store_submit(live->server->store, &refresh->job);
}

static void clock_changed(void *context, const char *host, const char *run)
{
    struct live *live = context;
    struct change change = {0};

    strlcpy(change.host, host, sizeof change.host);
    strlcpy(change.run, run ? run : "", sizeof change.run);
    on_changes(live, &change, 1);
    submit_refresh(live, host);
}

/* Finds the hosts whose state the clock has changed since the last tick. */
static void tick(struct live *live)
{
    int64_t now = store_now_ms(live->server->store), since = live->ticked_wall_ms;

    if (monotonic_ms() < live->tick_ms)
        return;
    live->tick_ms = monotonic_ms() + TICK_MS;
    host_messages_forget(&live->messages);
    /* If the clock went back, the due hosts are before the time of the last tick. */
    if (atomic_exchange(&live->stale, false) || now < since)
        since = 0;
    if (store_hosts_due(live->server->store, since, now, clock_changed, live) < 0) {
        atomic_store(&live->stale, true);
        if (!live->blind_ms)
            live->blind_ms = monotonic_ms();
    } else {
        live->blind_ms = 0;
    }
    live->ticked_wall_ms = now;
}

static struct change *take_changes(struct live *live, size_t *count, bool *lost)
{
    struct intake *intake = &live->intake;
    struct change *changes;

    worker_lock(&live->worker);
    changes = intake->changes;
    *count = intake->change_count;
    *lost = intake->lost;
    intake->changes = NULL;
    intake->lost = false;
    intake->change_count = intake->change_capacity = 0;
    intake->woken = false;
    worker_unlock(&live->worker);
    return changes;
}

/* Closes the pages whose session has ended. */
static void end_sessions(struct live *live, bool recheck)
{
    int64_t now = store_now_ms(live->server->store);

    for (struct page *page = live->pages; page; page = page->next)
        if ((page->caller.expires_ms && now >= page->caller.expires_ms) ||
            (recheck && !auth_still(live->server, &page->caller)))
            page->closing = true;
    events_end_sessions(live->events, now, recheck);
}

/* Closes all pages, because no page may show an old state as the present one. They connect again
 * and read everything. */
static void end_all(struct live *live)
{
    for (struct page *page = live->pages; page; page = page->next)
        page->closing = true;
    events_end(live->events);
}

/* The store could not be read for so long that pages must be closed. A page without a connection
 * tells its reader that it waits; with one, the page would claim to be up to date. */
static bool is_blind(const struct live *live)
{
    return live->blind_ms && monotonic_ms() - live->blind_ms >= BLIND_MS;
}

/* Passes the changes since the last round to the change feed, the followers and the event
 * streams. */
static void begin_round(struct live *live)
{
    size_t count;
    struct change *changes;
    bool lost;

    end_sessions(live, atomic_exchange(&live->recheck, false));
    tick(live);
    changes = take_changes(live, &count, &lost);
    if (count)
        changes_sort(changes, count);
    for (size_t i = 0; i < count; i++)
        if (changes[i].host[0])
            lost |= !change_feed_note(live->messages.hosts, changes[i].host, changes[i].progress);
        else
            live_recheck(live);
    if (lost || is_blind(live))
        end_all(live);
    change_feed_release(live->messages.hosts, monotonic_ms());
    for (struct page *page = live->pages; page; page = page->next)
        for (size_t i = 0; i < page->follower_count; i++)
            follower_touch(&page->followers[i], changes, count);
    events_round(live->events, change_feed_newest(live->messages.hosts), changes, count);
    free(changes);
}

/* The milliseconds until the first page needs a message; -1: no page needs one. */
static int pages_pause_ms(const struct live *live)
{
    int least = -1;

    for (const struct page *page = live->pages; page && least; page = page->next) {
        int pause = page_pause_ms(page);

        if (pause >= 0 && (least < 0 || pause < least))
            least = pause;
    }
    return least;
}

/* The longest time to wait. Between rounds the wake-up pipe is not polled. */
static int pause_ms(struct live *live, int64_t now, bool *between)
{
    int pages = pages_pause_ms(live), pause = TICK_MS;

    *between = now < live->round_ms;
    if (*between)
        pause = (int)(live->round_ms - now);
    else if (change_feed_waits(live->messages.hosts))
        pause = ROUND_MS;
    return pages >= 0 && pages < pause ? pages : pause;
}

/* Waits for sockets or for the next round. False: poll failed. */
static bool wait_for_work(struct live *live, struct pollfd *polls)
{
    char drain[256];
    bool between;
    int pause = pause_ms(live, monotonic_ms(), &between);
    size_t n = 1;

    polls[0] = (struct pollfd){.fd = between ? -1 : live->wake[0], .events = POLLIN};
    for (struct page *page = live->pages; page; page = page->next)
        polls[n++] = (struct pollfd){.fd = page->socket,
                                     .events = page_wants_to_read(page) ? POLLIN : POLLOUT};
    if (poll(polls, n, pause) < 0 && errno != EINTR)
        return false;
    while (polls[0].revents && read(live->wake[0], drain, sizeof drain) > 0)
        ;
    return true;
}

/* Whether a round has something to do. woken: another thread has written to the pipe. */
static bool round_is_due(struct live *live, bool woken, int64_t now)
{
    return now >= live->round_ms &&
           (woken || now >= live->tick_ms || change_feed_waits(live->messages.hosts));
}

static void *run(void *context)
{
    struct live *live = context;
    struct pollfd *polls = calloc(PAGES_MAX + 1, sizeof *polls);

    live->ticked_wall_ms = store_now_ms(live->server->store);
    while (polls && !worker_stopping(&live->worker) && wait_for_work(live, polls)) {
        int64_t now = monotonic_ms();
        size_t n = 1;

        atomic_store(&live->went_round_ms, now);
        if (round_is_due(live, polls[0].revents, now)) {
            live->round_ms = now + ROUND_MS;
            begin_round(live);
        }
        for (struct page *page = live->pages; page; page = page->next)
            page_serve(page, polls[n++].revents & (POLLIN | POLLHUP | POLLERR));
        drop_closed(live);
        take_arrivals(live);
    }
    free(polls);
    return NULL;
}

void live_free(struct live *live)
{
    if (!live)
        return;
    close_fd(&live->wake[0]);
    close_fd(&live->wake[1]);
    host_messages_free(&live->messages);
    change_feed_free(live->messages.hosts);
    events_free(live->events);
    free(live->intake.changes);
    worker_destroy(&live->worker);
    free(live);
}

static int make_wake(int ends[2])
{
    if (pipe(ends) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0 || fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0)
            return -1; /* live_free closes them */
    return 0;
}

struct live *live_start(struct server *server)
{
    struct live *live = calloc(1, sizeof *live);

    if (!live)
        return NULL;
    live->server = server;
    live->wake[0] = live->wake[1] = -1;
    live->messages = (struct host_messages){
        .store = server->store, .hosts = change_feed_new(), .texts = host_texts_new(server->store)};
    live->events = events_new();
    worker_init(&live->worker);
    if (!live->messages.hosts || !live->messages.texts || !live->events ||
        make_wake(live->wake) < 0 || worker_start(&live->worker, run, live) < 0) {
        live_free(live);
        return NULL;
    }
    store_watch(server->store, on_changes, live);
    return live;
}

void live_stop(struct live *live)
{
    if (!live)
        return;
    events_stop(live->events);
    store_watch(live->server->store, NULL, NULL);
    worker_ask_stop(&live->worker);
    wake(live); /* the thread waits in poll */
    worker_stop(&live->worker);
    take_arrivals(live);
    for (struct page *page = live->pages; page; page = page->next)
        page->closing = true;
    drop_closed(live);
}
