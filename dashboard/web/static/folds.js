/* The parts of a log that a person has folded: phases, and the lines of derivations. FoldedLines has the same methods as Lines;
   each folded part is one row. */
import { api } from './api.js';
import { plural } from './util.js';

/* The first line of a phase, as an expression for the server's search. */
const BEGINNINGS = [
    ['Building', '^(these [0-9]+ (derivations|paths) will be|this (derivation|path) will be|building .?/nix/store/|copying path )'],
    ['Activating', '^activating the configuration'],
    ['Switching', '^(stopping|reloading|restarting|starting) the following units|^setting up /etc|^switching to (system )?configuration'],
];

export class FoldedLines extends EventTarget {
    #lines;
    #parts = new Map(); // what → { words, ranges: [[first line, last line]…] }
    #rows = []; // [first row of the log, how many rows, what, words], ascending, disjoint

    constructor(lines) {
        super();
        this.#lines = lines;
        this.host = lines.host;
        this.run = lines.run;
        lines.addEventListener('change', this.#tell);
    }

    #tell = ({ detail }) => {
        this.#arrange();
        this.dispatchEvent(new CustomEvent('change', { detail }));
    };

    close() {
        this.#lines.removeEventListener('change', this.#tell);
    }

    get empty() {
        return this.#parts.size === 0;
    }

    has(what) {
        return this.#parts.has(what);
    }

    fold(what, words, ranges) {
        this.#parts.set(what, { words, ranges });
        this.#changed();
    }

    unfold(what) {
        this.#parts.delete(what);
        this.#changed();
    }

    /** Unfolds the parts that hide this line. */
    uncover(line) {
        for (const [what, { ranges }] of this.#parts)
            if (ranges.some(([first, last]) => line >= first && line <= last)) this.unfold(what);
    }

    #changed() {
        this.#arrange();
        this.dispatchEvent(new CustomEvent('change', { detail: { from: 0 } }));
    }

    /** A row belongs to the first part that has it. */
    #arrange() {
        const all = [];
        for (const [what, { words, ranges }] of this.#parts) {
            for (const [first, last] of ranges) {
                const row = this.#lines.rowOf(first);
                const end = Math.min(this.#lines.rowOf(last), this.#lines.rows - 1);
                if (end > row) all.push([row, end - row + 1, what, words]);
            }
        }
        all.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
        this.#rows = [];
        let free = 0;
        for (const [row, n, what, words] of all) {
            const from = Math.max(row, free);
            const rest = row + n - from;
            if (rest < 2) continue;
            this.#rows.push([from, rest, what, words]);
            free = from + rest;
        }
    }

    get rows() {
        return this.#lines.rows - this.#rows.reduce((sum, [, n]) => sum + n - 1, 0);
    }

    rowOf(line) {
        const at = this.#lines.rowOf(line);
        let row = at;
        for (const [start, n] of this.#rows) {
            if (at < start) break;
            row -= Math.min(at - start, n - 1);
        }
        return row;
    }

    lineOf(row) {
        let at = row;
        for (const [start, n, what, words] of this.#rows) {
            if (at < start) break;
            if (at === start)
                return { line: this.#lines.lineOf(at).line, folded: what, words: `${words}: ${plural(n, 'line')}` };
            at += n - 1;
        }
        return this.#lines.lineOf(at);
    }

    get(line) {
        return this.#lines.get(line);
    }

    time(line) {
        return this.#lines.time(line);
    }
}

/** The phases that the search finds in a log: [{name, first, last}…]. The last phase reaches to the end. */
export async function phasesOf(host, run, total) {
    const found = await Promise.all(
        BEGINNINGS.map(([name, q]) =>
            api.search(host, run, { q, regex: 1, limit: 1 }).then(({ matches }) => ({ name, first: matches[0]?.line })),
        ),
    );
    const known = found.filter(({ first }) => first !== undefined).sort((a, b) => a.first - b.first);
    if (known.length && known[0].first > 1) known.unshift({ name: 'Before building', first: 0 });
    return known.map((phase, i) => ({ ...phase, last: (known[i + 1]?.first ?? total) - 1 }));
}

/** Joins consecutive lines to ranges: [4, 5, 6, 9] → [[4, 6], [9, 9]]. */
export function rangesOf(numbers) {
    const ranges = [];
    for (const line of numbers) {
        const last = ranges[ranges.length - 1];
        if (last && last[1] === line - 1) last[1] = line;
        else ranges.push([line, line]);
    }
    return ranges;
}
