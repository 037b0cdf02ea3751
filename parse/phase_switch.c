/* nixos-rebuild, switch-to-configuration (perl and -ng), darwin-rebuild, home-manager, nh. */
#include "phase_internal.h"

static bool after_build(struct stream *stream, bool rebuild)
{
    if (stream->believe.units_block || !nix_build_over(stream, rebuild))
        return false;
    stream->believe.raw_open = false;
    return true;
}

/* "building Nix..." and "building the system configuration...": evaluation comes first. */
static bool rebuild(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (!ends(line->text, line->length, "...") || !after_build(stream, true))
        return false;
    stream->steps.rebuild = true;
    stream->lists.result_seen = stream->steps.finished = stream->steps.activated = false;
    trouble_survived(stream, SURVIVED_ALL);
    phase_set(stream, PHASE_EVALUATING);
    return true;
}

static bool enter(struct stream *stream, enum phase_id id)
{
    if (!after_build(stream, false))
        return false;
    if (id == PHASE_ACTIVATING && stream->phase == PHASE_SWITCHING)
        id = PHASE_SWITCHING; /* old versions print some of these late */
    trouble_survived(stream, id == PHASE_ACTIVATING || id == PHASE_SWITCHING ? SURVIVED_BUILD
                                                                             : SURVIVED_LINES);
    phase_set(stream, id);
    stream->steps.activated = id == PHASE_SWITCHING; /* failures after this step are reported */
    stream->lists.result_seen = false;
    return true;
}

/* A line that has no other text. */
static bool whole(struct stream *stream, const struct line *line, int id)
{
    return ends(line->text, line->length, "...") && enter(stream, (enum phase_id)id);
}

static bool step(struct stream *stream, const struct line *line, int id)
{
    (void)line;
    return enter(stream, (enum phase_id)id);
}

/* The boot loader: the last step of nixos-rebuild boot. */
static bool boot_loader(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (!enter(stream, PHASE_ACTIVATING))
        return false;
    stream->steps.activated = true;
    return true;
}

/* A step after which nothing reports success. */
static bool silent(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (!ends(line->text, line->length, "...") || !enter(stream, PHASE_ACTIVATING))
        return false;
    stream->steps.activated = false;
    return true;
}

/* "Activation script snippet 'X' failed (1)". The output of X is before it. */
static bool snippet_failed(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (stream->believe.units_block || !nix_build_over(stream, false))
        return false;
    trouble_blame(stream, true);
    if (!enter(stream, PHASE_ACTIVATING))
        return false;
    phase_error_line(stream, RANK_GENERAL, line);
    return true;
}

static bool would(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (!after_build(stream, false))
        return false;
    stream->steps.would = true;
    return true;
}

/* "warning: the following units failed: a, b". systemctl's output about them follows, with journal
   lines that may quote any text; after it, only the few lines that end a switch are read. */
static bool units_failed(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    const char *at = line->after, *end = line->text + line->length;
    if (!enter(stream, PHASE_SWITCHING))
        return false;
    while (at < end) {
        const char *comma = memmem(at, (size_t)(end - at), ", ", 2);
        const char *stop = comma ? comma : end;
        while (stop > at && stop[-1] == ' ')
            stop--;
        phase_unit_failed(stream, at, (size_t)(stop - at));
        at = comma ? comma + 2 : end;
    }
    stream->believe.units_block = true;
    stream->steps.switched_badly = true;
    phase_error_line(stream, RANK_CAUSE, line);
    return true;
}

static bool switch_errors(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (!stream->believe.units_block && !after_build(stream, false))
        return false;
    stream->believe.units_block = false;
    stream->steps.switched_badly = true;
    phase_error_line(stream, RANK_CONSEQUENCE, line);
    return true;
}

/* What switch-to-configuration writes to syslog at its start and its end, as program "nixos". The
   start comes before units are stopped, and is not a phase. */
static bool syslog_start(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (!find(line->text, line->length, " failed (status "))
        return strcmp(stream->key, "nixos") == 0;
    if (stream->believe.units_block || !nix_build_over(stream, false))
        return false;
    phase_error_line(stream, RANK_CONSEQUENCE, line);
    return true;
}

static bool syslog_end(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (strcmp(stream->key, "nixos") != 0)
        return false;
    struct stream *last = stream->host ? stream->host->last : NULL;
    (last ? last : stream)->steps.finished = true;
    return true;
}

/* "Done. The new configuration is /nix/store/…" ends nixos-rebuild-ng. */
static bool done(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (!stream->believe.units_block && !after_build(stream, false))
        return false;
    stream->believe.units_block = false;
    stream->steps.finished = true;
    trouble_survived(stream, SURVIVED_BUILD);
    return true;
}

/* "subprocess.CalledProcessError: Command 'X' returned non-zero exit status N." */
static bool command_failed(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    return trouble_command(stream, line, true);
}

/* "Pre-switch check 'X' failed", "Failed to install bootloader". */
static bool not_activated(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (!find(line->text, line->length, "ailed") || stream->believe.units_block ||
        !nix_build_over(stream, false))
        return false;
    stream->believe.raw_open = false;
    if (stream->phase == PHASE_NONE)
        phase_set(stream, PHASE_ACTIVATING);
    phase_error_line(stream, RANK_GENERAL, line);
    return true;
}

/* home-manager */
static bool home_start(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (!enter(stream, PHASE_ACTIVATING))
        return false;
    stream->steps.home = true;
    return true;
}

