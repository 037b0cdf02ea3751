/* A fleet that uses a dashboard, simulated by one thread: hosts that post a batch of 1 KB each
   second, hosts that send a heartbeat every 10 s, and browsers that show all hosts and follow one
   log each.

     dashboard-load PORT TOKEN HOSTS HEARTBEATS BROWSERS SECONDS [bare]

   Every sender has a kept-alive connection (hosts that send heartbeats share connections if the
   process may not open as many) and a fixed time for its next request. A latency counts from that
   time on, so that a server that falls behind cannot hide this by delaying its clients. The first
   WARM_S seconds do not count. Prints lines `name value`. bare: the server only answers, so the
   lines are numbered here. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WARM_S 12
#define BATCH_MS 1000
#define BEAT_MS 10000
#define BATCH_LINES 8
#define IN_SIGHT 30
#define ANSWER_MAX 4096
#define NEEDLE "stamp:"

#define FILES_ELSEWHERE 100 /* descriptors that are not connections, here and in the server */

enum kind { BATCH, HEARTBEAT, BROWSER, KINDS };

struct peer {
    enum kind kind;
    int socket, number;
    bool busy, upgraded;
    int64_t due_us;   /* when the next request is due; while busy: when the sent one was due */
    int64_t next;     /* lines in its log */
    int64_t stamp_us; /* a browser: time in the newest line that it got */
    char *in;
    size_t in_size, in_capacity;
};

struct samples {
    uint32_t *us;
    size_t count, capacity;
};

/* The peers of a kind are due in turn, so only the next ones are looked at. A peer that is busy
 * when it is due sends as soon as it has its answer. */
struct turn {
    struct peer *peers;
    int count;
    int64_t every_us,
        taken; /* every_us: between two requests of a peer; taken: how many turns are over */
};

