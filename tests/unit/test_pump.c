/* The caller gets all output of the command, also bytes that are still in the command's pipe when
 * the command ends, and also if the pump's buffer is full then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_versions.h"

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
static struct ended *make_ended(int capacity, bool held)
{
    struct ended *ended = calloc(1, sizeof *ended);

    assert_non_null(ended);
    assert_int_equal(pipe2(ended->from, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(ended->to, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ended->to[1], F_SETFL, O_NONBLOCK), 0);
    assert_true(fcntl(ended->to[1], F_SETPIPE_SZ, capacity) > 0);
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

/* The caller reads, and so makes space, at any moment between two steps of the pump. */
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
    alarm(30);                /* a pump that waits without end fails the test */
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

/* ---- a flood ---- */

#define FLOOD ((size_t)5 << 20)

/* A command that writes much to its pipe, and ends. */
struct flood {
    struct pump pump;
    struct child child;
    struct terminal terminal;
    struct run_log log; /* this log takes no output */
    struct helpers helpers;
    int from[2], to[2], channel[2];
    pthread_t command;
    size_t size, piece; /* bytes that the command writes, in all and at once */
};

static unsigned char byte_at(size_t offset)
{
    return (unsigned char)(offset * 7 + offset / 4096);
}

static void *write_flood(void *context)
{
    struct flood *flood = context;
    const struct monitor_report end = {.what = MONITOR_ENDED};
    unsigned char *bytes = malloc(flood->size);

    for (size_t i = 0; i < flood->size; i++)
        bytes[i] = byte_at(i);
    for (size_t done = 0; done < flood->size;) {
        size_t rest = flood->size - done;
        ssize_t n = write(flood->from[1], bytes + done, rest < flood->piece ? rest : flood->piece);

        if (n <= 0)
            break; /* the pump has closed the pipe */
        done += (size_t)n;
    }
    free(bytes);
    close_fd(&flood->from[1]);
    (void)write_all(flood->channel[1], &end, sizeof end);
    return NULL;
}

static struct flood *make_flood(size_t size, size_t piece)
{
    struct flood *flood = calloc(1, sizeof *flood);

