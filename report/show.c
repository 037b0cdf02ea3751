/* Shows a log as the lines that a person saw. The log is streamed, so memory does not grow with the
 * file. */
#include "report.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../capture/runrecord.h"
#include "../common/io.h"
#include "../parse/transcript.h"

struct show {
    bool color, failed; /* failed: a write to stdout failed, with the errno in error */
    int error;
};

struct source {
    int log_fd;
    FILE *marks; /* NULL: no record of the window */
    char *path;
    uint64_t left; /* bytes that remain to be read */
};

/* Writes a line without its SGR sequences. A final line has no other sequences. */
static void write_plain(const char *text, size_t length)
{
    const char *end = text + length, *escape;
    while ((escape = memchr(text, '\x1b', (size_t)(end - text)))) {
        fwrite(text, 1, (size_t)(escape - text), stdout);
        const char *last = memchr(escape, 'm', (size_t)(end - escape));
        text = last ? last + 1 : end;
    }
    fwrite(text, 1, (size_t)(end - text), stdout);
}

static void on_final(void *context, uint64_t number, const char *text, size_t length)
{
    struct show *show = context;
    (void)number;
    if (show->failed)
        return;
    if (show->color)
        fwrite(text, 1, length, stdout);
    else
        write_plain(text, length);
    if (putc('\n', stdout) == EOF) {
        show->failed = true;
        show->error = errno;
    }
}

static void on_finals(void *context, uint64_t number, size_t count, const char *text, size_t length)
{
    (void)count;
    /* these lines have no colours, so one call writes all of them */
    on_final(context, number, text, length);
}

static bool next_mark(FILE *marks, struct run_mark *mark)
{
    return marks && fread(mark, sizeof *mark, 1, marks) == 1;
}

/* Feeds the log, and changes the window as the marks say. Returns 0, or -1 with errno if the log
 * cannot be read. */
static int feed(struct transcript *transcript, struct source *source, const struct show *show)
{
    static char buffer[1 << 16];
    struct run_mark mark;
    bool due = next_mark(source->marks, &mark);
    uint64_t offset = 0;
    while (!show->failed) {
        size_t want = sizeof buffer;
        while (due && mark.offset <= offset) {
            transcript_resize(transcript, mark.rows, mark.cols);
            due = next_mark(source->marks, &mark);
        }
        if (due && mark.offset - offset < want)
            want = (size_t)(mark.offset - offset);
        if (source->left - offset < want)
            want = (size_t)(source->left - offset);
        ssize_t size = read(source->log_fd, buffer, want);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return size < 0 ? -1 : 0;
        transcript_feed(transcript, buffer, (size_t)size);
        offset += (uint64_t)size;
    }
    return 0;
}

static int open_file(struct source *source, const char *path)
{
    struct stat status;
    source->log_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (source->log_fd < 0)
        return -1;
    if (fstat(source->log_fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        close_fd(&source->log_fd);
        errno = EISDIR;
        return -1;
    }
    source->path = strdup(path);
    return source->path ? 0 : -1;
}

/* Returns 0, or -1 after printing what is wrong. */
static int open_run(struct source *source, const char *dir, const char *id)
{
    struct run_record record;
    enum run_log_state state;
    int marks_fd, problem;

    if (run_record_read(dir, id, &record) != 0) {
        if (errno == EBADMSG)
            warnx("%s/%s.run is not a regular file", dir, id);
        else
            warn("%s", id);
        return -1;
    }
    state = run_log_of(dir, &record, &source->log_fd);
    problem = errno;
    if (state != RUN_LOG_THERE)
        warnx("%s: %s", id, run_log_state_text(state, problem));
    else if (!record.alive)
        source->left = run_log_length(source->log_fd, &record);
    marks_fd = state == RUN_LOG_THERE ? run_file_open(dir, id, "marks", O_RDONLY) : -1;
    if (marks_fd >= 0 && !(source->marks = fdopen(marks_fd, "r")))
        close(marks_fd);
    source->path = strdup(record.info.log_path);
    run_record_free(&record);
    return state == RUN_LOG_THERE && source->path ? 0 : -1;
}

char *report_find_run(const char *dir, const char *operand)
{
    char **ids = run_record_list(dir), *found = NULL;
    int error = ENOENT;
    if (!ids)
        return NULL;
    for (size_t at = 0; ids[at]; at++) {
        if (operand && strncmp(ids[at], operand, strlen(operand)) != 0) {
            free(ids[at]);
            continue;
        }
        if (operand && found)
            error = EEXIST;
        free(found);
        found = ids[at];
    }
    free(ids);
    if (error == EEXIST) {
        free(found);
        found = NULL;
    }
    errno = error;
    return found;
}

static int open_last(struct source *source, const char *dir)
{
    AUTO_FREE char *id = dir ? report_find_run(dir, NULL) : NULL;
    if (!id) {
        warnx("no run is recorded here yet");
        return -1;
    }
    return open_run(source, dir, id);
}

/* Opens the log that the operand means; a run comes before a file. Prints what is wrong. */
static int open_source(struct source *source, const char *dir, const char *operand)
{
    AUTO_FREE char *id = NULL;
    if (!operand)
        return open_last(source, dir);
    errno = ENOENT;
    if (!strchr(operand, '/') && dir)
        id = report_find_run(dir, operand);
    if (!id && errno == EEXIST && access(operand, F_OK) != 0) {
        warnx("%s: several runs begin with this", operand);
        return -1;
    }
    if (id)
        return open_run(source, dir, id);
    if (open_file(source, operand) == 0)
        return 0;
    if (errno == ENOENT)
        warnx("%s: no such run or file", operand);
    else
        warn("%s", operand);
    return -1;
}

int show_main(const struct config *config)
{
    if (config->derivation)
        return build_log_main(config);
    if (config->changes)
        return changes_main(config);
    struct source source = {-1, NULL, NULL, UINT64_MAX};
    struct show show = {.color = config->color};
    if (open_source(&source, config->state_dir, config->operand) != 0)
        return 1;
    int status = 1;
    struct transcript *transcript =
        transcript_new(config->rows, config->cols, NULL,
                       &(struct transcript_sink){&show, on_final, on_finals, false});
    if (!transcript || feed(transcript, &source, &show) != 0) {
        warn("%s", source.path);
    } else {
        transcript_end_unknown(transcript);
        if (fflush(stdout) != 0 && !show.failed) {
            show.failed = true;
            show.error = errno;
        }
        status = show.failed && show.error != EPIPE ? 1 : 0; /* the reader may have seen enough */
        if (status != 0)
            warnx("stdout: %s", strerror(show.error));
    }
    transcript_free(transcript);
    if (source.marks)
        fclose(source.marks);
    close_fd(&source.log_fd);
    free(source.path);
    return status;
}
