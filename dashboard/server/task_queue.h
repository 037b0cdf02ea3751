/* A worker thread for slow work on requests (bcrypt), so that the HTTP threads never wait for
 * it. */
#ifndef NIXFLEET_DASHBOARD_SERVER_TASK_QUEUE_H
#define NIXFLEET_DASHBOARD_SERVER_TASK_QUEUE_H

#include <stdbool.h>

#include "dashboard/server/http.h"

struct task_queue;

/* NULL when out of resources. */
struct task_queue *task_queue_new(void);
/* Answers waiting requests with 503 and ends the thread. To be called before the HTTP server is
 * stopped. */
void task_queue_stop(struct task_queue *queue);
/* To be called after the HTTP server has stopped. */
void task_queue_free(struct task_queue *queue);

/* Suspends the request and calls work on the thread, the newest request first. work fills the
 * request's answer and returns false, or calls request_submit and returns true. If too many wait,
 * the oldest is answered with 503 and Retry-After. */
void task_queue_submit(struct task_queue *queue, struct request *request,
                       bool (*work)(struct request *));

#endif