    assert_non_null(flood);
    signal(SIGPIPE, SIG_IGN); /* as in nixfleet-run */
    alarm(60);                /* a pump that waits without end fails the test */
    flood->size = size;
    flood->piece = piece;
    assert_int_equal(pipe2(flood->from, O_CLOEXEC), 0);
    assert_int_equal(pipe2(flood->to, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, flood->channel), 0);
    assert_int_equal(fcntl(flood->from[0], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(flood->channel[0], F_SETFL, O_NONBLOCK), 0);
    flood->child = (struct child){.pid = -1,
                                  .monitor = -1,
                                  .channel = flood->channel[0],
                                  .master = -1,
                                  .err = -1,
                                  .out = flood->from[0]};
    flood->terminal = (struct terminal){.fd = -1};
    flood->helpers = (struct helpers){.control_read = -1,
                                      .control_write = -1,
                                      .one = {{.pid = -1, .pipe = -1}, {.pid = -1, .pipe = -1}}};
    flood->pump.child = &flood->child;
    flood->pump.terminal = &flood->terminal;
    flood->pump.log = &flood->log;
    flood->pump.helpers = &flood->helpers;
    flood->pump.signals = -1;
    pump_init(&flood->pump, &(struct streams){0});
    sink_close(&flood->pump.flows[1].to);
    sink_open(&flood->pump.flows[1].to, flood->to[1]);
    assert_true(flood->pump.flows[1].to.pipe);
    assert_int_equal(pthread_create(&flood->command, NULL, write_flood, flood), 0);
    return flood;
}

static void free_flood(struct flood *flood)
{
    assert_int_equal(pthread_join(flood->command, NULL), 0);
    pump_free(&flood->pump);
    close_fd(&flood->child.out);
    close_fd(&flood->to[0]);
    close_fd(&flood->to[1]);
    close_fd(&flood->channel[0]);
    close_fd(&flood->channel[1]);
    alarm(0);
    free(flood);
}

/* Reads in pieces that no pipe holds, and checks them. */
static void *check_flood(void *context)
{
    struct flood *flood = context;
    unsigned char bytes[10007];
    size_t total = 0;
    ssize_t n;

    while ((n = read(flood->to[0], bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < n; i++, total++)
            if (bytes[i] != byte_at(total))
                return (void *)total;
    return (void *)total;
}

static void a_flood_arrives_whole(void **state)
{
    static const size_t pieces[] = {1 << 20, 65536, 5000, 4096, 77};

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct flood *flood = make_flood(FLOOD, pieces[i]);
        pthread_t reader;
        void *total;

        assert_int_equal(pthread_create(&reader, NULL, check_flood, flood), 0);
        pump_run(&flood->pump);
        assert_int_equal(flood->pump.bytes, FLOOD);
        sink_close(&flood->pump.flows[1].to);
        close_fd(&flood->to[1]);
        assert_int_equal(pthread_join(reader, &total), 0);
        assert_int_equal((size_t)total, FLOOD);
        free_flood(flood);
    }
}

/* With a small pipe, reader and writer would often wait for each other. If the caller has made the
 * pipe larger already, the size stays. */
static void a_flood_makes_pipes_larger_and_never_smaller(void **state)
{
#ifdef F_SETPIPE_SZ
    static const int sizes[] = {4096, 1 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct flood *flood = make_flood(FLOOD, 1 << 20);
        int before = fcntl(flood->to[1], F_SETPIPE_SZ, sizes[i]), after;
        pthread_t reader;
        void *total;

        assert_int_equal(pthread_create(&reader, NULL, check_flood, flood), 0);
        pump_run(&flood->pump);
        after = fcntl(flood->to[1], F_GETPIPE_SZ);
        sink_close(&flood->pump.flows[1].to);
        close_fd(&flood->to[1]);
        assert_int_equal(pthread_join(reader, &total), 0);
        assert_int_equal((size_t)total, FLOOD);
        if (before == 4096)
            assert_uint_in_range(after, before + 1, 1 << 20);
        else
            assert_int_equal(after, before);
        free_flood(flood);
    }
#else
    (void)state;
#endif
}

/* If the caller does not read, the command can still write as much as a pipe holds, as without
 * nixfleet-run. Pages with few bytes each would fill the caller's pipe too early. */
static void a_pipe_that_nobody_reads_holds_what_it_would_without_us(void **state)
{
    static const size_t sizes[] = {100, 20000, 32768};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t piece = 1; piece <= 1 << 16; piece *= 16) {
            struct flood *flood = make_flood(sizes[i], piece);

            pump_run(&flood->pump);
            assert_int_equal(flood->pump.bytes, sizes[i]);
            free_flood(flood);
        }
}

/* Reads a part of the output, and then closes the pipe. */
static void *read_some(void *context)
{
    struct flood *flood = context;
    char bytes[100000];

    for (size_t total = 0; total < FLOOD / 4;) {
        ssize_t n = read(flood->to[0], bytes, sizeof bytes);

        if (n <= 0)
            break;
        total += (size_t)n;
    }
    close_fd(&flood->to[0]);
    return NULL;
}

static void who_goes_in_the_middle_of_a_flood_ends_it(bool nohup)
{
    struct flood *flood = make_flood(FLOOD, 1 << 20);
    pthread_t reader;

    flood->pump.nohup = nohup;
    assert_int_equal(pthread_create(&reader, NULL, read_some, flood), 0);
    pump_run(&flood->pump);
    assert_int_equal(pthread_join(reader, NULL), 0);
    if (nohup)
        assert_int_equal(flood->pump.bytes, FLOOD); /* all is logged */
    else
        assert_uint_in_range(flood->pump.bytes, FLOOD / 4, FLOOD - 1); /* the command got SIGPIPE */
    free_flood(flood);
}

static void a_reader_who_goes_ends_a_flood(void **state)
{
    (void)state;
    who_goes_in_the_middle_of_a_flood_ends_it(false);
    who_goes_in_the_middle_of_a_flood_ends_it(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_buffer_at_the_end_hides_nothing_behind_it),
        cmocka_unit_test(a_caller_who_reads_meanwhile_gets_all_of_it),
        cmocka_unit_test(a_caller_who_has_gone_is_not_waited_for),
        cmocka_unit_test(a_flood_arrives_whole),
        cmocka_unit_test(a_flood_makes_pipes_larger_and_never_smaller),
        cmocka_unit_test(a_pipe_that_nobody_reads_holds_what_it_would_without_us),
        cmocka_unit_test(a_reader_who_goes_ends_a_flood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
