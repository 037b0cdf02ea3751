/* What every engine of the store must do, through store.h alone. First, lines against a model:
   whatever is spliced, a reader sees the model's log, and whoever follows the log is told exactly
   what makes the follower's copy equal. */
#include <time.h>

#include "common/utf8.h"
#include "dashboard/fleet/state.h"
#include "dashboard/live/follower.h"
#include "tests/unit/store_fixture.h"

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

static void follow(struct fixture *fixture, struct follower *follower, struct model *copy)
{
    follower->due = true;
    while (follower->due) {
        struct text message = {0};

        if (follower_splice(fixture->store, follower, &message) > 0) {
            text_add(&message, "", 1);
            take_splice(copy, &message);
        }
        text_free(&message);
    }
}

static void read_whole(struct fixture *fixture, struct model *out)
{
    struct follower follower;

    assert_true(follower_start(fixture->store, &follower, RUN, 0));
    follow(fixture, &follower, out);
}

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
    struct model made = {0}, *wanted = &made, early = {0}, late = {0};
    struct follower early_follower, late_follower;

    make_run(fixture);
    assert_true(follower_start(fixture->store, &early_follower, RUN, 0));
    late_follower = early_follower;
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
        result = splice(fixture, from, count, text);
        while (wanted->count < from)
            model_put(wanted, wanted->count, NULL);
        model_splice(wanted, from, count);
        assert_int_equal(fixture->run.lines, wanted->count);
        if (rand() % 5 == 0 && count) { /* the answer was lost: once more changes nothing */
            assert_int_equal(splice(fixture, from, count, text), 0);
            assert_int_equal(result >= 0, 1);
        }
        if (rand() % 2)
            follow(fixture, &early_follower, &early);
        if (rand() % 300 == 0) {
            follow(fixture, &late_follower, &late);
            model_equal(&late, wanted);
        }
        if (wanted->count > LINES_MAX / 2) { /* begin anew, as after a digest that differs */
            assert_int_equal(splice(fixture, 0, 1, "anew"), 1);
            model_put(wanted, 0, "anew");
        }
    }
    follow(fixture, &early_follower, &early);
    follow(fixture, &late_follower, &late);
    model_equal(&early, wanted);
    model_equal(&late, wanted);
    model_cut(&early, 0);
    model_cut(&late, 0);
    read_whole(fixture, &early);
    model_equal(&early, wanted);
    model_cut(&early, 0);
    assert_true(fixture->run.stored >= bytes_of(wanted));
    model_cut(wanted, 0);
}

/* ---- the host that runs belong to ---- */

static const char *const ids[] = {RUN, RUN_2};

/* A heartbeat. */
static void report(struct txn *txn, int64_t key, int64_t seen_ms, int64_t started_ms)
{
    struct run_update update = {
        .last_seen_ms = seen_ms, .interval_ms = 10000, .started_ms = started_ms};

    assert_int_equal(txn_run_update(txn, key, &update), 0);
}

static enum job_result make_two_runs(struct txn *txn, struct work *work)
{
    struct run_row runs[2];

    (void)work;
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(txn_run_create(txn, "host", ids[i], &runs[i]), 0);
    report(txn, runs[0].key, txn->now_ms - 5000, txn->now_ms - 60000);
    report(txn, runs[1].key, txn->now_ms - 5000, txn->now_ms - 50000);
    assert_int_equal(txn_host_refresh(txn, "host"), 0);
    return JOB_DONE;
}

struct shown {
    char run[RUN_ID_SIZE];
    int64_t last_seen_ms, run_seen_ms;
};

static void see_host(void *context, const struct host_row *row)
{
    struct shown *shown = context;

    snprintf(shown->run, sizeof shown->run, "%s", row->run.id);
    shown->last_seen_ms = row->last_seen_ms;
    shown->run_seen_ms = row->run.facts.last_seen_ms;
}

static void see_due(void *context, const char *host, const char *run)
{
    (void)host, (void)run;
    (*(int *)context)++;
}

/* The host shows this run; the clock changes it after three intervals, or up to early_ms before. */
static void check_host(struct fixture *fixture, const char *run, int64_t early_ms)
{
    struct shown shown = {0};
    int64_t due;
    int count = 0;

    assert_int_equal(store_host(fixture->store, "host", see_host, &shown), 1);
    assert_string_equal(shown.run, run);
    due = shown.run_seen_ms + STATE_INTERVALS * (int64_t)10000;
    assert_int_equal(store_hosts_due(fixture->store, due - early_ms - 1, due, see_due, &count), 0);
    assert_int_equal(count, 1);
}

/* The run of work reports, work->from ms later. */
static enum job_result keepalive(struct txn *txn, struct work *work)
{
    struct run_facts facts = {.exists = true,
                              .interval_ms = 10000,
                              .started_ms = txn->now_ms - 50000,
                              .last_seen_ms = txn->now_ms + work->from};
    struct run_row run;

    txn->now_ms += work->from;
    assert_int_equal(txn_run_find(txn, work->run, &run), 0);
    report(txn, run.key, txn->now_ms, run.started_ms);
    work->result = txn_host_keepalive(txn, "host", work->run, &facts);
    return JOB_DONE;
}

static int64_t host_seen_ms(struct fixture *fixture)
{
    struct shown shown = {0};

    assert_int_equal(store_host(fixture->store, "host", see_host, &shown), 1);
    return shown.last_seen_ms;
}

static enum job_result refresh_host(struct txn *txn, struct work *work)
{
    (void)work;
    assert_int_equal(txn_host_refresh(txn, "host"), 0);
    return JOB_DONE;
}

