/* What the log writer writes of a run, and its readers find. */
#include <errno.h>
#include <sys/stat.h>

#include "../../config/config.h"
#include "runlog_scene.h"

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
    assert_true(record.end.known &&
                record.end.code == 3); /* the slot in front of the acknowledgement is unchanged */
    run_record_free(&record);
    close(fd);
}

/* Only the shipper still runs: the pump and the command have ended. */
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
        cmocka_unit_test(the_directory_is_the_first_that_is_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
