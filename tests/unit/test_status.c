/* The page that the pump and the helpers share. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../capture/status.h"

/* a ring that is small enough to be filled several times in a test */
#define RING (4 * STATUS_RING_LEAST)

static struct status_page *page;
static int page_fd;
static unsigned char out[2 * RING];

static int open_page(void **state)
{
    (void)state;
    page = status_create("the record", 10, &page_fd);
    if (page) {
        page->ring_size = RING;
        page->ring_window = RING;
    }
    return page ? 0 : -1;
}

static int close_page(void **state)
{
    (void)state;
    page->ring_size = STATUS_RING_SIZE;
    status_unmap(page);
    return close(page_fd);
}

/* The byte at an offset of the command's output in these tests. */
static unsigned char byte_at(uint64_t offset)
{
    return (unsigned char)(offset * 7 + offset / 251);
}

static void write_output(size_t size)
{
    unsigned char *bytes = malloc(size);

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(page->bytes + i);
    status_ring_write(page, bytes, size);
    free(bytes);
}

static void assert_output(uint64_t from, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (out[i] != byte_at(from + i))
            fail_msg("byte %zu after %llu", i, (unsigned long long)from);
}

/* The log writer has written all output to the log. */
static void log_all(void)
{
    page->taken = page->log_bytes = atomic_load(&page->bytes);
}

static void a_new_page_is_empty(void **state)
{
    uint64_t skipped = 1;

    (void)state;
    assert_int_equal(page->end, STATUS_RUNNING);
    assert_int_equal(status_ring_read(page, 0, out, sizeof out, &skipped), 0);
    assert_true(skipped == 0);
    assert_true(fcntl(page_fd, F_GETFD) & FD_CLOEXEC);
    assert_memory_equal(status_record(page), "the record", page->record_size);
}

static void another_mapping_sees_the_same(void **state)
{
    struct status_page *other;

    (void)state;
    page->ring_size = STATUS_RING_SIZE;
    other = status_map(page_fd);
    assert_non_null(other);
    write_output(42);
    assert_true(other->bytes == 42);
    assert_memory_equal(status_record(other), "the record", 10);
    status_unmap(other);
}

static void a_file_that_is_not_a_page_is_refused(void **state)
{
    int null = open("/dev/null", O_RDWR), other;
    struct status_page *foreign = status_create("", 0, &other);

    (void)state;
    assert_null(status_map(null));
    assert_int_equal(errno, EINVAL);
    close(null);
    assert_null(status_map(-1));
    assert_non_null(foreign);
    foreign->page_size++;
    assert_null(status_map(other));
    assert_int_equal(errno, EINVAL);
    status_unmap(foreign);
    close(other);
}

static void the_ring_gives_back_what_was_written(void **state)
{
    uint64_t skipped;

    (void)state;
    write_output(6000);
    assert_int_equal(status_ring_read(page, 1000, out, 5000, &skipped), 5000);
    assert_true(skipped == 0);
    assert_output(1000, 5000);
    assert_int_equal(status_ring_read(page, 3000, out, 10, &skipped), 10);
    assert_output(3000, 10);
    assert_int_equal(status_ring_read(page, 6000, out, 10, &skipped), 0);
}

static void the_ring_goes_round(void **state)
{
    uint64_t skipped;

    (void)state;
    write_output(RING - 100);
    page->taken = RING - 100;
    write_output(1000);
    assert_int_equal(status_ring_read(page, RING - 100, out, 1000, &skipped), 1000);
    assert_output(RING - 100, 1000);
}

static void the_ring_begins_again_where_the_log_has_everything(void **state)
{
    uint64_t skipped;

    (void)state;
    write_output(5000);
    log_all();
    write_output(100);
    assert_true(page->ring_first == 5000);
    assert_int_equal(status_ring_read(page, 5000, out, 1000, &skipped), 100);
    assert_output(5000, 100);
    assert_int_equal(status_ring_read(page, 4000, out, 1000, &skipped), 0); /* in the log */
    assert_true(skipped == 0);
    page->taken = 5100; /* all taken, but with a gap in the log, so the ring does not start again */
    write_output(100);
    assert_true(page->ring_first == 5000);
}

