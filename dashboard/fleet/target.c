#include "dashboard/fleet/target.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/io.h"
#include "common/timed.h"
#include "common/utf8.h"

#define TARGET_PERIOD_S 60
#define TARGET_FRESH_S 5
#define ASK_S 5L
#define ANSWER_MAX ((size_t)64 << 10)
#define WAITING_MAX 32

struct waiter {
    void (*done)(void *context);
    void *context;
};

struct target {
    const char *url;
    CURL *curl;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping;
    struct waiter waiting[WAITING_MAX];
    size_t waiting_count;
    int64_t asked_ms;
    char hash[65], message[512];
    uint64_t version;
};

/* ---- asking ---- */

static size_t take(char *bytes, size_t size, size_t count, void *context)
{
    struct text *answer = context;

    if (answer->size + size * count > ANSWER_MAX)
        return 0; /* ends the transfer as failed */
    text_add(answer, bytes, size * count);
    return answer->failed ? 0 : size * count;
}

static bool ask(struct target *target, struct text *answer)
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

/* Under lock. */
static void learn(struct target *target, const char *hash, const char *message)
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

static void ask_and_learn(struct target *target)
{
    struct text answer = {0};
    const char *why = NULL, *hash = NULL, *message = NULL;
    struct json_problem problem;
    bool answered = ask(target, &answer);
    json_object *object =
        answered && answer.size ? body_parse(answer.bytes, answer.size, &problem) : NULL;

    if (object) {
        field_string(object, "message", &message, &why);
        if (!field_string(object, "gitCommit", &hash, &why))
            field_string(object, "hash", &hash, &why);
    }
    pthread_mutex_lock(&target->lock);
    target->asked_ms = monotonic_ms();
    if (hash && is_commit(hash))
        learn(target, hash, message);
    pthread_mutex_unlock(&target->lock);
    json_object_put(object);
    text_free(&answer);
}

/* ---- answering ---- */

/* Under lock. */
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
    pthread_mutex_lock(&target->lock);
    add_object(target, out);
    pthread_mutex_unlock(&target->lock);
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
    pthread_mutex_lock(&target->lock);
    version = target->version;
    pthread_mutex_unlock(&target->lock);
    return version;
}

/* Under lock, which it gives up for the calls. */
static void call_waiting(struct target *target)
{
    struct waiter waiting[WAITING_MAX];
    size_t count = target->waiting_count;

    memcpy(waiting, target->waiting, count * sizeof *waiting);
    target->waiting_count = 0;
    pthread_mutex_unlock(&target->lock);
    for (size_t i = 0; i < count; i++)
        waiting[i].done(waiting[i].context);
    pthread_mutex_lock(&target->lock);
}

bool target_refresh(struct target *target, void (*done)(void *context), void *context)
{
    bool accepted;

    pthread_mutex_lock(&target->lock);
    accepted = target->waiting_count < WAITING_MAX && !target->stopping;
    if (accepted) {
        target->waiting[target->waiting_count++] = (struct waiter){done, context};
        pthread_cond_signal(&target->wake);
    }
    pthread_mutex_unlock(&target->lock);
    return accepted;
}

/* ---- the thread ---- */

static void *run(void *context)
{
    struct target *target = context;

    pthread_mutex_lock(&target->lock);
    while (!target->stopping) {
        struct timespec until;

        if (!target->asked_ms || monotonic_ms() - target->asked_ms >= TARGET_FRESH_S * 1000) {
            pthread_mutex_unlock(&target->lock);
            ask_and_learn(target);
            pthread_mutex_lock(&target->lock);
        }
        call_waiting(target);
        until = timed_in(TARGET_PERIOD_S * 1000);
        while (!target->stopping && !target->waiting_count &&
               timed_wait(&target->wake, &target->lock, &until) != ETIMEDOUT)
            ;
    }
    call_waiting(target);
    pthread_mutex_unlock(&target->lock);
    return NULL;
}

static bool set_up(struct target *target)
{
    CURL *curl = target->curl = curl_easy_init();

    return curl && curl_easy_setopt(curl, CURLOPT_URL, target->url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT, ASK_S) == CURLE_OK &&
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
    pthread_mutex_init(&target->lock, NULL);
    timed_init(&target->wake);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (set_up(target) && pthread_create(&target->thread, NULL, run, target) == 0)
        return target;
    target_free(target);
    return NULL;
}

void target_stop(struct target *target)
{
    if (!target)
        return;
    pthread_mutex_lock(&target->lock);
    target->stopping = true;
    pthread_cond_signal(&target->wake);
    pthread_mutex_unlock(&target->lock);
    pthread_join(target->thread, NULL);
}

void target_free(struct target *target)
{
    if (!target)
        return;
    curl_easy_cleanup(target->curl);
    pthread_cond_destroy(&target->wake);
    pthread_mutex_destroy(&target->lock);
    free(target);
}
