/* Splits bytes into characters, controls and sequences: the state machine for a terminal's input
   (the one that Paul Williams published for the VT500 series, without 8-bit controls, because the
   text is UTF-8). It stores only the parameters of a sequence, so a sequence may have any length
   and may be divided anywhere. */
#include "screen_internal.h"

#include <string.h>

#define REPLACEMENT 0xfffd

enum control { BEL = 7, BS, HT, LF, VT, FF, CR, CAN = 0x18, SUB = 0x1a, ESC, DEL = 0x7f };

/* Eight bytes at a time, where possible. */
size_t printable_span(const uint8_t *bytes, size_t size)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    size_t i = 0;

    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        uint64_t not_del = word ^ (ones * DEL);
        uint64_t below_space = (word - ones * ' ') & ~word;
        if ((word | below_space | ((not_del - ones) & ~not_del)) & high)
            break;
    }
    while (i < size && bytes[i] >= ' ' && bytes[i] < DEL)
        i++;
    return i;
}

/* ---- controls ---- */

static void back_space(struct screen *screen)
{
    struct cursor *cursor = &screen->cursor;

    if (cursor->x > 0) {
        cursor->x--;
    } else if (cursor->y > 0 && !screen->alternate && screen_row(screen, cursor->y - 1)->wrapped) {
        cursor->y--;
        cursor->x = screen->cols - 1;
    }
    screen->jumped = true;
}

static void tab(struct screen *screen)
{
    struct cursor *cursor = &screen->cursor;

    if (cursor->x >= screen->cols - 1)
        return;
    do
        cursor->x++;
    while (cursor->x < screen->cols - 1 && !(screen->tabs[cursor->x / 8] & 1u << cursor->x % 8));
}

static void control(struct screen *screen, uint8_t byte)
{
    switch (byte) {
    case BS:
        back_space(screen);
        break;
    case HT:
        tab(screen);
        break;
    case LF:
        line_feed(screen);
        screen->cursor.x = 0;
        break;
    case VT:
    case FF:
        line_feed(screen);
        break;
    case CR:
        screen->cursor.x = 0;
        screen->jumped = true;
        break;
    }
    screen->last_valid = false;
}

/* ---- characters ---- */

void print_text(struct screen *screen, const uint8_t *text, size_t count)
{
    screen->last_valid = false;
    if (screen->alternate)
        for (size_t i = 0; i < count; i++)
            pass_over(screen, 1);
    else
        print_ascii(screen, text, count);
    screen->last = text[count - 1];
    screen->last_valid = true;
}

static void print_character(struct screen *screen, uint32_t codepoint)
{
    if (codepoint < 0xa0) /* U+0080 to U+009F are controls, which have no effect here */
        return;
    print_codepoint(screen, codepoint);
    screen->last = codepoint;
    screen->last_valid = true;
}

/* Takes the first byte of a character beyond ASCII. The limits of the second byte exclude overlong
   forms, surrogates, and code points beyond Unicode (table 3-7 of the Unicode standard). */
static void utf8_begin(struct screen *screen, uint8_t byte)
{
    screen->utf8_low = 0x80;
    screen->utf8_high = 0xbf;
    if (byte >= 0xc2 && byte <= 0xdf) {
        screen->utf8_missing = 1;
        screen->utf8_codepoint = byte & 0x1f;
    } else if (byte >= 0xe0 && byte <= 0xef) {
        screen->utf8_missing = 2;
        screen->utf8_codepoint = byte & 0x0f;
        if (byte == 0xe0)
            screen->utf8_low = 0xa0;
        if (byte == 0xed)
            screen->utf8_high = 0x9f;
    } else if (byte >= 0xf0 && byte <= 0xf4) {
        screen->utf8_missing = 3;
        screen->utf8_codepoint = byte & 0x07;
        if (byte == 0xf0)
            screen->utf8_low = 0x90;
        if (byte == 0xf4)
            screen->utf8_high = 0x8f;
    } else {
        print_character(screen, REPLACEMENT);
    }
}

/* Takes a further byte. False if the byte does not belong to the character, which is dropped; the
 * byte must still be read. */
static bool utf8_continue(struct screen *screen, uint8_t byte)
{
    if (byte < screen->utf8_low || byte > screen->utf8_high) {
        screen->utf8_missing = 0;
        print_character(screen, REPLACEMENT);
        return false;
    }
    screen->utf8_low = 0x80;
    screen->utf8_high = 0xbf;
    screen->utf8_codepoint = screen->utf8_codepoint << 6 | (byte & 0x3f);
    if (--screen->utf8_missing == 0)
        print_character(screen, screen->utf8_codepoint);
    return true;
}

