/* What the command left in its pipe when it ended reaches the caller, however full the pump was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../capture/pump.h"

#define LEFT 7430 /* bytes that are still in the command's pipe */

static void write_whole(int fd, size_t size)
{
    static const char bytes[PUMP_BUFFER] = "x";

    assert_int_equal(write(fd, bytes, size), size);
}

/* The command has ended; a whole buffer is read and not yet written, and the caller can take it
 * all. */
static void a_full_buffer_at_the_end_hides_nothing_behind_it(void **state)
{
    struct pump *pump = calloc(1, sizeof *pump);
    struct child child = {
        .pid = -1, .keeper = -1, .channel = -1, .master = -1, .err = -1, .ended = true};
    struct terminal terminal = {.fd = -1};
    struct run_log log = {.log_fd = -1, .marks_fd = -1};
    struct helpers helpers = {.control_read = -1,
                              .control_write = -1,
                              .page_fd = -1,
                              .one = {{.pid = -1, .pipe = -1}, {.pid = -1, .pipe = -1}}};
    int from[2], to[2];
    static char seen[4 * PUMP_BUFFER];

    (void)state;
    assert_non_null(pump);
    assert_int_equal(pipe2(from, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(to, O_CLOEXEC | O_NONBLOCK), 0);
    assert_true(fcntl(to[1], F_SETPIPE_SZ, 4 * PUMP_BUFFER) > 0);
    child.out = from[0];
    pump->child = &child;
    pump->terminal = &terminal;
    pump->log = &log;
    pump->helpers = &helpers;
    pump->signals = -1;
    pump_init(pump, &(struct streams){0});
    pump->flows[1].to = to[1];
    pump->flows[1].to_is_ours = true;
    pump->flows[1].end = PUMP_BUFFER;
    write_whole(from[1], LEFT);
    close(from[1]);
    pump_run(pump);
    assert_int_equal(read(to[0], seen, sizeof seen), PUMP_BUFFER + LEFT);
    close(from[0]);
    close(to[0]);
    close(to[1]);
    free(pump);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_buffer_at_the_end_hides_nothing_behind_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
