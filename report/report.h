/* What a person asks about runs: a log as clean text, the list of runs, what a log says. Each takes
   the settings and returns the exit status; results go to stdout, one line of trouble to stderr. */
#ifndef NIXFLEET_REPORT_H
#define NIXFLEET_REPORT_H

#include "../config/config.h"

int show_main(const struct config
                  *config); /* operand: run id, unique prefix of one, or file; NULL: the last run */
int list_main(const struct config *config);
int analyze_main(const struct config *config); /* operand: file, or "-" or NULL for stdin */

/* --show with --changes. */
int changes_main(const struct config *config);
/* --show with --derivation. */
int build_log_main(const struct config *config);
/* The run that operand means: its id or a prefix that only one has, or the last one. The caller
   frees the id. NULL with errno: ENOENT, or EEXIST: several. */
char *report_find_run(const char *dir, const char *operand);

#endif
