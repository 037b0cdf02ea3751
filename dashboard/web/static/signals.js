/* The two signals of a host, each told on its own: the verdict (how its runs stand) and whether its agent is heard. Where
   the server does not tell a signal, it is derived here and nowhere else. */
import { isOpen, phaseName, verdict } from './runs.js';
import { serverNow, toMs } from './util.js';

const OFFLINE_AFTER_MS = 300000;
const STALE_AFTER_INTERVALS = 3;
const INTERVAL_S = 10;

/** Whether an agent takes commands for this host. A host of nixfleet-run or curl alone has none. */
export function hasAgent(host) {
    return !!host.agent_seen;
}

/** Of a host that was not in sight, the server told only when its state changed: until the connection was lost. */
const lastSeen = (what, host) => Math.max(toMs(what.last_seen), host.toldUntil ?? 0);

const OUTCOMES = { success: 'ok', failure: 'bad', units_failed: 'warn', crashed: 'crashed' };

/** 'busy' 'stale' 'crashed' 'bad' 'warn' 'ok' 'over', or 'none' where nothing ran. `live`: the server is heard; else our own
    clock says when a run has been silent for too long. */
export function hostVerdict(host, live) {
    const { run } = host;
    if (host.state === 'busy' && !isOpen(run)) return 'busy'; // an agent works without telling of a run
    if (isOpen(run)) {
        const patience = STALE_AFTER_INTERVALS * 1000 * (run.interval || INTERVAL_S);
        const seen = lastSeen(run, host);
        const aged = !live && seen && serverNow() - seen > patience;
        return run.status === 'stale' || aged ? 'stale' : 'busy';
    }
    if (host.verdict) return OUTCOMES[host.verdict.outcome] ?? 'over';
    if (!run) return 'none';
    return run.status === 'crashed' || run.lost ? 'crashed' : verdict(run);
}

/** The failure that the host stands by, where it is another run's than the one that is shown for the host; else null. */
export function standingFailure(host) {
    const told = host.verdict;
    if (!told || isOpen(host.run) || told.outcome === 'success' || told.run === host.run?.id) return null;
    return told;
}

/** 'online' or 'offline' where there is an agent, else null. */
export function reach(host, live) {
    if (!hasAgent(host)) return null;
    if (live) return host.reachable ? 'online' : 'offline';
    const seen = lastSeen(host, host);
    return seen && serverNow() - seen < OFFLINE_AFTER_MS ? 'online' : 'offline';
}

const PROBLEMS = ['stale', 'crashed', 'bad', 'warn'];
export const isProblem = (host, live) => PROBLEMS.includes(hostVerdict(host, live));

export function verdictWords(host, of) {
    if (of === 'busy') return host.run && isOpen(host.run) ? phaseName(host.run) : 'Busy';
    if (of === 'none') return host.last_seen ? 'Idle' : 'Never seen';
    const words = { stale: 'No heartbeat', crashed: 'Crashed', bad: 'Failed', warn: 'Units failed', ok: 'Idle', over: 'Idle' };
    return words[of];
}
