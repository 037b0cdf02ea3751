/* A person withdraws the command that waits for a host's agent. */
#include <stdio.h>

#include "dashboard/api/api.h"
#include "dashboard/server/server.h"

static enum job_result apply_cancel(struct txn *txn, struct request *request, void *context)
{
    char command[STORE_COMMAND_SIZE], message[STORE_COMMAND_SIZE + sizeof request->address + 32];
    struct history_row line = {.icon = "✗", .message = message};
    struct text out = {0};
    struct host_facts facts;
    int known = txn_host_facts(txn, request->host, &facts);

    (void)context;
    if (known < 0 || txn_command_cancel(txn, request->host, command) < 0)
        return JOB_FAILED;
    if (!known) {
        answer_detail(request, 404, "Host not found");
        return JOB_DONE;
    }
    if (!command[0]) {
        answer_detail(request, 409, "no command waits: the agent has taken it");
        return JOB_DONE;
    }
    snprintf(message, sizeof message, "%s cancelled, from %s", command, request->address);
    if (txn_history_add(txn, request->host, &line) < 0)
        return JOB_FAILED;
    txn_changed(txn, request->host, NULL);
    text_puts(&out, "{");
    text_key_json(&out, "status", "cancelled");
    text_key_json(&out, "command", command);
    text_puts(&out, "}");
    answer_text(request, &out);
    return JOB_DONE;
}

void delete_command(struct request *request)
{
    request_submit(request, apply_cancel, NULL, NULL);
}