/* In a log whose beginning is missing, the name of the step, one word, identifies it. */
static bool home_step(struct stream *stream, const struct line *line, int argument)
{
    static const char *const last[] = {"reloadSystemd", "setupLaunchAgents"};
    const char *end = line->text + line->length;
    size_t length = (size_t)(end - line->after);
    bool named = length > 4 && !memchr(line->after, ' ', length) && *line->after >= 'a' &&
                 *line->after <= 'z';
    (void)argument;
    if ((!stream->steps.home && !(named && stream->phase == PHASE_ACTIVATING)) ||
        !enter(stream, PHASE_ACTIVATING))
        return false;
    for (size_t at = 0; at < sizeof last / sizeof last[0]; at++)
        stream->steps.activated |= starts(line->after, length, last[at]);
    return true;
}

static bool home_links(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if (!begins(line->after, line->text + line->length, "/") || !enter(stream, PHASE_ACTIVATING))
        return false;
    stream->steps.home = true;
    return true;
}

static bool in_the_way(struct stream *stream, const struct line *line, int argument)
{
    (void)argument;
    if ((!find(line->text, line->length, "' is in the way of '") &&
         !find(line->text, line->length, "' would be clobbered")) ||
        !after_build(stream, false))
        return false;
    phase_error_line(stream, RANK_CAUSE, line);
    return true;
}

/* nh: "> Building NixOS configuration" */
static bool helper(struct stream *stream, const struct line *line, int id)
{
    (void)line;
    if (id == PHASE_EVALUATING) {
        if (!after_build(stream, true))
            return false;
        stream->steps.rebuild = true;
        phase_set(stream, PHASE_EVALUATING);
        return true;
    }
    return enter(stream, (enum phase_id)id);
}

#define ACT PHASE_ACTIVATING
#define SWI PHASE_SWITCHING
const struct rule switch_rules[] = {
    {"building Nix...", rebuild, 0, false},
    {"building nix...", rebuild, 0, false},
    {"building the system configuration...", rebuild, 0, false},
    {"building the configuration in ", rebuild, 0, false},
    {"Done. The new configuration is /", done, 0, false},
    {"Done. The virtual machine can be started ", done, 0, false},
    {"Done.  The virtual machine can be started ", done, 0, false},
    {"Done. The disk image can be found in /", done, 0, false},
    {"installation finished!", done, 0, false},
    {"Failed to install bootloader", not_activated, 0, false},
    {"Pre-switch check", not_activated, 0, false},
    {"subprocess.CalledProcessError: Command '", command_failed, 0, false},
    {"error: Command '", command_failed, 0, false},
    {"error: command '", command_failed, 0, false},
    {"error(s) occurred while switching to the new configuration", switch_errors, 0, false},
    {"warning: error(s) occurred while switching to the new configuration", switch_errors, 0,
     false},
    {"warning: the following units failed: ", units_failed, 0, false},
    {"warning: the following user units failed: ", units_failed, 0, false},
    {"Checking switch inhibitors...", step, ACT, false},
    {"updating GRUB ", boot_loader, 0, false},
    {"updating systemd-boot from ", boot_loader, 0, false},
    {"installing the GRUB ", boot_loader, 0, false},
    {"installing the boot loader...", boot_loader, 0, false},
    {"stopping swap device: ", step, ACT, false},
    {"stopping the following units: ", step, ACT, false},
    {"stopping the following user units: ", step, SWI, false},
    {"NOT stopping the following ", step, ACT, false},
    {"NOT restarting the following ", step, ACT, false},
    {"activating the configuration...", whole, ACT, false},
    {"setting up /etc...", whole, ACT, false},
    {"removing obsolete symlink ", step, ACT, false},
    {"setting up secrets", step, ACT, false},
    {"Activation script snippet '", snippet_failed, 0, false},
    {"restarting systemd...", whole, SWI, false},
    {"reloading user units for ", whole, SWI, false},
    {"restarting sysinit-reactivation.target", step, SWI, false},
    {"setting up tmpfiles", step, SWI, false},
    {"switching to configuration ", step, SWI, false},
    {"switching to system configuration ", syslog_start, 0, false},
    {"switching to system configuration ", step, SWI, false},
    {"finished switching to system configuration ", syslog_end, 0, false},
    {"reloading the following ", step, SWI, false},
    {"restarting the following ", step, SWI, false},
    {"starting the following ", step, SWI, false},
    {"the following new units were started: ", step, SWI, false},
    {"the following new user units were started: ", step, SWI, false},
    {"would ", would, 0, false},
    /* home-manager */
    {"Starting Home Manager activation", home_start, 0, false},
    {"Starting home manager activation", home_start, 0, false},
    {"Activating ", home_step, 0, false},
    {"Creating profile generation ", home_step, 0, false},
    {"Creating home file links in ", home_links, 0, false},
    {"Cleaning up orphan links from ", home_links, 0, false},
    {"Existing file '", in_the_way, 0, false},
    /* darwin-rebuild */
    {"setting up groups...", silent, 0, false},
    {"setting up users...", silent, 0, false},
    {"setting up /Applications/Nix Apps...", silent, 0, false},
    {"setting up pam...", silent, 0, false},
    {"applying patches...", silent, 0, false},
    {"user defaults...", silent, 0, false},
    {"setting up user defaults...", silent, 0, false},
    {"system defaults...", silent, 0, false},
    {"setting up launchd services...", silent, 0, false},
    {"setting up user launchd services...", silent, 0, false},
    {"reloading nix-daemon...", silent, 0, false},
    /* nh */
    {"> Building ", helper, PHASE_EVALUATING, false},
    {"> Activating configuration", helper, ACT, false},
    {"> Adding configuration to bootloader", helper, ACT, false},
    {NULL, NULL, 0, false},
};
