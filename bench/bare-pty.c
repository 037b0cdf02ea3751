/* The minimum for running a command under a pty: fork, exec, copy the output. The comparison for
   the time of a start.

     bare-pty COMMAND [ARGUMENT ...] */
#include <pty.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char buffer[65536];
    int master, status;
    ssize_t n;

    if (argc < 2) {
        fprintf(stderr, "usage: bare-pty COMMAND...\n");
        return 125;
    }
    pid_t child = forkpty(&master, NULL, NULL, NULL);
    if (child < 0) {
        perror("bare-pty");
        return 125;
    }
    if (child == 0) {
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    while ((n = read(master, buffer, sizeof buffer)) > 0)
        if (write(STDOUT_FILENO, buffer, (size_t)n) < 0)
            break;
    if (waitpid(child, &status, 0) < 0)
        return 125;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
