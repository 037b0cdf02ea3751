/* The record of a run, as the log writer writes it and readers find it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../capture/runlog.h"
#include "../../common/io.h"
#include "../../config/config.h"

#define STARTED_MS INT64_C(1700000000000)
#define PATIENCE_MS 20000

struct scene {
    char dir[64], chosen[80];
    struct run_log log;
    struct log_plan plan;
    pid_t writer;
};

static char *arguments[] = {"printf", "100%\n", "", "tab\there", "\xc3\xbc", NULL};

static int set_scene(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);

    assert_non_null(scene);
    strcpy(scene->dir, "/tmp/test-runlog-XXXXXX");
    assert_non_null(mkdtemp(scene->dir));
    snprintf(scene->chosen, sizeof scene->chosen, "%s/chosen", scene->dir);
    scene->plan = (struct log_plan){.dir = scene->dir,
                                    .keep = {100, INT64_MAX / 2, UINT64_MAX / 2},
                                    .info = {.host = "h",
                                             .url = "https://dashboard:8443/fleet",
                                             .name = "a name",
                                             .user = "me",
                                             .argv = arguments,
                                             .cwd = "/a dir\nwith a line end",
                                             .started_ms = STARTED_MS,
                                             .pid = 77,
                                             .rows = 30,
                                             .cols = 90,
                                             .stream = true,
                                             .secrets = "some"}};
    run_id_make(STARTED_MS, scene->plan.info.id);
    *state = scene;
    return 0;
}

/* The pump ends, and the log writer does what remains. */
static void leave(struct scene *scene)
{
    pid_t writer = scene->log.writer;

    run_log_close(&scene->log);
    if (writer > 0)
        assert_int_equal(waitpid(writer, NULL, 0), writer);
}

static int clear_scene(void **state)
{
    struct scene *scene = *state;
    char command[128];

    leave(scene);
    snprintf(command, sizeof command, "rm -rf %s", scene->dir);
    assert_int_equal(system(command), 0);
    free(scene);
    return 0;
}

static void wait_a_little(void)
{
    usleep(2000);
}

static char *path_of(struct scene *scene, const char *ending)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s.%s", scene->dir, scene->plan.info.id, ending);
    return path;
}

/* Waits until everything that was appended is taken. */
static void settle(struct scene *scene)
{
    const struct status_page *page = scene->log.page;

    while (page->taken != page->bytes || page->marks_taken != page->marks)
        wait_a_little();
}

/* Starts a run, and waits for its files. */
static void create(struct scene *scene)
{
    struct run_record record;

    assert_int_equal(run_log_open(&scene->log, &scene->plan), 0);
    while (run_record_read(scene->dir, scene->plan.info.id, &record) < 0 || !record.alive)
        wait_a_little();
    run_record_free(&record);
    settle(scene);
}

static void append(struct scene *scene, const char *bytes, size_t size)
{
    run_log_append(&scene->log, bytes, size);
    settle(scene);
}

static void read_back(struct scene *scene, struct run_record *record)
{
    assert_int_equal(run_record_read(scene->dir, scene->plan.info.id, record), 0);
}

static void finish(struct scene *scene)
{
    run_log_end(&scene->log, STATUS_EXITED, 3);
    assert_true(run_log_wait(&scene->log, monotonic_ms() + PATIENCE_MS));
    leave(scene);
}

/* A run that has written text and ended. */
static void make_run(struct scene *scene, const char *text)
{
    create(scene);
    append(scene, text, strlen(text));
    finish(scene);
}

static char *content_of(const char *path, size_t *size)
{
    char *text = read_file(path, 1 << 24, size);

    assert_non_null(text);
    return text;
}

static void assert_content(const char *path, const char *text)
{
    size_t size;
    char *found = content_of(path, &size);

    assert_string_equal(found, text);
    free(found);
}

static void put_content(const char *path, const char *text, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write_all(fd, text, size), 0);
    close(fd);
}

/* ---- what is written ---- */