static void memory_that_a_slow_disk_made_the_ring_use_is_given_back(void **state)
{
    struct stat info;

    (void)state;
    page->ring_size = STATUS_RING_SIZE;
    for (int i = 0; i < 20; i++)
        write_output(1 << 20);
    assert_int_equal(fstat(page_fd, &info), 0);
    assert_true(info.st_blocks * 512 > 20 << 20);
    log_all();
    write_output(1);
    assert_int_equal(fstat(page_fd, &info), 0);
    assert_true(info.st_blocks * 512 < 4 << 20);
}

/* While the log writer keeps up, the amount of output does not matter. */
static void a_log_that_keeps_up_uses_a_small_part_of_the_ring(void **state)
{
    struct stat info;

    (void)state;
    page->ring_size = STATUS_RING_SIZE;
    for (int i = 0; i < 2000; i++) {
        write_output(60000);
        page->taken = page->log_bytes = page->bytes - (page->bytes < 500000 ? page->bytes : 500000);
    }
    assert_int_equal(fstat(page_fd, &info), 0);
    assert_true(info.st_blocks * 512 < 4 << 20);
}

/* The ring grows and starts again at any moment. Output that is not in the log is always in the
 * ring. */
static void what_the_log_lacks_is_in_the_ring(void **state)
{
    unsigned random = 1;

    (void)state;
    page->ring_size = STATUS_RING_SIZE;
    for (int i = 0; i < 3000; i++) {
        uint64_t lacking, skipped, offset;

        random = random * 1103515245 + 12345;
        write_output(1 + (random >> 8) % 65536);
        lacking = page->bytes - page->taken;
        if (random >> 24 < 8)
            log_all();
        else if (random >> 24 < 160 || lacking > STATUS_RING_SIZE / 2)
            page->taken = page->log_bytes = page->taken + (random >> 4) % (lacking + 1);
        offset = page->taken;
        lacking = page->bytes - offset;
        if (lacking > sizeof out) { /* compare both ends only */
            assert_int_equal(status_ring_read(page, page->bytes - 1000, out, 1000, &skipped), 1000);
            assert_output(page->bytes - 1000, 1000);
            lacking = sizeof out;
        }
        if (lacking > 0) {
            assert_true(status_ring_read(page, offset, out, lacking, &skipped) == lacking);
            assert_true(skipped == 0);
            assert_output(offset, lacking);
        }
    }
}

static void there_is_room_until_the_log_would_lose_something(void **state)
{
    (void)state;
    assert_int_equal(status_ring_space(page), RING);
    write_output(1000);
    assert_int_equal(status_ring_space(page), RING - 1000);
    page->taken = 400;
    assert_int_equal(status_ring_space(page), RING - 600);
    write_output(2 * RING);
    assert_int_equal(status_ring_space(page), 0);
}

