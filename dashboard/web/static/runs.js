/* One run in words and steps. Only this module turns the fields of a RUN into text for a person. */
import { clockTime, duration, plural, serverNow, toMs } from './util.js';

const ORDER = ['evaluating', 'building', 'activating', 'switching'];
const BUILDS = ['evaluating', 'building'];
const ACTIVATES = ['evaluating', 'building', 'activating'];
const SWITCHES = ORDER;
const STEP_NAMES = {
    evaluating: 'Evaluating',
    building: 'Building',
    fetching: 'Fetching',
    activating: 'Activating',
    switching: 'Switching',
    pulling: 'Pulling',
    testing: 'Testing',
    updating: 'Updating',
    running: 'Running',
    done: 'Done',
};
/* The part of each step in the whole bar. Building takes most of the time. */
const WEIGHTS = { evaluating: 8, building: 72, activating: 10, switching: 10 };

/* The steps of a successful command, by its program and verb. Any other command shows only the steps in which it was seen. */
const PLANS = [
    [/^(nixos|darwin)-rebuild(-ng)?$/, { switch: SWITCHES, test: SWITCHES, boot: BUILDS, build: BUILDS }],
    [/^(nixos|darwin)-rebuild(-ng)?$/, { 'dry-activate': BUILDS, 'build-vm': BUILDS, 'dry-build': ['evaluating'] }],
    [/^home-manager$/, { switch: ACTIVATES, build: BUILDS }],
    [/^nix$/, { build: BUILDS, develop: BUILDS, shell: BUILDS, run: BUILDS }],
];
const ONE_VERB = { 'nix-build': BUILDS, 'nix-shell': BUILDS };

export const isOpen = (run) => !!run && (run.status === 'busy' || run.status === 'stale');

export function title(run) {
    const argv = Array.isArray(run.argv) ? run.argv.join(' ') : run.argv;
    return run.command || argv || 'command';
}