static void a_run_that_goes_on_leaves_the_host_as_a_look_at_all_runs_would(void **state)
{
    struct fixture *fixture = *state;
    struct work work = {.apply = keepalive, .run = ids[1]};
    int64_t seen_ms;

    do_work(fixture, (struct work){.apply = make_two_runs});
    /* Of the run that is not shown, nothing is changed in this way. */
    assert_int_equal(do_work(fixture, (struct work){.apply = keepalive, .run = ids[0]}), 0);
    /* Of the other: as if all runs were looked at, but for what may be stored later. */
    seen_ms = host_seen_ms(fixture);
    assert_int_equal(do_work(fixture, (struct work){.apply = keepalive, .run = ids[1]}), 1);
    check_host(fixture, ids[1], 2 * STORE_KEEPALIVE_MS); /* its last report is 5 s old */
    work.from = STORE_KEEPALIVE_MS + 1;
    assert_int_equal(do_work(fixture, work), 1);
    assert_true(host_seen_ms(fixture) > seen_ms + STORE_KEEPALIVE_MS);
    check_host(fixture, ids[1], 0);
    do_work(fixture, (struct work){.apply = refresh_host});
    check_host(fixture, ids[1], 0);
}

static enum job_result shorten(struct txn *txn, struct work *work)
{
    struct run_row *run = &work->fixture->run;

    work->result = txn_log_shorten(txn, run, work->bytes);
    assert_true(work->result >= 0);
    assert_int_equal(txn_run_save_counts(txn, run, -1), 0);
    return JOB_DONE;
}

static void a_log_that_grew_too_large_loses_its_middle(void **state)
{
    struct fixture *fixture = *state;
    struct model copy = {0}, whole = {0};
    struct follower follower;
    int64_t missing = 0, largest = 20000;

    make_run(fixture);
    assert_true(follower_start(fixture->store, &follower, RUN, 0));
    for (int i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "line number %d", i);
        splice(fixture, i, 1, text);
        if (fixture->run.stored > largest)
            do_work(fixture, (struct work){.apply = shorten, .bytes = largest / 10 * 9});
        assert_true(fixture->run.stored <= largest);
        if (i % 97 == 0)
            follow(fixture, &follower, &copy);
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
    follow(fixture, &follower, &copy);
    model_equal(&copy, &whole);
    model_cut(&copy, 0);
    model_cut(&whole, 0);
}

/* ---- jobs, snapshots, changes ---- */

static void count_row(void *context, const struct host_row *row)
{
    (void)row;
    (*(int *)context)++;
}

static int count_hosts(struct store *store)
{
    int count = 0;

    assert_int_equal(store_hosts(store, count_row, &count), 0);
    return count;
}

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

    do_work(fixture, (struct work){.apply = make_two_runs});
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

/* ---- hosts ---- */

static enum job_result write_host(struct txn *txn, struct work *work)
{
    struct host_fields fields = {.host_type = "macos", .comment = "first", .poll_interval = 5};
    struct host_tests tests = {.total = 3, .passed = 3, .summary = "3/3 passed"};

    (void)work;
    assert_int_equal(txn_host_register(txn, "host", &fields), 1);
    assert_int_equal(txn_host_register(txn, "host", &fields), 0);
    fields.metrics = "{\"cpu\": 2}";
    assert_int_equal(txn_host_register(txn, "host", &fields), 0);
    assert_int_equal(txn_host_add(txn, "host", &fields), 0);
    assert_int_equal(txn_host_add(txn, "other", &fields), 1);
    assert_int_equal(txn_host_patch(txn, "host", &(struct host_fields){.last_fix_ms = 7}), 0);
    assert_int_equal(
        txn_host_status(txn, "host", "ok", &(struct host_fields){.current_generation = "g1"}), 0);
    assert_int_equal(txn_host_tests(txn, "host", &tests), 0);
    return JOB_DONE;
}

static void see_fields(void *context, const struct host_row *row)
{
    (*(int *)context)++;
    assert_string_equal(row->hostname, "host");
    assert_string_equal(row->host_type, "macos");
    assert_null(row->location);                 /* the host did not say it */
    assert_string_equal(row->comment, "first"); /* NULL leaves what is stored */
    assert_string_equal(row->current_generation, "g1");
    assert_string_equal(row->test_status, "3/3 passed");
    assert_int_equal(row->poll_interval, 5);
    assert_int_equal(row->last_fix_ms, 7);
    assert_true(row->last_seen_ms > 0 && row->last_switch_ms == row->last_seen_ms);
    assert_false(row->run.facts.exists);
}

static enum job_result remove_host(struct txn *txn, struct work *work)
{
    struct host_facts facts;
    struct run_row run;

    work->result = txn_host_remove(txn, "host");
    assert_int_equal(txn_host_facts(txn, "host", &facts), 0);
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_true(run.key && run.deleted && run.lines == 0); /* a late report is told so */
    return JOB_DONE;
}

static void a_host_keeps_what_is_not_said_anew_and_goes_as_a_whole(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;

    do_work(fixture, (struct work){.apply = write_host});
    assert_int_equal(store_host(fixture->store, "host", see_fields, &count), 1);
    assert_int_equal(store_host(fixture->store, "nobody", see_fields, &count), 0);
    assert_int_equal(count, 1);
    splice(fixture, 0, 2, "one\ntwo");
    assert_int_equal(do_work(fixture, (struct work){.apply = remove_host}), 1);
    assert_int_equal(do_work(fixture, (struct work){.apply = remove_host}), 0);
    assert_int_equal(count_hosts(fixture->store), 1);
}

