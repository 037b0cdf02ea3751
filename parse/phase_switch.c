/* nixos-rebuild, switch-to-configuration (perl and -ng), darwin-rebuild, home-manager, nh. */
#include "phase_internal.h"

static bool after_build(struct phase *phase, bool rebuild)
{
    if (phase->units_block || !nix_build_over(phase, rebuild))
        return false;
    phase->raw_open = false;
    return true;
}

/* "building Nix..." and "building the system configuration...": what follows is evaluated first. */
static bool rebuild(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    if (!ends(line->text, line->length, "...") || !after_build(phase, true))
        return false;
    phase->rebuild = true;
    phase->result_seen = phase->finished = phase->activated = false;
    phase_set(phase, PHASE_EVALUATING);
    return true;
}

static bool enter(struct phase *phase, enum phase_id id)
{
    if (!after_build(phase, false))
        return false;
    if (id == PHASE_ACTIVATING && phase->view.phase == PHASE_SWITCHING)
        id = PHASE_SWITCHING; /* old versions print some of these late */
    phase_set(phase, id);
    phase->activated = true;
    phase->result_seen = false;
    return true;
}

/* A line that stands alone. */
static bool whole(struct phase *phase, const struct line *line, int id)
{
    return ends(line->text, line->length, "...") && enter(phase, (enum phase_id)id);
}

static bool step(struct phase *phase, const struct line *line, int id)
{
    (void)line;
    return enter(phase, (enum phase_id)id);
}

static bool snippet_failed(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    if (!enter(phase, PHASE_ACTIVATING))
        return false;
    phase_error(phase, RANK_GENERAL, line->text, line->length, line->number);
    return true;
}

static bool would(struct phase *phase, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (!after_build(phase, false))
        return false;
    phase->would = true;
    return true;
}

/* "warning: the following units failed: a, b". systemctl's text about them follows, with journal
   lines that quote anything: only the few lines that end a switch are read after it. */
static bool units_failed(struct phase *phase, const struct line *line, int skip)
{
    const char *at = line->text + skip, *end = line->text + line->length;
    if (!enter(phase, PHASE_SWITCHING))
        return false;
    while (at < end) {
        const char *comma = memmem(at, (size_t)(end - at), ", ", 2);
        const char *stop = comma ? comma : end;
        while (stop > at && stop[-1] == ' ')
            stop--;
        names_add(&phase->view.failed_units, at, (size_t)(stop - at));
        at = comma ? comma + 2 : end;
    }
    phase->units_block = true;
    phase->switched_badly = true;
    phase_error(phase, RANK_CAUSE, line->text, line->length, line->number);
    return true;
}

static bool switch_errors(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    if (!phase->units_block && !after_build(phase, false))
        return false;
    phase->units_block = false;
    phase->switched_badly = true;
    phase_error(phase, RANK_CONSEQUENCE, line->text, line->length, line->number);
    return true;
}

/* "Done. The new configuration is /nix/store/…" ends nixos-rebuild-ng. */
static bool done(struct phase *phase, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (!phase->units_block && !after_build(phase, false))
        return false;
    phase->units_block = false;
    phase->finished = true;
    return true;
}

/* "Command 'X' returned non-zero exit status N.": the caller's view of a failure that was reported
 * before. */
static bool command_failed(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    if (!find(line->text, line->length, "' returned non-zero exit status ") ||
        (phase->raw_open && !nix_build_over(phase, false)))
        return false;
    phase->units_block = false;
    phase_error(phase, RANK_CONSEQUENCE, line->text, line->length, line->number);
    return true;
}

/* "Pre-switch check 'X' failed", "Failed to install bootloader". */
static bool not_activated(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    if (!find(line->text, line->length, "ailed") || phase->units_block ||
        !nix_build_over(phase, false))
        return false;
    phase->raw_open = false;
    phase_error(phase, RANK_GENERAL, line->text, line->length, line->number);
    return true;
}

/* home-manager */
static bool home_start(struct phase *phase, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (!enter(phase, PHASE_ACTIVATING))
        return false;
    phase->in_activation_tool = true;
    return true;
}

static bool home_step(struct phase *phase, const struct line *line, int argument)
{
    (void)line, (void)argument;
    return phase->in_activation_tool && enter(phase, PHASE_ACTIVATING);
}

static bool in_the_way(struct phase *phase, const struct line *line, int argument)
{
    (void)argument;
    if ((!find(line->text, line->length, "' is in the way of '") &&
         !find(line->text, line->length, "' would be clobbered")) ||
        !after_build(phase, false))
        return false;
    phase_error(phase, RANK_CAUSE, line->text, line->length, line->number);
    return true;
}

/* nh: "> Building NixOS configuration" */
static bool helper(struct phase *phase, const struct line *line, int id)
{
    (void)line;
    if (id == PHASE_EVALUATING) {
        if (!after_build(phase, true))
            return false;
        phase->rebuild = true;
        phase_set(phase, PHASE_EVALUATING);
        return true;
    }
    return enter(phase, (enum phase_id)id);
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
    {"Command '", command_failed, 0, false},
    {"subprocess.CalledProcessError: Command '", command_failed, 0, false},
    {"error: Command '", command_failed, 0, false},
    {"error: command '", command_failed, 0, false},
    {"error(s) occurred while switching to the new configuration", switch_errors, 0, false},
    {"warning: error(s) occurred while switching to the new configuration", switch_errors, 0,
     false},
    {"warning: the following units failed: ", units_failed, 37, false},
    {"warning: the following user units failed: ", units_failed, 42, false},
    {"Checking switch inhibitors...", step, ACT, false},
    {"updating GRUB ", whole, ACT, false},
    {"updating systemd-boot from ", step, ACT, false},
    {"installing the GRUB ", step, ACT, false},
    {"installing the boot loader...", whole, ACT, false},
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
    {"switching to system configuration ", step, SWI, false},
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
    {"Creating home file links in ", home_step, 0, false},
    {"Cleaning up orphan links from ", home_step, 0, false},
    {"Existing file '", in_the_way, 0, false},
    /* darwin-rebuild */
    {"setting up groups...", whole, ACT, false},
    {"setting up users...", whole, ACT, false},
    {"setting up /Applications/Nix Apps...", whole, ACT, false},
    {"setting up pam...", whole, ACT, false},
    {"applying patches...", whole, ACT, false},
    {"user defaults...", whole, ACT, false},
    {"setting up user defaults...", whole, ACT, false},
    {"system defaults...", whole, ACT, false},
    {"setting up launchd services...", whole, ACT, false},
    {"setting up user launchd services...", whole, ACT, false},
    {"reloading nix-daemon...", whole, ACT, false},
    /* nh */
    {"> Building ", helper, PHASE_EVALUATING, false},
    {"> Activating configuration", helper, ACT, false},
    {"> Adding configuration to bootloader", helper, ACT, false},
    {NULL, NULL, 0, false},
};
