/* Prints the settings of both programs as lines of tab-separated fields, for tests that compare
   them with help, manuals, completions and Nix options: program, variable, option, letter, kind,
   lowest, highest, standard. "-" means none. */
#include <inttypes.h>
#include <stdio.h>

#include "../../common/setting_list.h"
#include "../../config/config.h"
#include "../../dashboard/server/settings.h"

static const struct setting_row run_rows[] = {
#define ROW(id, ...) SETTING_ROW(struct config, __VA_ARGS__),
    RUN_SETTINGS(ROW)
#undef ROW
};
static const struct setting_row dashboard_rows[] = {
#define ROW(id, ...) SETTING_ROW(struct dashboard_settings, __VA_ARGS__),
    DASHBOARD_SETTINGS(ROW)
#undef ROW
};

static void print(const char *program, const struct setting_row *rows, size_t count)
{
    static const char *const kinds[] = {"text", "url",    "label", "host",
                                        "flag", "number", "size",  "patterns"};

    for (size_t i = 0; i < count; i++)
        printf("%s\t%s\t%s\t%c\t%s\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\n", program,
               rows[i].variable, rows[i].option ? rows[i].option : "-",
               rows[i].letter ? rows[i].letter : '-', kinds[rows[i].kind], rows[i].low,
               rows[i].high, rows[i].standard);
}

int main(void)
{
    print("nixfleet-run", run_rows, sizeof run_rows / sizeof *run_rows);
    print("nixfleet-dashboard", dashboard_rows, sizeof dashboard_rows / sizeof *dashboard_rows);
    return 0;
}