static void what_was_described_is_read_back(void **state)
{
    struct scene *scene = *state;
    struct run_record record;

    create(scene);
    read_back(scene, &record);
    assert_string_equal(record.info.id, scene->plan.info.id);
    assert_string_equal(record.info.host, "h");
    assert_string_equal(record.info.url, "https://dashboard:8443/fleet");
    assert_string_equal(record.info.name, "a name");
    assert_string_equal(record.info.user, "me");
    assert_string_equal(record.info.cwd, "/a dir\nwith a line end");
    assert_string_equal(record.info.log_path, path_of(scene, "log"));
    assert_string_equal(record.info.secrets, "some");
    for (int i = 0; arguments[i]; i++)
        assert_string_equal(record.info.argv[i], arguments[i]);
    assert_null(record.info.argv[5]);
    assert_true(record.info.started_ms == STARTED_MS && record.info.pid == 77);
    assert_true(record.info.rows == 30 && record.info.cols == 90 && record.info.stream);
    assert_false(record.end.known || record.damaged);
    run_record_free(&record);
}

static void a_run_is_alive_until_it_is_closed_then_lost_or_ended(void **state)
{
    struct scene *scene = *state;
    struct run_record record;

    create(scene);
    read_back(scene, &record);
    assert_true(record.alive && !run_undelivered(&record));
    run_record_free(&record);
    leave(scene);
    read_back(scene, &record);
    assert_true(!record.alive && !record.end.known && run_undelivered(&record));
    run_record_free(&record);
}

static void the_end_is_read_back(void **state)
{
    struct scene *scene = *state;
    struct run_record record;

    make_run(scene, "eight\nby");
    read_back(scene, &record);
    assert_true(record.end.known && !record.end.by_signal && record.end.code == 3);
    assert_true(record.end.wall_ms > STARTED_MS && record.end.bytes == 8 &&
                record.end.log_bytes == 8);
    assert_true(record.file.known && record.file.size == 8);
    run_record_free(&record);
}

static void output_after_the_end_is_logged_and_counted(void **state)
{
    struct scene *scene = *state;
    struct run_record record;

    create(scene);
    append(scene, "command\n", 8);
    run_log_end(&scene->log, STATUS_KILLED, 9);
    assert_true(run_log_wait(&scene->log, monotonic_ms() + PATIENCE_MS));
    run_log_append(&scene->log, "child\n", 6);
    leave(scene);
    assert_content(path_of(scene, "log"), "command\nchild\n");
    read_back(scene, &record);
    assert_true(record.end.by_signal && record.end.code == 9 && record.end.log_bytes == 14);
    run_record_free(&record);
}

static void the_longest_end_fits_into_its_slot(void **state)
{
    const struct run_end end = {.known = true,
                                .by_signal = true,
                                .code = 64,
                                .wall_ms = INT64_MAX,
                                .bytes = UINT64_MAX,
                                .log_bytes = UINT64_MAX};
    const struct run_file file = {true,       UINT64_MAX, UINT64_MAX, UINT64_MAX,
                                  RUN_SAMPLE, RUN_SAMPLE, UINT64_MAX, UINT64_MAX};
    struct scene *scene = *state;
    struct run_record record;
    int fd;

    make_run(scene, "");
    fd = open(path_of(scene, "run"), O_RDWR | O_CLOEXEC);
    assert_int_equal(run_end_write(fd, &end), 0);
    assert_int_equal(run_file_write(fd, &file), 0);
    close(fd);
    read_back(scene, &record);
    assert_true(record.end.by_signal && record.end.code == 64 &&
                record.end.log_bytes == UINT64_MAX);
    assert_true(record.file.inode == UINT64_MAX && record.file.last == UINT64_MAX &&
                record.file.size == UINT64_MAX && record.file.last_size == RUN_SAMPLE);
    assert_string_equal(record.info.host, "h");
    assert_false(record.damaged);
    run_record_free(&record);
}

static void acknowledgements_are_rewritten_in_place(void **state)
{
    const struct run_ack some = {.lines = 5},
                         most = {.lines = UINT64_MAX, .more = UINT32_MAX, .delivered = true},
                         refused = {.lines = 1, .refused = true};
    struct scene *scene = *state;
    struct run_record record;
    int fd;

    make_run(scene, "");
    fd = open(path_of(scene, "run"), O_RDWR | O_CLOEXEC);
    assert_int_equal(run_ack_write(fd, &some), 0);
    read_back(scene, &record);
    assert_true(record.ack.lines == 5 && run_undelivered(&record));
    run_record_free(&record);
    assert_int_equal(run_ack_write(fd, &most), 0);
    read_back(scene, &record);
    assert_true(record.ack.lines == UINT64_MAX && record.ack.delivered &&
                !run_undelivered(&record));
    assert_true(record.ack.more == UINT32_MAX);
    run_record_free(&record);
    assert_int_equal(run_ack_write(fd, &refused), 0);
    read_back(scene, &record);
    assert_true(record.ack.lines == 1 && !record.ack.delivered && !run_undelivered(&record));
    assert_true(record.end.known && record.end.code == 3); /* the slot before it is unchanged */
    run_record_free(&record);
    close(fd);
}

