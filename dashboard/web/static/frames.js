/* One clock for all drawing that follows a change. All due jobs draw in the same frame. The next frame waits in proportion to the
   cost of the last one, with layout and painting. So a slow machine gets fewer updates and stays usable, and a fast machine gets
   updates at once. The response to a person (scrolling, typing) is drawn without this clock. */

const SHARE = 20; // drawing takes at most this fraction of the time: one part in SHARE
const LEAST_PAUSE_MS = 160;
const LONGEST_PAUSE_MS = 1500;

const due = new Set();
let planned = false;
let notBefore = 0;

const channel = new MessageChannel();
let startedAt = 0;
channel.port1.onmessage = () => {
    const now = performance.now();
    const pause = (now - startedAt) * SHARE;
    notBefore = now + Math.min(LONGEST_PAUSE_MS, Math.max(LEAST_PAUSE_MS, pause));
    planned = false;
    if (due.size) plan();
};

function plan() {
    if (planned) return;
    planned = true;
    const wait = notBefore - performance.now();
    if (wait > 0) setTimeout(() => requestAnimationFrame(run), wait);
    else requestAnimationFrame(run);
}

function run() {
    startedAt = performance.now();
    const jobs = [...due];
    due.clear();
    try {
        for (const job of jobs) job();
    } finally {
        channel.port2.postMessage(0); // its message arrives after the frame was painted
    }
}

/** Calls `job` in one of the next frames, once for several requests. */
export function soon(job) {
    due.add(job);
    plan();
}
