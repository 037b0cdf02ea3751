/* What every engine of the store must do with log lines, through store.h alone. After any splices,
   a reader sees the lines of a model, and a follower of the log gets the lines that make its copy
   equal to the model. */
#include "common/utf8.h"
#include "dashboard/live/follower.h"
#include "tests/unit/store_fixture.h"

#define LINES_MAX 20000
#define ROUNDS 4000

/* A log. NULL: the line has a number, but its text was left out. */
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
        if (wanted->count > LINES_MAX / 2) { /* replace all lines, as after a digest that differs */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(whatever_is_spliced_readers_see_the_model),
        WITH_STORE(a_log_that_grew_too_large_loses_its_middle),
        WITH_STORE(lines_are_compared_over_chunks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