static enum job_result set_tokens(struct txn *txn, struct work *work)
{
    char hash[STORE_HASH_SIZE];

    (void)work;
    assert_int_equal(txn_host_token(txn, "host", hash), 0);
    assert_int_equal(txn_host_set_token(txn, "host", "h1", false), 0);
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    assert_int_equal(txn_host_token(txn, "host", hash), 1);
    assert_string_equal(hash, "");
    assert_int_equal(txn_host_set_token(txn, "host", "h1", false), 1);
    assert_int_equal(txn_host_set_token(txn, "made", "h2", true), 1);
    return JOB_DONE;
}

static void tokens_belong_to_hosts(void **state)
{
    struct fixture *fixture = *state;
    char hash[STORE_HASH_SIZE];

    do_work(fixture, (struct work){.apply = set_tokens});
    assert_int_equal(store_host_token(fixture->store, "host", hash), 1);
    assert_string_equal(hash, "h1");
    assert_int_equal(store_host_token(fixture->store, "made", hash), 1);
    assert_int_equal(store_host_token(fixture->store, "nobody", hash), 0);
}

/* ---- verdicts ---- */

#define OLD_RUN "01900000-0000-7000-8000-0000000000a1"
#define NEW_RUN "01900000-0000-7000-8000-0000000000a2"

static void end_run(struct txn *txn, const char *id, const char *name, int64_t started_ms,
                    const char *outcome)
{
    struct run_update update = {.started_ms = started_ms,
                                .last_seen_ms = started_ms,
                                .interval_ms = 10000,
                                .name = name,
                                .finished = true,
                                .heartbeat = true};
    struct run_end end = {.ended_ms = started_ms + 1000,
                          .exit = "{}",
                          .outcome = outcome,
                          .error = "error: because",
                          .error_line = -1,
                          .authoritative = true};
    struct run_row run;

    assert_int_equal(txn_run_find(txn, id, &run), 0);
    if (!run.key)
        assert_int_equal(txn_run_create(txn, "host", id, &run), 0);
    assert_int_equal(txn_run_update(txn, run.key, &update), 0);
    assert_int_equal(txn_run_finish(txn, run.key, &end), 0);
    assert_int_equal(txn_run_verdict(txn, "host", id), 0);
}

static enum job_result end_runs(struct txn *txn, struct work *work)
{
    (void)work;
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    end_run(txn, NEW_RUN, "switch", 2000000, "failure");
    end_run(txn, OLD_RUN, "switch", 1000000, "success"); /* delivered late: it says nothing new */
    end_run(txn, "01900000-0000-7000-8000-0000000000a3", "pull", 3000000, "success");
    end_run(txn, "01900000-0000-7000-8000-0000000000a4", "update", 4000000, "stopped");
    return JOB_DONE;
}

/* The command of the agent that was the run `end_well`. */
static enum job_result end_command(struct txn *txn, struct work *work)
{
    struct verdict_row row = {
        .name = "switch", .outcome = "failure", .started_ms = 5000000, .ended_ms = 5000001};

    (void)work;
    assert_int_equal(txn_verdict(txn, "host", &row), 0);
    return JOB_DONE;
}

static enum job_result end_well(struct txn *txn, struct work *work)
{
    (void)work;
    end_run(txn, "01900000-0000-7000-8000-0000000000a5", "switch", 5000000, "success");
    return JOB_DONE;
}

static enum job_result lose_run(struct txn *txn, struct work *work)
{
    struct run_update update = {.started_ms = 6000000,
                                .last_seen_ms = 6000000,
                                .interval_ms = 10000,
                                .name = "switch",
                                .heartbeat = true};
    struct run_row run;

    (void)work;
    assert_int_equal(txn_run_create(txn, "host", RUN, &run), 0);
    assert_int_equal(txn_run_update(txn, run.key, &update), 0);
    assert_int_equal(txn_host_agent_seen(txn, "host"), 0);
    assert_int_equal(txn_runs_suspect(txn, "host", RUN), 0); /* heard through the run itself */
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_int_equal(run.suspect_ms, 0);
    assert_int_equal(txn_runs_suspect(txn, "host", NULL), 0);
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_int_equal(run.suspect_ms, txn->now_ms);
    assert_int_equal(txn_host_refresh(txn, "host"), 0); /* it is silent for over a day: crashed */
    return JOB_DONE;
}

struct seen_verdict {
    char name[32], outcome[16], run[RUN_ID_SIZE];
    int count;
};

static void see_verdict(void *context, const struct verdict_row *row)
{
    struct seen_verdict *seen = context;

    if (seen->count++ == 0) {
        snprintf(seen->name, sizeof seen->name, "%s", row->name);
        snprintf(seen->outcome, sizeof seen->outcome, "%s", row->outcome);
        snprintf(seen->run, sizeof seen->run, "%s", row->run);
    }
}

static void see_verdict_of_host(void *context, const struct host_row *row)
{
    see_verdict(context, &row->verdict);
}

static void assert_verdict(struct fixture *fixture, const char *name, const char *outcome,
                           const char *run)
{
    struct seen_verdict seen = {0};

    assert_int_equal(store_host(fixture->store, "host", see_verdict_of_host, &seen), 1);
    assert_string_equal(seen.name, name);
    assert_string_equal(seen.outcome, outcome);
    assert_string_equal(seen.run, run);
}

