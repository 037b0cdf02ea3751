/* Processes that outlive the command (a server that it has started, a background job) continue to
   write to its pipes and its terminal. Without nixfleet-run these would be the caller's own, and
   would work as long as the caller keeps them. So a process stays behind that copies until the last
   writer has closed them. nixfleet-run itself returns the command's status at once. */
#include "pump_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "../common/io.h"

#define KEPT_MAX 16

/* Whether a process can still write there; the monitor must have ended. Bytes that can be read are
 * left for the process that stays behind. */
static bool held_by_others(const struct flow *flow)
{
    struct pollfd look = {.fd = flow->from, .events = POLLIN};

    return flow->from >= 0 && (poll(&look, 1, 0) == 0 || (look.revents & POLLIN));
}

static int compare(const void *one, const void *other)
{
    return *(const int *)one - *(const int *)other;
}

/* Closes all descriptors except these (-1 for none), because a reader or writer would wait for any
 * other one. The standard descriptors become /dev/null. */
static void keep_only(int *kept, size_t count)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), next = STDERR_FILENO + 1;

    qsort(kept, count, sizeof *kept, compare);
    for (int fd = 0; fd <= STDERR_FILENO && null >= 0; fd++)
        if (!bsearch(&fd, kept, count, sizeof *kept, compare))
            dup2(null, fd);
    for (size_t i = 0; i < count; i++) {
        for (; next < kept[i]; next++)
            close(next);
        if (next == kept[i])
            next++;
    }
    close_from(next);
}

static void let_go(struct pump *pump)
{
    int kept[KEPT_MAX] = {pump->log->channel};
    size_t count = 1;

    for (int i = 0; i < 3; i++) {
        struct flow *flow = &pump->flows[i];

        if (flow->from < 0)
            continue;
        kept[count++] = flow->from;
        kept[count++] = flow->to.fd;
        flow->to.stage[0] = flow->to.stage[1] = -1;
    }
    keep_only(kept, count);
    if (chdir("/") < 0) {
        /* Then the working directory stays in use, which is harmless. */
    }
}

/* This process has no terminal, no helpers and no command. */
static void become_drainer(struct pump *pump)
{
    static struct terminal no_terminal = {.fd = -1, .lock_fd = -1};

    setsid(); /* a signal that ends the caller's processes must not lose the last output */
    pump->left_behind = true;
    pump->terminal = &no_terminal;
    /* the log writer continues as a child of another process, so it must not be started again */
    pump->log->writer = -1;
    pump->log->page_fd = pump->log->acks_read = pump->log->acks_write = -1;
    let_go(pump);
}

static bool copying(const struct pump *pump)
{
    for (int i = 0; i < 3; i++)
        if (pump->flows[i].from >= 0 || flow_pending(&pump->flows[i]))
            return true;
    return false;
}

static void copy_once(struct pump *pump)
{
    struct pollfd polls[6];

    for (int i = 0; i < 3; i++) {
        const struct flow *flow = &pump->flows[i];

        polls[i] = (struct pollfd){.fd = flow_has_space(flow) ? flow->from : -1, .events = POLLIN};
        polls[3 + i] =
            (struct pollfd){.fd = flow_pending(flow) ? flow->to.fd : -1, .events = POLLOUT};
    }
    if (poll(polls, 6, -1) < 0)
        return;
    for (int i = 0; i < 3; i++) {
        struct flow *flow = &pump->flows[i];

        if (polls[i].revents)
            flow_read(pump, flow);
        if (flow->from < 0)
            flow_give_held_cr(flow);
        if (flow_pending(flow))
            flow_write(pump, flow);
    }
}

bool pump_stay_behind(struct pump *pump)
{
    bool held = false;
    pid_t pid;

    for (int i = 0; i < 3; i++) {
        if (held_by_others(&pump->flows[i]))
            held = true;
        else
            pump->flows[i].from = -1;
    }
    pid = held ? fork() : -1;
    if (pid != 0)
        return pid > 0; /* if the fork fails, the next write of the other processes fails, too */
    become_drainer(pump);
    while (copying(pump))
        copy_once(pump);
    _exit(0);
}