/* Words that a shell takes unchanged; other words are quoted. */
const PLAIN_WORD = /^[\w@%+=:,./-][\w@%+=:,./#~-]*$/;
const quoted = (word) => (PLAIN_WORD.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

/** The command as a person can type it again: its words, quoted for a shell. If not all words are known, the text from the
   server. */
export function commandLine(run) {
    const { argv } = run;
    if (!Array.isArray(argv) || argv.length < 2) return title(run);
    const whole = !run.command || argv.join(' ').replace(/[\n\t]/g, ' ') === run.command;
    return whole ? argv.map(quoted).join(' ') : title(run);
}

function plan(run) {
    const words = Array.isArray(run.argv) ? run.argv : title(run).split(/\s+/);
    for (const [i, word] of words.entries()) {
        const program = word.slice(word.lastIndexOf('/') + 1);
        if (ONE_VERB[program]) return ONE_VERB[program];
        for (const [name, verbs] of PLANS) {
            if (!name.test(program)) continue;
            const verb = words.slice(i + 1).find((one) => Object.hasOwn(verbs, one));
            if (verb) return verbs[verb];
        }
    }
    return [];
}

/** The step of a phase. Fetching counts as building. */
const stepOf = (phase) => (phase === 'fetching' ? 'building' : phase);

/** The phase of the run, or its last one; null while no phase was seen. */
function workPhase(run) {
    const phase = run.phase && run.phase !== 'done' && run.phase !== 'failed' ? run.phase : run.last_phase;
    if (phase === 'evaluating' && !isOpen(run) && run.failed?.length) return 'building'; // it failed there
    if (phase) return stepOf(phase);
    if (run.failed_units?.length) return 'switching';
    return run.failed?.length || run.progress?.to_build ? 'building' : null;
}

export function phaseName(run) {
    const phase = workPhase(run);
    return phase === 'building' && onlyFetches(run) ? STEP_NAMES.fetching : STEP_NAMES[phase] ?? STEP_NAMES.running;
}

function onlyFetches(run) {
    return run.phase === 'fetching' || (!isOpen(run) && run.last_phase === 'fetching' && !run.progress?.to_build);
}

export function counts(run) {
    const p = run.progress || {};
    if (run.phase === 'testing' || (!isOpen(run) && p.tests_total))
        return p.tests_total ? `${p.tests_passed ?? 0}/${p.tests_total}` : '';
    if (p.to_build) return `${Math.min(p.built ?? 0, p.to_build)}/${p.to_build}`;
    if (p.to_fetch) return `${Math.min(p.fetched ?? 0, p.to_fetch)}/${p.to_fetch}`;
    return '';
}

/** 'busy' 'stale' 'bad' 'warn' 'ok', or 'over' if a person stopped the run or its end is not known. */
export function verdict(run) {
    if (run.status === 'crashed' || run.lost) return 'bad';
    if (run.status === 'stale') return 'stale';
    if (isOpen(run)) return 'busy';
    if (run.outcome === 'units_failed') return 'warn';
    if (run.outcome === 'failure') return 'bad';
    if (run.outcome === 'success') return 'ok';
    if (run.outcome === 'stopped' || !run.exit) return 'over';
    return run.exit.code === 0 ? 'ok' : 'bad';
}

export const VERDICT_MARKS = { ok: '✓', warn: '!', bad: '✗', busy: '●', stale: '?', over: '■' };

/** How it ended, in words: `Succeeded`, `Failed with exit 1`, `Stopped`. */
export function exitWords(run) {
    if (run.status === 'crashed' || run.lost) return 'Crashed';
    const exit = run.exit;
    if (run.outcome === 'units_failed')
        return `Active, ${plural(run.failed_units?.length || 1, 'unit')} failed`;
    if (run.outcome === 'stopped') return stoppedWords(run);
    if (!exit) return verdict(run) === 'ok' ? 'Succeeded' : 'Ended';
    const signal = exit.signal ? `SIG${String(exit.signal).replace(/^SIG/, '')}` : '';
    if (signal) return `Killed by ${signal}`;
    if (run.outcome === 'success' || exit.code === 0) return 'Succeeded';
    return `Failed with exit ${exit.code}`;
}

function stoppedWords({ stop_by: by, stop_at: at }) {
    const when = toMs(at);
    return ['Stopped', by ? `by ${by}` : '', when ? `at ${clockTime(when)}` : ''].filter(Boolean).join(' ');
}

/** Why the run did not succeed, as far as known. A successful run has no reason, whatever its log says. */
export function reason(run) {
    if (isOpen(run) || ['ok', 'over'].includes(verdict(run))) return '';
    if (run.failed_units?.length) return run.failed_units.join(', ');
    if (run.error) return run.error;
    return run.status === 'crashed' || run.lost ? 'nixfleet-run ended without reporting how' : '';
}

/** A reason in few words, for a narrow place. */
export const brief = (text) => text.replace(/^error: /, '').replace(/\/nix\/store\/[0-9a-z]{32}-/g, '');

export function elapsedMs(run) {
    const start = toMs(run.started);
    if (!start) return 0;
    const end = isOpen(run) ? serverNow() : toMs(run.ended) || toMs(run.last_seen) || serverNow();
    return Math.max(0, end - start);
}

export const endMs = (run) => toMs(run.ended) || toMs(run.last_seen);

/** How long the command has written nothing, in ms: the server's last value and the time since then. */
export function silentMs(run, arrivedAt) {
    if (!isOpen(run) || typeof run.silent_for !== 'number') return 0;
    return run.silent_for * 1000 + Math.max(0, Date.now() - arrivedAt);
}

export const SILENT_AFTER_S = 60;

export function endedWords(run) {
    return `${exitWords(run)} after ${duration(elapsedMs(run))}`;
}

/** The names of the steps to show: the steps of the plan while they are still possible, and all steps that were seen. */
function steps(run, phase) {
    if (phase && !ORDER.includes(phase)) return [phase, 'done'];
    if (!phase && !isOpen(run)) return ['running', 'done']; // the steps that it reached are not known
    const planned = plan(run);
    const succeeded = !isOpen(run) && ['ok', 'warn'].includes(verdict(run));
    const seen = phase ? [...planned.filter((step) => ORDER.indexOf(step) < ORDER.indexOf(phase)), phase] : [];
    if (succeeded) return [...(seen.length ? seen : ['running']), 'done'];
    const coming = planned.filter((step) => ORDER.indexOf(step) > ORDER.indexOf(phase ?? ''));
    const all = [...seen, ...coming];
    return [...(all.length ? all : ['running']), 'done'];
}

function stateOf(i, at, run, judged) {
    if (i < at) return 'done';
    if (isOpen(run)) return i === at ? 'now' : 'todo';
    if (judged === 'ok') return 'done';
    if (judged === 'warn') return i === at ? 'warn' : 'done';
    if (judged === 'over') return i === at ? 'over' : 'skipped';
    return i === at ? 'bad' : 'skipped';
}

/** The steps: [{id, name, state: 'done' 'now' 'todo' 'bad' 'warn' 'skipped', counts}…], how far the whole is (0..1), and
    the verdict. */
export function story(run) {
    const phase = workPhase(run);
    const ids = steps(run, phase);
    const judged = verdict(run);
    /* Before the first phase, no step of a plan has begun; a command without a plan just runs. */
    const at = phase ? ids.indexOf(phase) : ids[0] === 'running' || !isOpen(run) ? 0 : -1;
    const shownCounts = counts(run);
    const list = ids.map((id, i) => {
        const state = stateOf(i, at, run, judged);
        const shows = shownCounts && (id === 'building' || id === 'testing') && state !== 'todo' && state !== 'skipped';
        const name = id === phase ? phaseName(run) : id === 'running' && state === 'done' ? 'Ran' : STEP_NAMES[id] ?? id;
        return { id, name, state, counts: shows ? shownCounts : '' };
    });
    return { steps: list, part: part(run, ids, at, judged), judged };
}

function part(run, ids, at, judged) {
    if (!isOpen(run) && (judged === 'ok' || judged === 'warn')) return 1;
    const weight = (id) => (id === 'done' ? 0 : WEIGHTS[id] ?? 100);
    const whole = ids.reduce((sum, id) => sum + weight(id), 0);
    const before = ids.slice(0, Math.max(0, at)).reduce((sum, id) => sum + weight(id), 0);
    const p = run.progress || {};
    let done = 0;
    if (ids[at] === 'building')
        done = p.to_build ? (p.built ?? 0) / p.to_build : p.to_fetch ? (p.fetched ?? 0) / p.to_fetch : 0;
    else if (ids[at] === 'testing') done = p.tests_total ? (p.tests_passed ?? 0) / p.tests_total : 0;
    const now = at < 0 ? 0 : weight(ids[at]) * Math.min(1, Math.max(0, done));
    return Math.min((before + now) / whole, 0.99);
}

/** The bar of one place on the page. Each call of nix counts from zero; the bar does not go back until another run is shown. */
export class Bar {
    #run = '';
    #highest = 0;

    /** How far the bar is, 0..1. */
    of(run, state) {
        if (this.#run !== run.id) this.#highest = 0;
        this.#run = run.id;
        return (this.#highest = Math.max(this.#highest, state.part));
    }
}
