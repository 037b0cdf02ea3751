/* A log writer that stops or is killed, and places where it cannot write. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "runlog_scene.h"

/* ---- the end ---- */

static void spin(int64_t ns)
{
    struct timespec now, start;

    clock_gettime(CLOCK_MONOTONIC, &start);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec < ns);
}

/* The writer can look for output a moment before the last output, and for the end a moment after.
 */
static void output_just_before_the_end_is_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct run_record record;
        struct scene *scene;
        void *one;

        set_scene(&one);
        scene = one;
        create(scene);
        run_log_append(&scene->log, "one\n", 4);
        spin(i * 500);
        run_log_append(&scene->log, "two\nthree\n", 10);
        run_log_end(&scene->log, STATUS_EXITED, 0);
        assert_true(run_log_wait(&scene->log, monotonic_ms() + PATIENCE_MS));
        read_back(scene, &record);
        assert_int_equal(record.end.bytes, 14);
        assert_int_equal(record.end.log_bytes, 14);
        run_record_free(&record);
        clear_scene(&one);
    }
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

        /* bytes that the writer wrote, but did not count before it was killed */
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
    run_log_append(&scene->log, "x", 1); /* and the pump does not wait for a log writer */
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
    assert_non_null(strstr(told(other), "another run uses this file: the log is /"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_just_before_the_end_is_counted),
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
