/* Lines in the store against a model: whatever is spliced, a reader sees the model's log, and one
   who follows it is told exactly what makes his copy equal. And: files of other versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_versions.h"

#include <sqlite3.h>

#include "common/utf8.h"
#include "dashboard/fleet/state.h"
#include "dashboard/live/follow.h"
#include "dashboard/store/sqlite/schema.h"

#define RUN "01900000-0000-7000-8000-000000000001"
#define LINES_MAX 20000
#define ROUNDS 4000

/* A log: NULL is a line that has a number and is not there. */
struct model {
    char *line[LINES_MAX];
    int64_t count;
};

static void model_cut(struct model *model, int64_t from)
{
    while (model->count > from)
        free(model->line[--model->count]);
}

static void model_put(struct model *model, int64_t from, const char *text)
{
    assert_true(model->count >= 0 && from < LINES_MAX);
    model_cut(model, from);
    while (model->count <= from)
        model->line[model->count++] = NULL;
    model->line[from] = text ? strdup(text) : NULL;
}

static void model_equal(const struct model *a, const struct model *b)
{
    assert_int_equal(a->count, b->count);
    for (int64_t i = 0; i < a->count; i++) {
        assert_int_equal(!a->line[i], !b->line[i]);
        if (a->line[i])
            assert_string_equal(a->line[i], b->line[i]);
    }
}

/* ---- a store, and jobs that are waited for ---- */

struct fixture {
    char dir[64];
    struct store *store;
    struct run_row run;
    int64_t stored;
    struct model wanted;
};

struct work {
    struct job job;
    struct fixture *fixture;
    int64_t from, count;
    const char *text;
    int64_t shorten; /* to so many bytes; 0: a splice */
    int result;
    bool ok;
    int done[2];
};

static enum job_result apply_work(struct txn *txn, void *context)
{
    struct work *work = context;
    struct run_row *run = &work->fixture->run;

    if (!run->key)
        assert_int_equal(txn_run_create(txn, "host", RUN, run), 0);
    if (work->shorten)
        work->result = txn_log_shorten(txn, run, work->shorten);
    else if (work->text)
        work->result = txn_log_splice(txn, run,
                                      &(struct chunk){.first = work->from,
                                                      .count = work->count,
                                                      .text = work->text,
                                                      .size = strlen(work->text)});
    if (work->result >= 0)
        assert_int_equal(txn_run_save_counts(txn, run, -1), 0);
    return work->result < 0 ? JOB_FAILED : JOB_DONE;
}

static void work_done(void *context, bool ok)
{
    struct work *work = context;

    work->ok = ok;
    assert_int_equal(write(work->done[1], "d", 1), 1);
}

static int do_work(struct fixture *fixture, struct work work,
                   enum job_result (*apply)(struct txn *, void *))
{
    char byte;

    work.fixture = fixture;
    work.job = (struct job){.apply = apply, .done = work_done, .context = &work};
    assert_int_equal(pipe(work.done), 0);
    store_submit(fixture->store, &work.job);
    assert_int_equal(read(work.done[0], &byte, 1), 1);
    close(work.done[0]);
    close(work.done[1]);
    assert_true(work.ok);
    return work.result;
}

static int run_work(struct fixture *fixture, struct work work)
{
    return do_work(fixture, work, apply_work);
}