static void verdicts_are_of_the_last_run_of_each_name(void **state)
{
    struct fixture *fixture = *state;
    struct seen_verdict seen = {0};

    do_work(fixture, (struct work){.apply = end_runs});
    assert_verdict(fixture, "switch", "failure", NEW_RUN);
    assert_int_equal(store_verdicts(fixture->store, "host", see_verdict, &seen), 0);
    assert_int_equal(seen.count, 2); /* a run that was stopped has none */
    assert_string_equal(seen.name, "pull");
    do_work(fixture, (struct work){.apply = end_well});
    do_work(fixture, (struct work){.apply = end_command}); /* in the same millisecond */
    assert_verdict(fixture, "switch", "success", "01900000-0000-7000-8000-0000000000a5");
    do_work(fixture, (struct work){.apply = lose_run});
    assert_verdict(fixture, "switch", "crashed", RUN);
}

/* ---- commands, history, sessions ---- */

static enum job_result use_commands(struct txn *txn, struct work *work)
{
    char command[STORE_COMMAND_SIZE];
    struct run_row run;

    (void)work;
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    assert_int_equal(txn_command_take(txn, "host", command), 0);
    assert_string_equal(command, "");
    assert_int_equal(txn_command_queue(txn, "host", "pull"), 0);
    assert_int_equal(txn_command_queue(txn, "host", "switch"), 0);
    assert_int_equal(txn_command_take(txn, "host", command), 0);
    assert_string_equal(command, "switch");
    assert_int_equal(txn_command_take(txn, "host", command), 0);
    assert_string_equal(command, "");
    assert_int_equal(txn_command_finish(txn, "host", "ok", "done", NULL), 0);
    assert_int_equal(txn_command_queue(txn, "host", "test"), 0);
    assert_int_equal(txn_command_cancel(txn, "host", command), 0);
    assert_string_equal(command, "test");
    assert_int_equal(txn_command_cancel(txn, "host", command), 0);
    assert_string_equal(command, "");
    assert_int_equal(txn_run_create(txn, "host", RUN, &run), 0);
    assert_int_equal(txn_host_refresh(txn, "host"), 0);
    assert_int_equal(txn_command_queue(txn, "host", "pull"), 0);
    assert_int_equal(txn_command_stop(txn, "host", "203.0.113.7"), 0);
    assert_int_equal(txn_command_take(txn, "host", command), 0);
    assert_string_equal(command, "");
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_true(run.stop);
    return JOB_DONE;
}

static void see_commands(void *context, const struct command_row *row)
{
    (*(int *)context)++;
    assert_string_equal(row->command, "switch");
    assert_string_equal(row->status, "ok");
    assert_string_equal(row->output, "done");
    assert_true(row->created_ms > 0 && row->completed_ms >= row->created_ms);
}

static void a_command_is_taken_once_and_a_stop_asks_the_run(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;

    do_work(fixture, (struct work){.apply = use_commands});
    assert_int_equal(store_commands(fixture->store, "host", 10, see_commands, &count), 0);
    assert_int_equal(count, 1);
}

static enum job_result fill_history(struct txn *txn, struct work *work)
{
    char message[32];
    struct history_row line = {.icon = "x", .message = message, .output = "long"};

    (void)work;
    assert_int_equal(txn_history_add(txn, "host", &line), 0); /* no such host: nothing is kept */
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    for (int i = 0; i < 1005; i++) {
        snprintf(message, sizeof message, "number %d", i);
        assert_int_equal(txn_history_add(txn, "host", &line), 0);
    }
    return JOB_DONE;
}

static void see_history(void *context, const struct history_row *row)
{
    int *count = context;
    char message[32];

    snprintf(message, sizeof message, "number %d", 1004 - (*count)++);
    assert_string_equal(row->message, message);
}

static void a_history_keeps_its_newest_thousand_lines(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;

    do_work(fixture, (struct work){.apply = fill_history});
    assert_int_equal(store_history(fixture->store, "host", 0, true, see_history, &count), 0);
    assert_int_equal(count, 1000);
    count = 0;
    assert_int_equal(store_history(fixture->store, "host", 50, false, see_history, &count), 0);
    assert_int_equal(count, 50);
}

static enum job_result use_sessions(struct txn *txn, struct work *work)
{
    assert_int_equal(txn_session_add(txn, "short", -1), 0);
    assert_int_equal(txn_session_add(txn, "one", 60000), 0);
    assert_int_equal(txn_session_add(txn, "two", 60000), 0);
    assert_int_equal(txn_session_drop(txn, "two"), 0);
    work->result = txn->now_ms;
    return JOB_DONE;
}

static void a_session_ends_by_time_or_by_hand(void **state)
{
    struct fixture *fixture = *state;
    int64_t now_ms = do_work(fixture, (struct work){.apply = use_sessions});

    assert_int_equal(store_session_end(fixture->store, "short", now_ms), 0);
    assert_true(store_session_end(fixture->store, "one", now_ms) > now_ms);
    assert_int_equal(store_session_end(fixture->store, "one", now_ms + 59999), now_ms + 60000);
    assert_int_equal(store_session_end(fixture->store, "one", now_ms + 60000), 0);
    assert_int_equal(store_session_end(fixture->store, "two", now_ms), 0);
}

/* ---- runs ---- */

static enum job_result end_a_run(struct txn *txn, struct work *work)
{
    struct run_end end = {.ended_ms = 5000,
                          .outcome = "failure",
                          .exit = "{\"code\":1}",
                          .error = "why",
                          .error_line = 3,
                          .authoritative = true},
                   late = {.ended_ms = 9000, .outcome = "success", .error_line = -1};
    struct run_update update = {.last_seen_ms = 4000,
                                .started_ms = 1000,
                                .interval_ms = 10000,
                                .phase = "building",
                                .name = "n",
                                .lost = true};
    struct run_row run;

