/* What is in front of the text of a line: time and program of journald and syslog in any locale,
   names of hosts from colmena and nixops, levels, marks of CI systems, quotes.

   A front with the name of a program or a host leads to a stream of its own. It counts only where
   the enclosing stream would accept a line as nix's own, because a builder of an open legacy build
   may print any front. Other fronts are only removed, and do not make a line more credible. */
#include "phase_internal.h"

#define FRONTS_MAX 8 /* one behind the other */
#define KEY_SCAN 72  /* bytes in which the front must end */

struct taking {
    struct phase *phase;
    struct stream *stream;
    struct line *line;
    bool level;  /* the line is marked as an error */
    bool marked; /* a level was in front of the line */
};

static void skip(struct line *line, const char *to)
{
    line->length -= (size_t)(to - line->text);
    line->text = to;
}

static bool is_letter(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (unsigned char)byte >= 0x80;
}

static bool is_key(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || is_digit(byte) ||
           byte == '-' || byte == '_' || byte == '.' || byte == '@';
}

/* ---- time ---- */

/* One or two digits, two or three times, with colons: 04:21:44, also with a fraction. */
static const char *take_clock(const char *at, const char *end)
{
    if (end - at < 8 || !is_digit(at[0]) || !is_digit(at[1]) || at[2] != ':' || !is_digit(at[3]) ||
        !is_digit(at[4]) || at[5] != ':' || !is_digit(at[6]) || !is_digit(at[7]))
        return NULL;
    at += 8;
    if (end - at > 1 && (*at == '.' || *at == ',') && is_digit(at[1]))
        for (at++; at < end && is_digit(*at); at++)
            continue;
    return at;
}

/* "Z", "+02:00", "+0200", " UTC". */
static const char *take_zone(const char *at, const char *end)
{
    if (at < end && *at == 'Z')
        return at + 1;
    if (begins(at, end, " UTC") || begins(at, end, " +0000"))
        return at + (at[1] == 'U' ? 4 : 6);
    if (end - at < 5 || (*at != '+' && *at != '-') || !is_digit(at[1]))
        return at;
    for (at++; at < end && (is_digit(*at) || *at == ':'); at++)
        continue;
    return at;
}

/* gitlab-runner says behind its time of which stream a line is: " 01O ", " 01E ". */
static const char *skip_stream(const char *at, const char *end)
{
    bool found = end - at >= 5 && at[0] == ' ' && is_digit(at[1]) && is_digit(at[2]) &&
                 (at[3] == 'O' || at[3] == 'E') && at[4] == ' ';
    return found ? at + 4 : at;
}

/* 2026-07-01T10:00:00.1234567Z, 2026-07-01 10:00:00. */
static const char *take_iso(const char *at, const char *end)
{
    static const char form[] = "dddd-dd-dd";
    if (end - at < 19)
        return NULL;
    for (size_t k = 0; form[k] != '\0'; k++)
        if (form[k] == 'd' ? !is_digit(at[k]) : at[k] != form[k])
            return NULL;
    if (at[10] != 'T' && at[10] != ' ')
        return NULL;
    const char *stop = take_clock(at + 11, end);
    return stop ? skip_stream(take_zone(stop, end), end) : NULL;
}

/* "Sep 02 04:21:44" with the month in any locale: a word, a day, a time. Japanese and Korean months
 * below 10 have a blank in front. */
static const char *take_syslog(const char *at, const char *end)
{
    if (end - at > 2 && *at == ' ' && is_digit(at[1]) && (unsigned char)at[2] >= 0x80)
        at++;
    const char *word = at;
    while (at < end && *at != ' ' && at - word < 16)
        at++;
    if (at == end || *at != ' ' || at == word)
        return NULL;
    while (at < end && *at == ' ')
        at++;
    int digits = 0;
    for (; at < end && is_digit(*at); at++)
        digits++;
    if (digits < 1 || digits > 2 || at == end || *at != ' ')
        return NULL;
    return take_clock(at + 1, end);
}

