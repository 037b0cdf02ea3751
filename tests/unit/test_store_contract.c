/* What every engine of the store must do, through store.h alone: jobs, snapshots, changes, texts.
   Lines, hosts and runs are in test_store_contract_*.c. */
#include "tests/unit/store_fixture.h"

/* ---- jobs, snapshots, changes ---- */

static enum job_result make_host(struct txn *txn, struct work *work)
{
    assert_int_equal(txn_host_seen(txn, work->host), 0);
    work->result = count_hosts(txn->store); /* a reader does not see what is not committed */
    return work->bytes ? JOB_FAILED : JOB_DONE;
}

static void a_job_that_fails_is_undone_and_not_seen_before_its_commit(void **state)
{
    struct fixture *fixture = *state;
    struct work fails = {.apply = make_host, .host = "undone", .bytes = 1};

    assert_false(try_work(fixture, &fails));
    assert_int_equal(count_hosts(fixture->store), 0);
    assert_int_equal(do_work(fixture, (struct work){.apply = make_host, .host = "kept"}), 0);
    assert_int_equal(count_hosts(fixture->store), 1);
}

static void a_snapshot_is_one_state(void **state)
{
    struct fixture *fixture = *state;

    do_work(fixture, (struct work){.apply = make_host, .host = "one"});
    store_snapshot(fixture->store);
    assert_int_equal(count_hosts(fixture->store), 1);
    do_work(fixture, (struct work){.apply = make_host, .host = "two"});
    assert_int_equal(count_hosts(fixture->store), 1);
    store_snapshot_end(fixture->store);
    assert_int_equal(count_hosts(fixture->store), 2);
}

struct seen {
    struct change changes[8];
    size_t count;
};

static void see_changes(void *context, const struct change *changes, size_t count)
{
    struct seen *seen = context;

    for (size_t i = 0; i < count && seen->count < 8; i++)
        seen->changes[seen->count++] = changes[i];
}

static enum job_result change(struct txn *txn, struct work *work)
{
    (void)work;
    txn_changed(txn, "host", NULL);
    txn_changed(txn, "host", RUN);
    txn_progressed(txn, "host", RUN);
    return JOB_DONE;
}

static void whoever_watches_is_told_what_has_changed(void **state)
{
    struct fixture *fixture = *state;
    struct seen seen = {0};

    store_watch(fixture->store, see_changes, &seen);
    do_work(fixture, (struct work){.apply = change});
    store_watch(fixture->store, NULL, NULL);
    do_work(fixture, (struct work){.apply = change});
    assert_int_equal(seen.count, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(seen.changes[i].host, "host");
        assert_string_equal(seen.changes[i].run, i ? RUN : "");
        assert_int_equal(seen.changes[i].progress, i == 2);
    }
}

static void versions_grow_over_restarts(void **state)
{
    struct fixture *fixture = *state;
    char error[STORE_ERROR_SIZE] = "";
    int64_t before = 0, after = 0;

    splice(fixture, 0, 1, "one");
    assert_int_equal(store_log_changed(fixture->store, fixture->run.key, 0, &before), 0);
    store_close(fixture->store);
    fixture->store = store_open(database_url() ? database_url() : fixture->dir, error);
    assert_string_equal(error, "");
    splice(fixture, 1, 1, "two");
    assert_int_equal(store_log_changed(fixture->store, fixture->run.key, before, &after), 1);
    assert_true(after > before);
    assert_int_equal(store_log_changed(fixture->store, fixture->run.key, after, &after), -1);
}

static void a_store_that_works_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct store_counts counts;

    do_work(fixture, (struct work){.apply = make_host, .host = "host"});
    store_counts(fixture->store, &counts);
    assert_true(counts.jobs == 1 && counts.commits == 1 && counts.waiting == 0);
    assert_int_equal(counts.hosts, 1);
    assert_int_equal(store_probe(fixture->store), 0);
    assert_null(store_trouble(fixture->store));
}

/* ---- texts ---- */

#define WRONG \
    "a\xff"   \
    "b\xc3"
#define RIGHT       \
    "a\xef\xbf\xbd" \
    "b\xef\xbf\xbd"

static enum job_result write_wrong(struct txn *txn, struct work *work)
{
    struct run_update update = {.command = WRONG, .started_ms = 1, .last_seen_ms = 1};
    struct history_row line = {.icon = "x", .message = WRONG};
    struct chunk lines = {.count = 1, .text = WRONG, .size = sizeof WRONG - 1};

    (void)work;
    assert_int_equal(txn_host_patch(txn, "host", &(struct host_fields){.comment = WRONG}), 0);
    assert_int_equal(txn_run_update(txn, work->fixture->run.key, &update), 0);
    assert_int_equal(txn_history_add(txn, "host", &line), 0);
    assert_int_equal(txn_log_splice(txn, &work->fixture->run, &lines), 1);
    assert_int_equal(txn_log_splice(txn, &work->fixture->run, &lines), 0);
    assert_int_equal(txn_run_save_counts(txn, &work->fixture->run, -1), 0);
    return JOB_DONE;
}

static void see_comment(void *context, const struct host_row *row)
{
    assert_string_equal(row->comment, RIGHT);
    (*(int *)context)++;
}

static void see_command(void *context, const struct run_details *row)
{
    assert_string_equal(row->command, RIGHT);
    (*(int *)context)++;
}

static void see_message(void *context, const struct history_row *row)
{
    assert_string_equal(row->message, RIGHT);
    (*(int *)context)++;
}

static bool see_text(void *context, const struct chunk *chunk)
{
    assert_int_equal(chunk->size, sizeof RIGHT - 1);
    assert_memory_equal(chunk->text, RIGHT, chunk->size);
    (*(int *)context)++;
    return true;
}

static void what_is_not_utf_8_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;

    do_work(fixture, (struct work){.apply = make_host, .host = "host"});
    make_run(fixture);
    do_work(fixture, (struct work){.apply = write_wrong});
    assert_int_equal(store_host(fixture->store, "host", see_comment, &count), 1);
    assert_int_equal(store_run(fixture->store, "host", RUN, see_command, &count), 1);
    assert_int_equal(store_history(fixture->store, "host", 0, true, see_message, &count), 0);
    assert_int_equal(store_log(fixture->store, fixture->run.key, 0, see_text, &count), 0);
    assert_int_equal(count, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_job_that_fails_is_undone_and_not_seen_before_its_commit),
        WITH_STORE(a_snapshot_is_one_state),
        WITH_STORE(whoever_watches_is_told_what_has_changed),
        WITH_STORE(versions_grow_over_restarts),
        WITH_STORE(a_store_that_works_says_so),
        WITH_STORE(what_is_not_utf_8_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
