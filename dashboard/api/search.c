/* Searches the lines of one run, or the logs of all runs. One answer covers a limited amount of
   text and says where to continue, so that a large search neither stops the server nor lets a
   person wait for the first result. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "dashboard/api/api.h"
#include "dashboard/api/match.h"
#include "dashboard/server/server.h"
#include "dashboard/store/lines.h"

#define MATCHES_MAX 1000
#define MATCHES_MAX_ALL 200
#define TEXT_SHOWN 200              /* bytes of a matching line */
#define READ_MAX ((size_t)16 << 20) /* bytes that are searched for one answer */
#define RUNS_AT_ONCE 32             /* runs that are read from the store at a time */
#define RUNS_MAX 500                /* runs that are searched for one answer */
#define COMMAND_SHOWN 200
#define CUT_MARK "\xe2\x80\xa6"

struct search {
    struct match *match;
    int64_t from, limit, found;
    size_t read;  /* bytes searched so far */
    int64_t next; /* where the next answer continues */
    bool more;
    const struct found_run *run; /* named in each match; NULL: the request names the run */
    struct text out;
};

/* A run whose log is searched among others. */
struct found_run {
    char id[RUN_ID_SIZE], host[HOST_ID_SIZE], command[COMMAND_SHOWN + sizeof CUT_MARK];
    int64_t started_ms;
};

/* The largest size of at most max bytes that does not cut a character. */
static size_t shown_size(const char *text, size_t size, size_t max)
{
    if (size <= max)
        return size;
    for (size = max; size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80; size--)
        ;
    return size;
}

static void add_match(struct search *search, int64_t line, const char *text, size_t size)
{
    struct text *out = &search->out;

    text_puts(out, search->found++ ? ",{" : "{");
    if (search->run) {
        text_key_json(out, "host", search->run->host);
        text_key_json(out, "run", search->run->id);
        text_key_json(out, "command", search->run->command);
        text_key_int(out, "started", search->run->started_ms);
    }
    text_key_int(out, "line", line);
    text_key(out, "text");
    text_json_bytes(out, text, shown_size(text, size, TEXT_SHOWN));
    text_puts(out, "}");
}

/* Searches one chunk, whose text is changed. False: enough was found. */
static bool search_chunk(struct search *search, char *text, size_t size, int64_t first)
{
    char *rest = text;

    text[size] = '\0';
    for (char *line; (line = strsep(&rest, "\n")); first++) {
        size_t length = lines_strip(line, strlen(line));

        line[length] = '\0';
        if (first < search->from || !match_line(search->match, line, length))
            continue;
        if (search->found == search->limit) {
            search->more = true;
            search->next = first;
            return false;
        }
        add_match(search, first, line, length);
    }
    return true;
}

/* Stops when enough was found, or so much was read that other requests should have their turn. */
static bool search_next(void *context, const struct chunk *chunk)
{
    struct search *search = context;
    AUTO_FREE char *copy = NULL;

    if (!chunk->text || !chunk->count)
        return true;
    if (search->read >= READ_MAX) {
        search->more = true;
        search->next = chunk->first > search->from ? chunk->first : search->from;
        return false;
    }
    if (!(copy = malloc(chunk->size + 1))) {
        search->out.failed = true;
        return false;
    }
    memcpy(copy, chunk->text, chunk->size);
    search->read += chunk->size;
    return search_chunk(search, copy, chunk->size, chunk->first);
}

static bool asked_for(struct request *request, const char *name)
{
    const char *value = request_query(request, name);

    return value && *value && strcmp(value, "0") != 0;
}

/* Answers 400 and returns false if the search is not valid. */
static bool open_search(struct request *request, struct search *search)
{
    struct match_question question = {.q = request_query(request, "q"),
                                      .kind = request_query(request, "kind"),
                                      .regex = asked_for(request, "regex"),
                                      .exact = asked_for(request, "case"),
                                      .word = asked_for(request, "word")};
    char error[MATCH_ERROR_SIZE];

    search->match = match_open(&question, error);
    if (!search->match && *error)
        answer_error(request, 400, "%s", error);
    else if (!search->match)
        answer_no_memory(request);
    return search->match != NULL;
}

static void close_search(struct search *search)
{
    search->out.failed |= match_failed(search->match);
    match_close(search->match);
}

void get_run_search(struct request *request)
{
    struct search search = {.from = request_number(request, "from", 0, INT64_MAX / 2, 0),
                            .limit = request_number(request, "limit", 1, MATCHES_MAX, 100)};
    struct run_row run;
    bool read;

    if (!find_run(request, &run) || !open_search(request, &search))
        return;
    text_puts(&search.out, "{\"matches\":[");
    read = store_log(request->server->store, run.key, search.from, search_next, &search) == 0;
    close_search(&search);
    if (!read) {
        text_free(&search.out);
        answer_no_store(request);
        return;
    }
    text_puts(&search.out, "]");
    text_key_raw(&search.out, "more", search.more ? "true" : "false");
    if (search.more)
        text_key_int(&search.out, "next", search.next);
    text_puts(&search.out, "}");
    answer_text(request, &search.out);
}

