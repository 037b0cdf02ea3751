/* What a person asks about runs: a log as clean text, the list of runs, what a log says. Each takes
   the settings and returns the exit status; results go to stdout, one line of trouble to stderr. */
#ifndef NIXFLEET_REPORT_H
#define NIXFLEET_REPORT_H

#include "../config/config.h"

int show_main(const struct config
                  *config); /* operand: run id, unique prefix of one, or file; NULL: the last run */
int list_main(const struct config *config);
int analyze_main(const struct config *config); /* operand: file, or "-" or NULL for stdin */

#endif