static void a_late_reader_learns_how_much_it_has_missed(void **state)
{
    uint64_t skipped, total = 0;
    size_t got;

    (void)state;
    while (total < 3 * RING) {
        write_output(40000);
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
    write_output(3 * RING);
    got = status_ring_read(page, 0, out, sizeof out, &skipped);
    assert_true(got > 0 && skipped + got == 3 * RING);
    assert_output(skipped, got);
}

struct racer {
    _Atomic bool over;
    unsigned torn, pieces;
};

static void *read_on(void *context)
{
    static unsigned char bytes[64 << 10];
    struct racer *racer = context;
    uint64_t offset = 0, skipped;

    while (!racer->over || offset < page->bytes) {
        size_t got = status_ring_read(page, offset, bytes, sizeof bytes, &skipped);

        offset += skipped;
        for (size_t i = 0; i < got; i++)
            racer->torn += bytes[i] != byte_at(offset + i);
        racer->pieces += got > 0;
        offset += got;
    }
    return NULL;
}

/* The reader acts like a log writer that reads again after a long wait. */
static void what_is_overwritten_while_it_is_read_is_not_taken_for_output(void **state)
{
    struct racer racer = {false, 0, 0};
    pthread_t reader;

    (void)state;
    assert_int_equal(pthread_create(&reader, NULL, read_on, &racer), 0);
    for (int i = 0; i < 3000; i++)
        write_output(20000 + (size_t)i);
    racer.over = true;
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_true(racer.pieces > 0);
    assert_int_equal(racer.torn, 0);
}

static void marks_are_there_until_newer_ones_take_their_place(void **state)
{
    struct run_mark mark;

    (void)state;
    for (uint64_t i = 0; i < STATUS_MARKS + 10; i++) {
        status_mark(page, &(struct run_mark){.offset = i});
        page->marks_taken = i;
    }
    assert_false(status_get_mark(page, 5, &mark));
    assert_true(status_get_mark(page, 20, &mark) && mark.offset == 20);
    assert_false(status_get_mark(page, STATUS_MARKS + 10, &mark));
}

static void marks_that_are_not_written_yet_are_not_overwritten(void **state)
{
    struct run_mark mark;

    (void)state;
    for (uint64_t i = 0; i < 2 * STATUS_MARKS; i++)
        status_mark(page, &(struct run_mark){.offset = i});
    assert_true(page->marks == STATUS_MARKS);
    assert_true(status_get_mark(page, 1, &mark) && mark.offset == 1);
}

static void an_acknowledgement_is_read_as_it_was_set(void **state)
{
    const struct run_ack set = {.lines = 7, .more = 2, .delivered = true};
    struct run_ack got;

    (void)state;
    status_set_ack(page, &set);
    assert_true(status_get_ack(page, &got));
    assert_true(got.lines == 7 && got.more == 2 && got.delivered && !got.refused);
    page->ack_seq |= 1;
    assert_false(status_get_ack(page, &got));
}

static void progress_is_read_as_it_was_set(void **state)
{
    struct status_progress set = {.phase = "building",
                                  .progress = {.built = 3, .to_build = 9, .current = "x"}},
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
    status_set_progress(page, &set); /* the next shipper */
    assert_true(status_get_progress(page, &got));
}

static void texts_end_even_if_their_writer_forgot(void **state)
{
    struct status_progress set, got;

    (void)state;
    memset(&set, 'x', sizeof set);
    status_set_progress(page, &set);
    assert_true(status_get_progress(page, &got));
    assert_int_equal(strlen(got.phase), STATUS_PHASE_SIZE - 1);
    assert_int_equal(strlen(got.progress.current), PROGRESS_CURRENT_SIZE - 1);
}

int main(void)
{
#define WITH_PAGE(test) cmocka_unit_test_setup_teardown(test, open_page, close_page)
    const struct CMUnitTest tests[] = {
        WITH_PAGE(a_new_page_is_empty),
        WITH_PAGE(another_mapping_sees_the_same),
        WITH_PAGE(a_file_that_is_not_a_page_is_refused),
        WITH_PAGE(the_ring_gives_back_what_was_written),
        WITH_PAGE(the_ring_goes_round),
        WITH_PAGE(the_ring_begins_again_where_the_log_has_everything),
        WITH_PAGE(memory_that_a_slow_disk_made_the_ring_use_is_given_back),
        WITH_PAGE(a_log_that_keeps_up_uses_a_small_part_of_the_ring),
        WITH_PAGE(what_the_log_lacks_is_in_the_ring),
        WITH_PAGE(there_is_room_until_the_log_would_lose_something),
        WITH_PAGE(a_late_reader_learns_how_much_it_has_missed),
        WITH_PAGE(one_write_larger_than_the_ring_keeps_its_newest_part),
        WITH_PAGE(what_is_overwritten_while_it_is_read_is_not_taken_for_output),
        WITH_PAGE(marks_are_there_until_newer_ones_take_their_place),
        WITH_PAGE(marks_that_are_not_written_yet_are_not_overwritten),
        WITH_PAGE(an_acknowledgement_is_read_as_it_was_set),
        WITH_PAGE(progress_is_read_as_it_was_set),
        WITH_PAGE(a_writer_that_died_in_the_middle_is_noticed_and_survived),
        WITH_PAGE(texts_end_even_if_their_writer_forgot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
