/* The record of a run, as its writer leaves it and its readers find it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../capture/runlog.h"
#include "../../common/io.h"

#define STARTED_MS INT64_C(1700000000000)

struct scene {
    char dir[64];
    struct run_log log;
    struct run_info info;
};

static char *arguments[] = {"printf", "100%\n", "", "tab\there", "\xc3\xbc", NULL};

static int set_scene(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);

    assert_non_null(scene);
    strcpy(scene->dir, "/tmp/test-runlog-XXXXXX");
    assert_non_null(mkdtemp(scene->dir));
    scene->info = (struct run_info){.host = "h",
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
                                    .secrets = ""};
    run_id_make(STARTED_MS, scene->info.id);
    *state = scene;
    return 0;
}

static int clear_scene(void **state)
{
    struct scene *scene = *state;
    char command[128];

    run_log_close(&scene->log);
    free(scene->info.log_path);
    snprintf(command, sizeof command, "rm -rf %s", scene->dir);
    assert_int_equal(system(command), 0);
    free(scene);
    return 0;
}

static void create(struct scene *scene)
{
    assert_int_equal(run_log_create(&scene->log, scene->dir, &scene->info), 0);
}

static void read_back(struct scene *scene, struct run_record *record)
{
    assert_int_equal(run_record_read(scene->dir, scene->info.id, record), 0);
}

/* Gives the run an end, and closes it. */
static void finish(struct scene *scene)
{
    const struct run_end end = {
        .known = true, .code = 3, .wall_ms = STARTED_MS + 5, .bytes = 8, .log_bytes = 7};

    assert_int_equal(run_log_end(&scene->log, &end), 0);
    run_log_close(&scene->log);
}

static char *path_of(struct scene *scene, const char *ending)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s.%s", scene->dir, scene->info.id, ending);
    return path;
}

static void what_was_described_is_read_back(void **state)
{
    struct scene *scene = *state;
    struct run_record record;

    create(scene);
    read_back(scene, &record);
    assert_string_equal(record.info.id, scene->info.id);
    assert_string_equal(record.info.host, "h");
    assert_string_equal(record.info.url, "https://dashboard:8443/fleet");
    assert_string_equal(record.info.name, "a name");
    assert_string_equal(record.info.user, "me");
    assert_string_equal(record.info.cwd, "/a dir\nwith a line end");
    assert_string_equal(record.info.log_path, path_of(scene, "log"));
    for (int i = 0; arguments[i]; i++)
        assert_string_equal(record.info.argv[i], arguments[i]);
    assert_null(record.info.argv[5]);
    assert_true(record.info.started_ms == STARTED_MS && record.info.pid == 77);
    assert_true(record.info.rows == 30 && record.info.cols == 90 && record.info.stream);
    assert_false(record.end.known);
    run_record_free(&record);
}

static void a_run_is_alive_until_it_is_closed_then_lost_or_ended(void **state)
{
    struct scene *scene = *state;
    struct run_record record;

    create(scene);
    read_back(scene, &record);
    assert_true(record.alive && !run_owed(&record));
    run_record_free(&record);
    run_log_close(&scene->log);
    read_back(scene, &record);
    assert_true(!record.alive && !record.end.known && run_owed(&record));
    run_record_free(&record);
}

static void the_end_is_read_back(void **state)
{
    struct scene *scene = *state;
    struct run_record record;

    create(scene);
    finish(scene);
    read_back(scene, &record);
    assert_true(record.end.known && !record.end.by_signal && record.end.code == 3);
    assert_true(record.end.wall_ms == STARTED_MS + 5 && record.end.bytes == 8 &&
                record.end.log_bytes == 7);
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
    struct scene *scene = *state;
    struct run_record record;

    create(scene);
    assert_int_equal(run_log_end(&scene->log, &end), 0);
    run_log_close(&scene->log);
    read_back(scene, &record);
    assert_true(record.end.by_signal && record.end.code == 64 &&
                record.end.log_bytes == UINT64_MAX);
    assert_string_equal(record.info.host, "h");
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

    create(scene);
    finish(scene);
    fd = open(path_of(scene, "run"), O_RDWR | O_CLOEXEC);
    assert_int_equal(run_ack_write(fd, &some), 0);
    read_back(scene, &record);
    assert_true(record.ack.lines == 5 && run_owed(&record));
    run_record_free(&record);
    assert_int_equal(run_ack_write(fd, &most), 0);
    read_back(scene, &record);
    assert_true(record.ack.lines == UINT64_MAX && record.ack.delivered && !run_owed(&record));
    assert_true(record.ack.more == UINT32_MAX);
    run_record_free(&record);
    assert_int_equal(run_ack_write(fd, &refused), 0);
    read_back(scene, &record);
    assert_true(record.ack.lines == 1 && !record.ack.delivered && !run_owed(&record));
    assert_true(record.end.known && record.end.code == 3); /* its neighbour is untouched */
    run_record_free(&record);
    close(fd);
}

static void bytes_are_appended_as_they_are(void **state)
{
    struct scene *scene = *state;
    size_t written, size;
    char *text;

    create(scene);
    assert_int_equal(run_log_append(&scene->log, "a\0b\r\n", 5, &written), 0);
    assert_int_equal(written, 5);
    assert_int_equal(run_log_append(&scene->log, "c", 1, &written), 0);
    text = read_file(path_of(scene, "log"), 100, &size);
    assert_int_equal(size, 6);
    assert_memory_equal(text, "a\0b\r\nc", 6);
    free(text);
}