    (void)work;
    assert_int_equal(txn_run_create(txn, "host", RUN, &run), 0);
    assert_true(run.fresh && run.key);
    assert_int_equal(txn_run_update(txn, run.key, &update), 0);
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_true(run.lost && !run.ended && !run.fresh);
    assert_int_equal(txn_run_finish(txn, run.key, &end), 0);
    assert_int_equal(txn_run_finish(txn, run.key, &late), 0);
    update.phase = "evaluating";
    assert_int_equal(txn_run_update(txn, run.key, &update), 0);
    return JOB_DONE;
}

static void see_end(void *context, const struct run_details *row)
{
    (*(int *)context)++;
    assert_true(row->facts.ended && !row->facts.lost && row->facts.ended_ms == 5000);
    assert_string_equal(row->outcome, "failure");
    assert_string_equal(row->phase, "failed");
    assert_string_equal(row->last_phase, "evaluating");
    assert_string_equal(row->exit, "{\"code\":1}");
    assert_string_equal(row->error, "why");
    assert_string_equal(row->name, "n");
    assert_int_equal(row->error_line, 3);
}

static void a_run_that_has_ended_keeps_its_end(void **state)
{
    struct fixture *fixture = *state;
    int count = 0;

    do_work(fixture, (struct work){.apply = end_a_run});
    assert_int_equal(store_run(fixture->store, "host", RUN, see_end, &count), 1);
    assert_int_equal(store_run(fixture->store, NULL, RUN, see_end, &count), 1);
    assert_int_equal(store_run(fixture->store, "other", RUN, see_end, &count), 0);
    assert_int_equal(count, 2);
}

#define RUNS 6

static enum job_result make_runs(struct txn *txn, struct work *work)
{
    (void)work;
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    for (int i = 0; i < RUNS; i++) {
        struct run_end end = {.ended_ms = txn->now_ms - i * 1000, .error_line = -1};
        struct chunk lines = {.count = 1, .text = "1234567890", .size = 10};
        struct run_row run;
        char id[RUN_ID_SIZE];

        snprintf(id, sizeof id, "01900000-0000-7000-8000-00000000010%c", '0' + i);
        assert_int_equal(txn_run_create(txn, "host", id, &run), 0);
        report(txn, run.key, txn->now_ms, txn->now_ms - i * 1000); /* made last, started first */
        assert_int_equal(txn_run_finish(txn, run.key, &end), 0);
        assert_int_equal(txn_log_splice(txn, &run, &lines), 1);
        assert_int_equal(txn_run_save_counts(txn, &run, -1), 0);
    }
    work->result = txn->now_ms;
    return JOB_DONE;
}

static void see_derivation(void *context, const struct derivation_row *row)
{
    ++*(int64_t *)context;
    assert_int_equal(row->n, 3);
    assert_string_equal(row->state, "built");
    assert_string_equal(row->machine, "m");
    assert_null(row->step);
    assert_int_equal(row->started_ms, 100);
    assert_int_equal(row->ended_ms, 250);
    assert_int_equal(row->lines, 2);
}

static enum job_result put_builds(struct txn *txn, struct work *work)
{
    struct run_row run;
    const struct derivation_row first = {.n = 3,
                                         .name = "a",
                                         .state = "building",
                                         .started_ms = 100,
                                         .line = 7,
                                         .lines = 1},
                                then = {.n = 3,
                                        .name = "a",
                                        .state = "built",
                                        .machine = "m",
                                        .ended_ms = 250,
                                        .line = 7,
                                        .lines = 2};

    if (txn_run_find(txn, RUN_2, &run) < 0 ||
        (!run.key && txn_run_create(txn, "host", RUN_2, &run) < 0) ||
        txn_derivation_put(txn, run.key, &first) < 0 ||
        txn_derivation_put(txn, run.key, &then) < 0 || txn_changes_put(txn, run.key, "[1]") < 0 ||
        txn_changes_put(txn, run.key, "[2]") < 0)
        return JOB_FAILED;
    work->result = run.key;
    assert_int_equal(txn_derivations(txn, run.key, see_derivation, &work->count), 0);
    assert_int_equal(work->count, 1);
    return JOB_DONE;
}

static enum job_result hide_builds(struct txn *txn, struct work *work)
{
    char host[HOST_ID_SIZE];

    return txn_run_hide(txn, work->from, host) < 0 ? JOB_FAILED : JOB_DONE;
}

static void see_changed(void *context, const char *changes)
{
    ++*(int64_t *)context;
    assert_string_equal(changes, "[2]");
}

static void a_derivation_is_replaced_by_its_index_and_goes_with_its_run(void **state)
{
    struct fixture *fixture = *state;
    int64_t key = do_work(fixture, (struct work){.apply = put_builds});
    int64_t seen = 0;

    assert_int_equal(store_derivations(fixture->store, key, 0, 10, see_derivation, &seen), 0);
    assert_int_equal(seen, 1);
    assert_int_equal(store_derivations(fixture->store, key, 4, 10, see_derivation, &seen), 0);
    assert_int_equal(store_changes(fixture->store, key, see_changed, &seen), 1);
    assert_int_equal(seen, 2);
    do_work(fixture, (struct work){.apply = hide_builds, .from = key});
    assert_int_equal(store_derivations(fixture->store, key, 0, 10, see_derivation, &seen), 0);
    assert_int_equal(store_changes(fixture->store, key, see_changed, &seen), 0);
    assert_int_equal(seen, 2);
}

/* ---- the logs of derivations ---- */

