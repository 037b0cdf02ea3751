/* What a run is, in words and steps: the only place that turns the server's fields into what a person reads. */
import { duration, plural, serverNow, toMs } from './util.js';

const BUILD_STEPS = ['evaluating', 'building', 'done'];
const SWITCH_STEPS = ['evaluating', 'building', 'activating', 'switching', 'done'];
const STEP_NAMES = {
    evaluating: 'Evaluating',
    building: 'Building',
    activating: 'Activating',
    switching: 'Switching',
    pulling: 'Pulling',
    testing: 'Testing',
    updating: 'Updating',
    running: 'Running',
    done: 'Done',
};
/* How much of the whole bar a step is: building takes the time. */
const WEIGHTS = {
    evaluating: 8,
    building: 72,
    activating: 10,
    switching: 10,
    pulling: 100,
    testing: 100,
    updating: 100,
    running: 100,
};
export const SILENT_AFTER_S = 60;

const highest = new Map(); // run id → the furthest that its bar has been, 0..1
const lastPhase = new Map(); // run id → the last phase before the end, for a server that does not say

export const isOpen = (run) => !!run && (run.status === 'busy' || run.status === 'stale');

export function title(run) {
    const argv = Array.isArray(run.argv) ? run.argv.join(' ') : run.argv;
    return run.command || argv || 'command';
}

function isSwitch(run) {
    return /rebuild|home-manager|switch|\bnh\b|nix build|nix-build|deploy|colmena/.test(title(run));
}

/** A build ends when it is built: it must not claim to have activated anything. */
function onlyBuilds(run) {
    return /\bnix build\b|\bnix-build\b|rebuild(-ng)? (dry-)?build\b/.test(title(run)) && !/\bswitch\b/.test(title(run));
}

/** The step that a phase belongs to. Fetching is part of building to whoever waits for it. */
const stepOf = (phase) => (phase === 'fetching' ? 'building' : phase);

export function workPhase(run) {
    const phase = stepOf(run.phase);
    if (phase && phase !== 'done' && phase !== 'failed') {
        lastPhase.set(run.id, phase);
        return phase;
    }
    const last = stepOf(run.last_phase) || lastPhase.get(run.id);
    if (last) return last;
    if (run.failed_units?.length) return 'switching';
    if (run.failed?.length || run.progress?.to_build) return 'building';
    return null;
}

function steps(run, phase) {
    if (phase && !SWITCH_STEPS.includes(phase)) return [phase, 'done'];
    if (onlyBuilds(run) && (!phase || BUILD_STEPS.includes(phase))) return BUILD_STEPS;
    if (phase || isSwitch(run)) return SWITCH_STEPS;
    const command = title(run);
    if (/\bpull\b/.test(command)) return ['pulling', 'done'];
    if (/\btest\b/.test(command)) return ['testing', 'done'];
    if (/\bupdate\b/.test(command)) return ['updating', 'done'];
    return ['running', 'done'];
}

export function counts(run) {
    const p = run.progress || {};
    if (run.phase === 'testing' || (!isOpen(run) && p.tests_total))
        return p.tests_total ? `${p.tests_passed ?? 0}/${p.tests_total}` : '';
    if (p.to_build) return `${Math.min(p.built ?? 0, p.to_build)}/${p.to_build}`;
    if (p.to_fetch) return `${Math.min(p.fetched ?? 0, p.to_fetch)}/${p.to_fetch}`;
    return '';
}

/** 'ok' 'warn' 'bad' 'busy' 'stale': how a run went or goes. */
export function verdict(run) {
    if (run.status === 'crashed' || run.lost) return 'bad';
    if (run.status === 'stale') return 'stale';
    if (isOpen(run)) return 'busy';
    if (run.outcome === 'units_failed') return 'warn';
    if (run.outcome === 'failure') return 'bad';
    if (run.outcome === 'success') return 'ok';
    return run.exit && run.exit.code === 0 ? 'ok' : 'bad';
}