static void make_dir(struct fixture *fixture)
{
    snprintf(fixture->dir, sizeof fixture->dir, "%s/store.XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(fixture->dir));
}

static void remove_dir(const struct fixture *fixture)
{
    static const char *const names[] = {"nixfleet.db", "nixfleet.db-wal", "nixfleet.db-shm"};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", fixture->dir, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(fixture->dir), 0);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char error[STORE_ERROR_SIZE];

    make_dir(fixture);
    fixture->store = store_open(fixture->dir, error);
    assert_non_null(fixture->store);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    store_close(fixture->store);
    remove_dir(fixture);
    model_cut(&fixture->wanted, 0);
    free(fixture);
    return 0;
}

static off_t size_of(const struct fixture *fixture, const char *name)
{
    char path[128];
    struct stat info;

    snprintf(path, sizeof path, "%s/%s", fixture->dir, name);
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

/* ---- reading ---- */

static void take_gaps(struct model *copy, json_object *gaps)
{
    for (size_t i = 0; i < json_object_array_length(gaps); i++) {
        json_object *gap = json_object_array_get_idx(gaps, i);
        int64_t line = json_object_get_int64(json_object_array_get_idx(gap, 0)),
                end = line + json_object_get_int64(json_object_array_get_idx(gap, 1));

        for (; line < end; line++) {
            if (line < copy->count) {
                free(copy->line[line]);
                copy->line[line] = NULL;
            } else {
                model_put(copy, line, NULL);
            }
        }
    }
}

/* rows = rows[0:from] + lines, as a page does it. */
static void take_splice(struct model *copy, const struct text *message)
{
    json_object *object = json_tokener_parse(message->bytes), *lines = NULL, *gaps = NULL,
                *from = NULL, *total = NULL;
    int64_t at;

    assert_true(json_object_object_get_ex(object, "from", &from) &&
                json_object_object_get_ex(object, "lines", &lines) &&
                json_object_object_get_ex(object, "gaps", &gaps) &&
                json_object_object_get_ex(object, "total", &total));
    at = json_object_get_int64(from);
    model_cut(copy, at);
    for (size_t i = 0; i < json_object_array_length(lines); i++)
        model_put(copy, at++, json_object_get_string(json_object_array_get_idx(lines, i)));
    model_cut(copy, json_object_get_int64(total));
    take_gaps(copy, gaps);
    json_object_put(object);
}

static void follow(struct fixture *fixture, struct tail *tail, struct model *copy)
{
    tail->due = true;
    while (tail->due) {
        struct text message = {0};

        if (tail_splice(fixture->store, tail, &message)) {
            text_add(&message, "", 1);
            take_splice(copy, &message);
        }
        text_free(&message);
    }
}

static void read_whole(struct fixture *fixture, struct model *out)
{
    struct tail tail;

    assert_true(tail_start(fixture->store, &tail, RUN, 0));
    follow(fixture, &tail, out);
}

/* ---- tests ---- */

static char text[65536];

/* Random lines, some of them empty, some with colours; count of them joined by LF. */
static void make_text(int64_t count)
{
    static const char words[] = "the \xc3\xa9ternal builder's \"lines\" <b>";
    size_t size = 0;

    text[0] = '\0';
    for (int64_t i = 0; i < count; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%s%.*s%s", i ? "\n" : "",
                                 rand() % 4 ? "" : "\033[31m",
                                 (int)utf8_cut(words, sizeof words - 1, (size_t)(rand() % 30)),
                                 words, rand() % 4 ? "" : "\033[0m");
}

static void model_splice(struct model *model, int64_t from, int64_t count)
{
    char *copy = strdup(text), *rest = copy;

    model_cut(model, from);
    for (int64_t i = 0; i < count; i++)
        model_put(model, from + i, strsep(&rest, "\n"));
    free(copy);
}

static int64_t bytes_of(const struct model *model)
{
    int64_t bytes = 0;

    for (int64_t i = 0; i < model->count; i++)
        bytes += model->line[i] ? (int64_t)strlen(model->line[i]) : 0;
    return bytes;
}

static void whatever_is_spliced_readers_see_the_model(void **state)
{
    struct fixture *fixture = *state;
    struct model *wanted = &fixture->wanted, early = {0}, late = {0};
    struct tail early_tail, late_tail;

    run_work(fixture, (struct work){0});
    assert_true(tail_start(fixture->store, &early_tail, RUN, 0));
    late_tail = early_tail;
    srand(7);
    for (int round = 0; round < ROUNDS; round++) {
        int64_t skipped = rand() % 40 == 0 ? 1 + rand() % 5 : 0,
                back = rand() % 3 ? 0 : rand() % (rand() % 20 ? 8 : 400),
                from = skipped                ? wanted->count + skipped
                       : wanted->count > back ? wanted->count - back
                                              : 0,
                count = rand() % 50 ? 1 + rand() % 12 : 0;
        int result;

        make_text(count);
        result = run_work(fixture, (struct work){.from = from, .count = count, .text = text});
        while (wanted->count < from)
            model_put(wanted, wanted->count, NULL);
        model_splice(wanted, from, count);
        assert_int_equal(fixture->run.lines, wanted->count);
        if (rand() % 5 == 0 && count) { /* the answer was lost: once more changes nothing */
            assert_int_equal(
                run_work(fixture, (struct work){.from = from, .count = count, .text = text}), 0);
            assert_int_equal(result >= 0, 1);
        }
        if (rand() % 2)
            follow(fixture, &early_tail, &early);
        if (rand() % 300 == 0) {
            follow(fixture, &late_tail, &late);
            model_equal(&late, wanted);
        }
        if (wanted->count > LINES_MAX / 2) { /* begin anew, as after a digest that differs */
            assert_int_equal(
                run_work(fixture, (struct work){.from = 0, .count = 1, .text = "anew"}), 1);
            model_put(wanted, 0, "anew");
        }
    }
    follow(fixture, &early_tail, &early);
    follow(fixture, &late_tail, &late);
    model_equal(&early, wanted);
    model_equal(&late, wanted);
    model_cut(&early, 0);
    model_cut(&late, 0);
    read_whole(fixture, &early);
    model_equal(&early, wanted);
    model_cut(&early, 0);
    assert_true(fixture->run.stored >= bytes_of(wanted));
    /* Thousands of small commits have been through it. */
    assert_uint_in_range(size_of(fixture, "nixfleet.db-wal"), 1, 16 << 20);
}

static void large_commits_are_taken_over_once_no_more_come(void **state)
{
    enum { SIZE = 500000, COUNT = 24 };
    struct fixture *fixture = *state;
    char *large = malloc(SIZE + 1);
    int tries = 0;

    memset(large, 'x', SIZE);
    large[SIZE] = '\0';
    for (int64_t i = 0; i < COUNT; i++)
        run_work(fixture, (struct work){.from = i, .count = 1, .text = large});
    free(large);
    while (size_of(fixture, "nixfleet.db") < SIZE * (COUNT - 8)) {
        assert_uint_in_range(++tries, 1, 3000);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
}

/* ---- the host that runs belong to ---- */

static const char *const ids[] = {RUN, "01900000-0000-7000-8000-000000000002"};

/* A heartbeat. */
static void report(struct txn *txn, int64_t key, int64_t seen_ms, int64_t started_ms)
{
    struct run_update update = {
        .last_seen_ms = seen_ms, .interval_ms = 10000, .started_ms = started_ms};

    assert_int_equal(txn_run_update(txn, key, &update), 0);
}

static enum job_result make_two_runs(struct txn *txn, void *context)
{
    struct run_row runs[2];

    (void)context;
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(txn_run_create(txn, "host", ids[i], &runs[i]), 0);
    report(txn, runs[0].key, txn->now_ms - 5000, txn->now_ms - 60000);
    report(txn, runs[1].key, txn->now_ms - 5000, txn->now_ms - 50000);
    assert_int_equal(txn_host_settle(txn, "host"), 0);
    return JOB_DONE;
}

struct shown {
    char run[RUN_ID_SIZE];
    int64_t last_seen_ms;
};

static void see_host(void *context, const struct host_row *row)
{
    struct shown *shown = context;

    snprintf(shown->run, sizeof shown->run, "%s", row->run.id);
    shown->last_seen_ms = row->last_seen_ms;
}

static void see_due(void *context, const char *host, const char *run)
{
    (void)host, (void)run;
    (*(int *)context)++;
}

/* The host shows this run; the clock changes it after three intervals. */
static void check_host(struct fixture *fixture, const char *run)
{
    struct shown shown = {0};
    int64_t due;
    int count = 0;

    assert_int_equal(store_host(fixture->store, "host", see_host, &shown), 1);
    assert_string_equal(shown.run, run);
    due = shown.last_seen_ms + STATE_INTERVALS * (int64_t)10000;
    assert_int_equal(store_hosts_due(fixture->store, due - 1, due, see_due, &count), 0);
    assert_int_equal(count, 1);
}

static enum job_result run_goes_on(struct txn *txn, void *context)
{
    struct work *work = context;
    struct run_facts facts = {.exists = true,
                              .interval_ms = 10000,
                              .started_ms = txn->now_ms - 50000,
                              .last_seen_ms = txn->now_ms};
    struct run_row run;

    assert_int_equal(txn_run_find(txn, work->text, &run), 0);
    report(txn, run.key, txn->now_ms, run.started_ms);
    work->result = txn_host_goes_on(txn, "host", work->text, &facts);
    return JOB_DONE;
}

static enum job_result settle(struct txn *txn, void *context)
{
    (void)context;
    assert_int_equal(txn_host_settle(txn, "host"), 0);
    return JOB_DONE;
}

static void a_run_that_goes_on_leaves_the_host_as_a_look_at_all_runs_would(void **state)
{
    struct fixture *fixture = *state;

    do_work(fixture, (struct work){0}, make_two_runs);
    /* Of the run that is not shown, nothing is changed in this way. */
    assert_int_equal(do_work(fixture, (struct work){.text = ids[0]}, run_goes_on), 0);
    /* Of the other: as if all runs were looked at. */
    assert_int_equal(do_work(fixture, (struct work){.text = ids[1]}, run_goes_on), 1);
    check_host(fixture, ids[1]);
    do_work(fixture, (struct work){0}, settle);
    check_host(fixture, ids[1]);
}

static void a_log_that_grew_too_large_loses_its_middle(void **state)
{
    struct fixture *fixture = *state;
    struct model follower = {0}, whole = {0};
    struct tail tail;
    int64_t missing = 0, largest = 20000;

    run_work(fixture, (struct work){0});
    assert_true(tail_start(fixture->store, &tail, RUN, 0));
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "line number %d", i);
        run_work(fixture, (struct work){.from = i, .count = 1, .text = text});
        if (fixture->run.stored > largest)
            run_work(fixture, (struct work){.shorten = largest / 10 * 9});
        assert_true(fixture->run.stored <= largest);
        if (i % 97 == 0)
            follow(fixture, &tail, &follower);
    }
    read_whole(fixture, &whole);
    assert_int_equal(whole.count, 3000);
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "line number %d", i);
        if (whole.line[i])
            assert_string_equal(whole.line[i], text);
        else
            missing++;
    }
    assert_uint_in_range(missing, 1000, 2900);
    for (int i = 0; i < 100; i++)
        assert_true(whole.line[i] && whole.line[2999 - i]);
    follow(fixture, &tail, &follower);
    model_equal(&follower, &whole);
    model_cut(&follower, 0);
    model_cut(&whole, 0);
}

