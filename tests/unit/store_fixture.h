/* Opens a store for one test, and runs jobs and waits for them. The store is in a directory. If
   NIXFLEET_TEST_POSTGRES is set, the store is in the database of this URL, which is emptied first.
 */
#ifndef NIXFLEET_TESTS_STORE_FIXTURE_H
#define NIXFLEET_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "cmocka_versions.h"

#include "dashboard/store/store.h"

#define RUN "01900000-0000-7000-8000-000000000001"
#define RUN_2 "01900000-0000-7000-8000-000000000002"

struct fixture {
    char dir[64];
    struct store *store;
    struct run_row run;
};

/* A job for which the test waits: the function, its arguments and its result. */
struct work {
    struct job job;
    struct fixture *fixture;
    enum job_result (*apply)(struct txn *txn, struct work *work);
    const char *host, *run, *text;
    int64_t from, count, bytes;
    int64_t result;
    bool ok;
    int done[2];
};

static inline enum job_result work_apply(struct txn *txn, void *context)
{
    struct work *work = context;

    return work->apply(txn, work);
}

static inline void work_done(void *context, bool ok)
{
    struct work *work = context;

    work->ok = ok;
    assert_int_equal(write(work->done[1], "d", 1), 1);
}

/* Submits work.apply and waits for its commit. Returns whether it was committed. */
static inline bool try_work(struct fixture *fixture, struct work *work)
{
    char byte;

    work->fixture = fixture;
    work->job = (struct job){.apply = work_apply, .done = work_done, .context = work};
    assert_int_equal(pipe(work->done), 0);
    store_submit(fixture->store, &work->job);
    assert_int_equal(read(work->done[0], &byte, 1), 1);
    close(work->done[0]);
    close(work->done[1]);
    return work->ok;
}

/* As try_work, but the test fails if the work is not committed. Returns work.result. */
static inline int64_t do_work(struct fixture *fixture, struct work work)
{
    assert_true(try_work(fixture, &work));
    return work.result;
}

/* Splices the lines of work into the fixture's run. The first call makes the run. */
static inline enum job_result apply_splice(struct txn *txn, struct work *work)
{
    struct run_row *run = &work->fixture->run;
    struct chunk lines = {.first = work->from, .count = work->count, .text = work->text};

    if (!run->key)
        assert_int_equal(txn_run_create(txn, "host", RUN, run), 0);
    if (work->text) {
        lines.size = strlen(work->text);
        work->result = txn_log_splice(txn, run, &lines);
        assert_true(work->result >= 0);
    }
    assert_int_equal(txn_run_save_counts(txn, run, -1), 0);
    return JOB_DONE;
}

static inline int64_t splice(struct fixture *fixture, int64_t from, int64_t count, const char *text)
{
    return do_work(
        fixture, (struct work){.apply = apply_splice, .from = from, .count = count, .text = text});
}

static inline void make_run(struct fixture *fixture)
{
    do_work(fixture, (struct work){.apply = apply_splice});
}

static inline void make_dir(struct fixture *fixture)
{
    snprintf(fixture->dir, sizeof fixture->dir, "%s/store.XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(fixture->dir));
}

static inline void remove_dir(const struct fixture *fixture)
{
    static const char *const names[] = {"nixfleet.db", "nixfleet.db-wal", "nixfleet.db-shm"};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", fixture->dir, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(fixture->dir), 0);
}

static inline const char *database_url(void)
{
    return getenv("NIXFLEET_TEST_POSTGRES");
}

static inline void empty_database(const char *url)
{
    PGconn *connection = PQconnectdb(url);
    PGresult *result;

    assert_int_equal(PQstatus(connection), CONNECTION_OK);
    result = PQexec(connection, "SET client_min_messages=error; DROP SCHEMA public CASCADE; CREATE "
                                "SCHEMA public");
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    PQfinish(connection);
}

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char error[STORE_ERROR_SIZE] = "";

    assert_non_null(fixture);
    make_dir(fixture);
    if (database_url())
        empty_database(database_url());
    fixture->store = store_open(database_url() ? database_url() : fixture->dir, error);
    assert_string_equal(error, "");
    assert_non_null(fixture->store);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;

    store_close(fixture->store);
    remove_dir(fixture);
    free(fixture);
    return 0;
}

static inline void count_row(void *context, const struct host_row *row)
{
    (void)row;
    (*(int *)context)++;
}

static inline int count_hosts(struct store *store)
{
    int count = 0;

    assert_int_equal(store_hosts(store, count_row, &count), 0);
    return count;
}

/* A heartbeat. */
static inline void put_heartbeat(struct txn *txn, int64_t key, int64_t seen_ms, int64_t started_ms)
{
    struct run_update update = {
        .last_seen_ms = seen_ms, .interval_ms = 10000, .started_ms = started_ms};

    assert_int_equal(txn_run_update(txn, key, &update), 0);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
