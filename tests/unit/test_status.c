/* The page that pump and helpers share. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../capture/status.h"

static struct status_page *page;
static int page_fd;
static unsigned char out[2 * STATUS_RING_SIZE];

static int open_page(void **state)
{
    (void)state;
    page = status_create(&page_fd);
    return page ? 0 : -1;
}

static int close_page(void **state)
{
    (void)state;
    status_unmap(page);
    return close(page_fd);
}

/* What stands at an offset of the command's output in these tests. */
static unsigned char byte_at(uint64_t offset)
{
    return (unsigned char)(offset * 7 + offset / 251);
}

static void write_output(uint64_t from, size_t size)
{
    unsigned char *bytes = malloc(size);

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(from + i);
    status_ring_write(page, from, bytes, size);
    page->bytes = from + size;
    free(bytes);
}

static void assert_output(uint64_t from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (out[i] != byte_at(from + i))
            fail_msg("byte %zu after %llu", i, (unsigned long long)from);
}

static void a_new_page_is_empty(void **state)
{
    uint64_t skipped = 1;

    (void)state;
    assert_true(page->ring_start == UINT64_MAX);
    assert_int_equal(page->end, STATUS_RUNNING);
    assert_int_equal(status_ring_read(page, 0, out, sizeof out, &skipped), 0);
    assert_true(skipped == 0);
    assert_true(fcntl(page_fd, F_GETFD) & FD_CLOEXEC);
}

static void another_mapping_sees_the_same(void **state)
{
    struct status_page *other = status_map(page_fd);

    (void)state;
    assert_non_null(other);
    page->bytes = 42;
    assert_true(other->bytes == 42);
    status_unmap(other);
}

static void what_is_no_page_is_refused(void **state)
{
    int null = open("/dev/null", O_RDWR);

    (void)state;
    assert_null(status_map(null));
    assert_int_equal(errno, EINVAL);
    close(null);
    assert_null(status_map(-1));
}

static void the_ring_gives_back_what_was_written(void **state)
{
    uint64_t skipped;

    (void)state;
    write_output(1000, 5000); /* the first 1000 bytes are in the log */
    assert_int_equal(status_ring_read(page, 1000, out, 5000, &skipped), 5000);
    assert_true(skipped == 0);
    assert_output(1000, 5000);
    assert_int_equal(status_ring_read(page, 3000, out, 10, &skipped), 10);
    assert_output(3000, 10);
    assert_int_equal(status_ring_read(page, 6000, out, 10, &skipped), 0);
}

static void the_ring_goes_round(void **state)
{
    uint64_t offset = STATUS_RING_SIZE - 100, skipped;

    (void)state;
    write_output(offset, 1000);
    assert_int_equal(status_ring_read(page, offset, out, 1000, &skipped), 1000);
    assert_output(offset, 1000);
}

static void a_reader_that_is_late_is_told_how_much_it_has_missed(void **state)
{
    uint64_t skipped, total = 0;
    size_t got;

    (void)state;
    while (total < 3 * STATUS_RING_SIZE) {
        write_output(total, 40000);
        total += 40000;
    }
    got = status_ring_read(page, 0, out, sizeof out, &skipped);
    assert_true(got > 0 && skipped + got == total);
    assert_output(skipped, got);
}

static void one_write_larger_than_the_ring_keeps_its_newest_part(void **state)
{
    uint64_t skipped;
    size_t got;

    (void)state;
    write_output(0, 3 * STATUS_RING_SIZE);
    got = status_ring_read(page, 0, out, sizeof out, &skipped);
    assert_true(got > 0 && skipped + got == 3 * STATUS_RING_SIZE);
    assert_output(skipped, got);
}

static void progress_is_read_as_it_was_set(void **state)
{
    struct status_progress set = {.phase = "building", .built = 3, .to_build = 9, .current = "x"},
                           got;

    (void)state;
    status_set_progress(page, &set);
    assert_true(status_get_progress(page, &got));
    assert_memory_equal(&got, &set, sizeof set);
}

static void a_writer_that_died_in_the_middle_is_noticed_and_survived(void **state)
{
    struct status_progress set = {.phase = "building"}, got;

    (void)state;
    status_set_progress(page, &set);
    page->progress_seq |= 1;
    assert_false(status_get_progress(page, &got));
    status_set_progress(page, &set); /* its successor */
    assert_true(status_get_progress(page, &got));
}

static void texts_end_even_where_their_writer_forgot(void **state)
{
    struct status_progress set, got;

    (void)state;
    memset(&set, 'x', sizeof set);
    status_set_progress(page, &set);
    assert_true(status_get_progress(page, &got));
    assert_int_equal(strlen(got.phase), STATUS_PHASE_SIZE - 1);
    assert_int_equal(strlen(got.current), STATUS_CURRENT_SIZE - 1);
}

int main(void)
{
#define WITH_PAGE(test) cmocka_unit_test_setup_teardown(test, open_page, close_page)
    const struct CMUnitTest tests[] = {
        WITH_PAGE(a_new_page_is_empty),
        WITH_PAGE(another_mapping_sees_the_same),
        WITH_PAGE(what_is_no_page_is_refused),
        WITH_PAGE(the_ring_gives_back_what_was_written),
        WITH_PAGE(the_ring_goes_round),
        WITH_PAGE(a_reader_that_is_late_is_told_how_much_it_has_missed),
        WITH_PAGE(one_write_larger_than_the_ring_keeps_its_newest_part),
        WITH_PAGE(progress_is_read_as_it_was_set),
        WITH_PAGE(a_writer_that_died_in_the_middle_is_noticed_and_survived),
        WITH_PAGE(texts_end_even_where_their_writer_forgot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