static void exec(sqlite3 *db, const char *sql)
{
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* A database as it was after so many steps. */
static void make_old(struct fixture *fixture, int steps, const char *more)
{
    char path[128], mark[64];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/nixfleet.db", fixture->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    for (int i = 0; i < steps && i < SCHEMA_STEPS; i++)
        exec(db, schema_steps[i]);
    snprintf(mark, sizeof mark, "PRAGMA user_version=%d", steps);
    exec(db, mark);
    exec(db, more);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int version_of(const struct fixture *fixture)
{
    sqlite3_stmt *version;
    char path[128];
    sqlite3 *db;
    int value;

    snprintf(path, sizeof path, "%s/nixfleet.db", fixture->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &version, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(version), SQLITE_ROW);
    value = sqlite3_column_int(version, 0);
    sqlite3_finalize(version);
    sqlite3_close(db);
    return value;
}

static void every_older_version_is_brought_up_to_date(void **state)
{
    (void)state;
    for (int steps = 1; steps < SCHEMA_STEPS; steps++) {
        struct fixture fixture = {0};
        char error[STORE_ERROR_SIZE] = "";
        struct model whole = {0};

        make_dir(&fixture);
        make_old(&fixture, steps,
                 "INSERT INTO hosts(id, hostname) VALUES('host','host');"
                 "INSERT INTO runs(k, id, host, lines, stored) VALUES(1,'" RUN "','host',5,3);"
                 "INSERT INTO chunks(run, first, count, version, at, text) "
                 "VALUES(1,0,1,1,1,'a'),(1,1,3,2,1,NULL),(1,4,1,3,1,'b')");
        fixture.store = store_open(fixture.dir, error);
        assert_string_equal(error, "");
        assert_int_equal(version_of(&fixture), SCHEMA_STEPS);
        read_whole(&fixture, &whole);
        assert_int_equal(whole.count, 5);
        assert_string_equal(whole.line[4], "b");
        assert_null(whole.line[2]);
        model_cut(&whole, 0);
        store_close(fixture.store);
        remove_dir(&fixture);
    }
}

static void a_newer_version_is_refused_and_left_alone(void **state)
{
    struct fixture fixture = {0};
    char error[STORE_ERROR_SIZE] = "";

    (void)state;
    make_dir(&fixture);
    make_old(&fixture, SCHEMA_STEPS + 1, "CREATE TABLE of_the_future(x)");
    assert_null(store_open(fixture.dir, error));
    assert_non_null(strstr(error, "newer version"));
    remove_dir(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whatever_is_spliced_readers_see_the_model, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_log_that_grew_too_large_loses_its_middle, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(large_commits_are_taken_over_once_no_more_come, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_run_that_goes_on_leaves_the_host_as_a_look_at_all_runs_would, set_up, tear_down),
        cmocka_unit_test(every_older_version_is_brought_up_to_date),
        cmocka_unit_test(a_newer_version_is_refused_and_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
