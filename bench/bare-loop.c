/* The minimum for running a command under a pty and logging its output: fork, exec, one loop with
   poll and a 64 KiB buffer, an append to a log. What nixfleet-run costs beyond this is the price of
   its other functions.

     bare-loop LOG COMMAND [ARGUMENT ...] */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define BUFFER_SIZE 65536

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

static void copy(int master, int log)
{
    static char buffer[BUFFER_SIZE];
    struct pollfd fds[2] = {{.fd = master, .events = POLLIN},
                            {.fd = STDIN_FILENO, .events = POLLIN}};

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[0].revents != 0) {
            ssize_t n = read(master, buffer, sizeof buffer);
            if (n <= 0)
                return;
            if (write_all(log, buffer, (size_t)n) != 0 ||
                write_all(STDOUT_FILENO, buffer, (size_t)n) != 0)
                return;
        }
        if (fds[1].revents != 0) {
            ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
            if (n <= 0)
                fds[1].fd = -1;
            else if (write_all(master, buffer, (size_t)n) != 0)
                return;
        }
    }
}

int main(int argc, char **argv)
{
    struct termios old, raw;
    struct winsize size;
    int master, status, log;

    if (argc < 3) {
        fprintf(stderr, "usage: bare-loop LOG COMMAND...\n");
        return 125;
    }
    int terminal = tcgetattr(STDIN_FILENO, &old) == 0;
    int sized = ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0;
    log = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    pid_t child = forkpty(&master, NULL, terminal ? &old : NULL, sized ? &size : NULL);
    if (log < 0 || child < 0) {
        perror("bare-loop");
        return 125;
    }
    if (child == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    if (terminal) {
        raw = old;
        cfmakeraw(&raw);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    copy(master, log);
    if (terminal)
        tcsetattr(STDIN_FILENO, TCSANOW, &old);
    if (waitpid(child, &status, 0) < 0)
        return 125;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
