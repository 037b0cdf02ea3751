/* The messages of deployment tools: colmena, deploy-rs, nixops, nixos-anywhere; and of systemd
   about the unit in which such a tool runs. phase_front.c removes what is in front of their
   lines. */
#include "phase_internal.h"

static bool may_deploy(const struct stream *stream)
{
    return !stream->believe.units_block && nix_build_over(stream, false);
}

/* Sets the host that a line names: "… for node `web`", "… to deploy to web - Last 3 lines". */
static void name_host(struct stream *stream, const char *at, const char *end)
{
    const char *from = at;
    while (at < end && *at != '`' && *at != ' ' && *at != '"' && *at != '\'')
        at++;
    struct host *host = phase_host(stream->run, from, (size_t)(at - from));
    if (host)
        stream->host = host;
}

enum stage { STAGE_EVALUATE, STAGE_BUILD, STAGE_PUSH, STAGE_ACTIVATE, STAGE_DONE };

static void stage_set(struct stream *stream, enum stage stage)
{
    static const enum phase_id ids[] = {PHASE_EVALUATING, PHASE_BUILDING, PHASE_FETCHING,
                                        PHASE_ACTIVATING};
    if (stage == STAGE_DONE) {
        stream->steps.finished = true;
        return;
    }
    /* The node's own lines have reported this stage already. */
    if (stage == STAGE_ACTIVATE && stream->phase == PHASE_SWITCHING)
        return;
    trouble_survived(stream, stage == STAGE_ACTIVATE ? SURVIVED_BUILD : SURVIVED_CALL);
    stream->believe.raw_open = false;
    stream->lists.result_seen = false;
    phase_set(stream, ids[stage]);
}

/* colmena's "Evaluated web", "Pushing system closure"; deploy-rs's "Building profile `system` for
   node `web`". Only in lines of such a tool. */
static bool stage(struct stream *stream, const struct line *line, int which)
{
    const char *end = line->text + line->length;
    const char *node = find(line->text, line->length, "node `");
    if (!stream->steps.deploy || !may_deploy(stream))
        return false;
    if (node)
        name_host(stream, node + strlen("node `"), end);
    stage_set(stream, (enum stage)which);
    return true;
}

static bool all_done(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (!stream->steps.deploy)
        return false;
    stream->run->all_done = true;
    return true;
}

/* "✅ 4s Evaluated cloud", "❌ 61s Activation failed: …": the summary of a node. */
static bool summary(struct stream *stream, const struct line *line, int good)
{
    static const struct {
        const char *text;
        enum stage stage;
    } words[] = {{"Evaluat", STAGE_EVALUATE}, {"Build", STAGE_BUILD}, {"Built", STAGE_BUILD},
                 {"Push", STAGE_PUSH},        {"Upload", STAGE_PUSH}, {"Activat", STAGE_ACTIVATE}};
    const char *at = line->after, *end = line->text + line->length;
    int64_t number;
    while (at < end && *at == ' ')
        at++;
    if (!stream->steps.deploy || !take_number(&at, end, &number) || !may_deploy(stream))
        return false;
    while (at < end && *at != ' ')
        at++;
    at += at < end;
    for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
        if (begins(at, end, words[k].text) && stream->phase != PHASE_SWITCHING)
            stage_set(stream, words[k].stage);
    if (good && begins(at, end, "All done!"))
        stream->run->all_done = true;
    if (good && begins(at, end, "Activat"))
        stream->steps.finished = true;
    if (!good && stream->host)
        stream->host->replay = stream->host->seen.phase != PHASE_NONE;
    if (!good)
        phase_error(stream, RANK_CONSEQUENCE, line->whole, line->whole_length, line->number);
    return true;
}

/* "Failed to deploy to web - Last 20 lines of logs:". The last word before " - " is the node whose
   log follows, except in "Failed to complete requested operation". */
static bool log_header(struct stream *stream, const struct line *line, int argument)
{
    const char *end = find(line->text, line->length, " - Last "), *name = end;
    struct phase *phase = stream->run;
    (void)argument;
    if (!stream->steps.deploy || !end || !may_deploy(stream))
        return false;
    while (name > line->text && name[-1] != ' ')
        name--;
    bool none = begins(name, end, "operation");
    text_copy(phase->node, sizeof phase->node, name, none ? 0 : (size_t)(end - name));
    phase_error_line(stream, RANK_CONSEQUENCE, line);
    return true;
}

