/* The monitor reports what happens to the command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_versions.h"
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../capture/monitor.h"
#include "../../common/io.h"

static bool continue_at_once; /* continue the command before the monitor reads that it stopped */

/* Replaces libc's function. */
int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    long result = syscall(SYS_waitid, type, id, info, options, NULL);

    if (result == 0 && continue_at_once && info->si_code == CLD_STOPPED)
        kill((pid_t)id, SIGCONT);
    return (int)result;
}

static void stop_twice_and_exit(void *context)
{
    (void)context;
    execlp("sh", "sh", "-c", "kill -STOP $$; kill -TSTP $$; exit 7", (char *)NULL);
}

static void stop_once(void *context)
{
    (void)context;
    execlp("sh", "sh", "-c", "kill -STOP $$; exec sleep 60", (char *)NULL);
}

/* Starts a monitor with this command. Returns the channel. */
static int start(pid_t *monitor, void (*command)(void *))
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    *monitor = fork();
    if (*monitor == 0) {
        close(ends[0]);
        monitor_run(&(struct monitor_plan){.channel = ends[1],
                                           .caller_terminal = -1,
                                           .terminal = -1,
                                           .own_group = true,
                                           .command = {command, NULL}});
    }
    close(ends[1]);
    assert_int_equal(write_all(ends[0], "", 1), 0);
    return ends[0];
}

static struct monitor_report hear(int channel)
{
    struct monitor_report report;

    assert_int_equal(read(channel, &report, sizeof report), sizeof report);
    return report;
}

static void finish(int channel, pid_t monitor)
{
    struct monitor_report end = hear(channel);

    while (continue_at_once && end.what == MONITOR_STOPPED) {
        /* the command stopped again before the monitor read the last stop */
        kill(end.pid, SIGCONT);
        end = hear(channel);
    }
    assert_int_equal(end.what, MONITOR_ENDED);
    assert_int_equal(end.value, 7 << 8);
    close(channel);
    assert_int_equal(waitpid(monitor, NULL, 0), monitor);
}

static void each_stop_and_the_end_are_reported(void **state)
{
    pid_t monitor;
    int channel = start(&monitor, stop_twice_and_exit);
    struct monitor_report started = hear(channel), stopped;

    (void)state;
    assert_int_equal(started.what, MONITOR_STARTED);
    for (int i = 0; i < 2; i++) {
        stopped = hear(channel);
        assert_int_equal(stopped.what, MONITOR_STOPPED);
        assert_int_equal(stopped.value, i == 0 ? SIGSTOP : SIGTSTP);
        kill(started.pid, SIGCONT);
    }
    finish(channel, monitor);
}

static void a_stop_that_is_over_at_once_is_not_taken_for_the_end(void **state)
{
    (void)state;
    continue_at_once = true;
    for (int i = 0; i < 20; i++) {
        pid_t monitor;
        int channel = start(&monitor, stop_twice_and_exit);

        assert_int_equal(hear(channel).what, MONITOR_STARTED);
        finish(channel, monitor);
    }
}

static volatile sig_atomic_t woken;

static void note_wake(int signal)
{
    (void)signal;
    woken = 1;
}

/* The pump gets no processor for a while. When the pump stops itself, because the command stopped,
 * the command was already continued or has ended, and the monitor has already woken the pump. */
static int stop_late(int ending)
{
    sigset_t block, before;
    pid_t monitor;
    int channel;
    struct monitor_report report;

    signal(SIGCONT, note_wake);
    sigemptyset(&block);
    sigaddset(&block, SIGCONT);
    sigprocmask(SIG_BLOCK, &block, &before);
    channel = start(&monitor, stop_once);
    report = hear(channel);
    if (hear(channel).what != MONITOR_STOPPED)
        return 1;
    kill(report.pid, ending);
    while (!woken)
        sigsuspend(&before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    for (int i = 0; i < 50; i++)
        usleep(1000); /* a signal can end one of these sleeps early */
    raise(SIGSTOP);
    kill(report.pid, SIGKILL);
    report = hear(channel);
    close(channel);
    waitpid(monitor, NULL, 0);
    return report.what == MONITOR_ENDED ? 0 : 2;
}

static void a_pump_that_stops_late_is_woken(void **state)
{
    static const int endings[] = {SIGCONT, SIGKILL};

    (void)state;
    continue_at_once = false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        pid_t pump = fork();
        int status = 0, tries = 0;

        if (pump == 0)
            _exit(stop_late(endings[i]));
        while (waitpid(pump, &status, WNOHANG) == 0 && tries++ < 1000)
            usleep(10000);
        if (tries > 1000)
            kill(pump, SIGKILL);
        assert_uint_in_range(tries, 0, 1000);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_stop_and_the_end_are_reported),
        cmocka_unit_test(a_stop_that_is_over_at_once_is_not_taken_for_the_end),
        cmocka_unit_test(a_pump_that_stops_late_is_woken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