/* Writes what a reader sees of the log of derivation 3: lines, and "(N)" for N lines left out. */
static bool see_piece(void *context, const struct chunk *chunk)
{
    char *out = context, *end = out + strlen(out);

    if (chunk->text)
        sprintf(end, "%lld:%.*s|", (long long)chunk->first, (int)chunk->size, chunk->text);
    else
        sprintf(end, "(%lld)", (long long)chunk->count);
    return true;
}

static int splice_log(struct txn *txn, int64_t key, int64_t n, int64_t first, const char *log_text)
{
    struct chunk lines = {.first = first, .count = 1, .text = log_text, .size = strlen(log_text)};

    for (const char *c = log_text; *c; c++)
        lines.count += *c == '\n';
    return txn_build_log_splice(txn, key, n, &lines, 100);
}

static enum job_result put_logs(struct txn *txn, struct work *work)
{
    static char long_text[101];
    const struct derivation_row row = {.n = 3, .name = "a", .state = "built"};
    struct run_row run;

    memset(long_text, 'x', sizeof long_text - 1);
    if (txn_run_find(txn, RUN_2, &run) < 0 ||
        (!run.key && txn_run_create(txn, "host", RUN_2, &run) < 0) ||
        txn_derivation_put(txn, run.key, &row) < 0)
        return JOB_FAILED;
    work->result = run.key;
    assert_int_equal(splice_log(txn, run.key, 4, 0, "of nobody"), 0);
    assert_int_equal(splice_log(txn, run.key, 3, 0, "a\nb\nc"), 1);
    assert_int_equal(splice_log(txn, run.key, 3, 0, "a\nb\nc"), 0);
    assert_int_equal(splice_log(txn, run.key, 3, 1, "b"), 0);
    assert_int_equal(splice_log(txn, run.key, 3, 3, "d\ne"), 1);
    assert_int_equal(splice_log(txn, run.key, 3, 2, "c\nd"), 0);
    assert_int_equal(splice_log(txn, run.key, 3, 4, long_text), 0);
    assert_int_equal(splice_log(txn, run.key, 3, 4, "E"), 1);
    assert_int_equal(splice_log(txn, run.key, 3, 9, "z"), 1);
    return JOB_DONE;
}

static enum job_result rename_derivation(struct txn *txn, struct work *work)
{
    const struct derivation_row other = {.n = 3, .name = "b", .state = "built"};

    return txn_derivation_put(txn, work->from, &other) < 0 ? JOB_FAILED : JOB_DONE;
}

static void the_log_of_a_derivation_is_spliced_and_goes_with_its_run(void **state)
{
    struct fixture *fixture = *state;
    int64_t key = do_work(fixture, (struct work){.apply = put_logs});
    char seen[200] = "", behind[200] = "";

    assert_int_equal(store_build_log_lines(fixture->store, key, 3), 10);
    assert_int_equal(store_build_log_lines(fixture->store, key, 4), 0);
    assert_int_equal(store_build_log(fixture->store, key, 3, 0, see_piece, seen), 0);
    assert_string_equal(seen, "0:a\nb\nc|3:d|4:E|(4)9:z|");
    assert_int_equal(store_build_log(fixture->store, key, 3, 6, see_piece, behind), 0);
    assert_string_equal(behind, "(3)9:z|");
    do_work(fixture, (struct work){.apply = rename_derivation, .from = key});
    assert_int_equal(store_build_log_lines(fixture->store, key, 3), 0);
    do_work(fixture, (struct work){.apply = put_logs});
    do_work(fixture, (struct work){.apply = hide_builds, .from = key});
    assert_int_equal(store_build_log_lines(fixture->store, key, 3), 0);
    seen[0] = '\0';
    assert_int_equal(store_build_log(fixture->store, key, 3, 0, see_piece, seen), 0);
    assert_string_equal(seen, "");
}

/* ---- how long runs take ---- */

/* What was visited, as text. */
struct seen_text {
    char text[512];
    size_t size;
};

static void see_duration(void *context, const struct duration_row *row)
{
    struct seen_text *seen = context;

    seen->size += (size_t)snprintf(seen->text + seen->size, sizeof seen->text - seen->size,
                                   "%s%s %s:", seen->size ? "; " : "", row->kind, row->what);
    for (size_t i = 0; i < row->count; i++)
        seen->size += (size_t)snprintf(seen->text + seen->size, sizeof seen->text - seen->size,
                                       " %lld", (long long)row->ms[i]);
}

static void assert_durations(struct txn *txn, const char *host, const char *name,
                             const char *expected)
{
    struct seen_text seen = {0};

    assert_int_equal(txn_durations(txn, host, name, see_duration, &seen), 0);
    assert_string_equal(seen.text, expected);
}

static enum job_result add_durations(struct txn *txn, struct work *work)
{
    (void)work;
    assert_int_equal(txn_host_seen(txn, "host"), 0);
    for (int64_t i = 1; i <= 12; i++)
        assert_int_equal(txn_duration_add(txn, "host", "switch", "phase", "building", i * 1000), 0);
    assert_int_equal(txn_duration_add(txn, "host", "switch", "derivation", "linux", 7), 0);
    assert_int_equal(txn_duration_add(txn, "host", "switch", "derivation", "linux", -7), 0);
    assert_int_equal(txn_duration_add(txn, "host", "", "phase", "running", 1), 0);
    assert_int_equal(txn_duration_add(txn, "other", "switch", "phase", "building", 2), 0);
    assert_durations(txn, "host", "switch",
                     "derivation linux: 0 7; phase building: 12000 11000 10000 9000 8000 7000 "
                     "6000 5000 4000 3000");
    assert_durations(txn, "host", "pull", "");
    assert_durations(txn, "host", "", "phase running: 1");
    work->result = txn->now_ms;
    return JOB_DONE;
}

