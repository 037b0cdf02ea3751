/* How long a run will still take, in words. The server estimates the time from past runs, in milliseconds from its answer on; the
   browser counts down by itself. */

const UNITS = [
    { most: 90_000, ms: 1000, step: 5, name: 's' },
    { most: 90 * 60_000, ms: 60_000, step: 1, name: 'min' },
    { most: Infinity, ms: 3_600_000, step: 0.5, name: 'h' },
];

/** Notes when the run arrived; times count from then. To be called with each run that comes from the server. */
export function arrived(run) {
    if (run) run.arrivedAt ??= Date.now();
}

const count = (ms, { ms: unit, step }, round) => round(ms / unit / step) * step;

/** `{short: 'about 4 min left', range: '3–6', overdue: false}`, or null if nothing is known. Steps are coarse: a text that
   changes each second would be drawn each second, and would promise more than is known. */
export function remaining(run) {
    if (run?.status !== 'busy' || run.stop_requested || typeof run.eta_ms !== 'number') return null;
    const passed = Date.now() - (run.arrivedAt ?? Date.now());
    const [low, left, high] = [run.eta_low_ms, run.eta_ms, run.eta_high_ms].map((ms) => Math.max(0, ms - passed));
    if (!high) return { short: 'longer than usual', range: '', overdue: true };
    const unit = UNITS.find(({ most }) => (left || high) < most);
    const most = count(high, unit, Math.ceil);
    if (left < unit.ms * unit.step) return { short: `less than ${most} ${unit.name} left`, range: '', overdue: false };
    const least = count(low, unit, Math.floor);
    const range = least < most ? `${least}–${most}` : '';
    return { short: `about ${count(left, unit, Math.round)} ${unit.name} left`, range, overdue: false };
}

/** `about 4 min left (3–6)`; '' if nothing is known. */
export function remainingWords(run) {
    const left = remaining(run);
    return left ? `${left.short}${left.range ? ` (${left.range})` : ''}` : '';
}