/* "Wed 2026-07-01 04:21:44 CEST" of journalctl -o short-full. */
static const char *take_full(const char *at, const char *end)
{
    const char *word = at;
    while (at < end && is_letter(*at) && at - word < 16)
        at++;
    if (at == word || at == end)
        return NULL;
    at += *at == '.';
    at = at < end && *at == ' ' ? take_iso(at + 1, end) : NULL;
    if (!at || at == end || *at != ' ' || end - at < 4)
        return NULL;
    for (word = ++at; at < end && *at >= 'A' && *at <= 'Z'; at++)
        continue;
    return at > word ? at : NULL;
}

/* "1764028800.123" of journalctl -o short-unix. */
static const char *take_unix(const char *at, const char *end)
{
    int whole = 0, part = 0;
    for (; at < end && is_digit(*at); at++)
        whole++;
    if (whole < 10 || whole > 11 || at == end || *at != '.')
        return NULL;
    for (at++; at < end && is_digit(*at); at++)
        part++;
    return part >= 3 && part <= 9 ? at : NULL;
}

/* "[ 1234.567890]" of journalctl -o short-monotonic. */
static const char *take_monotonic(const char *at, const char *end)
{
    int whole = 0, part = 0;
    if (at == end || *at != '[')
        return NULL;
    for (at++; at < end && *at == ' '; at++)
        continue;
    for (; at < end && is_digit(*at); at++)
        whole++;
    if (whole == 0 || at == end || *at != '.')
        return NULL;
    for (at++; at < end && is_digit(*at); at++)
        part++;
    return part == 6 && at < end && *at == ']' ? at + 1 : NULL;
}

/* Any of these forms. *loose: the form of syslog, which a host and a program follow. */
static const char *take_time(const char *at, const char *end, bool *loose)
{
    const char *stop = take_iso(at, end);
    *loose = false;
    if (!stop)
        stop = take_clock(at, end);
    if (!stop)
        stop = take_full(at, end);
    if (!stop)
        stop = take_unix(at, end);
    if (!stop && (stop = take_syslog(at, end)))
        *loose = true;
    return stop;
}

/* ---- host and program ---- */

static bool may_enter(const struct stream *stream)
{
    return !stream->believe.units_block &&
           (!stream->believe.raw_open || nix_build_over(stream, false));
}

static bool enter(struct taking *taking, const char *key, size_t length, bool host, const char *to)
{
    struct stream *stream = may_enter(taking->stream)
                                ? phase_stream(taking->phase, taking->stream, key, length, host)
                                : NULL;
    if (!stream)
        return false;
    taking->stream = stream;
    skip(taking->line, to);
    return true;
}

/* "PROG[12]: ", or with loose also "PROG: ". *stop: the end of the name. Returns what follows the
 * front. */
static const char *take_program(const char *at, const char *end, bool loose, const char **stop)
{
    const char *from = at;
    int64_t pid;
    while (at < end && (is_key(*at) || *at == '(' || *at == ')' || *at == '/') &&
           at - from < KEY_SCAN)
        at++;
    *stop = at;
    if (at == from || at == end)
        return NULL;
    if (*at == '[') {
        at++;
        if (!take_number(&at, end, &pid) || at == end || *at++ != ']')
            return NULL;
    } else if (!loose) {
        return NULL;
    }
    if (at == end || *at != ':')
        return NULL;
    at++;
    return at == end ? at : *at == ' ' ? at + 1 : NULL;
}

/* "HOST PROG[12]: " behind a time. */
static bool host_and_program(struct taking *taking, const char *at, bool loose)
{
    const char *end = taking->line->text + taking->line->length, *host = at, *stop;
    while (at < end && is_key(*at))
        at++;
    if (at == host || at == end || *at != ' ')
        return false;
    const char *program = at + 1, *rest = take_program(program, end, loose, &stop);
    if (!rest || !may_enter(taking->stream))
        return false;
    return enter(taking, host, (size_t)(at - host), true, program) &&
           enter(taking, program, (size_t)(stop - program), false, rest);
}

