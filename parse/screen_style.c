/* SGR: colours and attributes of text. Reads any form that programs use (ECMA-48; ISO 8613-6, also
   with semicolons as in xterm), and writes one form: from the default style, attributes in rising
   order, then colours. */
#include "screen_internal.h"

#include <string.h>

#define COLOUR_BITS 26
#define COLOUR_MASK ((style)0x3ffffff)
#define COLOUR_INDEX \
    ((uint32_t)1     \
     << 24) /* a colour is 0 (default), COLOUR_INDEX | 0-255, or COLOUR_RGB | 0xrrggbb */
#define COLOUR_RGB ((uint32_t)2 << 24)
#define BACKGROUND_SHIFT COLOUR_BITS
#define ATTRIBUTE_SHIFT (2 * COLOUR_BITS)

enum attribute {
    BOLD,
    DIM,
    ITALIC,
    UNDERLINE,
    BLINK,
    INVERSE,
    CONCEAL,
    STRIKE,
    DOUBLE_UNDERLINE,
    OVERLINE,
    ATTRIBUTES
};

static const uint8_t attribute_code[ATTRIBUTES] = {1, 2, 3, 4, 5, 7, 8, 9, 21, 53};

static style bit(enum attribute attribute)
{
    return (style)1 << (ATTRIBUTE_SHIFT + attribute);
}

static style with_foreground(style now, uint32_t colour)
{
    return (now & ~COLOUR_MASK) | colour;
}

static style with_background(style now, uint32_t colour)
{
    return (now & ~(COLOUR_MASK << BACKGROUND_SHIFT)) | (style)colour << BACKGROUND_SHIFT;
}

/* Reads a colour: one value (an index), or three (red, green, blue). False if a value is missing or
   too large. */
static bool colour_of(const struct csi *csi, unsigned first, unsigned values, uint32_t *colour)
{
    uint32_t value = 0;

    for (unsigned i = first; i < first + values; i++) {
        if (i >= csi->count || !csi->given[i] || csi->param[i] > 255)
            return false;
        value = value << 8 | csi->param[i];
    }
    *colour = value | (values == 1 ? COLOUR_INDEX : COLOUR_RGB);
    return true;
}

/* Reads 38 or 48 at *at, then 5;index or 2;r;g;b. With colons, the group ends where the colons end,
   and a colour space may follow 2: 38:2::r:g:b. Leaves *at at the last parameter of the group; a
   malformed group ends where it ends in tmux. False if there is no colour. */
static bool read_colour(const struct csi *csi, unsigned *at, uint32_t *colour)
{
    unsigned first = *at + 1, end = first;
    bool colons = first < csi->count && csi->colon[first];
    uint32_t kind = first < csi->count ? csi->param[first] : 0;

    while (colons && end < csi->count && csi->colon[end])
        end++;
    *at = colons ? end - 1 : first;
    if (kind == 5 && (!colons || end - first >= 2)) {
        if (!colons)
            ++*at;
        if (!colour_of(csi, first + 1, 1, colour))
            *colour = 0;
        return true;
    }
    if (kind != 2 || (colons && end - first < 4))
        return false;
    if (!colour_of(csi, first + (end - first >= 5 ? 2 : 1), 3, colour))
        return false;
    if (!colons)
        *at += 3;
    return true;
}

/* 4 alone, or 4:n, where n is the kind of underline and 0 means none. */
static style read_underline(style now, const struct csi *csi, unsigned *at)
{
    uint32_t kind = 1;
    while (*at + 1 < csi->count && csi->colon[*at + 1])
        kind = csi->param[++*at];
    now &= ~(bit(UNDERLINE) | bit(DOUBLE_UNDERLINE));
    if (kind == 2)
        return now | bit(DOUBLE_UNDERLINE);
    return kind ? now | bit(UNDERLINE) : now;
}