/* The shipper is alone: the pump and the command have ended. */
static void what_the_shipper_acknowledges_is_written_down_also_after_the_pump(void **state)
{
    const struct run_ack ack = {.lines = 3, .delivered = true};
    struct scene *scene = *state;
    struct run_record record;
    struct status_page *page;
    pid_t writer;
    int acks;

    create(scene);
    writer = scene->log.writer;
    acks = dup(scene->log.acks_write);
    page = status_map(scene->log.page_fd);
    assert_non_null(page);
    run_log_close(&scene->log);
    for (bool alive = true; alive; run_record_free(&record)) {
        read_back(scene, &record);
        alive = record.alive;
    }
    status_set_ack(page, &ack);
    assert_int_equal(write(acks, "a", 1), 1);
    close(acks);
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    read_back(scene, &record);
    assert_true(record.ack.delivered && record.ack.lines == 3);
    run_record_free(&record);
    status_unmap(page);
}

static void bytes_are_appended_as_they_are(void **state)
{
    struct scene *scene = *state;
    size_t size;
    char *text;

    create(scene);
    run_log_append(&scene->log, "a\0b\r\n", 5);
    run_log_append(&scene->log, "c", 1);
    finish(scene);
    text = content_of(path_of(scene, "log"), &size);
    assert_int_equal(size, 6);
    assert_memory_equal(text, "a\0b\r\nc", 6);
    free(text);
}

static void marks_have_a_minimum_distance_except_for_window_changes(void **state)
{
    struct scene *scene = *state;
    struct run_mark mark[4];
    int fd;

    create(scene);
    append(scene, "0123456789", 10); /* too soon for a mark */
    append(scene, "0123456789", 10);
    run_log_resize(&scene->log, 50, 132);
    finish(scene);
    fd = open(path_of(scene, "marks"), O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, mark, sizeof mark) >= (ssize_t)(2 * sizeof *mark));
    close(fd);
    assert_true(mark[0].offset == 0 && mark[0].rows == 30 && mark[0].cols == 90);
    for (int i = 1; i < 4; i++)
        if (mark[i].offset == 20) {
            assert_true(mark[i].rows == 50 && mark[i].cols == 132);
            assert_true(mark[i].wall_ms >= mark[0].wall_ms);
            return;
        }
    fail_msg("the window's mark is missing");
}

