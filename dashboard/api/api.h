/* The handlers of all calls, grouped by caller. Each handler fills request->answer or submits a
 * job. */
#ifndef NIXFLEET_DASHBOARD_API_API_H
#define NIXFLEET_DASHBOARD_API_API_H

#include "dashboard/server/http.h"
#include "dashboard/store/store.h"

/* runs.c: for nixfleet-run and scripts */
void post_logs(struct request *request);
void post_heartbeat(struct request *request);
void delete_run(struct request *request);
/* read.c: for people and scripts */
void get_logs(struct request *request); /* without since and run: v1's list, get_command_logs */
void get_runs(struct request *request);
void get_run(struct request *request);
void get_run_log(struct request *request);
void get_run_lines(struct request *request);
/* builds.c, build_logs.c */
void get_derivations(struct request *request);
void get_changed(struct request *request);
void get_build_lines(struct request *request);
void get_build_log(struct request *request);
/* read.c */
void get_all_runs(struct request *request);
void get_hosts(struct request *request);
void get_host(struct request *request);
void get_health(struct request *request);
/* Answers 503. */
void answer_no_store(struct request *request);
/* Finds the run in the path. False if it does not exist or belongs to another host; then answers
 * 404. */
bool find_run(struct request *request, struct run_row *run);
/* Answers with a whole log as text: of the derivation with index n, or of the run (-1). lines: the
 * number of lines that it has now. */
void answer_log(struct request *request, const struct run_row *run, int64_t n, int64_t lines);
/* search.c */
void get_run_search(struct request *request);
void get_search(struct request *request);
/* agents.c: the bash agent */
void post_register(struct request *request);
void get_poll(struct request *request);
void post_status(struct request *request);
void post_test_progress(struct request *request);
/* people.c */
void post_command(struct request *request);
void delete_command(struct request *request); /* queue.c */
void post_agent_token(struct request *request);
void get_command_logs(struct request *request);
void get_logs_download(struct request *request);
void post_hosts(struct request *request);
void patch_host(struct request *request);
void delete_host(struct request *request);
void get_api_metrics(struct request *request);
void post_nixcfg_refresh(struct request *request);
/* signin.c */
void get_sign_in(struct request *request);
/* metrics.c */
void get_metrics(struct request *request);
/* login.c */
void post_login(struct request *request);
void post_logout(struct request *request);
void get_session(struct request *request);
/* Serves the page and its files. asset_known: whether a file has this path. */
void get_asset(struct request *request);
bool asset_known(const char *path);

#endif
