/* Tests of the SQLite engine only: its write-ahead log, and files of other versions. */
#include <sqlite3.h>
#include <sys/stat.h>
#include <time.h>

#include "dashboard/store/sqlite/rowsum.h"
#include "dashboard/store/sqlite/schema.h"
#include "tests/unit/store_fixture.h"

static off_t size_of(const struct fixture *fixture, const char *name)
{
    char path[128];
    struct stat info;

    snprintf(path, sizeof path, "%s/%s", fixture->dir, name);
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

static void many_small_commits_leave_a_small_write_ahead_log(void **state)
{
    struct fixture *fixture = *state;

    for (int64_t i = 0; i < 1500; i++)
        splice(fixture, i, 1, "a line");
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
        splice(fixture, i, 1, large);
    free(large);
    while (size_of(fixture, "nixfleet.db") < SIZE * (COUNT - 8)) {
        assert_uint_in_range(++tries, 1, 3000);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
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
    for (int i = 0; i < steps && i < SCHEMA_STEPS; i++)
        assert_int_equal(rowsum_fill(db, i + 1), SQLITE_OK);
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

struct lines_seen {
    int chunks, gaps;
    int64_t lines;
};

static bool see_chunk(void *context, const struct chunk *chunk)
{
    struct lines_seen *seen = context;

    seen->chunks++;
    seen->gaps += !chunk->text;
    seen->lines += chunk->count;
    return true;
}

static void every_older_version_is_brought_up_to_date(void **state)
{
    (void)state;
    for (int steps = 1; steps < SCHEMA_STEPS; steps++) {
        struct fixture fixture = {0};
        char error[STORE_ERROR_SIZE] = "";
        struct lines_seen seen = {0};

        make_dir(&fixture);
        make_old(&fixture, steps,
                 "INSERT INTO hosts(id, hostname) VALUES('host','host');"
                 "INSERT INTO runs(k, id, host, lines, stored) VALUES(1,'" RUN "','host',5,3);"
                 "INSERT INTO chunks(run, first, count, version, at, text) "
                 "VALUES(1,0,1,1,1,'a'),(1,1,3,2,1,NULL),(1,4,1,3,1,'b')");
        fixture.store = store_open(fixture.dir, error);
        assert_string_equal(error, "");
        assert_int_equal(version_of(&fixture), SCHEMA_STEPS);
        assert_int_equal(store_log(fixture.store, 1, 0, see_chunk, &seen), 0);
        assert_true(seen.chunks == 3 && seen.gaps == 1 && seen.lines == 5);
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
        cmocka_unit_test_setup_teardown(many_small_commits_leave_a_small_write_ahead_log, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(large_commits_are_taken_over_once_no_more_come, set_up,
                                        tear_down),
        cmocka_unit_test(every_older_version_is_brought_up_to_date),
        cmocka_unit_test(a_newer_version_is_refused_and_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