static bool front_time(struct taking *taking)
{
    struct line *line = taking->line;
    const char *at = line->text, *end = at + line->length;
    const char *stop = take_monotonic(at, end);
    bool loose = stop != NULL, bracket = !stop && *at == '[';
    if (!stop)
        stop = take_time(at + bracket, end, &loose);
    if (!stop || (bracket && (stop == end || *stop++ != ']')))
        return false;
    if (stop < end && *stop != ' ')
        return false;
    stop += stop < end;
    if (host_and_program(taking, stop, loose))
        return true;
    if (loose)
        return false;
    skip(line, stop);
    return true;
}

/* "comin[187]: ", without a time. */
static bool front_program(struct taking *taking)
{
    const char *at = taking->line->text, *end = at + taking->line->length, *stop;
    const char *rest = take_program(at, end, false, &stop);
    return rest && enter(taking, at, (size_t)(stop - at), false, rest);
}

/* ---- deployment tools ---- */

/* Words of colmena about a node, by which its " | " differs from other tables. */
static bool node_words(const struct phase *phase, const char *at, const char *end)
{
    static const char *const words[] = {"Evaluat", "Build", "Built",      "Push",     "Activat",
                                        "Upload",  "Copy",  "copying",    "Deploy",   "Failed",
                                        "Connect", "Skipp", "No changes", "All done!"};
    for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
        if (begins(at, end, words[k]))
            return true;
    return phase_knows(phase, at, (size_t)(end - at));
}

/* colmena: " node | TEXT", with the names right-aligned. The line about all nodes has no name. */
static bool front_node(struct taking *taking)
{
    struct phase *phase = taking->phase;
    const char *from = taking->line->text, *end = from + taking->line->length, *name = from;
    while (name < end && *name == ' ' && name - from < KEY_SCAN)
        name++;
    const char *at = name;
    while (at < end && is_key(*at) && at - from < KEY_SCAN)
        at++;
    size_t length = (size_t)(at - name), column;
    if (length > 0 && (at == end || *at != ' '))
        return false;
    while (at < end && *at == ' ')
        at++;
    column = (size_t)(at - from);
    if (at == end || *at++ != '|')
        return false;
    at += at < end && *at == ' ';
    if (phase->node_column != column && (length == 0 || !node_words(phase, at, end)))
        return false;
    if (length == 0) {
        skip(taking->line, at);
        taking->stream->steps.deploy = true;
        return true;
    }
    if (!enter(taking, name, length, true, at))
        return false;
    phase->node_column = column;
    taking->stream->steps.deploy = true;
    return true;
}

/* colmena's summary: " node ✅ 4s TEXT", " node ❌ 61s TEXT"; for all nodes without a name. The text
   keeps its mark. */
static bool front_summary(struct taking *taking)
{
    const char *name = taking->line->text, *end = name + taking->line->length;
    int64_t number;
    while (name < end && *name == ' ')
        name++;
    if (begins(name, end, "(...) ")) /* a summary of several nodes */
        name += strlen("(...) ");
    const char *at = name;
    while (at < end && is_key(*at))
        at++;
    const char *mark = at + (at > name);
    if (end - mark < 7 || (at > name && *at != ' '))
        return false;
    if (memcmp(mark, "\xE2\x9C\x85", 3) != 0 && memcmp(mark, "\xE2\x9D\x8C", 3) != 0)
        return false;
    const char *time = mark + 3;
    while (time < end && *time == ' ')
        time++;
    if (!take_number(&time, end, &number) || time == end || (*time != 's' && *time != 'm') ||
        !may_enter(taking->stream))
        return false;
    if (at == name)
        skip(taking->line, mark);
    else if (!enter(taking, name, (size_t)(at - name), true, mark))
        return false;
    taking->stream->steps.deploy = true;
    return true;
}

/* nixops: "test...........> TEXT"; the longest name has no dots. */
static bool front_nixops(struct taking *taking)
{
    struct phase *phase = taking->phase;
    const char *name = taking->line->text, *end = name + taking->line->length, *at = name;
    while (at < end && is_key(*at) && at - name < KEY_SCAN)
        at++;
    if (at == name || at == end || *at != '>' || (at + 1 < end && at[1] != ' '))
        return false;
    size_t width = (size_t)(at - name), length = width;
    while (length > 0 && name[length - 1] == '.')
        length--;
    if (length == 0 || (width - length < 2 && phase->nixops_width != width))
        return false;
    if (!enter(taking, name, length, true, at + 1 < end ? at + 2 : end))
        return false;
    phase->nixops_width = width;
    taking->stream->steps.deploy = true;
    return true;
}

