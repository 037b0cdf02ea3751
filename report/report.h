/* What a person asks about runs: a log as clean text, the list of runs, the facts in a log. Each
   function takes the settings and returns the exit status. Results go to stdout, one line about an
   error to stderr. */
#ifndef NIXFLEET_REPORT_H
#define NIXFLEET_REPORT_H

#include "../config/config.h"

int show_main(const struct config *config); /* operand: run id, unique prefix of an id, or file;
                                               NULL: the last run */
int list_main(const struct config *config);
int analyze_main(const struct config *config); /* operand: file, or "-" or NULL for stdin */

/* --show with --changes. */
int changes_main(const struct config *config);
/* --show with --derivation. */
int build_log_main(const struct config *config);
/* The run that operand means: an id, a prefix that only one id has, or the last run if operand is
   NULL. The caller frees the id. NULL with errno: ENOENT, or EEXIST if several ids have the
   prefix. */
char *report_find_run(const char *dir, const char *operand);

#endif
