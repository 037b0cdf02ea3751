/* The screen takes any bytes, and keeps its promises: final lines are valid UTF-8 with no control
   but SGR and hyperlinks, bounded, numbered without gaps, seen before they are final; and nothing
   depends on how the bytes were cut or on the questions in between. */
#include "../../common/hyperlink.h"
#include "../../parse/screen.h"

#include <stdlib.h>
#include <string.h>

#define CHECK(condition) ((condition) ? (void)0 : abort())

/* What the sink received. The division of the bytes influences when lines become final, within one
   call, so each kind has a sum of its own. */
struct record {
    uint64_t next;
    uint64_t seen, final;
};

static void mix(uint64_t *sum, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *sum = (*sum ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
}

/* The bytes of the character, SGR sequence or link at the start of a text. Aborts on anything
 * else. */
static size_t unit(const char *text, size_t length, bool colours)
{
    uint8_t first = (uint8_t)text[0];
    size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (first == '\033') {
        if (colours && (size = hyperlink_length(text, length)) > 0)
            return size;
        CHECK(colours && length >= 3 && text[1] == '[');
        for (size = 2; size < length && text[size] != 'm'; size++)
            CHECK((text[size] >= '0' && text[size] <= '9') || text[size] == ';');
        CHECK(size < length);
        return size + 1;
    }
    CHECK(first >= 0x20 && first != 0x7f && (first < 0x80 || (first >= 0xc2 && first <= 0xf4)));
    CHECK(size <= length);
    for (size_t i = 1; i < size; i++)
        CHECK(((uint8_t)text[i] & 0xc0) == 0x80);
    return size;
}

static void check_text(const char *text, size_t length, bool colours)
{
    size_t links = 0;
    bool open = false;

    for (size_t i = 0; i < length;) {
        size_t link = text[i] == '\033' ? hyperlink_length(text + i, length - i) : 0;

        if (link > 0) { /* beginnings and ends must alternate */
            CHECK(open == (text[i + strlen(HYPERLINK_START)] == HYPERLINK_END[0]));
            open = !open;
            links += link;
        }
        i += unit(text + i, length - i, colours);
    }
    CHECK(!open && links <= SCREEN_LINKS_MAX && length - links <= SCREEN_LINE_MAX);
}

static void seen(void *context, uint64_t line, const char *text, size_t length, bool redrawn)
{
    struct record *record = context;
    check_text(text, length, false);
    CHECK(line >= record->next);
    mix(&record->seen, &line, sizeof line);
    mix(&record->seen, &redrawn, sizeof redrawn);
    mix(&record->seen, text, length);
}

static void final(void *context, uint64_t line, const char *text, size_t length)
{
    struct record *record = context;
    check_text(text, length, true);
    CHECK(line == record->next++);
    mix(&record->final, &line, sizeof line);
    mix(&record->final, text, length);
}

static void finals(void *context, uint64_t line, size_t count, const char *text, size_t length)
{
    const char *end = text + length;

    CHECK(count > 1);
    for (; count > 1; count--) {
        const char *lf = memchr(text, '\n', (size_t)(end - text));
        CHECK(lf);
        final(context, line++, text, (size_t)(lf - text));
        text = lf + 1;
    }
    final(context, line, text, (size_t)(end - text));
}

static void ask(struct screen *screen)
{
    uint64_t count = screen_line_count(screen), low = screen_take_changed(screen);
    size_t length;

    CHECK(low <= count && screen_final_count(screen) <= count);
    for (uint64_t line = screen_final_count(screen); line < count; line++) {
        const char *text = screen_live_line(screen, line, &length);
        CHECK(text);
        check_text(text, length, true);
    }
    CHECK(!screen_live_line(screen, count, &length));
}

static uint64_t play(const uint8_t *data, size_t size, size_t at_once, uint32_t rows, uint32_t cols,
                     bool ask_between)
{
    struct record record = {0, 0, 0};
    struct screen_sink sink = {&record, seen, final, finals, true};
    struct screen *screen = screen_new(rows, cols, &sink);
    size_t half = size / 2;

    CHECK(screen);
    for (size_t i = 0; i < size;) {
        size_t end = i < half ? half : size, piece = end - i < at_once ? end - i : at_once;
        screen_feed(screen, data + i, piece);
        i += piece;
        if (i == half)
            screen_resize(screen, cols % 40 + 1, rows + 3);
        if (ask_between)
            ask(screen);
    }
    ask(screen);
    screen_finish(screen);
    CHECK(screen_line_count(screen) == screen_final_count(screen));
    screen_free(screen);
    mix(&record.seen, &record.final, sizeof record.final);
    return record.seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 8192)
        return 0;
    uint32_t rows = data[0] % 12 + 1, cols = data[1] % 100 + 1;
    uint64_t whole = play(data + 2, size - 2, size, rows, cols, false);
    CHECK(whole == play(data + 2, size - 2, 1, rows, cols, size < 512));
    CHECK(whole == play(data + 2, size - 2, 5, rows, cols, true));
    return 0;
}
