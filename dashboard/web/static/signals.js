/* The two signals of a host: the verdict (how its last runs ended), and whether its agent is reachable. If the server does not
   send a signal, this module derives it. */
import { isOpen, phaseName, verdict } from './runs.js';
import { serverNow, toMs } from './util.js';

const OFFLINE_AFTER_MS = 300000;
const STALE_AFTER_INTERVALS = 3;
const INTERVAL_S = 10;

/** Whether an agent takes commands for this host. A host of nixfleet-run or curl alone has none. */
export function hasAgent(host) {
    return !!host.agent_seen;
}

/** For a host out of sight, the server sends only changes of its state, so its last report counts as of the loss of the
   connection. */
const lastSeen = (what, host) => Math.max(toMs(what.last_seen), host.knownUntil ?? 0);

const OUTCOMES = { success: 'ok', failure: 'bad', units_failed: 'warn', crashed: 'crashed' };

/** 'busy' 'stale' 'crashed' 'bad' 'warn' 'ok' 'over', or 'none' without a run. `live`: the channel is connected; otherwise the
   browser's clock decides when a run has been silent for too long. */
export function hostVerdict(host, live) {
    const { run } = host;
    if (host.state === 'busy' && !isOpen(run)) return 'busy'; // an agent works without a run
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

/** The failure that is the host's verdict, if it belongs to another run than the shown one; else null. */
export function standingFailure(host) {
    const newest = host.verdict;
    if (!newest || isOpen(host.run) || newest.outcome === 'success' || newest.run === host.run?.id) return null;
    return newest;
}

/** 'online' or 'offline' for a host with an agent, else null. */
export function reach(host, live) {
    if (!hasAgent(host)) return null;
    if (live) return host.reachable ? 'online' : 'offline';
    const seen = lastSeen(host, host);
    return seen && serverNow() - seen < OFFLINE_AFTER_MS ? 'online' : 'offline';
}

const PROBLEMS = ['stale', 'crashed', 'bad', 'warn'];
export const isProblem = (of) => PROBLEMS.includes(of);

export function verdictWords(host, of) {
    if (of === 'busy') return host.run && isOpen(host.run) ? phaseName(host.run) : 'Busy';
    if (of === 'none') return host.last_seen ? 'Idle' : 'Never seen';
    const words = { stale: 'No heartbeat', crashed: 'Crashed', bad: 'Failed', warn: 'Units failed', ok: 'Idle', over: 'Idle' };
    return words[of];
}