/* ---- all runs ---- */

struct run_page {
    struct found_run runs[RUNS_AT_ONCE];
    size_t count;
};

static void keep_run(void *context, const struct run_details *run)
{
    struct run_page *page = context;
    struct found_run *kept = &page->runs[page->count++];
    const char *command = run->command ? run->command : "";
    size_t shown;

    snprintf(kept->id, sizeof kept->id, "%s", run->id);
    snprintf(kept->host, sizeof kept->host, "%s", run->host);
    shown = shown_size(command, strlen(command), COMMAND_SHOWN);
    snprintf(kept->command, sizeof kept->command, "%.*s%s", (int)shown, command,
             command[shown] ? CUT_MARK : "");
    kept->started_ms = run->facts.started_ms;
}

/* Searches one run from search->from on. Returns 0 if completely; 1 if one answer is full; -1 if
 * the store failed. */
static int search_run(struct store *store, struct search *search, const struct found_run *run)
{
    struct run_row row;
    int read = store_run_find(store, run->id, &row);

    if (read <= 0 || row.deleted)
        return read < 0 ? -1 : 0;
    search->run = run;
    read = store_log(store, row.key, search->from, search_next, search);
    search->run = NULL;
    if (read < 0)
        return -1;
    search->from = 0;
    return search->more;
}

/* Parses `at`, an earlier `next` of ours: RUN.LINE, where the search continues. False: it is not
 * valid. */
static bool read_place(const char *at, char id[RUN_ID_SIZE], int64_t *line)
{
    char *end;

    if (strlen(at) < RUN_ID_SIZE || at[RUN_ID_SIZE - 1] != '.')
        return false;
    snprintf(id, RUN_ID_SIZE, "%.*s", RUN_ID_SIZE - 1, at);
    *line = strtoll(at + RUN_ID_SIZE, &end, 10);
    return run_id_valid(id) && *end == '\0' && *line >= 0;
}

struct place {
    char id[RUN_ID_SIZE]; /* "": before the newest run */
    int64_t started_ms;   /* of the last run that was searched */
    int64_t runs;         /* number of searched runs */
};

/* Searches the rest of the run in which an earlier answer ended. */
static int search_rest(struct store *store, struct search *search, struct place *place)
{
    struct run_page page = {0};
    int found = place->id[0] ? store_run(store, NULL, place->id, keep_run, &page) : 0;

    if (found <= 0)
        return found;
    place->started_ms = page.runs[0].started_ms;
    return search_run(store, search, &page.runs[0]);
}

static int search_runs(struct store *store, struct search *search, struct place *place)
{
    struct run_page page;
    int done = search_rest(store, search, place);

    do {
        if (done)
            return done;
        page.count = 0;
        if (store_runs(store, NULL, place->id[0] ? place->id : NULL, RUNS_AT_ONCE, keep_run,
                       &page) < 0)
            return -1;
        for (size_t i = 0; i < page.count && !done; i++) {
            snprintf(place->id, sizeof place->id, "%s", page.runs[i].id);
            place->started_ms = page.runs[i].started_ms;
            place->runs++;
            search->from = 0;
            done = search_run(store, search, &page.runs[i]);
        }
        if (!done && page.count == RUNS_AT_ONCE && place->runs >= RUNS_MAX) {
            search->more = true;
            search->next = INT64_MAX / 2; /* the run is finished */
            return 1;
        }
    } while (page.count == RUNS_AT_ONCE);
    return done;
}

void get_search(struct request *request)
{
    struct search search = {.limit = request_number(request, "limit", 1, MATCHES_MAX_ALL, 50)};
    const char *at = request_query(request, "at");
    struct place place = {0};
    int done;

    if (at && !read_place(at, place.id, &search.from)) {
        answer_error(request, 400, "at: expected the `next` of an earlier answer");
        return;
    }
    if (!open_search(request, &search))
        return;
    text_puts(&search.out, "{\"matches\":[");
    done = search_runs(request->server->store, &search, &place);
    close_search(&search);
    if (done < 0) {
        text_free(&search.out);
        answer_no_store(request);
        return;
    }
    text_puts(&search.out, "]");
    text_key_int(&search.out, "runs", place.runs);
    text_key_int(&search.out, "back_to", place.started_ms);
    text_key_raw(&search.out, "more", search.more ? "true" : "false");
    if (search.more)
        text_printf(&search.out, ",\"next\":\"%s.%lld\"", place.id, (long long)search.next);
    text_puts(&search.out, "}");
    answer_text(request, &search.out);
}
