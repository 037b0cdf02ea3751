/* The lines of one run that this browser holds. A run may have five million lines. The pages in sight and the newest pages are
   kept; all others are holes, which are fetched when they scroll into sight. Live splices and fetched windows are stored by the
   same two functions, so a hole can never become a wrong line.

   A *line* is the log's own number, from 0. A *row* is what is shown: lines that were dropped or skipped have numbers, and are
   together one row. */
import { api } from './api.js';

const PAGE = 250;
const KEEP_PAGES = 80;
const SETTLE_MS = 40;
const RETRY_MS = 2000;

export class Lines extends EventTarget {
    total = 0;
    #pages = new Map(); // page number → { lines: [], times: [], used }
    #gaps = []; // [first line, how many], ascending, disjoint
    #wanted = new Set();
    #loading = new Map(); // page number → { trusted }: lines from here on are not taken from the answer, a splice is newer
    #timer = 0;
    #clock = 0;

    constructor(host, run) {
        super();
        this.host = host;
        this.run = run;
    }

    get rows() {
        return this.total - this.#gaps.reduce((sum, [, n]) => sum + n - 1, 0);
    }

    /** Whether the server has dropped lines of the log. */
    get incomplete() {
        return this.#gaps.length > 0;
    }

    /** The row that shows this line. */
    rowOf(line) {
        let row = line;
        for (const [start, n] of this.#gaps) {
            if (line < start) break;
            row -= Math.min(line - start, n - 1);
        }
        return row;
    }

    /** The line that this row shows: `{line}`, or `{line, omitted}` for a row that stands for several. */
    lineOf(row) {
        let line = row;
        for (const [start, n] of this.#gaps) {
            if (line < start) break;
            if (line === start) return { line, omitted: n };
            line += n - 1;
        }
        return { line };
    }

    /** A line's text, or undefined while this browser does not have it; then it is fetched. */
    get(line) {
        const page = this.#pages.get(Math.floor(line / PAGE));
        const text = page?.lines[line % PAGE];
        if (page) page.used = ++this.#clock;
        if (text === undefined) this.#want(Math.floor(line / PAGE));
        return text;
    }

    time(line) {
        return this.#pages.get(Math.floor(line / PAGE))?.times[line % PAGE];
    }

    /** log = log[0:from] + lines. */
    splice({ from, lines, times, total, gaps }) {
        if (gaps) this.#gaps = gaps;
        this.#forgetFrom(from);
        this.#put(from, lines, times);
        this.total = Math.max(total ?? 0, from + lines.length);
        this.#evict();
        this.dispatchEvent(new CustomEvent('change', { detail: { from } }));
    }

    /** The log has at least this many lines. Lines are fetched when they come into sight. */
    setTotal(total, first = 0) {
        if (first > 0 && !this.#gaps.some(([start]) => start === 0)) this.#gaps = [[0, first], ...this.#gaps];
        if (total <= this.total) return;
        const from = this.total;
        this.total = total;
        this.dispatchEvent(new CustomEvent('change', { detail: { from } }));
    }

    /** Lines from here on may have been rewritten while the connection was lost. */
    distrust(line) {
        this.#forgetFrom(Math.max(0, line));
        this.dispatchEvent(new CustomEvent('change', { detail: { from: Math.max(0, line) } }));
    }

    #put(from, lines, times) {
        const runs = times ?? [];
        let run = 0;
        let left = runs.length ? runs[0][0] : 0;
        for (let i = 0; i < lines.length; i++) {
            while (left === 0 && run + 1 < runs.length) left = runs[++run][0];
            const number = Math.floor((from + i) / PAGE);
            let page = this.#pages.get(number);
            if (!page) this.#pages.set(number, (page = { lines: [], times: [], used: 0 }));
            page.used = this.#clock;
            page.lines[(from + i) % PAGE] = lines[i];
            page.times[(from + i) % PAGE] = left > 0 ? runs[run][1] : undefined;
            if (left > 0) left--;
        }
    }