static void a_write_that_fails_gives_the_log_up_and_says_why(void **state)
{
    struct scene *scene = *state;
    size_t written;

    create(scene);
    close(scene->log.log_fd);
    scene->log.log_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(run_log_append(&scene->log, "x", 1, &written), -1);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(scene->log.log_fd, -1);
    assert_int_equal(run_log_append(&scene->log, "x", 1, &written), 0);
    assert_int_equal(written, 0);
}

static void marks_are_spaced_unless_forced(void **state)
{
    struct scene *scene = *state;
    struct run_mark mark[4];
    int fd;

    create(scene);
    run_log_mark(&scene->log, 0, 24, 80, true);
    run_log_mark(&scene->log, 10, 24, 80, false); /* too soon */
    run_log_mark(&scene->log, 20, 50, 132, true);
    fd = open(path_of(scene, "marks"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, mark, sizeof mark), 2 * sizeof *mark);
    assert_true(mark[0].offset == 0 && mark[1].offset == 20 && mark[1].rows == 50 &&
                mark[1].cols == 132);
    assert_true(mark[1].wall_ms >= mark[0].wall_ms);
    close(fd);
}

static void files_are_private_whatever_the_directory_was(void **state)
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

static void a_discarded_run_leaves_nothing(void **state)
{
    struct scene *scene = *state;
    char **ids;

    create(scene);
    run_log_discard(&scene->log);
    assert_int_equal(rmdir(scene->dir), 0);
    assert_int_equal(mkdir(scene->dir, 0700), 0);
    ids = run_record_list(scene->dir);
    assert_true(ids && !ids[0]);
    free(ids);
}

static void a_discarded_run_leaves_the_callers_log(void **state)
{
    struct scene *scene = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/mine", scene->dir);
    scene->info.log_path = strdup(path);
    create(scene);
    run_log_discard(&scene->log);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(access(path_of(scene, "run"), F_OK), -1);
}

static void runs_are_listed_oldest_first_and_other_files_passed_over(void **state)
{
    struct scene *scene = *state;
    char path[128], **ids;

    create(scene);
    finish(scene);
    free(scene->info.log_path);
    scene->info.log_path = NULL;
    run_id_make(STARTED_MS - 1000, scene->info.id);
    create(scene);
    snprintf(path, sizeof path, "%s/notes.run", scene->dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    ids = run_record_list(scene->dir);
    assert_non_null(ids);
    assert_string_equal(ids[0], scene->info.id);
    assert_non_null(ids[1]);
    assert_null(ids[2]);
    free(ids[0]);
    free(ids[1]);
    free(ids);
}

static void a_file_that_is_no_record_is_refused_wherever_a_record_is_cut(void **state)
{
    struct scene *scene = *state;
    struct run_record record;
    size_t size;
    char *text;

    create(scene);
    run_log_close(&scene->log);
    text = read_file(path_of(scene, "run"), 10000, &size);
    for (size_t cut = 0; cut < size; cut += 3) {
        assert_int_equal(truncate(path_of(scene, "run"), (off_t)cut), 0);
        if (run_record_read(scene->dir, scene->info.id, &record) == 0)
            run_record_free(&record);
        else
            assert_int_equal(errno, EBADMSG);
        int fd = open(path_of(scene, "run"), O_WRONLY | O_CLOEXEC);
        assert_int_equal(write_all(fd, text, size), 0);
        close(fd);
    }
    free(text);
    assert_int_equal(run_record_read(scene->dir, "no-such-run", &record), -1);
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

static void a_place_that_cannot_be_made_is_an_error_and_every_write_is_dropped(void **state)
{
    struct scene *scene = *state;
    const struct run_end end = {.known = true};
    size_t written;

    assert_int_equal(run_log_create(&scene->log, "/proc/none/dir", &scene->info), -1);
    assert_int_equal(run_log_append(&scene->log, "x", 1, &written), 0);
    assert_int_equal(written, 0);
    run_log_mark(&scene->log, 0, 24, 80, true);
    assert_int_equal(run_log_end(&scene->log, &end), 0);
    run_log_discard(&scene->log);
}

static void the_directory_is_the_first_that_is_set(void **state)
{
    char *dir;

    (void)state;
    setenv("NIXFLEET_STATE_DIR", "/given", 1);
    setenv("LOGS_DIRECTORY", "/one:/two", 1);
    dir = run_dir();
    assert_string_equal(dir, "/given");
    free(dir);
    setenv("NIXFLEET_STATE_DIR", "", 1);
    dir = run_dir();
    assert_string_equal(dir, "/one");
    free(dir);
    unsetenv("LOGS_DIRECTORY");
    setenv("XDG_STATE_HOME", "/state", 1);
    dir = run_dir();
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
        WITH_SCENE(the_longest_end_fits_into_its_slot),
        WITH_SCENE(acknowledgements_are_rewritten_in_place),
        WITH_SCENE(bytes_are_appended_as_they_are),
        WITH_SCENE(a_write_that_fails_gives_the_log_up_and_says_why),
        WITH_SCENE(marks_are_spaced_unless_forced),
        WITH_SCENE(files_are_private_whatever_the_directory_was),
        WITH_SCENE(a_discarded_run_leaves_nothing),
        WITH_SCENE(a_discarded_run_leaves_the_callers_log),
        WITH_SCENE(runs_are_listed_oldest_first_and_other_files_passed_over),
        WITH_SCENE(a_file_that_is_no_record_is_refused_wherever_a_record_is_cut),
        WITH_SCENE(there_is_one_deliverer_at_a_time),
        WITH_SCENE(a_place_that_cannot_be_made_is_an_error_and_every_write_is_dropped),
        cmocka_unit_test(the_directory_is_the_first_that_is_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
