/* The changes of hosts that a page gets: each one, once, in order, at a limited rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_versions.h"

#include "dashboard/live/change_feed.h"

static char hosts[2000][HOST_ID_SIZE];

static void state_changes_are_sent_at_once_and_in_order(void **state)
{
    struct change_feed *log = change_feed_new();
    uint64_t seen = 0;

    (void)state;
    change_feed_note(log, "b", false);
    change_feed_note(log, "a", false);
    change_feed_note(log, "b", false);
    assert_int_equal(change_feed_since(log, &seen, hosts, 10), 0); /* not released yet */
    change_feed_release(log, 1000);
    assert_int_equal(change_feed_since(log, &seen, hosts, 10), 2);
    assert_string_equal(hosts[0], "b");
    assert_string_equal(hosts[1], "a");
    assert_int_equal(change_feed_since(log, &seen, hosts, 10), 0);
    change_feed_free(log);
}

static void a_slow_page_gets_each_changed_host_once_and_in_parts(void **state)
{
    struct change_feed *log = change_feed_new();
    uint64_t seen = 0;

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++) {
            char name[16];

            snprintf(name, sizeof name, "h%d", i);
            change_feed_note(log, name, false);
        }
        change_feed_release(log, 1000 + round);
    }
    assert_int_equal(change_feed_since(log, &seen, hosts, 3), 3);
    assert_string_equal(hosts[0], "h0");
    change_feed_note(log, "h1", false); /* h1 was sent in the first part, and changes again */
    change_feed_release(log, 2000);
    assert_int_equal(change_feed_since(log, &seen, hosts, 10), 3);
    assert_string_equal(hosts[0], "h3");
    assert_string_equal(hosts[1], "h4");
    assert_string_equal(hosts[2], "h1");
    assert_int_equal(seen, change_feed_newest(log));
    change_feed_free(log);
}

static void progress_of_one_host_has_a_pace(void **state)
{
    struct change_feed *log = change_feed_new();
    size_t told = 0;
    uint64_t seen = 0;

    (void)state;
    for (int64_t now = 10000; now < 12000; now += 10) {
        change_feed_note(log, "busy", true);
        change_feed_release(log, now);
        told += change_feed_since(log, &seen, hosts, 10);
    }
    assert_uint_in_range(told, 7, 9);
    assert_true(change_feed_waits(log));
    change_feed_release(log, 13000); /* the rest is released */
    assert_int_equal(change_feed_since(log, &seen, hosts, 10), 1);
    assert_false(change_feed_waits(log));
    change_feed_free(log);
}

static void a_state_change_does_not_wait_behind_progress(void **state)
{
    struct change_feed *log = change_feed_new();
    uint64_t seen = 0;
    size_t count;

    (void)state;
    for (int i = 0; i < 1999; i++) {
        char name[16];

        snprintf(name, sizeof name, "h%d", i);
        change_feed_note(log, name, true);
    }
    change_feed_release(log, 10000);
    change_feed_note(log, "h1998", false);
    change_feed_release(log, 10020);
    count = change_feed_since(log, &seen, hosts, 2000);
    assert_uint_in_range(count, 2, 700); /* all state changes, and some of the progress changes */
    for (size_t i = 0; i < count; i++)
        if (strcmp(hosts[i], "h1998") == 0)
            count = 0;
    assert_int_equal(count, 0);
    for (int64_t now = 11000; change_feed_waits(log); now += 1000) /* until no host waits */
        change_feed_release(log, now);
    seen = 0;
    assert_int_equal(change_feed_since(log, &seen, hosts, 2000), 1999);
    change_feed_free(log);
}

static void who_wants_states_is_not_told_of_progress(void **state)
{
    struct change_feed *log = change_feed_new();
    uint64_t seen = 0;

    (void)state;
    change_feed_note(log, "a", false);
    change_feed_note(log, "b", true);
    change_feed_release(log, 10000);
    assert_int_equal(change_feed_states_since(log, &seen, hosts, 10), 1);
    assert_string_equal(hosts[0], "a");
    assert_int_equal(seen, change_feed_newest(log));
    change_feed_note(log, "a", true);
    change_feed_note(log, "b", false);
    change_feed_release(log, 11000);
    change_feed_note(log, "b", true); /* this progress must not hide the state change before it */
    change_feed_release(log, 12000);
    assert_true(change_feed_newest_state(log) > seen);
    assert_int_equal(change_feed_states_since(log, &seen, hosts, 10), 1);
    assert_string_equal(hosts[0], "b");
    assert_int_equal(change_feed_states_since(log, &seen, hosts, 10), 0);
    change_feed_free(log);
}

static void progress_that_waits_does_not_hide_a_state_change(void **state)
{
    struct change_feed *log = change_feed_new();
    uint64_t seen = 0, all_seen = 0;

    (void)state;
    change_feed_note(log, "a", false);
    change_feed_note(log, "b", false);
    change_feed_release(log, 10000);
    change_feed_note(log, "a", true); /* before the page has read the state change */
    /* an event stream gets the state change, too */
    assert_int_equal(change_feed_since(log, &all_seen, hosts, 10), 2);
    assert_string_equal(hosts[0], "a");
    assert_int_equal(change_feed_states_since(log, &seen, hosts, 10), 2);
    assert_string_equal(hosts[0], "a");
    assert_string_equal(hosts[1], "b");
    assert_int_equal(change_feed_states_since(log, &seen, hosts, 10), 0);
    change_feed_release(log, 10250); /* the progress is sent once */
    assert_int_equal(change_feed_since(log, &all_seen, hosts, 10), 1);
    assert_string_equal(hosts[0], "a");
    assert_int_equal(change_feed_since(log, &all_seen, hosts, 10), 0);
    change_feed_note(log, "b", false);
    change_feed_note(log, "a", false);
    change_feed_release(log, 10251);
    assert_int_equal(change_feed_states_since(log, &seen, hosts, 1), 1);
    assert_string_equal(hosts[0], "b");
    assert_int_equal(change_feed_states_since(log, &seen, hosts, 10), 1);
    assert_string_equal(hosts[0], "a");
    change_feed_free(log);
}

static void what_is_in_sight_has_its_newest_change(void **state)
{
    struct viewed viewed[] = {{.host = "a"}, {.host = "b"}, {.host = "nobody"}};
    struct change_feed *log = change_feed_new();
    uint64_t before;

    (void)state;
    change_feed_note(log, "a", true);
    change_feed_note(log, "b", false);
    change_feed_look(log, viewed, 3);
    assert_true(viewed[0].noted && viewed[1].noted && !viewed[2].noted);
    before = viewed[0].noted;
    change_feed_note(log, "a", true); /* the feed does not wait for a release */
    change_feed_look(log, viewed, 3);
    assert_true(viewed[0].noted > before);
    assert_int_equal(viewed[0].noted, change_feed_noted(log));
    change_feed_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_changes_are_sent_at_once_and_in_order),
        cmocka_unit_test(a_slow_page_gets_each_changed_host_once_and_in_parts),
        cmocka_unit_test(progress_of_one_host_has_a_pace),
        cmocka_unit_test(a_state_change_does_not_wait_behind_progress),
        cmocka_unit_test(who_wants_states_is_not_told_of_progress),
        cmocka_unit_test(progress_that_waits_does_not_hide_a_state_change),
        cmocka_unit_test(what_is_in_sight_has_its_newest_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