/* ---- sequences ---- */

static void set_tab(struct screen *screen)
{
    uint32_t x = screen->cursor.x;
    if (x < screen->cols)
        screen->tabs[x / 8] |= (uint8_t)(1u << x % 8);
}

static void escape_dispatch(struct screen *screen, uint8_t byte)
{
    screen->state = PARSER_GROUND;
    screen->last_valid = false;
    switch (byte) {
    case '7':
        screen->saved = screen->cursor;
        break;
    case '8':
        screen_restore_cursor(screen, &screen->saved);
        break;
    case 'D':
        line_feed(screen);
        break;
    case 'E':
        line_feed(screen);
        screen->cursor.x = 0;
        break;
    case 'H':
        set_tab(screen);
        break;
    case 'M':
        reverse_line_feed(screen);
        break;
    case 'c':
        screen_reset(screen);
        break;
    }
}

static void escape_intermediate_dispatch(struct screen *screen, uint8_t byte)
{
    screen->state = PARSER_GROUND;
    screen->last_valid = false;
    if (screen->escape_intermediate == '#' && byte == '8')
        fill_with_e(screen);
    /* Character sets are not supported: line-drawing characters stay the letters that were sent. */
}

static void csi_begin(struct screen *screen)
{
    struct csi *csi = &screen->csi;

    csi->count = 0; /* a parameter is cleared when it begins */
    csi->prefix = csi->intermediate = 0;
    csi->ignored = false;
    screen->state = PARSER_CSI;
}

static void escape(struct screen *screen, uint8_t byte)
{
    if (byte == '[') {
        csi_begin(screen);
    } else if (byte == ']') {
        screen->state = PARSER_OSC;
        screen->string_escape = false;
        screen->string_size = 0;
    } else if (byte == 'P' || byte == 'X' || byte == '^' || byte == '_' || byte == 'k') {
        screen->state = PARSER_STRING; /* k: the title of a window in screen(1) and tmux */
        screen->string_escape = false;
        screen->string_size = 0;
    } else if (byte >= 0x20 && byte <= 0x2f) {
        screen->escape_intermediate = (char)byte;
        screen->state = PARSER_ESCAPE_INTERMEDIATE;
    } else if (byte >= 0x30 && byte < DEL) {
        escape_dispatch(screen, byte);
    }
}

static void csi_param_begin(struct csi *csi, bool colon)
{
    if (csi->count > CSI_PARAMS)
        return;
    if (csi->count++ == CSI_PARAMS)
        return;
    csi->param[csi->count - 1] = 0;
    csi->given[csi->count - 1] = false;
    csi->colon[csi->count - 1] = colon;
}

/* Takes digits of a parameter. Returns how many bytes. */
static size_t csi_digits(struct csi *csi, const uint8_t *bytes, size_t size)
{
    uint32_t dropped = 0, *param = &dropped;
    size_t i = 0;

    if (csi->count == 0)
        csi_param_begin(csi, false);
    if (csi->count <= CSI_PARAMS) {
        param = &csi->param[csi->count - 1];
        csi->given[csi->count - 1] = true;
    }
    for (; i < size && bytes[i] >= '0' && bytes[i] <= '9'; i++) {
        *param = *param * 10 + (bytes[i] - '0');
        if (*param > CSI_PARAM_MAX)
            *param = CSI_PARAM_MAX;
    }
    return i;
}

/* Parameters beyond CSI_PARAMS are read and dropped; count is then CSI_PARAMS + 1. */
static void csi_separator(struct csi *csi, bool colon)
{
    if (csi->count == 0)
        csi_param_begin(csi, false);
    csi_param_begin(csi, colon);
}

/* Takes the parameters of a sequence that are available. Returns how many bytes. */
static size_t csi_params(struct csi *csi, const uint8_t *bytes, size_t size)
{
    size_t i = 0;

    while (i < size) {
        if (bytes[i] >= '0' && bytes[i] <= '9') {
            i += csi_digits(csi, bytes + i, size - i);
        } else if (bytes[i] == ';' || bytes[i] == ':') {
            csi_separator(csi, bytes[i] == ':');
            i++;
        } else {
            break;
        }
    }
    return i;
}