/* "[ERROR] ", "[INFO ] ": the levels of colmena and others. Also for "[deploy] [INFO] " of
   deploy-rs. */
static bool front_level(struct taking *taking)
{
    static const struct {
        const char *text;
        bool error;
    } levels[] = {{"[ERROR] ", true}, {"[INFO ] ", false}, {"[INFO] ", false}, {"[WARN ] ", false},
                  {"[WARN] ", false}, {"[DEBUG] ", false}, {"[TRACE] ", false}};
    struct line *line = taking->line;
    for (size_t k = 0; k < sizeof levels / sizeof levels[0]; k++) {
        if (!starts(line->text, line->length, levels[k].text))
            continue;
        skip(line, line->text + strlen(levels[k].text));
        taking->marked = may_enter(taking->stream);
        taking->level = levels[k].error && taking->marked;
        taking->stream->steps.deploy |= taking->marked;
        return true;
    }
    return false;
}

/* colmena's log of a node: " stderr) TEXT", behind a level. An earlier line named the node. */
static bool front_event(struct taking *taking)
{
    struct phase *phase = taking->phase;
    struct line *line = taking->line;
    const char *at = line->text, *end = at + line->length, *word;
    while (at < end && *at == ' ')
        at++;
    for (word = at; at < end && *at >= 'a' && *at <= 'z'; at++)
        continue;
    if (at == word || at == end || *at != ')' || (at + 1 < end && at[1] != ' '))
        return false;
    const char *text = at + 1 < end ? at + 2 : end;
    bool output = begins(word, at, "stderr") || begins(word, at, "stdout");
    taking->level = begins(word, at, "failure");
    if (phase->node[0] != '\0')
        enter(taking, phase->node, strlen(phase->node), true, text);
    else
        enter(taking, "[log]", 5, false, text);
    if (!output && !taking->level)
        text = end; /* "created)", "state) Running" */
    skip(line, text);
    taking->stream->steps.deploy = true;
    return true;
}

/* deploy-rs: "🚀 ℹ️ [deploy] [INFO] TEXT": a program and a level behind emojis. */
static bool front_pictures(struct taking *taking)
{
    struct line *line = taking->line;
    const char *at = line->text, *end = at + line->length, *from = at;
    while (at < end && ((unsigned char)*at >= 0x80 || *at == ' ') && at - from < 32)
        at++;
    if (at == end || *at != '[')
        return false;
    for (from = ++at; at < end && *at >= 'a' && *at <= 'z'; at++)
        continue;
    if (at == from || !begins(at, end, "] ["))
        return false;
    skip(line, at + 2);
    return front_level(taking);
}

/* ---- marks, quotes, prompts ---- */

static bool front_ci(struct taking *taking)
{
    struct line *line = taking->line;
    bool github = starts(line->text, line->length, "##[");
    if (!github && !starts(line->text, line->length, "::"))
        return false;
    const char *at = line->text + (github ? 3 : 2), *end = line->text + line->length, *word = at;
    while (at < end && *at >= 'a' && *at <= 'z')
        at++;
    if (at == word || !begins(at, end, github ? "]" : "::"))
        return false;
    skip(line, at + (github ? 1 : 2));
    return true;
}

/* "> TEXT": a log that another program quotes. The headings of nh begin in the same way, and
 * builders may print it. */
static bool front_quote(struct taking *taking)
{
    struct line *line = taking->line;
    bool loose;
    if (line->length < 2 || line->text[1] != ' ' ||
        phase_knows(taking->phase, line->text, line->length))
        return false;
    if (!taking->phase->quoted && (!may_enter(taking->stream) ||
                                   !(phase_knows(taking->phase, line->text + 2, line->length - 2) ||
                                     take_time(line->text + 2, line->text + line->length, &loose))))
        return false;
    taking->phase->quoted = true;
    skip(line, line->text + 2);
    return true;
}

