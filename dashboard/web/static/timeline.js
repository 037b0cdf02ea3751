/* The runs of the fleet over a day or a week: a lane for each host, a mark for each run. Colour and shape of the mark show how
   the run ended; a click on the mark opens the run. */
import { formatAddress } from './address.js';
import { api } from './api.js';
import { elapsedMs, endMs, exitWords, isOpen, title, verdict } from './runs.js';
import { count, dayAndTime, duration, el, plural, serverNow, setText, toMs } from './util.js';

const HOUR_MS = 3600000;
const SPANS = { 1: ['24 hours', 3 * HOUR_MS], 7: ['7 days', 24 * HOUR_MS] }; // days → words, ms between two ticks
const PAGE = 2000;
const MOST_PAGES = 10;
const LANES_AT_ONCE = 100;
const CLOSE = 0.0015; // marks nearer than this part of the span are one
const RANK = { bad: 4, warn: 3, stale: 2, busy: 1, over: 0, ok: 0 };

export class Timeline {
    #days = 1;
    #runs = [];
    #ticket = 0;
    #lanes = LANES_AT_ONCE;
    #until = 0;
    #complete = true;

    /** `box` is the element to fill; `changed({days})` is called when a person chose another span. */
    constructor(box, changed) {
        this.box = box;
        this.spans = el('div', { class: 'spans', role: 'group', 'aria-label': 'Span' });
        this.note = el('p', { class: 'muted', role: 'status' });
        this.axis = el('div', { class: 'axis', 'aria-hidden': 'true' });
        this.list = el('ul', { class: 'lanes' });
        this.more = el('button', { type: 'button', hidden: true, onclick: () => this.#showMore() });
        for (const [days, [words]] of Object.entries(SPANS)) {
            const pick = () => changed({ days: days === '1' ? '' : days });
            this.spans.append(el('button', { type: 'button', 'data-days': days, text: words, onclick: pick }));
        }
        const keys = [
            ['ok', 'succeeded'],
            ['warn', 'units failed'],
            ['bad', 'failed or crashed'],
            ['busy', 'running'],
        ].map(([name, words]) => el('span', { class: 'key' }, el('span', { class: 'run-mark', 'data-verdict': name }), words));
        box.append(el('div', { class: 'view-head' }, this.spans, this.note, el('p', { class: 'keys' }, ...keys)), this.axis, this.list, this.more);
    }

    async show(days) {
        this.#days = SPANS[days] ? Number(days) : 1;
        for (const button of this.spans.children) button.setAttribute('aria-pressed', String(Number(button.dataset.days) === this.#days));
        const ticket = ++this.#ticket;
        this.#until = serverNow();
        this.#runs = [];
        this.#lanes = LANES_AT_ONCE;
        setText(this.note, 'Loading…');
        try {
            await this.#load(ticket);
        } catch (error) {
            setText(this.note, `The runs cannot be loaded: ${error.message}`);
            return;
        }
        if (ticket === this.#ticket) this.#draw();
    }

    /** Gives up the runs, which are loaded again when the view is shown. */
    hide() {
        this.#ticket++;
        this.#runs = [];
        this.list.replaceChildren();
    }

    async #load(ticket) {
        const since = Math.floor(this.#since);
        let before = null;
        for (let page = 0; page < MOST_PAGES && ticket === this.#ticket; page++) {
            const { runs } = await api.allRuns({ since, limit: PAGE, ...(before ? { before } : {}) });
            this.#runs.push(...runs);
            this.#complete = runs.length < PAGE;
            if (this.#complete) return;
            before = runs[runs.length - 1].id;
            if (ticket === this.#ticket) this.#draw();
        }
    }

    get #since() {
        return this.#until - this.#days * 24 * HOUR_MS;
    }

    #part(ms) {
        return Math.min(1, Math.max(0, (ms - this.#since) / (this.#until - this.#since)));
    }

    #showMore() {
        this.#lanes += LANES_AT_ONCE;
        this.#draw();
    }

    #draw() {
        const byHost = new Map();
        for (const run of this.#runs) {
            if (!byHost.has(run.host)) byHost.set(run.host, []);
            byHost.get(run.host).push(run);
        }
        /* The runs are sorted newest first, so the first run of a host is its present state. */
        const worst = (runs) => RANK[verdict(runs[0])] >= RANK.stale;
        const hosts = [...byHost].sort(
            ([a, x], [b, y]) => Number(worst(y)) - Number(worst(x)) || (a < b ? -1 : 1),
        );
        this.list.replaceChildren(...hosts.slice(0, this.#lanes).map(([host, runs]) => this.#lane(host, runs)));
        this.more.hidden = hosts.length <= this.#lanes;
        setText(this.more, `Show ${count(hosts.length - this.#lanes)} more hosts`);
        this.#drawAxis();
        const failed = this.#runs.filter((run) => ['bad', 'warn'].includes(verdict(run))).length;
        const words = `${plural(this.#runs.length, 'run')} on ${plural(hosts.length, 'host')}, ${count(failed)} failed`;
        setText(this.note, this.#complete ? words : `The newest ${words}`);
    }

    #drawAxis() {
        const [, step] = SPANS[this.#days];
        const ticks = [];
        const offset = new Date(this.#until).getTimezoneOffset() * 60000;
        for (let at = Math.ceil((this.#since - offset) / step) * step + offset; at < this.#until; at += step) {
            const how = this.#days === 1 ? { hour: '2-digit', minute: '2-digit' } : { weekday: 'short', day: 'numeric' };
            const tick = el('span', { class: 'tick', text: new Date(at).toLocaleString([], how) });
            tick.style.left = `${this.#part(at) * 100}%`;
            ticks.push(tick);
        }
        this.axis.replaceChildren(el('div', { class: 'lane' }, ...ticks));
    }

    #lane(host, runs) {
        return el(
            'li',
            { class: 'lane-row', 'data-host': host },
            el('span', { class: 'lane-name', text: host, title: host }),
            el('span', { class: 'lane' }, ...this.#marks(runs).map((group) => this.#mark(group))),
        );
    }

    /** Runs whose marks would overlap share one mark, which shows the worst of them. */
    #marks(runs) {
        const groups = [];
        for (const run of runs) {
            const end = this.#part(isOpen(run) ? this.#until : endMs(run));
            const start = this.#part(toMs(run.started));
            const last = groups[groups.length - 1];
            if (last && last.start - start < CLOSE) {
                last.runs.push(run);
                last.start = start;
                last.end = Math.max(last.end, end);
            } else groups.push({ runs: [run], start, end });
        }
        return groups;
    }

    #mark({ runs, start, end }) {
        const run = runs.reduce((worst, one) => (RANK[verdict(one)] > RANK[verdict(worst)] ? one : worst));
        const how = isOpen(run) ? 'running' : exitWords(run);
        const more = runs.length > 1 ? `${plural(runs.length, 'run')}, among them: ` : '';
        const words = `${more}${run.host}, ${dayAndTime(toMs(run.started))}: ${title(run)}, ${how}, ${duration(elapsedMs(run))}`;
        const mark = el('a', {
            class: 'run-mark',
            href: formatAddress({ panels: [{ host: run.host, run: run.id }], settings: {} }),
            'data-verdict': verdict(run),
            'data-run': run.id,
            'aria-label': words,
            title: words,
        });
        mark.style.left = `${start * 100}%`;
        mark.style.width = `${(end - start) * 100}%`;
        return mark;
    }
}
