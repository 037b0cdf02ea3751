/* The runs of a host: a list with outcome and duration, bars that compare the durations, and two runs side by side. */
import { api } from './api.js';
import { VERDICT_MARKS, counts, elapsedMs, exitWords, isOpen, reason, title, verdict } from './runs.js';
import { changeWords } from './changes.js';
import { nameInFront } from './builds.js';
import { bytes, count, dayAndTime, duration, el, plural, refill, shortDuration, toMs } from './util.js';

const PAGE = 50;
const BARS = 40;

export class RunList {
    runs = []; // newest first
    #more = false;
    #shown = null; // id of the run in the panel
    #compared = null;

    /** `pick(run)` is called to show a run in the panel. */
    constructor({ host, pick }) {
        Object.assign(this, { host, pick });
        this.bars = el('div', { class: 'trend', role: 'group', 'aria-label': `Durations of the last runs of ${host}` });
        this.body = el('tbody');
        this.older = el('button', { type: 'button', text: 'Older runs', onclick: () => this.#loadOlder(), hidden: true });
        this.comparison = el('div', {
            class: 'comparison',
            role: 'group',
            tabindex: '0',
            'aria-label': 'Two runs side by side',
            hidden: true,
        });
        this.element = el(
            'section',
            { class: 'run-list', hidden: true, 'aria-label': `Runs of ${host}` },
            this.bars,
            this.comparison,
            el(
                'div',
                { class: 'run-table', tabindex: '0', role: 'group', 'aria-label': `Table of the runs of ${host}` },
                el(
                    'table',
                    {},
                    el(
                        'thead',
                        {},
                        el('tr', {}, ...['Outcome', 'Started', 'Duration', 'Command', 'Compare'].map((text) => el('th', { scope: 'col', text }))),
                    ),
                    this.body,
                ),
            ),
            this.older,
        );
    }

    /** Fetches the newest runs again; `shown`: the id of the run in the panel. */
    async load(shown) {
        this.#shown = shown;
        try {
            const { runs } = await api.runs(this.host, PAGE);
            const older = this.runs.filter((run) => !runs.some((one) => one.id === run.id));
            const oldest = runs[runs.length - 1];
            this.#more = runs.length === PAGE;
            /* Pages that were fetched earlier stay if no run is missing before them. */
            this.runs = [...runs, ...older.filter((run) => oldest && toMs(run.started) < toMs(oldest.started))];
        } catch {
            return; // the list stays as it is
        }
        this.#draw();
    }

    async #loadOlder() {
        const last = this.runs[this.runs.length - 1];
        const { runs } = await api.runs(this.host, PAGE, last?.id).catch(() => ({ runs: [] }));
        this.#more = runs.length === PAGE;
        this.runs.push(...runs);
        this.#draw();
    }

    /** Takes a new state of a run. */
    update(run) {
        const at = this.runs.findIndex((one) => one.id === run.id);
        if (at < 0) return;
        const same = verdict(this.runs[at]) === verdict(run);
        this.runs[at] = run;
        if (!same) this.#draw();
    }

    show(shown) {
        this.#shown = shown;
        this.#draw();
    }

    toggle() {
        this.element.hidden = !this.element.hidden;
        this.#draw();
        return !this.element.hidden;
    }

    #draw() {
        if (this.element.hidden) return;
        this.#drawBars();
        refill(this.body, this.runs.map((run) => this.#row(run)));
        this.older.hidden = !this.#more;
        this.#compare();
    }

    #drawBars() {
        const some = this.runs.slice(0, BARS).reverse();
        const longest = Math.max(1, ...some.map(elapsedMs));
        this.bars.replaceChildren(
            ...some.map((run) => {
                const words = `${spoken(run)}, ${duration(elapsedMs(run))}: ${title(run)}`;
                const bar = el('span', {
                    role: 'img',
                    class: 'trend-bar',
                    'data-verdict': verdict(run),
                    'aria-label': words,
                    'aria-current': run.id === this.#shown ? 'true' : null,
                    title: words,
                    onclick: () => this.pick(run),
                });
                bar.style.setProperty('--part', (elapsedMs(run) / longest).toFixed(3));
                return bar;
            }),
        );
    }

    #row(run) {
        const here = run.id === this.#shown;
        const mark = el('span', { class: 'mark', 'data-verdict': verdict(run), 'aria-hidden': 'true', text: VERDICT_MARKS[verdict(run)] });
        return el(
            'tr',
            { 'data-run': run.id, 'data-key': run.id, 'aria-current': here ? 'true' : null },
            el('td', {}, mark, ` ${spoken(run)}`),
            el('td', { class: 'num', text: run.started ? dayAndTime(toMs(run.started), true) : '' }),
            el('td', { class: 'num', text: duration(elapsedMs(run)) }),
            el('td', {}, el('button', { type: 'button', class: 'plain', 'data-do': 'pick-run', text: title(run), title: title(run), onclick: () => this.pick(run) })),
            el(
                'td',
                {},
                here
                    ? el('span', { class: 'muted', text: 'shown' })
                    : el('button', {
                          type: 'button',
                          'data-do': 'compare',
                          'aria-pressed': String(this.#compared === run.id),
                          text: 'Compare',
                          'aria-label': `Compare with the run of ${dayAndTime(toMs(run.started), true)}`,
                          onclick: () => this.#toggleCompared(run),
                      }),
            ),
        );
    }

    #toggleCompared(run) {
        this.#compared = this.#compared === run.id ? null : run.id;
        this.#draw();
    }