    #forgetFrom(from) {
        for (const load of this.#loading.values()) load.trusted = Math.min(load.trusted, from);
        const first = Math.floor(from / PAGE);
        for (const [number, page] of this.#pages) {
            if (number > first) this.#pages.delete(number);
            else if (number === first) page.lines.length = Math.min(page.lines.length, from % PAGE);
        }
    }

    #evict() {
        if (this.#pages.size <= KEEP_PAGES) return;
        const newest = Math.floor((this.total - 1) / PAGE) - 2;
        const old = [...this.#pages]
            .filter(([number]) => number < newest)
            .sort((a, b) => a[1].used - b[1].used);
        for (const [number] of old.slice(0, this.#pages.size - KEEP_PAGES)) this.#pages.delete(number);
    }

    #want(page) {
        if (this.#wanted.has(page) || this.#loading.has(page)) return;
        this.#wanted.add(page);
        /* Waits a moment first: a person who drags the scroll bar over a million lines passes pages that need not be fetched. */
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#load(), SETTLE_MS);
    }

    async #load() {
        const pages = [...this.#wanted].slice(-6);
        this.#wanted.clear();
        await Promise.all(pages.map((page) => this.#loadPage(page)));
    }

    /** Takes what an answer says about the whole log, unless a splice is newer than the answer. */
    #agree({ gaps, lines, total }) {
        if (gaps) this.#gaps = gaps;
        if (total > this.total || !lines.length) this.total = total;
    }

    async #loadPage(page) {
        const load = { trusted: Infinity };
        this.#loading.set(page, load);
        let from = page * PAGE;
        const end = from + PAGE;
        try {
            /* An answer ends before a gap, so a page may need several answers. */
            while (from < Math.min(end, this.total)) {
                load.trusted = Infinity;
                const answer = await api.lines(this.host, this.run, from, end - from);
                if (load.trusted === Infinity) this.#agree(answer);
                const room = Math.min(end, load.trusted) - answer.from;
                if (!answer.lines.length || room <= 0) break;
                this.#put(answer.from, answer.lines.slice(0, room), answer.times);
                from = answer.from + answer.lines.length;
            }
            this.#loading.delete(page);
            this.#evict();
            this.dispatchEvent(new CustomEvent('change', { detail: { from: page * PAGE, loaded: true } }));
        } catch {
            setTimeout(
                () =>
                    this.#loading.delete(page) &&
                    this.dispatchEvent(new CustomEvent('change', { detail: { from: page * PAGE } })),
                RETRY_MS,
            );
        }
    }
}

/** Some lines of a log, by their numbers, with the same methods as Lines. */
export class SomeLines extends EventTarget {
    #numbers = [];

    constructor(lines) {
        super();
        this.all = lines;
        this.host = lines.host;
        this.run = lines.run;
        lines.addEventListener('change', this.#tell);
    }

    #tell = ({ detail }) => this.dispatchEvent(new CustomEvent('change', { detail }));

    close() {
        this.all.removeEventListener('change', this.#tell);
    }

    set numbers(list) {
        const same = this.#numbers.every((line, i) => list[i] === line);
        const from = same ? this.#numbers.length : 0;
        this.#numbers = list;
        this.dispatchEvent(new CustomEvent('change', { detail: { from: same ? list[from] ?? Infinity : 0 } }));
    }

    get rows() {
        return this.#numbers.length;
    }

    /** The row of the line, or of the next line that is shown. */
    rowOf(line) {
        let low = 0;
        let high = this.#numbers.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (this.#numbers[middle] < line) low = middle + 1;
            else high = middle;
        }
        return Math.min(low, Math.max(0, this.rows - 1));
    }

    lineOf(row) {
        return { line: this.#numbers[row] ?? 0 };
    }

    get(line) {
        return this.all.get(line);
    }

    time(line) {
        return this.all.time(line);
    }
}
