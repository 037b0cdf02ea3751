/* Records and logs that are damaged or were used again, and the removal of old runs. */
#include <errno.h>
#include <sys/stat.h>

#include "runlog_scene.h"

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
    leave(scene); /* the run is lost */
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

/* Makes `count` records of undelivered runs; only the run at index `local` is not undelivered. */
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

/* One call examines a few hundred records. After several calls, each record was examined. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