    #compare() {
        const here = this.runs.find((run) => run.id === this.#shown);
        const other = this.runs.find((run) => run.id === this.#compared && run.id !== this.#shown);
        this.comparison.hidden = !here || !other;
        if (this.comparison.hidden) return;
        const pair = toMs(here.started) < toMs(other.started) ? [here, other] : [other, here];
        if (pair.map((run) => run.id).join() === this.comparison.dataset.pair) return;
        this.comparison.dataset.pair = pair.map((run) => run.id).join();
        this.comparison.replaceChildren(sideBySide(pair));
        Promise.all(pair.map((run) => detailsOf(this.host, run.id))).then((details) => {
            if (pair.map((run) => run.id).join() === this.comparison.dataset.pair)
                this.comparison.replaceChildren(sideBySide(pair, details));
        });
    }
}

/** What two runs built and changed, as far as the server has it. */
async function detailsOf(host, id) {
    const [{ derivations }, { changes }] = await Promise.all([
        api.derivations(host, id).catch(() => ({ derivations: [] })),
        api.changes(host, id).catch(() => ({ changes: [] })),
    ]);
    return { derivations, changes };
}

function sideBySide(pair, details = [null, null]) {
    const [, after] = pair;
    const row = (label, values) => {
        if (!values[0] && !values[1]) return null;
        return el(
            'tr',
            { class: values[0] === values[1] ? null : 'differs' },
            el('th', { scope: 'row', text: label }),
            ...values.map((text) => el('td', { text: text || '–' })),
        );
    };
    const each = (label, fact) => row(label, pair.map(fact));
    const head = (run) => el('th', { scope: 'col', text: dayAndTime(toMs(run.started), true) });
    return el(
        'table',
        {},
        el('thead', {}, el('tr', {}, el('td'), ...pair.map(head))),
        el(
            'tbody',
            {},
            each('Command', title),
            each('Outcome', spoken),
            each('Reason', reason),
            each('Duration', (run) => duration(elapsedMs(run)) + (run === after ? longer(...pair) : '')),
            each('Built or fetched', counts),
            each('Failed derivations', (run) => (run.failed ?? []).join(', ')),
            each('Failed units', (run) => (run.failed_units ?? []).join(', ')),
            each('User', (run) => run.user ?? ''),
            each('Log', (run) => `${plural(run.lines ?? 0, 'line')}, ${bytes(run.bytes ?? 0)}` + (run === after ? moreLines(...pair) : '')),
            ...(details[0] ? [row('Changes', details.map(({ changes }) => changes.map(changeWords).join('\n')))] : []),
            ...(details[0] ? slowest(details).map(([name, values]) => row(name, values)) : []),
        ),
    );
}

const MOST_SLOW = 10;

/** The derivations whose durations differ most: [[name, [before, after]]…]. Names are without versions. */
function slowest(details) {
    const times = details.map(
        ({ derivations }) => new Map(derivations.filter((one) => one.duration).map((one) => [nameInFront(one.name), one.duration])),
    );
    const apart = (name) => Math.abs((times[1].get(name) ?? 0) - (times[0].get(name) ?? 0));
    return [...new Set(times.flatMap((map) => [...map.keys()]))]
        .sort((a, b) => apart(b) - apart(a))
        .slice(0, MOST_SLOW)
        .map((name) => [name, times.map((map) => (map.has(name) ? shortDuration(map.get(name)) : ''))]);
}

/** The difference of two durations as text: ' (+7 s)'; '' if there is none. */
function longer(before, after) {
    const seconds = Math.floor(elapsedMs(after) / 1000) - Math.floor(elapsedMs(before) / 1000);
    return seconds ? ` (${seconds < 0 ? '−' : '+'}${duration(Math.abs(seconds) * 1000)})` : '';
}

function moreLines(before, after) {
    const lines = (after.lines ?? 0) - (before.lines ?? 0);
    return lines ? ` (${lines < 0 ? '−' : '+'}${count(Math.abs(lines))})` : '';
}

function spoken(run) {
    return isOpen(run) ? 'Running' : exitWords(run);
}