struct load {
    int port, hosts, heartbeat_hosts, browsers, epoll;
    struct turn turns[KINDS];
    bool bare;
    const char *token;
    struct peer *peers;
    size_t peer_count;
    int64_t start_us, counted_us, end_us;
    struct samples batches, heartbeats, lines;
    uint64_t refused, pages_bytes;
};

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void fail(const char *what)
{
    fprintf(stderr, "dashboard-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *grow(void *memory, size_t size)
{
    void *grown = realloc(memory, size);

    if (!grown)
        fail("memory");
    return grown;
}

static void sample(struct load *load, struct samples *samples, int64_t since_us)
{
    int64_t now = now_us();

    if (now < load->counted_us)
        return;
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 65536;
        samples->us = grow(samples->us, samples->capacity * sizeof *samples->us);
    }
    samples->us[samples->count++] = (uint32_t)(now > since_us ? now - since_us : 0);
}

/* ---- requests ---- */

static void run_id(const struct peer *peer, char out[40])
{
    snprintf(out, 40, "01900000-0000-7000-8000-%012d", peer->number);
}

static int batch_body(struct load *load, struct peer *peer, char *body, size_t size)
{
    char run[40];
    int n;

    run_id(peer, run);
    n = snprintf(body, size,
                 "{\"run\":\"%s\",\"from\":%" PRId64
                 ",\"phase\":\"building\",\"progress\":{\"built\":%" PRId64
                 ",\"to_build\":4000},\"text\":\"" NEEDLE "%" PRId64,
                 run, peer->next, peer->next / BATCH_LINES, now_us());
    for (int i = 1; i < BATCH_LINES; i++)
        n += snprintf(body + n, size - (size_t)n,
                      "\\nbuilding '/nix/store/%032x-package-%d.%" PRId64
                      ".drv' on this host, as it was asked to do",
                      peer->number * 31 + i, i, peer->next);
    n += snprintf(body + n, size - (size_t)n, "\"}");
    (void)load;
    return n;
}

static int beat_body(const struct peer *peer, char *body, size_t size)
{
    char run[40];

    run_id(peer, run);
    return snprintf(
        body, size,
        "{\"run\":\"%s\",\"status\":\"building\",\"phase\":\"building\",\"seq\":1,\"silent_for\":3,"
        "\"progress\":{\"built\":7,\"to_build\":4000},\"load\":[0.5,0.4,0.3]}",
        run);
}

static void send_request(struct load *load, struct peer *peer)
{
    char body[4096], request[4096 + 512];
    int size = peer->kind == BATCH ? batch_body(load, peer, body, sizeof body)
                                   : beat_body(peer, body, sizeof body);
    int n = snprintf(
        request, sizeof request,
        "POST /api/hosts/load-%d/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
        peer->number, peer->kind == BATCH ? "logs" : "heartbeat", load->token, size, body);

    if (send(peer->socket, request, (size_t)n, MSG_NOSIGNAL) != n)
        fail("send"); /* a kilobyte always fits, because the last request was answered */
    peer->busy = true;
}

static void send_upgrade(struct load *load, struct peer *peer)
{
    char request[512];
    int n =
        snprintf(request, sizeof request,
                 "GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: "
                 "Upgrade\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                 load->port);

    if (send(peer->socket, request, (size_t)n, MSG_NOSIGNAL) != n)
        fail("send");
}

/* The frames of a client are masked (RFC 6455, 5.3). A mask of zeros does not change the text. */
static void send_frame(struct peer *peer, const char *text)
{
    size_t size = strlen(text), head = size < 126 ? 6 : 8;
    char frame[4096] = {(char)0x81};

    frame[1] = (char)(0x80 | (size < 126 ? size : 126));
    if (size >= 126) {
        frame[2] = (char)(size >> 8);
        frame[3] = (char)size;
    }
    memcpy(frame + head, text, size);
    if (send(peer->socket, frame, size + head, MSG_NOSIGNAL) < 0)
        fail("send");
}

/* Each browser shows other hosts. */
static void send_view(struct load *load, struct peer *peer)
{
    char text[2048] = "{\"op\":\"view\",\"hosts\":[";
    size_t size = strlen(text);

    for (int i = 0; i < IN_SIGHT; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s\"load-%d\"", i ? "," : "",
                                 (peer->number * IN_SIGHT + i) % load->hosts);
    snprintf(text + size, sizeof text - size, "]}");
    send_frame(peer, text);
}

/* ---- answers ---- */

static void answered(struct load *load, struct peer *peer, int status, const char *body)
{
    const char *next = strstr(body, "\"next\":");

    if (status != 200)
        load->refused++;
    if (load->bare)
        peer->next += BATCH_LINES;
    else if (next)
        peer->next = strtoll(next + 7, NULL, 10);
    if (status == 200)
        sample(load, peer->kind == BATCH ? &load->batches : &load->heartbeats, peer->due_us);
    peer->busy = false;
    peer->due_us += load->turns[peer->kind].every_us;
    if (peer->kind == HEARTBEAT && (peer->number += load->turns[HEARTBEAT].count) >=
                                       load->heartbeat_hosts) /* the next host of this connection */
        peer->number %= load->turns[HEARTBEAT].count;
    if (peer->due_us <= now_us())
        send_request(load, peer);
}

static void take_answer(struct load *load, struct peer *peer)
{
    char *end = strstr(peer->in, "\r\n\r\n"), *length;
    size_t whole;

    if (!end || !(length = strcasestr(peer->in, "\r\nContent-Length:")) || length > end)
        return;
    whole = (size_t)(end + 4 - peer->in) + strtoul(length + 17, NULL, 10);
    if (peer->in_size < whole)
        return;
    answered(load, peer, atoi(peer->in + 9), end + 4);
    peer->in_size = 0;
}

static void see_lines(struct load *load, struct peer *peer, char *text, size_t size)
{
    char *end = text + size;

    if (now_us() >= load->counted_us)
        load->pages_bytes += size;
    for (char *at = text; (at = memmem(at, (size_t)(end - at), NEEDLE, sizeof NEEDLE - 1));) {
        int64_t stamp = strtoll(at + sizeof NEEDLE - 1, NULL, 10);

        if (stamp > peer->stamp_us) {
            peer->stamp_us = stamp;
            if (stamp > load->counted_us)
                sample(load, &load->lines, stamp);
        }
        at += sizeof NEEDLE - 1;
    }
}

static void begin_watching(struct load *load, struct peer *peer)
{
    char text[120], run[40];
    struct peer followed = {.number = peer->number % load->hosts};

    run_id(&followed, run);
    send_frame(peer, "{\"op\":\"subscribe\"}");
    send_view(load, peer);
    snprintf(text, sizeof text, "{\"op\":\"tail\",\"run\":\"%s\",\"from\":-50}", run);
    send_frame(peer, text);
    peer->upgraded = true;
}

/* Takes complete frames from the front. A line is searched in each frame separately, because the
 * splice of a batch fits in one frame. */
static void take_frames(struct load *load, struct peer *peer)
{
    size_t at = 0;

    if (!peer->upgraded) {
        char *end = strstr(peer->in, "\r\n\r\n");

        if (!end)
            return;
        if (atoi(peer->in + 9) != 101) {
            fprintf(stderr, "dashboard-load: no WebSocket: %.60s\n", peer->in);
            exit(1);
        }
        at = (size_t)(end + 4 - peer->in);
        begin_watching(load, peer);
    }
    while (peer->in_size - at >= 2) {
        unsigned char *frame = (unsigned char *)peer->in + at;
        size_t head = 2, size = frame[1] & 127;

        if (size == 126)
            head = 4;
        else if (size == 127)
            head = 10;
        if (peer->in_size - at < head)
            break;
        if (head > 2) {
            size = 0;
            for (size_t i = 2; i < head; i++)
                size = size << 8 | frame[i];
        }
        if (peer->in_size - at < head + size)
            break;
        see_lines(load, peer, (char *)frame + head, size);
        at += head + size;
    }
    memmove(peer->in, peer->in + at, peer->in_size - at);
    peer->in_size -= at;
}

static void readable(struct load *load, struct peer *peer)
{
    ssize_t n;

    if (peer->in_capacity - peer->in_size < ANSWER_MAX) {
        peer->in_capacity = peer->in_capacity * 2 + ANSWER_MAX * (peer->kind == BROWSER ? 16 : 1);
        peer->in = grow(peer->in, peer->in_capacity);
    }
    n = recv(peer->socket, peer->in + peer->in_size, peer->in_capacity - peer->in_size - 1,
             MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        fail("the server closed a connection");
    peer->in_size += (size_t)n;
    peer->in[peer->in_size] = '\0';
    if (peer->kind == BROWSER)
        take_frames(load, peer);
    else
        take_answer(load, peer);
}

/* ---- the fleet ---- */

static void open_peer(struct load *load, struct peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load->port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    int one = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->socket < 0 || connect(peer->socket, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    setsockopt(peer->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, peer->socket, &event) < 0)
        fail("epoll");
    if (peer->kind == BROWSER)
        send_upgrade(load, peer);
}

/* How many connections the heartbeats have: one for each host, as far as there are descriptors.
 * Behind a proxy, too, hosts share connections. */
static int heartbeat_connections(const struct load *load, int files)
{
    int left = files - FILES_ELSEWHERE - load->hosts - load->browsers;

    return load->heartbeat_hosts < left ? load->heartbeat_hosts : left > 1 ? left : 1;
}

/* Spreads each kind over its interval, so that the load is even. */
static void make_fleet(struct load *load, int files)
{
    const int64_t every_us[] = {BATCH_MS * 1000, BEAT_MS * 1000, 0};
    const int hosts[] = {load->hosts, load->heartbeat_hosts, load->browsers};
    const int counts[] = {load->hosts, heartbeat_connections(load, files), load->browsers};
    struct peer *peer;

    load->peer_count = (size_t)(counts[BATCH] + counts[HEARTBEAT] + counts[BROWSER]);
    peer = load->peers = calloc(load->peer_count, sizeof *load->peers);
    if (!load->peers)
        fail("memory");
    for (int kind = BATCH; kind < KINDS; kind++) {
        struct turn *turn = &load->turns[kind];

        *turn = (struct turn){.peers = peer, .count = counts[kind]};
        if (hosts[kind])
            turn->every_us = every_us[kind] * counts[kind] / hosts[kind];
        for (int i = 0; i < counts[kind]; i++, peer++)
            *peer = (struct peer){
                .kind = (enum kind)kind, .number = i, .due_us = turn->every_us * i / counts[kind]};
    }
}

static void open_fleet(struct load *load)
{
    for (size_t i = 0; i < load->peer_count; i++)
        if (load->peers[i].kind != BROWSER)
            open_peer(load, &load->peers[i]);
    load->start_us = now_us();
    load->counted_us = load->start_us + (int64_t)WARM_S * 1000000;
    for (size_t i = 0; i < load->peer_count; i++)
        load->peers[i].due_us += load->start_us;
}

/* Browsers connect when the runs that they follow exist. */
static void open_browsers(struct load *load)
{
    for (size_t i = 0; i < load->peer_count; i++)
        if (load->peers[i].kind == BROWSER && !load->peers[i].socket)
            open_peer(load, &load->peers[i]);
}

static void send_due(struct load *load, struct turn *turn)
{
    int64_t now = now_us();

    while (turn->count && load->start_us + turn->every_us * turn->taken / turn->count <= now) {
        struct peer *peer = &turn->peers[turn->taken++ % turn->count];

        if (!peer->busy && peer->due_us <= now)
            send_request(load, peer);
    }
}

static void run(struct load *load, int seconds)
{
    struct epoll_event events[512];

    load->end_us = load->counted_us + (int64_t)seconds * 1000000;
    for (int64_t scan_us = 0, now; (now = now_us()) < load->end_us;) {
        int n = epoll_wait(load->epoll, events, 512, 1);

        for (int i = 0; i < n; i++)
            readable(load, events[i].data.ptr);
        if (now >= scan_us) {
            send_due(load, &load->turns[BATCH]);
            send_due(load, &load->turns[HEARTBEAT]);
            scan_us = now + 1000;
        }
        if (now > load->counted_us - 6000000)
            open_browsers(load);
    }
}

/* ---- the report ---- */

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double part_ms(const struct samples *samples, double part)
{
    return samples->count ? samples->us[(size_t)((double)(samples->count - 1) * part)] / 1000.0 : 0;
}

/* The p99 of a tenth of the samples, which are still in the order of time. */
static double tenth_ms(const struct samples *samples, int tenth)
{
    struct samples part = {.count = samples->count / 10};
    double ms;

    part.us = grow(NULL, (part.count + 1) * sizeof *part.us);
    memcpy(part.us, samples->us + part.count * (size_t)tenth, part.count * sizeof *part.us);
    qsort(part.us, part.count, sizeof *part.us, by_size);
    ms = part_ms(&part, 0.99);
    free(part.us);
    return ms;
}

static void report(const char *name, struct samples *samples, int seconds)
{
    if (!samples->us)
        samples->us = grow(NULL, sizeof *samples->us);
    printf("%s_first_ms %.2f\n%s_last_ms %.2f\n", name, tenth_ms(samples, 0), name,
           tenth_ms(samples, 9));
    qsort(samples->us, samples->count, sizeof *samples->us, by_size);
    printf("%s_per_s %.0f\n%s_p50_ms %.2f\n%s_p99_ms %.2f\n%s_max_ms %.2f\n", name,
           (double)samples->count / seconds, name, part_ms(samples, 0.5), name,
           part_ms(samples, 0.99), name, part_ms(samples, 1));
}

int main(int argc, char **argv)
{
    struct load load = {0};
    struct rlimit files = {0};
    int seconds;

    if (argc < 7) {
        fprintf(stderr,
                "usage: dashboard-load PORT TOKEN HOSTS HEARTBEATS BROWSERS SECONDS [bare]\n");
        return 2;
    }
    load.port = atoi(argv[1]);
    load.token = argv[2];
    load.hosts = atoi(argv[3]);
    load.heartbeat_hosts = atoi(argv[4]);
    load.browsers = atoi(argv[5]);
    seconds = atoi(argv[6]);
    load.bare = argc > 7;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load.epoll < 0)
        fail("epoll");
    make_fleet(&load, (int)files.rlim_cur);
    open_fleet(&load);
    printf("counting_in %.3f\n", (double)(load.counted_us - now_us()) / 1e6);
    fflush(stdout);
    run(&load, seconds);
    report("batches", &load.batches, seconds);
    report("heartbeats", &load.heartbeats, seconds);
    report("lines", &load.lines, seconds);
    printf("refused %" PRIu64 "\npages_mb %.1f\n", load.refused, (double)load.pages_bytes / 1e6);
    return 0;
}
