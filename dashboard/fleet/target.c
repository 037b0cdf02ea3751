#include "dashboard/fleet/target.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/utf8.h"
#include "common/worker.h"

#define TARGET_PERIOD_S 60
#define TARGET_FRESH_S 5
#define DOWNLOAD_S 5L
#define ANSWER_MAX ((size_t)64 << 10)
#define WAITING_MAX 32

struct waiter {
    void (*done)(void *context);
    void *context;
};

struct target {
    const char *url;
    CURL *curl;
    struct worker worker; /* its lock protects the following fields */
    struct waiter waiting[WAITING_MAX];
    size_t waiting_count;
    int64_t read_ms;
    char hash[65], message[512];
    uint64_t version;
};

/* ---- downloading ---- */

static size_t take(char *bytes, size_t size, size_t count, void *context)
{
    struct text *answer = context;

    if (answer->size + size * count > ANSWER_MAX)
        return 0; /* makes the transfer fail */
    text_add(answer, bytes, size * count);
    return answer->failed ? 0 : size * count;
}

static bool download(struct target *target, struct text *answer)
{
    long status = 0;

    curl_easy_setopt(target->curl, CURLOPT_WRITEDATA, answer);
    return curl_easy_perform(target->curl) == CURLE_OK &&
           curl_easy_getinfo(target->curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
           status == 200;
}

static bool is_commit(const char *hash)
{
    size_t length = strlen(hash);

    return length >= 7 && length < sizeof(((struct target *)0)->hash) &&
           strspn(hash, "0123456789abcdefABCDEF") == length;
}

/* The caller holds the lock. */
static void store_commit(struct target *target, const char *hash, const char *message)
{
    char kept[sizeof target->message];

    message = message ? message : "";
    strlcpy(kept, message, utf8_cut(message, strlen(message), sizeof kept - 1) + 1);
    if (strcmp(hash, target->hash) == 0 && strcmp(kept, target->message) == 0)
        return;
    strlcpy(target->hash, hash, sizeof target->hash);
    strlcpy(target->message, kept, sizeof target->message);
    target->version++;
}

static void download_and_store(struct target *target)
{
    struct text answer = {0};
    const char *why = NULL, *hash = NULL, *message = NULL;
    struct json_problem problem;
    bool answered = download(target, &answer);
    json_object *object =
        answered && answer.size ? body_parse(answer.bytes, answer.size, &problem) : NULL;

    if (object) {
        field_string(object, "message", &message, &why);
        if (!field_string(object, "gitCommit", &hash, &why))
            field_string(object, "hash", &hash, &why);
    }
    worker_lock(&target->worker);
    target->read_ms = monotonic_ms();
    if (hash && is_commit(hash))
        store_commit(target, hash, message);
    worker_unlock(&target->worker);
    json_object_put(object);
    text_free(&answer);
}

/* ---- answering ---- */

/* The caller holds the lock. */
static void add_object(const struct target *target, struct text *out)
{
    char abbreviated[8];

    strlcpy(abbreviated, target->hash, sizeof abbreviated);
    text_puts(out, "{");
    text_key_json(out, "hash", abbreviated);
    text_key_json(out, "full_hash", target->hash);
    text_key_json(out, "message", target->message);
    text_puts(out, "}");
}

void target_json(struct target *target, struct text *out)
{
    if (!target_version(target)) {
        text_puts(out, "null");
        return;
    }
    worker_lock(&target->worker);
    add_object(target, out);
    worker_unlock(&target->worker);
}

void target_v1_json(struct target *target, struct text *out)
{
    if (!target_version(target)) {
        text_puts(out, "{\"hash\":null,\"full_hash\":null,\"message\":null}");
        return;
    }
    target_json(target, out);
}

uint64_t target_version(struct target *target)
{
    uint64_t version;

    if (!target)
        return 0;
    worker_lock(&target->worker);
    version = target->version;
    worker_unlock(&target->worker);
    return version;
}

/* The caller holds the lock, which is released during the calls. */
static void call_waiting(struct target *target)
{
    struct waiter waiting[WAITING_MAX];
    size_t count = target->waiting_count;

    memcpy(waiting, target->waiting, count * sizeof *waiting);
    target->waiting_count = 0;
    worker_unlock(&target->worker);
    for (size_t i = 0; i < count; i++)
        waiting[i].done(waiting[i].context);
    worker_lock(&target->worker);
}

bool target_refresh(struct target *target, void (*done)(void *context), void *context)
{
    bool accepted;

    worker_lock(&target->worker);
    accepted = target->waiting_count < WAITING_MAX && !target->worker.stopping;
    if (accepted) {
        target->waiting[target->waiting_count++] = (struct waiter){done, context};
        worker_wake(&target->worker);
    }
    worker_unlock(&target->worker);
    return accepted;
}

/* ---- the thread ---- */

static void *run(void *context)
{
    struct target *target = context;

    worker_lock(&target->worker);
    while (!target->worker.stopping) {
        struct timespec next;

        if (!target->read_ms || monotonic_ms() - target->read_ms >= TARGET_FRESH_S * 1000) {
            worker_unlock(&target->worker);
            download_and_store(target);
            worker_lock(&target->worker);
        }
        call_waiting(target);
        next = worker_in(TARGET_PERIOD_S * 1000);
        while (!target->worker.stopping && !target->waiting_count &&
               worker_wait_until(&target->worker, &next))
            ;
    }
    call_waiting(target);
    worker_unlock(&target->worker);
    return NULL;
}

static bool set_up(struct target *target)
{
    CURL *curl = target->curl = curl_easy_init();

    return curl && curl_easy_setopt(curl, CURLOPT_URL, target->url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT, DOWNLOAD_S) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERAGENT, "nixfleet-dashboard/" VERSION) == CURLE_OK;
}

struct target *target_start(const char *url)
{
    struct target *target = url ? calloc(1, sizeof *target) : NULL;

    if (!target)
        return NULL;
    target->url = url;
    worker_init(&target->worker);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (set_up(target) && worker_start(&target->worker, run, target) == 0)
        return target;
    target_free(target);
    return NULL;
}

void target_stop(struct target *target)
{
    if (target)
        worker_stop(&target->worker);
}

void target_free(struct target *target)
{
    if (!target)
        return;
    curl_easy_cleanup(target->curl);
    worker_destroy(&target->worker);
    free(target);
}
