/* Makes a run for one test: the directory, the log and the log writer of the run. */
#ifndef NIXFLEET_TESTS_RUNLOG_SCENE_H
#define NIXFLEET_TESTS_RUNLOG_SCENE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../capture/runlog.h"
#include "../../common/io.h"

#define WITH_SCENE(test) cmocka_unit_test_setup_teardown(test, set_scene, clear_scene)
#define STARTED_MS INT64_C(1700000000000)
#define PATIENCE_MS 20000

struct scene {
    char dir[64], chosen[80];
    struct run_log log;
    struct log_plan plan;
    pid_t writer;
};

static char *arguments[] = {"printf", "100%\n", "", "tab\there", "\xc3\xbc", NULL};

static inline int set_scene(void **state)
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
static inline void leave(struct scene *scene)
{
    pid_t writer = scene->log.writer;

    run_log_close(&scene->log);
    if (writer > 0)
        assert_int_equal(waitpid(writer, NULL, 0), writer);
}

static inline int clear_scene(void **state)
{
    struct scene *scene = *state;
    char command[128];

    leave(scene);
    snprintf(command, sizeof command, "rm -rf %s", scene->dir);
    assert_int_equal(system(command), 0);
    free(scene);
    return 0;
}

static inline void wait_a_little(void)
{
    usleep(2000);
}

static inline char *path_of(struct scene *scene, const char *ending)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s.%s", scene->dir, scene->plan.info.id, ending);
    return path;
}

/* Waits until everything that was appended is taken. */
static inline void settle(struct scene *scene)
{
    const struct status_page *page = scene->log.page;

    while (page->taken != page->bytes || page->marks_taken != page->marks)
        wait_a_little();
}

/* Starts a run, and waits for its files. */
static inline void create(struct scene *scene)
{
    struct run_record record;

    assert_int_equal(run_log_open(&scene->log, &scene->plan), 0);
    while (run_record_read(scene->dir, scene->plan.info.id, &record) < 0 || !record.alive)
        wait_a_little();
    run_record_free(&record);
    settle(scene);
}

static inline void append(struct scene *scene, const char *bytes, size_t size)
{
    run_log_append(&scene->log, bytes, size);
    settle(scene);
}

static inline void read_back(struct scene *scene, struct run_record *record)
{
    assert_int_equal(run_record_read(scene->dir, scene->plan.info.id, record), 0);
}

static inline void finish(struct scene *scene)
{
    run_log_end(&scene->log, STATUS_EXITED, 3);
    assert_true(run_log_wait(&scene->log, monotonic_ms() + PATIENCE_MS));
    leave(scene);
}

/* A run that has written text and ended. */
static inline void make_run(struct scene *scene, const char *text)
{
    create(scene);
    append(scene, text, strlen(text));
    finish(scene);
}

static inline char *content_of(const char *path, size_t *size)
{
    char *text = read_file(path, 1 << 24, size);

    assert_non_null(text);
    return text;
}

static inline void assert_content(const char *path, const char *text)
{
    size_t size;
    char *found = content_of(path, &size);

    assert_string_equal(found, text);
    free(found);
}

static inline void put_content(const char *path, const char *text, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_int_equal(write_all(fd, text, size), 0);
    close(fd);
}

#endif
