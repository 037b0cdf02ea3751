/* A worker thread for slow work on requests (bcrypt), so that the HTTP threads never wait for it.
 */
#ifndef NIXFLEET_DASHBOARD_SERVER_TASK_QUEUE_H
#define NIXFLEET_DASHBOARD_SERVER_TASK_QUEUE_H

#include <stdbool.h>

#include "dashboard/server/http.h"

struct task_queue;

/* NULL when out of resources. */
struct task_queue *task_queue_new(void);
/* Answers what waits with 503 and ends the thread: before the HTTP server is stopped. */
void task_queue_stop(struct task_queue *queue);
/* After it. */
void task_queue_free(struct task_queue *queue);

/* Suspends the request and does work on the thread, the newest first. work fills the request's
 * answer, or calls request_submit; it returns whether it did the latter. With too many waiting the
 * oldest is answered with 503 and Retry-After. */
void task_queue_submit(struct task_queue *queue, struct request *request,
                       bool (*work)(struct request *));

#endif