export function exitWords(run) {
    if (run.status === 'crashed' || run.lost) return 'Lost: the wrapper died';
    const exit = run.exit;
    if (run.outcome === 'units_failed')
        return `Active, ${plural(run.failed_units?.length || 1, 'unit')} failed`;
    if (!exit) return verdict(run) === 'ok' ? 'Succeeded' : 'Ended';
    if (exit.signal) return `Killed by SIG${String(exit.signal).replace(/^SIG/, '')}`;
    if (run.outcome === 'success' || exit.code === 0) return 'Succeeded';
    return `Failed with exit ${exit.code}`;
}

export function elapsedMs(run) {
    const start = toMs(run.started);
    if (!start) return 0;
    const end = isOpen(run) ? serverNow() : toMs(run.ended) || toMs(run.last_seen) || serverNow();
    return Math.max(0, end - start);
}

/** How long the command has written nothing, in ms, counted on from what the server last said. */
export function silentMs(run, heardAt) {
    if (!isOpen(run) || typeof run.silent_for !== 'number') return 0;
    return run.silent_for * 1000 + Math.max(0, Date.now() - heardAt);
}

/** The steps with their state: [{id, name, state: 'done'|'now'|'todo'|'bad'|'warn', counts}…] and the bar, 0..1. */
export function story(run) {
    const phase = workPhase(run);
    const all = steps(run, phase);
    const judged = verdict(run);
    const over = !isOpen(run);
    const at = phase ? Math.max(0, all.indexOf(phase)) : 0;
    const told = counts(run);
    const list = all.map((id, i) => {
        let state = i < at ? 'done' : i === at ? 'now' : 'todo';
        if (over && judged === 'ok') state = 'done';
        else if (over && judged === 'warn')
            state = id === 'switching' || (i === at && at === all.length - 2) ? 'warn' : 'done';
        else if (over) state = i < at ? 'done' : i === at ? 'bad' : 'todo';
        const shows = told && (id === 'building' || id === 'testing') && state !== 'todo';
        let name = STEP_NAMES[id] ?? id;
        if (id === 'building' && run.phase === 'fetching') name = 'Fetching';
        return { id, name, state, counts: shows ? told : '' };
    });
    return { steps: list, bar: bar(run, all, at, over, judged), judged };
}

function bar(run, all, at, over, judged) {
    if (over && (judged === 'ok' || judged === 'warn')) return 1;
    let sum = 0;
    for (let i = 0; i < at; i++) sum += WEIGHTS[all[i]] ?? 0;
    const p = run.progress || {};
    let part = 0;
    if (all[at] === 'building')
        part = p.to_build ? (p.built ?? 0) / p.to_build : p.to_fetch ? (p.fetched ?? 0) / p.to_fetch : 0;
    else if (all[at] === 'testing') part = p.tests_total ? (p.tests_passed ?? 0) / p.tests_total : 0;
    sum += (WEIGHTS[all[at]] ?? 0) * Math.min(1, Math.max(0, part));
    /* nix counts again from zero for each of its calls; a bar that has been somewhere stays there. */
    const value = Math.max(highest.get(run.id) ?? 0, Math.min(sum / 100, 0.99));
    highest.set(run.id, value);
    return value;
}

/** No heartbeat for three intervals by our own clock: said only where the server cannot say it itself. */
export function agedState(host, connected) {
    const state = host.state || 'offline';
    if (connected) return state;
    const seen = toMs(host.run?.last_seen) || toMs(host.last_seen);
    const age = serverNow() - seen;
    if (state === 'busy' && seen && age > 3000 * (host.run?.interval || 10)) return 'stale';
    if (state === 'idle' && seen && age > 300000) return 'offline';
    return state;
}

export function stateWords(host, state) {
    const run = host.run;
    if (state === 'busy') {
        const phase = workPhase(run || {});
        const name = run?.phase === 'fetching' ? 'Fetching' : STEP_NAMES[phase] || 'Running';
        return run ? name : 'Busy';
    }
    if (state === 'stale') return 'No sign of life';
    if (state === 'crashed') return 'Crashed';
    if (state === 'offline') return 'Offline';
    if (run && verdict(run) === 'bad') return 'Failed';
    if (run && verdict(run) === 'warn') return 'Units failed';
    return 'Idle';
}

export function endedWords(run) {
    return `${exitWords(run)} after ${duration(elapsedMs(run))}`;
}