/* At a later time than add_durations. */
static enum job_result trim_durations(struct txn *txn, struct work *work)
{
    assert_true(txn->now_ms > work->from);
    assert_int_equal(txn_duration_add(txn, "host", "pull", "phase", "pulling", 5), 0);
    assert_int_equal(txn_durations_trim(txn, "host", 4), 0);
    assert_durations(txn, "host", "", "phase running: 1");
    assert_int_equal(txn_durations_trim(txn, "host", 1), 0);
    assert_durations(txn, "host", "", "");
    assert_durations(txn, "host", "switch", "");
    assert_durations(txn, "host", "pull", "phase pulling: 5");
    assert_durations(txn, "other", "switch", "phase building: 2");
    assert_int_equal(txn_expire(txn, 0, txn->now_ms, 10), 1); /* the other host's is older */
    assert_durations(txn, "other", "switch", "");
    assert_durations(txn, "host", "pull", "phase pulling: 5");
    assert_int_equal(txn_host_remove(txn, "host"), 1);
    assert_durations(txn, "host", "pull", "");
    return JOB_DONE;
}

static void durations_are_kept_by_host_and_run_name_the_newest_ten_of_each(void **state)
{
    struct fixture *fixture = *state;
    int64_t added_ms = do_work(fixture, (struct work){.apply = add_durations});

    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    do_work(fixture, (struct work){.apply = trim_durations, .from = added_ms});
}

static enum job_result time_a_run(struct txn *txn, struct work *work)
{
    const struct run_update update = {.last_seen_ms = 1, .started_ms = 900, .name = "switch"};
    const struct run_timing timing = {.phase_at_ms = 1000,
                                      .phases = "evaluating 50",
                                      .eta_ms = 3000,
                                      .eta_low_ms = 2000,
                                      .eta_high_ms = 4000,
                                      .due_ms = 1500};
    struct run_timing read;
    struct run_row run;

    (void)work;
    assert_int_equal(txn_run_create(txn, "host", RUN, &run), 0);
    assert_int_equal(run.estimate_due_ms, 0);
    assert_int_equal(txn_run_timing(txn, run.key, &read), 0);
    assert_true(!read.name[0] && !read.phases[0] && !read.phase_at_ms && !read.eta_ms);
    assert_int_equal(txn_run_update(txn, run.key, &update), 0);
    assert_int_equal(txn_run_set_timing(txn, run.key, &timing), 0);
    assert_int_equal(txn_run_timing(txn, run.key, &read), 0);
    assert_string_equal(read.name, "switch");
    assert_string_equal(read.phases, "evaluating 50");
    assert_true(read.started_ms == 900 && read.phase_at_ms == 1000 && read.due_ms == 1500);
    assert_true(read.eta_ms == 3000 && read.eta_low_ms == 2000 && read.eta_high_ms == 4000);
    assert_int_equal(txn_run_find(txn, RUN, &run), 0);
    assert_int_equal(run.estimate_due_ms, 1500);
    return JOB_DONE;
}

static void see_eta(void *context, const struct run_details *row)
{
    ++*(int *)context;
    assert_true(row->eta_ms == 3000 && row->eta_low_ms == 2000 && row->eta_high_ms == 4000);
}

static void a_run_keeps_its_phases_and_its_expected_end(void **state)
{
    struct fixture *fixture = *state;
    int seen = 0;

    do_work(fixture, (struct work){.apply = time_a_run});
    assert_int_equal(store_run(fixture->store, "host", RUN, see_eta, &seen), 1);
    assert_int_equal(seen, 1);
}

static void see_order(void *context, const struct run_details *row)
{
    int *next = context;

    assert_int_equal(row->id[RUN_ID_SIZE - 2], '0' + (*next)++);
}

static void runs_stand_in_the_order_of_their_starts(void **state)
{
    struct fixture *fixture = *state;
    char id[RUN_ID_SIZE];
    int next = 0;

    do_work(fixture, (struct work){.apply = make_runs});
    assert_int_equal(store_runs(fixture->store, "host", NULL, 4, see_order, &next), 0);
    assert_int_equal(next, 4);
    assert_int_equal(store_runs(fixture->store, "host", "01900000-0000-7000-8000-000000000103", 50,
                                see_order, &next),
                     0);
    assert_int_equal(next, RUNS);
    assert_int_equal(store_run_of_host(fixture->store, "host", id), 1);
    assert_int_equal(id[RUN_ID_SIZE - 2], '0');
    assert_int_equal(store_run_of_host(fixture->store, "nobody", id), 0);
}

static enum job_result compare_log(struct txn *txn, struct work *work)
{
    char digest[STORE_HASH_SIZE];
    int64_t key = work->fixture->run.key;

    assert_int_equal(txn_log_equal(txn, key, 0, "one\ntwo", 7), 1);
    assert_int_equal(txn_log_equal(txn, key, 1, "two\nthree", 9), 1);
    assert_int_equal(txn_log_equal(txn, key, 1, "two\nthre", 8), 0);
    assert_int_equal(txn_log_equal(txn, key, 2, "three\nfour", 10), 0);
    assert_int_equal(txn_log_digest(txn, key, digest), 1);
    /* printf 'one\ntwo\nthree' | sha256sum */
    assert_string_equal(digest, "058053d87c818d699cde0f00d670bca0e1c6ad857caa9758ea6a556d7c64fcee");
    return JOB_DONE;
}