/* A byte order mark, the echo of Ctrl-C, or a password prompt that was answered without an echo. */
static bool front_prompt(struct taking *taking)
{
    static const char *const fronts[] = {"\xEF\xBB\xBF", "^C", "[sudo] ", "doas ("};
    struct line *line = taking->line;
    for (size_t k = 0; k < sizeof fronts / sizeof fronts[0]; k++) {
        if (!starts(line->text, line->length, fronts[k]))
            continue;
        const char *rest = line->text + strlen(fronts[k]);
        if (k >= 2) { /* a prompt in any language, up to its colon */
            const char *colon = find(rest, (size_t)(line->text + line->length - rest), ": ");
            if (!colon)
                return false;
            rest = colon + 2;
        }
        skip(line, rest);
        return true;
    }
    return false;
}

/* ---- all fronts ---- */

/* The first byte at the start of a line that only a front has. Most lines have no such byte. */
static const char *front_byte(const char *text, size_t length)
{
    static const bool telling[256] = {[':'] = true, ['|'] = true, ['>'] = true, [0xE2] = true};
    const char *end = text + (length < KEY_SCAN ? length : KEY_SCAN);
    for (const char *at = text; at < end; at++)
        if (telling[(unsigned char)*at])
            return at;
    return NULL;
}

static bool front_word(struct taking *taking)
{
    const struct line *line = taking->line;
    const char *at = front_byte(line->text, line->length);
    if (!at || at == line->text)
        return false;
    switch (*at) {
    case ':':
        if (at[-1] == ']' && front_program(taking))
            return true;
        return is_digit(at[-1]) && front_time(taking);
    case '|':
        return front_node(taking);
    case '>':
        return (at[-1] == '.' || (size_t)(at - line->text) == taking->phase->nixops_width) &&
               front_nixops(taking);
    default:
        return at[-1] == ' ' && front_summary(taking);
    }
}

/* Usually this is a progress bar. */
static bool front_bracket(struct taking *taking)
{
    const struct line *line = taking->line;
    char next = line->length > 8 ? line->text[1] : '\0';
    if (next == ' ')
        return front_time(taking);
    if (is_digit(next))
        return (line->text[3] == ':' || line->text[5] == '-' ||
                memchr(line->text, '.', line->length < 12 ? line->length : 12)) &&
               front_time(taking);
    return next >= 'A' && next <= 'Z' ? front_level(taking) : front_prompt(taking);
}

/* " 7月 01 04:21:44 …" */
static bool front_month(struct taking *taking)
{
    const struct line *line = taking->line;
    return line->length > 16 && is_digit(line->text[1]) && (unsigned char)line->text[2] >= 0x80 &&
           front_time(taking);
}

/* "1764028800.123 …" */
static bool front_unix(struct taking *taking)
{
    const struct line *line = taking->line;
    return line->length > 14 && is_digit(line->text[0]) && line->text[10] == '.' &&
           front_time(taking);
}

static bool front_one(struct taking *taking)
{
    const struct line *line = taking->line;
    if (line->length == 0)
        return false;
    switch (line->text[0]) {
    case '[':
        return front_bracket(taking);
    case '#':
    case ':':
        return front_ci(taking);
    case '>':
        return front_quote(taking);
    case ' ':
        if (taking->marked)
            return front_event(taking);
        return front_node(taking) || front_summary(taking) || front_month(taking);
    case '^':
        return front_prompt(taking);
    case 'd':
    case '\xEF':
        return front_prompt(taking) || front_word(taking);
    case '\xE2':
    case '\xF0':
        return front_pictures(taking) || front_word(taking);
    default:
        return (is_letter(line->text[0]) || is_digit(line->text[0])) &&
               (front_word(taking) || front_unix(taking));
    }
}

struct stream *front_take(struct phase *phase, struct line *line, bool *level)
{
    struct taking taking = {phase, phase->stream[0], line, false, false};
    for (int count = 0; count < FRONTS_MAX && front_one(&taking); count++)
        continue;
    *level = taking.level;
    return taking.stream;
}
