/* One clock for all that is drawn because something changed. What is due is drawn together, in one frame; the next frame
   waits in proportion to what the last one cost, layout and painting included. So a slow machine gets fewer updates and
   stays usable, and a fast one gets them at once. What a person does (scrolling, typing) is drawn without this clock. */

const SHARE = 20; // drawing takes at most one part in so many of the time
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
        channel.port2.postMessage(0); // comes back when the frame is painted
    }
}

/** Has `job` called in one of the next frames; asked for twice, it is called once. */
export function soon(job) {
    due.add(job);
    plan();
}