static style apply_simple(style now, uint32_t code)
{
    if (code == 0)
        return 0;
    if (code >= 30 && code <= 37)
        return with_foreground(now, COLOUR_INDEX | (code - 30));
    for (unsigned i = 0; i < ATTRIBUTES; i++)
        if (attribute_code[i] == code)
            return now | bit(i);
    switch (code) {
    case 6:
        return now | bit(BLINK);
    case 22:
        return now & ~(bit(BOLD) | bit(DIM));
    case 23:
        return now & ~bit(ITALIC);
    case 24:
        return now & ~(bit(UNDERLINE) | bit(DOUBLE_UNDERLINE));
    case 25:
        return now & ~bit(BLINK);
    case 27:
        return now & ~bit(INVERSE);
    case 28:
        return now & ~bit(CONCEAL);
    case 29:
        return now & ~bit(STRIKE);
    case 39:
        return with_foreground(now, 0);
    case 49:
        return with_background(now, 0);
    case 55:
        return now & ~bit(OVERLINE);
    }
    if (code >= 40 && code <= 47)
        return with_background(now, COLOUR_INDEX | (code - 40));
    if (code >= 90 && code <= 97)
        return with_foreground(now, COLOUR_INDEX | (code - 90 + 8));
    if (code >= 100 && code <= 107)
        return with_background(now, COLOUR_INDEX | (code - 100 + 8));
    return now;
}

style style_apply(style now, const struct csi *csi)
{
    uint32_t colour;

    if (csi->count == 0)
        return 0;
    for (unsigned i = 0; i < csi->count; i++) {
        uint32_t code = csi->param[i];
        if (csi->colon[i])
            continue; /* part of an unknown group */
        if (code == 38) {
            if (read_colour(csi, &i, &colour))
                now = with_foreground(now, colour);
        } else if (code == 48) {
            if (read_colour(csi, &i, &colour))
                now = with_background(now, colour);
        } else if (code == 58) {
            (void)read_colour(csi, &i, &colour); /* the colour of the underline is ignored */
        } else if (code == 4) {
            now = read_underline(now, csi, &i);
        } else if (i + 1 == csi->count || !csi->colon[i + 1]) {
            now = apply_simple(now, code);
        }
    }
    return now;
}

static char *put_number(char *out, uint32_t number)
{
    if (number >= 100)
        *out++ = (char)('0' + number / 100);
    if (number >= 10)
        *out++ = (char)('0' + number / 10 % 10);
    *out++ = (char)('0' + number % 10);
    return out;
}

/* base: 30 or 40, the code of the first colour. */
static char *put_colour(char *out, uint32_t colour, uint32_t base)
{
    uint32_t value = colour & 0xffffff;

    if (colour == 0)
        return out;
    *out++ = ';';
    if (colour & COLOUR_RGB) {
        out = put_number(out, base + 8);
        memcpy(out, ";2;", 3);
        out = put_number(out + 3, value >> 16);
        *out++ = ';';
        out = put_number(out, value >> 8 & 0xff);
        *out++ = ';';
        return put_number(out, value & 0xff);
    }
    if (value < 8)
        return put_number(out, base + value);
    if (value < 16)
        return put_number(out, base + 60 + value - 8);
    out = put_number(out, base + 8);
    memcpy(out, ";5;", 3);
    return put_number(out + 3, value);
}

size_t style_encode(style value, char *out)
{
    char *start = out, *first = out + 2;

    memcpy(out, "\033[", 2);
    out += 2;
    for (unsigned i = 0; i < ATTRIBUTES; i++)
        if (value & bit(i)) {
            *out++ = ';';
            out = put_number(out, attribute_code[i]);
        }
    out = put_colour(out, (uint32_t)(value & COLOUR_MASK), 30);
    out = put_colour(out, (uint32_t)(value >> BACKGROUND_SHIFT & COLOUR_MASK), 40);
    if (out > first) { /* no separator before the first number */
        memmove(first, first + 1, (size_t)(out - first - 1));
        out--;
    }
    *out++ = 'm';
    return (size_t)(out - start);
}