static void lines_are_compared_over_chunks(void **state)
{
    struct fixture *fixture = *state;

    splice(fixture, 0, 2, "one\ntwo");
    splice(fixture, 2, 1, "three");
    do_work(fixture, (struct work){.apply = compare_log});
}

/* ---- retention ---- */

static size_t expired(struct fixture *fixture, struct retention_limits limits, int64_t now_ms)
{
    struct expired_run runs[RUNS];

    return store_runs_expired(fixture->store, &limits, now_ms, runs, RUNS);
}

static enum job_result expire(struct txn *txn, struct work *work)
{
    char host[HOST_ID_SIZE];
    struct run_row run;

    assert_int_equal(txn_run_find(txn, work->run, &run), 0);
    assert_int_equal(txn_run_hide(txn, run.key, host), 0);
    assert_string_equal(host, "host");
    assert_int_equal(txn_expire(txn, 0, txn->now_ms + 1, 10), 0); /* its text is still there */
    assert_int_equal(txn_log_remove(txn, run.key, 10), 1);
    assert_int_equal(txn_log_remove(txn, run.key, 10), 0);
    assert_int_equal(txn_expire(txn, 0, txn->now_ms + 1, 10), 1);
    assert_int_equal(txn_run_find(txn, work->run, &run), 0);
    assert_int_equal(run.key, 0);
    return JOB_DONE;
}

static void runs_expire_by_age_count_and_size(void **state)
{
    const struct retention_limits all = {
        .keep_ms = INT64_C(1000000000), .keep_runs = 1000, .keep_bytes = 1000000};
    struct fixture *fixture = *state;
    struct retention_limits limits = all;
    int64_t now_ms = do_work(fixture, (struct work){.apply = make_runs});

    assert_int_equal(expired(fixture, limits, now_ms), 0);
    limits.keep_ms = 2500;
    /* The run counts from now, when the store heard of it, whenever it ended. */
    assert_int_equal(expired(fixture, limits, now_ms), 0);
    assert_int_equal(expired(fixture, limits, now_ms + 3000), RUNS);
    limits = all;
    limits.keep_runs = 2;
    assert_int_equal(expired(fixture, limits, now_ms), 4);
    limits = all;
    limits.keep_bytes = 55;
    assert_int_equal(expired(fixture, limits, now_ms), 1);
    do_work(fixture, (struct work){.apply = expire, .run = "01900000-0000-7000-8000-000000000105"});
    assert_int_equal(expired(fixture, limits, now_ms), 0);
}

#define WINDOW_MS INT64_C(3600000)

static enum job_result add_calls(struct txn *txn, struct work *work)
{
    struct calls_row rows[] = {{.key = "b", .added = 2}, {.key = "a", .added = 1}};

    if (txn_calls_add(txn, work->bytes, rows, 2) < 0)
        return JOB_FAILED;
    assert_memory_equal(rows[0].key, "a", 2);
    assert_int_equal(rows[1].calls, 2 * rows[0].calls);
    assert_in_range(rows[0].age_ms, 0, WINDOW_MS);
    work->result = rows[0].calls;
    return JOB_DONE;
}

static void a_shared_store_counts_calls_until_their_window_ends(void **state)
{
    struct fixture *fixture = *state;
    struct work work = {.apply = add_calls, .bytes = WINDOW_MS};

    if (!store_is_shared(fixture->store)) {
        assert_false(try_work(fixture, &work));
        return;
    }
    assert_int_equal(do_work(fixture, work), 1);
    assert_int_equal(do_work(fixture, work), 2);
    assert_int_equal(do_work(fixture, work), 3);
    work.bytes = 0; /* every window has ended */
    assert_int_equal(do_work(fixture, work), 1);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(whatever_is_spliced_readers_see_the_model),
        WITH_STORE(a_log_that_grew_too_large_loses_its_middle),
        WITH_STORE(a_run_that_goes_on_leaves_the_host_as_a_look_at_all_runs_would),
        WITH_STORE(a_job_that_fails_is_undone_and_not_seen_before_its_commit),
        WITH_STORE(a_snapshot_is_one_state),
        WITH_STORE(whoever_watches_is_told_what_has_changed),
        WITH_STORE(versions_grow_over_restarts),
        WITH_STORE(a_store_that_works_says_so),
        WITH_STORE(what_is_not_utf_8_is_replaced),
        WITH_STORE(a_host_keeps_what_is_not_said_anew_and_goes_as_a_whole),
        WITH_STORE(tokens_belong_to_hosts),
        WITH_STORE(verdicts_are_of_the_last_run_of_each_name),
        WITH_STORE(a_command_is_taken_once_and_a_stop_asks_the_run),
        WITH_STORE(a_history_keeps_its_newest_thousand_lines),
        WITH_STORE(a_session_ends_by_time_or_by_hand),
        WITH_STORE(a_shared_store_counts_calls_until_their_window_ends),
        WITH_STORE(a_run_that_has_ended_keeps_its_end),
        WITH_STORE(a_derivation_is_replaced_by_its_index_and_goes_with_its_run),
        WITH_STORE(the_log_of_a_derivation_is_spliced_and_goes_with_its_run),
        WITH_STORE(durations_are_kept_by_host_and_run_name_the_newest_ten_of_each),
        WITH_STORE(a_run_keeps_its_phases_and_its_expected_end),
        WITH_STORE(runs_stand_in_the_order_of_their_starts),
        WITH_STORE(lines_are_compared_over_chunks),
        WITH_STORE(runs_expire_by_age_count_and_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