static void files_are_private_whatever_the_umask_is(void **state)
{
    static const char *const endings[] = {"run", "log", "marks"};
    struct scene *scene = *state;
    mode_t before = umask(0);
    struct stat info;

    create(scene);
    umask(before);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(stat(path_of(scene, endings[i]), &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
    }
}

static void runs_are_listed_oldest_first_without_other_files(void **state)
{
    struct scene *scene = *state;
    char path[128], **ids;

    make_run(scene, "");
    run_id_make(STARTED_MS - 1000, scene->plan.info.id);
    make_run(scene, "");
    snprintf(path, sizeof path, "%s/notes.run", scene->dir);
    put_content(path, "", 0);
    ids = run_record_list(scene->dir);
    assert_non_null(ids);
    assert_string_equal(ids[0], scene->plan.info.id);
    assert_non_null(ids[1]);
    assert_null(ids[2]);
    free(ids[0]);
    free(ids[1]);
    free(ids);
}

static void there_is_one_deliverer_at_a_time(void **state)
{
    struct scene *scene = *state;
    int one, other;

    create(scene);
    one = open(path_of(scene, "marks"), O_RDONLY | O_CLOEXEC);
    other = open(path_of(scene, "marks"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(run_delivery_lock(one), 0);
    assert_int_equal(run_delivery_lock(other), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    close(one);
    assert_int_equal(run_delivery_lock(other), 0);
    close(other);
}

/* ---- a writer that stops, or is killed ---- */

static void a_writer_that_stands_still_delays_nothing_and_loses_nothing(void **state)
{
    struct scene *scene = *state;
    size_t size;
    char *text;

    create(scene);
    kill(scene->log.writer, SIGSTOP);
    for (int i = 0; i < 100000; i++)
        run_log_append(&scene->log, "0123456789", 10);
    run_log_end(&scene->log, STATUS_EXITED, 0);
    assert_false(run_log_wait(&scene->log, monotonic_ms() + 20));
    kill(scene->log.writer, SIGCONT);
    leave(scene);
    text = content_of(path_of(scene, "log"), &size);
    assert_int_equal(size, 1000000);
    free(text);
}

static void what_the_ring_loses_is_one_line_in_the_log(void **state)
{
    struct scene *scene = *state;
    static char bytes[1 << 16];
    struct run_record record;
    unsigned long long lost;
    size_t size, sent = 1, gap_at, gap_length;
    char *text, *gap;

    create(scene);
    append(scene, "b", 1);
    kill(scene->log.writer, SIGSTOP);
    memset(bytes, 'x', sizeof bytes);
    for (; sent < STATUS_RING_SIZE + (8 << 20); sent += sizeof bytes)
        run_log_append(&scene->log, bytes, sizeof bytes);
    run_log_append(&scene->log, "the last line\n", 14);
    sent += 14;
    run_log_end(&scene->log, STATUS_EXITED, 0);
    kill(scene->log.writer, SIGCONT);
    leave(scene);
    text = read_file(path_of(scene, "log"), 2 * STATUS_RING_SIZE, &size);
    assert_non_null(text);
    gap = strstr(text, "\n[nixfleet-run: ");
    assert_non_null(gap);
    assert_null(strstr(gap + 1, "\n[nixfleet-run: "));
    assert_int_equal(sscanf(gap, "\n[nixfleet-run: %llu bytes of output were not logged]", &lost),
                     1);
    assert_true(size == sent - lost + strcspn(gap + 1, "\n") + 2);
    assert_string_equal(text + size - 14, "the last line\n");
    gap_at = (size_t)(gap - text);
    gap_length = strcspn(gap + 1, "\n") + 2;
    read_back(scene, &record);
    assert_true(record.end.log_bytes == size && record.end.bytes == size);
    assert_true(record.gap_count == 1 && record.gaps[0].offset == gap_at &&
                record.gaps[0].length == gap_length && record.gaps[0].missing == lost);
    assert_false(record.damaged);
    run_record_free(&record);
    free(text);
}

/* Kills the writer; the pump notices. */
static void kill_writer(struct scene *scene)
{
    pid_t writer = scene->log.writer;

    kill(writer, SIGKILL);
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    run_log_reaped(&scene->log, writer);
}

static void a_writer_that_is_killed_is_followed_by_another(void **state)
{
    struct scene *scene = *state;
    char expected[64] = "";
    struct run_record record;

    create(scene);
    for (int i = 0; i < 3; i++) {
        append(scene, "one\n", 4);
        kill_writer(scene);
        append(scene, "two\n", 4);
        strcat(expected, "one\ntwo\n");
    }
    finish(scene);
    assert_content(path_of(scene, "log"), expected);
    read_back(scene, &record);
    assert_true(record.end.known && record.end.code == 3 && !record.damaged);
    assert_true(record.end.log_bytes == strlen(expected));
    run_record_free(&record);
}

static void bytes_that_a_killed_writer_did_not_count_are_not_written_again(void **state)
{
    struct scene *scene = *state;

    create(scene);
    append(scene, "one\n", 4);
    kill(scene->log.writer, SIGSTOP);
    run_log_append(&scene->log, "two\n", 4);
    {
        int fd = open(path_of(scene, "log"), O_WRONLY | O_APPEND | O_CLOEXEC);

        /* the writer was killed before it could count these */
        assert_int_equal(write_all(fd, "tw", 2), 0);
        close(fd);
    }
    kill_writer(scene);
    finish(scene);
    assert_content(path_of(scene, "log"), "one\ntwo\n");
}

static void writers_that_are_killed_again_and_again_are_given_up(void **state)
{
    struct scene *scene = *state;

    create(scene);
    for (int i = 0; i < 10 && scene->log.writer > 0; i++)
        kill_writer(scene);
    assert_int_equal(scene->log.writer, -1);
    run_log_append(&scene->log, "x", 1); /* and no process waits for one */
    assert_false(run_log_wait(&scene->log, monotonic_ms() + PATIENCE_MS));
}

/* ---- places that cannot be used ---- */

static void take_line(void *context, const char *line)
{
    char *text = context;

    strcat(strcat(text, line), "\n");
}

/* Runs to the end, and returns the messages. */
static const char *told(struct scene *scene)
{
    static char text[4096];

    assert_int_equal(run_log_open(&scene->log, &scene->plan), 0);
    run_log_append(&scene->log, "text\n", 5);
    run_log_end(&scene->log, STATUS_EXITED, 0);
    assert_true(run_log_wait(&scene->log, monotonic_ms() + PATIENCE_MS));
    text[0] = '\0';
    run_log_report(&scene->log, take_line, text);
    leave(scene);
    return text;
}

static void a_directory_that_cannot_be_created_is_reported(void **state)
{
    struct scene *scene = *state;

    scene->plan.dir = "/proc/none/dir";
    assert_string_equal(told(scene), "no log: /proc/none/dir: No such file or directory\n");
    scene->plan.dir = NULL;
    assert_string_equal(told(scene), "no log: HOME: No such file or directory\n");
}

static void a_directory_that_others_may_write_to_is_not_used(void **state)
{
    struct scene *scene = *state;

    for (mode_t mode = 02770; mode <= 02777; mode += 7) {
        assert_int_equal(chmod(scene->dir, mode), 0);
        assert_non_null(strstr(told(scene), "users may write to this directory"));
        assert_int_equal(access(path_of(scene, "run"), F_OK), -1);
        assert_int_equal(access(path_of(scene, "log"), F_OK), -1);
    }
}

static void a_link_in_the_place_of_a_file_is_not_followed(void **state)
{
    static const char *const endings[] = {"run", "log", "marks"};
    struct scene *scene = *state;

    for (int i = 0; i < 3; i++) {
        run_id_make(STARTED_MS + i, scene->plan.info.id);
        put_content(scene->chosen, "precious", 8);
        assert_int_equal(symlink(scene->chosen, path_of(scene, endings[i])), 0);
        (void)told(scene);
        assert_content(scene->chosen, "precious");
    }
}

static void a_log_that_cannot_be_opened_is_kept_in_the_directory(void **state)
{
    struct scene *scene = *state;

    scene->plan.file = "/proc/none/log";
    assert_non_null(strstr(told(scene), "/proc/none/log: No such file or directory: the log is /"));
    assert_content(path_of(scene, "log"), "text\n");
}

static void a_log_that_another_run_uses_is_left_alone(void **state)
{
    struct scene *scene = *state, *other;
    void *second;

    scene->plan.file = scene->chosen;
    create(scene);
    append(scene, "first\n", 6);
    set_scene(&second);
    other = second;
    other->plan.file = scene->chosen;
    assert_non_null(strstr(told(other), "another run is logged there now: the log is /"));
    assert_content(path_of(other, "log"), "text\n");
    clear_scene(&second);
    finish(scene);
    assert_content(scene->chosen, "first\n");
}

static void a_pipe_gets_a_copy(void **state)
{
    struct scene *scene = *state;
    char bytes[16];
    int fd;

    assert_int_equal(mkfifo(scene->chosen, 0600), 0);
    fd = open(scene->chosen, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    scene->plan.file = scene->chosen;
    assert_string_equal(told(scene), "");
    assert_int_equal(read(fd, bytes, sizeof bytes), 5);
    assert_memory_equal(bytes, "text\n", 5);
    close(fd);
    assert_content(path_of(scene, "log"), "text\n");
}

static void a_device_that_is_full_gets_no_copy(void **state)
{
    struct scene *scene = *state;

    scene->plan.file = "/dev/full";
    assert_non_null(strstr(told(scene), "/dev/full did not get everything (No space left"));
    assert_content(path_of(scene, "log"), "text\n");
}

static void a_log_that_reaches_a_limit_ends_early_and_its_end_is_recorded(void **state)
{
    const struct rlimit low = {2000, RLIM_INFINITY};
    struct scene *scene = *state;
    static char bytes[5000], text[4096];
    struct run_record record;
    struct rlimit before;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    create(scene);
    assert_int_equal(prlimit(scene->log.writer, RLIMIT_FSIZE, &low, NULL), 0);
    run_log_append(&scene->log, bytes, sizeof bytes);
    run_log_append(&scene->log, bytes, sizeof bytes);
    run_log_end(&scene->log, STATUS_EXITED, 6);
    assert_true(run_log_wait(&scene->log, monotonic_ms() + PATIENCE_MS));
    run_log_report(&scene->log, take_line, text);
    assert_non_null(strstr(text, "the log ends early: "));
    leave(scene);
    read_back(scene, &record);
    assert_true(record.end.code == 6 && record.end.bytes == 10000 && record.end.log_bytes == 2000);
    run_record_free(&record);
}

/* ---- damaged records ---- */

static void a_cut_record_gives_what_is_left(void **state)
{
    struct scene *scene = *state;
    struct run_record record;
    size_t size;
    char *text;

    make_run(scene, "text\n");
    text = content_of(path_of(scene, "run"), &size);
    for (size_t cut = 0; cut < size; cut += 3) {
        assert_int_equal(truncate(path_of(scene, "run"), (off_t)cut), 0);
        read_back(scene, &record);
        assert_true(record.damaged && record.info.stream);
        assert_string_equal(record.info.id, scene->plan.info.id);
        assert_string_equal(record.info.log_path, path_of(scene, "log"));
        assert_true(record.info.started_ms == STARTED_MS);
        run_record_free(&record);
        put_content(path_of(scene, "run"), text, size);
    }
    read_back(scene, &record);
    assert_false(record.damaged);
    run_record_free(&record);
    free(text);
    assert_int_equal(run_record_read(scene->dir, "no-such-run", &record), -1);
}

static void a_record_of_nul_bytes_still_has_its_log(void **state)
{
    static char nuls[600];
    struct scene *scene = *state;
    struct run_record record;
    int fd;

    make_run(scene, "text\n");
    put_content(path_of(scene, "run"), nuls, sizeof nuls);
    read_back(scene, &record);
    assert_true(record.damaged && run_undelivered(&record));
    assert_int_equal(run_log_of(scene->dir, &record, &fd), RUN_LOG_THERE);
    assert_true(run_log_length(fd, &record) == 5);
    close(fd);
    run_record_free(&record);
}

static void a_record_must_be_a_file(void **state)
{
    struct scene *scene = *state;
    struct run_record record;

    assert_int_equal(mkfifo(path_of(scene, "run"), 0600), 0);
    assert_int_equal(run_record_read(scene->dir, scene->plan.info.id, &record), -1);
    assert_int_equal(errno, EBADMSG);
    unlink(path_of(scene, "run"));
    assert_int_equal(mkdir(path_of(scene, "run"), 0700), 0);
    assert_int_equal(run_record_read(scene->dir, scene->plan.info.id, &record), -1);
    assert_int_equal(errno, EBADMSG);
    rmdir(path_of(scene, "run"));
    assert_int_equal(symlink("/etc/passwd", path_of(scene, "run")), 0);
    assert_int_equal(run_record_read(scene->dir, scene->plan.info.id, &record), -1);
    assert_int_equal(errno, EBADMSG);
}

static void a_record_of_an_older_version_is_whole(void **state)
{
    struct scene *scene = *state;
    struct run_record record;
    char text[1024];
    int length = snprintf(text, sizeof text,
                          "end=%100s\nack=%40s\nid=%s\nhost=h\nname=n\nuser=u\nlog=/l\ncwd=/\n"
                          "started=5\npid=1\nrows=24\ncols=80\nstream=0\nsecrets=\narg=true\n",
                          "", "", scene->plan.info.id);

    put_content(path_of(scene, "run"), text, (size_t)length);
    read_back(scene, &record);
    assert_false(record.damaged || record.info.stream);
    run_record_free(&record);
}

/* ---- logs that other runs have used ---- */

static enum run_log_state log_state(struct scene *scene, uint64_t *length)
{
    struct run_record record;
    enum run_log_state state;
    int fd;

    read_back(scene, &record);
    state = run_log_of(scene->dir, &record, &fd);
    *length = fd >= 0 ? run_log_length(fd, &record) : 0;
    close_fd(&fd);
    run_record_free(&record);
    return state;
}

static void a_log_that_was_used_again_is_known_as_overwritten(void **state)
{
    static const char *const others[] = {"", "other", "OUTPUT OF a\n",
                                         "OUTPUT OF B, which is longer\n"};
    struct scene *scene = *state;
    uint64_t length;

    scene->plan.file = scene->chosen;
    make_run(scene, "OUTPUT OF A\n");
    assert_int_equal(log_state(scene, &length), RUN_LOG_THERE);
    assert_true(length == 12);
    for (int i = 0; i < 4; i++) {
        put_content(scene->chosen, others[i], strlen(others[i]));
        assert_int_equal(log_state(scene, &length), RUN_LOG_OVERWRITTEN);
    }
    put_content(scene->chosen, "OUTPUT OF A\nand what a person has added", 39);
    assert_int_equal(log_state(scene, &length), RUN_LOG_THERE);
    assert_true(length == 12);
    unlink(scene->chosen);
    assert_int_equal(log_state(scene, &length), RUN_LOG_GONE);
}

/* Two nightly updates begin in the same way. */
static void logs_that_only_differ_at_their_ends_are_told_apart(void **state)
{
    struct scene *scene = *state;
    static char text[20000];
    uint64_t length;

    memset(text, 'x', sizeof text - 1);
    scene->plan.file = scene->chosen;
    make_run(scene, text);
    assert_int_equal(log_state(scene, &length), RUN_LOG_THERE);
    text[sizeof text - 2] = 'y';
    put_content(scene->chosen, text, sizeof text - 1);
    assert_int_equal(log_state(scene, &length), RUN_LOG_OVERWRITTEN);
    put_content(scene->chosen, text, sizeof text - 100);
    assert_int_equal(log_state(scene, &length), RUN_LOG_OVERWRITTEN);
}

static void nul_bytes_of_a_power_cut_do_not_belong_to_the_run(void **state)
{
    struct scene *scene = *state;
    uint64_t length;

    create(scene);
    append(scene, "line one\nline two\n", 18);
    leave(scene); /* lost */
    assert_int_equal(truncate(path_of(scene, "log"), 13), 0);
    assert_int_equal(log_state(scene, &length), RUN_LOG_THERE);
    assert_true(length == 13);
    /* the size is right, but the end is NUL bytes */
    assert_int_equal(truncate(path_of(scene, "log"), 18), 0);
    assert_int_equal(log_state(scene, &length), RUN_LOG_THERE);
    assert_true(length == 13);
    assert_int_equal(truncate(path_of(scene, "log"), 0), 0);
    assert_int_equal(truncate(path_of(scene, "log"), 9000), 0);
    assert_int_equal(log_state(scene, &length), RUN_LOG_THERE);
    assert_true(length == 0);
}

static void nul_bytes_of_the_command_belong_to_the_run(void **state)
{
    static const char nuls[100];
    struct scene *scene = *state;
    uint64_t length;

    create(scene);
    append(scene, nuls, sizeof nuls);
    finish(scene);
    assert_int_equal(log_state(scene, &length), RUN_LOG_THERE);
    assert_true(length == sizeof nuls);
}

static void a_log_of_another_user_is_not_opened(void **state)
{
    struct scene *scene = *state;
    uint64_t length;

    if (geteuid() != 0)
        skip();
    scene->plan.file = scene->chosen;
    make_run(scene, "text\n");
    assert_int_equal(chown(path_of(scene, "run"), 65534, 65534), 0);
    assert_int_equal(log_state(scene, &length), RUN_LOG_FOREIGN);
    assert_int_equal(chown(scene->chosen, 65534, 65534), 0);
    assert_int_equal(log_state(scene, &length), RUN_LOG_THERE);
}

static void a_link_in_the_place_of_the_log_is_not_followed(void **state)
{
    struct scene *scene = *state;
    uint64_t length;

    make_run(scene, "text\n");
    unlink(path_of(scene, "log"));
    put_content(scene->chosen, "text\n", 5);
    assert_int_equal(symlink(scene->chosen, path_of(scene, "log")), 0);
    assert_int_equal(log_state(scene, &length), RUN_LOG_GONE);
}

/* ---- removing old runs ---- */

static size_t count_runs(struct scene *scene)
{
    char **ids = run_record_list(scene->dir);
    size_t count = 0;

    for (; ids[count]; count++)
        free(ids[count]);
    free(ids);
    return count;
}

/* Most are undelivered; the run at local is not. */
static void make_records(struct scene *scene, size_t count, size_t local)
{
    struct run_info info = scene->plan.info;

    for (size_t i = 0; i < count; i++) {
        const struct run_end end = {.known = true};
        size_t size;
        char *text;
        int fd;

        run_id_make(STARTED_MS + (int64_t)i, scene->plan.info.id);
        info.stream = i != local;
        memcpy(info.id, scene->plan.info.id, sizeof info.id);
        text = run_record_format(&info, "/none", &size);
        put_content(path_of(scene, "run"), text, size);
        free(text);
        fd = open(path_of(scene, "run"), O_RDWR | O_CLOEXEC);
        assert_int_equal(run_end_write(fd, &end), 0);
        close(fd);
    }
}

/* One call examines a few hundred records, and after several calls each was examined. */
static void thousands_of_undelivered_runs_do_not_hide_the_ones_that_may_go(void **state)
{
    const struct run_bounds few = {10, INT64_MAX / 2, UINT64_MAX / 2};
    struct scene *scene = *state;
    int looks = 0;

    make_records(scene, 1500, 700);
    while (run_prune(scene->dir, &few) == 0)
        assert_true(++looks < 1000);
    assert_int_equal(count_runs(scene), 1499);
}

static void the_directory_is_the_first_that_is_set(void **state)
{
    char *dir;

    (void)state;
    setenv("LOGS_DIRECTORY", "/one:/two", 1);
    dir = config_state_dir();
    assert_string_equal(dir, "/one");
    free(dir);
    unsetenv("LOGS_DIRECTORY");
    setenv("XDG_STATE_HOME", "/state", 1);
    dir = config_state_dir();
    assert_string_equal(dir, geteuid() == 0 ? "/var/log/nixfleet" : "/state/nixfleet");
    free(dir);
}

int main(void)
{
#define WITH_SCENE(test) cmocka_unit_test_setup_teardown(test, set_scene, clear_scene)
    const struct CMUnitTest tests[] = {
        WITH_SCENE(what_was_described_is_read_back),
        WITH_SCENE(a_run_is_alive_until_it_is_closed_then_lost_or_ended),
        WITH_SCENE(the_end_is_read_back),
        WITH_SCENE(output_after_the_end_is_logged_and_counted),
        WITH_SCENE(the_longest_end_fits_into_its_slot),
        WITH_SCENE(acknowledgements_are_rewritten_in_place),
        WITH_SCENE(what_the_shipper_acknowledges_is_written_down_also_after_the_pump),
        WITH_SCENE(bytes_are_appended_as_they_are),
        WITH_SCENE(marks_have_a_minimum_distance_except_for_window_changes),
        WITH_SCENE(files_are_private_whatever_the_umask_is),
        WITH_SCENE(runs_are_listed_oldest_first_without_other_files),
        WITH_SCENE(there_is_one_deliverer_at_a_time),
        WITH_SCENE(a_writer_that_stands_still_delays_nothing_and_loses_nothing),
        WITH_SCENE(what_the_ring_loses_is_one_line_in_the_log),
        WITH_SCENE(a_writer_that_is_killed_is_followed_by_another),
        WITH_SCENE(bytes_that_a_killed_writer_did_not_count_are_not_written_again),
        WITH_SCENE(writers_that_are_killed_again_and_again_are_given_up),
        WITH_SCENE(a_directory_that_cannot_be_created_is_reported),
        WITH_SCENE(a_directory_that_others_may_write_to_is_not_used),
        WITH_SCENE(a_link_in_the_place_of_a_file_is_not_followed),
        WITH_SCENE(a_log_that_cannot_be_opened_is_kept_in_the_directory),
        WITH_SCENE(a_log_that_another_run_uses_is_left_alone),
        WITH_SCENE(a_pipe_gets_a_copy),
        WITH_SCENE(a_device_that_is_full_gets_no_copy),
        WITH_SCENE(a_log_that_reaches_a_limit_ends_early_and_its_end_is_recorded),
        WITH_SCENE(a_cut_record_gives_what_is_left),
        WITH_SCENE(a_record_of_nul_bytes_still_has_its_log),
        WITH_SCENE(a_record_must_be_a_file),
        WITH_SCENE(a_record_of_an_older_version_is_whole),
        WITH_SCENE(a_log_that_was_used_again_is_known_as_overwritten),
        WITH_SCENE(logs_that_only_differ_at_their_ends_are_told_apart),
        WITH_SCENE(nul_bytes_of_a_power_cut_do_not_belong_to_the_run),
        WITH_SCENE(nul_bytes_of_the_command_belong_to_the_run),
        WITH_SCENE(a_log_of_another_user_is_not_opened),
        WITH_SCENE(a_link_in_the_place_of_the_log_is_not_followed),
        WITH_SCENE(thousands_of_undelivered_runs_do_not_hide_the_ones_that_may_go),
        cmocka_unit_test(the_directory_is_the_first_that_is_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