/* Takes a byte that csi_params does not take. */
static void csi_byte(struct screen *screen, uint8_t byte)
{
    struct csi *csi = &screen->csi;

    if (byte >= '<' && byte <= '?') {
        if (csi->count > 0 || csi->prefix)
            csi->ignored = true;
        csi->prefix = (char)byte;
    } else if (byte >= 0x20 && byte <= 0x2f) {
        csi->intermediate = (char)byte;
    } else if (byte >= 0x40 && byte < DEL) {
        if (csi->count > CSI_PARAMS)
            csi->count = CSI_PARAMS;
        screen->state = PARSER_GROUND;
        if (!csi->ignored)
            csi_dispatch(screen, (char)byte);
        screen->last_valid = false;
    }
}

/* If a string is never closed (its program was killed), the text behind it must not be lost. 4 KiB,
   and the header of a picture with as much data. */
#define STRING_MAX (4096 + 256)

/* Ends a string. An OSC 8 that is damaged or too long also ends the link before it, because the
   text after it does not belong to that link. */
static void end_string(struct screen *screen, bool whole)
{
    static const char link[] = {'8', ';'};
    size_t size = screen->string_size;
    bool osc = screen->state == PARSER_OSC;

    screen->state = PARSER_GROUND;
    if (!osc || !screen->sink.links || size < sizeof link ||
        memcmp(screen->osc, link, sizeof link) != 0)
        return;
    screen->link = 0;
    if (whole && size <= sizeof screen->osc)
        screen->link = link_begin(screen, screen->osc + sizeof link, size - sizeof link);
}

static void keep_osc(struct screen *screen, uint8_t byte)
{
    if (screen->state == PARSER_OSC && screen->string_size < sizeof screen->osc)
        screen->osc[screen->string_size] = (char)byte;
}

/* Takes a byte of a string: finds the end, and drops the content, except the target of a link. */
static void string_byte(struct screen *screen, uint8_t byte)
{
    if (screen->string_escape) {
        screen->string_escape = false;
        end_string(screen, byte == '\\');
        if (byte != '\\') { /* ESC ends a string, and begins another sequence */
            screen->state = PARSER_ESCAPE;
            escape(screen, byte);
        }
        return;
    }
    if (byte == ESC) {
        screen->string_escape = true;
    } else if (byte == BEL && screen->state == PARSER_OSC) {
        end_string(screen, true);
    } else if (byte == CAN || byte == SUB) {
        end_string(screen, false);
    } else if (byte == LF) {
        end_string(screen, false);
        control(screen, byte);
    } else {
        keep_osc(screen, byte);
        if (++screen->string_size == STRING_MAX)
            end_string(screen, false);
    }
}

static void sequence_byte(struct screen *screen, uint8_t byte)
{
    if (screen->state == PARSER_OSC || screen->state == PARSER_STRING) {
        string_byte(screen, byte);
        return;
    }
    if (byte == ESC) {
        screen->state = PARSER_ESCAPE;
        return;
    }
    if (byte == CAN || byte == SUB) {
        screen->state = PARSER_GROUND;
        return;
    }
    if (byte < ' ') { /* a control inside a sequence has an effect at once */
        control(screen, byte);
        return;
    }
    if (byte >= 0x80) { /* text: the sequence is broken */
        screen->state = PARSER_GROUND;
        utf8_begin(screen, byte);
        return;
    }
    if (screen->state == PARSER_ESCAPE)
        escape(screen, byte);
    else if (screen->state == PARSER_CSI)
        csi_byte(screen, byte);
    else if (byte >= 0x30 && byte < DEL)
        escape_intermediate_dispatch(screen, byte);
}

static void ground_byte(struct screen *screen, uint8_t byte)
{
    if (byte == ESC)
        screen->state = PARSER_ESCAPE;
    else if (byte >= 0x80)
        utf8_begin(screen, byte);
    else if (byte < ' ')
        control(screen, byte);
}

void parser_feed(struct screen *screen, const uint8_t *bytes, size_t size)
{
    const uint8_t *end = bytes + size, *looked_at = bytes;

    while (bytes < end) {
        if (screen->utf8_missing > 0) {
            /* otherwise the same byte is read again as a first byte */
            bytes += utf8_continue(screen, *bytes);
        } else if (screen->state != PARSER_GROUND) {
            if (screen->state == PARSER_CSI)
                bytes += csi_params(&screen->csi, bytes, (size_t)(end - bytes));
            if (bytes < end)
                sequence_byte(screen, *bytes++);
        } else {
            size_t span = printable_span(bytes, (size_t)(end - bytes));
            if (span > 0)
                print_text(screen, bytes, span);
            else
                ground_byte(screen, *bytes++);
            bytes += span;
            if (span == 0 && bytes[-1] == LF && bytes >= looked_at)
                bytes += pass_plain_lines(screen, bytes, (size_t)(end - bytes), &looked_at);
        }
    }
}
