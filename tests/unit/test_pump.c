/* What the command left in its pipe when it ended reaches the caller, however full the pump's
 * buffer was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../capture/pump.h"
#include "../../common/io.h"

#define LEFT 7430 /* bytes that are still in the command's pipe */

static void write_whole(int fd, size_t size)
{
    static const char bytes[PUMP_BUFFER] = "x";

    assert_int_equal(write(fd, bytes, size), size);
}

/* A pump whose command has ended: a whole buffer is read and not yet written, and LEFT bytes are
 * still in the command's pipe. */
struct ended {
    struct pump pump;
    struct child child;
    struct terminal terminal;
    struct run_log log;
    struct helpers helpers;
    int from[2], to[2];
};

/* held: another process still has the writing end, so there is no end of file. */
static struct ended *make_ended(int room, bool held)
{
    struct ended *ended = calloc(1, sizeof *ended);

    assert_non_null(ended);
    assert_int_equal(pipe2(ended->from, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(ended->to, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ended->to[1], F_SETFL, O_NONBLOCK), 0);
    assert_true(fcntl(ended->to[1], F_SETPIPE_SZ, room) > 0);
    ended->child = (struct child){.pid = -1,
                                  .monitor = -1,
                                  .channel = -1,
                                  .master = -1,
                                  .err = -1,
                                  .out = ended->from[0],
                                  .ended = true};
    ended->terminal = (struct terminal){.fd = -1};
    ended->helpers = (struct helpers){.control_read = -1,
                                      .control_write = -1,
                                      .one = {{.pid = -1, .pipe = -1}, {.pid = -1, .pipe = -1}}};
    ended->pump.child = &ended->child;
    ended->pump.terminal = &ended->terminal;
    ended->pump.log = &ended->log;
    ended->pump.helpers = &ended->helpers;
    ended->pump.signals = -1;
    pump_init(&ended->pump, &(struct streams){0});
    ended->pump.flows[1].to =
        (struct sink){.fd = ended->to[1], .ours = false, .way = SINK_OWN, .stage = {-1, -1}};
    ended->pump.flows[1].end = PUMP_BUFFER;
    write_whole(ended->from[1], LEFT);
    if (!held)
        close_fd(&ended->from[1]);
    return ended;
}

static void free_ended(struct ended *ended)
{
    close(ended->from[0]);
    close_fd(&ended->from[1]);
    free(ended);
}

static void a_full_buffer_at_the_end_hides_nothing_behind_it(void **state)
{
    struct ended *ended = make_ended(4 * PUMP_BUFFER, false);
    static char seen[4 * PUMP_BUFFER];

    (void)state;
    pump_run(&ended->pump);
    assert_int_equal(read(ended->to[0], seen, sizeof seen), PUMP_BUFFER + LEFT);
    close(ended->to[0]);
    close(ended->to[1]);
    free_ended(ended);
}

static void *read_all(void *context)
{
    struct ended *ended = context;
    char bytes[4096];
    size_t total = 0;
    ssize_t n;

    while ((n = read(ended->to[0], bytes, sizeof bytes)) > 0)
        total += (size_t)n;
    close(ended->to[0]);
    return (void *)total;
}

/* The reader makes space at any moment between two steps of the pump. */
static void a_caller_who_reads_meanwhile_gets_all_of_it(void **state)
{
    (void)state;
    for (int i = 0; i < 1500; i++) {
        struct ended *ended = make_ended(4096 << i % 4, i % 8 < 4);
        pthread_t reader;
        void *total;

        assert_int_equal(pthread_create(&reader, NULL, read_all, ended), 0);
        pump_run(&ended->pump);
        close(ended->to[1]);
        assert_int_equal(pthread_join(reader, &total), 0);
        assert_int_equal((size_t)total, PUMP_BUFFER + LEFT);
        free_ended(ended);
    }
}

/* As with `yes 2>&1 | head -1`: the monitor still has the pty open, so there is no end of file. */
static void a_caller_who_has_gone_is_not_waited_for(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* as nixfleet-run does */
    alarm(30);                /* the mistake to be found is waiting */
    for (int gone_before = 0; gone_before < 2; gone_before++) {
        struct ended *ended = make_ended(4096, true);

        close(ended->to[0]);
        ended->pump.flows[1].is_pipe = false;
        if (gone_before) {
            close_fd(&ended->to[1]);
            ended->pump.flows[1].to.fd = -1;
            ended->pump.flows[1].end = 0;
        }
        pump_run(&ended->pump);
        assert_int_equal(ended->pump.bytes, LEFT);
        free_ended(ended);
    }
    alarm(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_buffer_at_the_end_hides_nothing_behind_it),
        cmocka_unit_test(a_caller_who_reads_meanwhile_gets_all_of_it),
        cmocka_unit_test(a_caller_who_has_gone_is_not_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