/* The headings of nixos-anywhere. */
static bool heading(struct stream *stream, const struct line *line, int argument)
{
    static const struct {
        const char *text;
        enum phase_id id;
    } words[] = {{"Building", PHASE_EVALUATING},   {"Uploading the", PHASE_FETCHING},
                 {"Copying", PHASE_FETCHING},      {"Formatting", PHASE_ACTIVATING},
                 {"Installing", PHASE_ACTIVATING}, {"Rebooting", PHASE_SWITCHING},
                 {"Switching", PHASE_ACTIVATING}};
    const char *end = line->text + line->length;
    (void)argument;
    if (!ends(line->text, line->length, " ###") || !may_deploy(stream))
        return false;
    trouble_survived(stream, SURVIVED_CALL);
    stream->believe.raw_open = false;
    for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
        if (begins(line->after, end, words[k].text))
            phase_set(stream, words[k].id);
    stream->steps.finished = begins(line->after, end, "Done!");
    return true;
}

/* nixops: "activation finished successfully", "closures copied successfully". */
static bool nixops(struct stream *stream, const struct line *line, int which)
{
    (void)line;
    if (!may_deploy(stream))
        return false;
    stage_set(stream, (enum stage)which);
    return true;
}

static bool nixops_begin(struct stream *stream, const struct line *line, int argument)
{
    (void)line, (void)argument;
    if (!may_deploy(stream))
        return false;
    stream->steps.rebuild = true;
    phase_set(stream, PHASE_EVALUATING);
    return true;
}

/* ---- systemd ---- */

/* Whether a program of the run belongs to this unit: nixos-upgrade-start belongs to
   nixos-upgrade.service, hm-activate-m to home-manager-m.service. */
static bool runs_in(const struct stream *stream, const char *unit, size_t length)
{
    static const char home[] = "home-manager-", activate[] = "hm-activate-";
    if (stream->key[0] == '\0' || stream->phase == PHASE_NONE)
        return false;
    if (starts(stream->key, strlen(stream->key), activate) && starts(unit, length, home)) {
        const char *user = stream->key + strlen(activate);
        return length - strlen(home) == strlen(user) &&
               memcmp(unit + strlen(home), user, strlen(user)) == 0;
    }
    return strlen(stream->key) >= length && memcmp(stream->key, unit, length) == 0;
}

static struct stream *unit_stream(const struct stream *systemd, const char *unit, size_t length)
{
    const struct phase *phase = systemd->run;
    for (size_t at = 1; at < phase->stream_count; at++)
        if (phase->stream[at]->host == systemd->host && runs_in(phase->stream[at], unit, length))
            return phase->stream[at];
    return NULL;
}

bool deploy_systemd(struct stream *stream, const struct line *line)
{
    static const char service[] = ".service: ";
    const char *end = line->text + line->length;
    const char *at = find(line->text, line->length, service);
    if (!at)
        return false;
    struct stream *owner = unit_stream(stream, line->text, (size_t)(at - line->text));
    if (!owner)
        return false;
    at += strlen(service);
    if (begins(at, end, "Deactivated successfully.") || begins(at, end, "Succeeded."))
        owner->steps.finished = true;
    else if (begins(at, end, "Failed with result ") ||
             begins(at, end, "Main process exited, code="))
        phase_error_line(owner, RANK_CONSEQUENCE, line);
    else
        return false;
    return true;
}

const struct rule deploy_rules[] = {
    {"Evaluating ", stage, STAGE_EVALUATE, false},
    {"Evaluated ", stage, STAGE_EVALUATE, false},
    {"Running checks for flake ", stage, STAGE_EVALUATE, false},
    {"Building ", stage, STAGE_BUILD, false},
    {"Built \"", stage, STAGE_BUILD, false},
    {"Pushing system closure", stage, STAGE_PUSH, false},
    {"Pushed system closure", stage, STAGE_PUSH, false},
    {"Copying profile ", stage, STAGE_PUSH, false},
    {"Activating system profile", stage, STAGE_ACTIVATE, false},
    {"Activating profile", stage, STAGE_ACTIVATE, false},
    {"Activation successful", stage, STAGE_DONE, false},
    {"Activation succeeded!", stage, STAGE_DONE, false},
    {"Deployment confirmed.", stage, STAGE_DONE, false},
    {"All done!", all_done, 0, false},
    {"\xE2\x9C\x85", summary, 1, false},
    {"\xE2\x9D\x8C", summary, 0, false},
    {"Failed to ", log_header, 0, false},
    {"### ", heading, 0, false},
    {"building all machine configurations...", nixops_begin, 0, false},
    {"copying closure...", nixops, STAGE_PUSH, false},
    {"closures copied successfully", nixops, STAGE_PUSH, false},
    {"activation finished successfully", nixops, STAGE_DONE, false},
    {"deployment finished successfully", nixops, STAGE_DONE, false},
    {NULL, NULL, 0, false},
};
