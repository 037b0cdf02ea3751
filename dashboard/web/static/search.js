/* The server searches the lines, so a log can have millions of lines. While the log grows, only new lines and the few lines that
   may have been rewritten are searched again. */
import { api } from './api.js';
import { count } from './util.js';

const MOST = 5000;
const PAGE = 1000;
const REWRITTEN = 300; // no terminal has more rows, so lines further back never change

export class Hits extends EventTarget {
    lines = [];
    more = false; // there are more than MOST
    current = -1;
    problem = ''; // why the search is not possible
    #asked = null;
    #seen = -1; // number of lines that were searched; -1: none yet
    #ticket = 0;
    #busy = false;

    constructor(source) {
        super();
        this.source = source;
    }

    get active() {
        return this.#asked !== null;
    }

    get searching() {
        return this.active && this.#seen < 0 && !this.problem;
    }

    /** Starts a search with these fields of a search call; null ends the search. */
    async ask(question) {
        this.#asked = question;
        this.lines = [];
        this.more = false;
        this.current = -1;
        this.problem = '';
        this.#seen = -1;
        this.#ticket++;
        this.#busy = false;
        this.dispatchEvent(new Event('change'));
        if (question) await this.update();
    }

    /** Searches the lines that came since. */
    async update() {
        if (!this.#asked || this.#busy || this.more || this.problem) return;
        const ticket = this.#ticket;
        const total = this.source.total;
        this.#busy = true;
        try {
            await this.#search(ticket, total);
        } catch (error) {
            /* An invalid search stays invalid; after any other failure the next update tries again. */
            if (ticket === this.#ticket && error.status === 400) this.problem = error.message;
        } finally {
            if (ticket === this.#ticket) {
                this.#busy = false;
                this.dispatchEvent(new Event('change'));
            }
        }
    }

    async #search(ticket, total) {
        const { host, run } = this.source;
        let from = Math.max(0, this.#seen - REWRITTEN);
        const found = this.lines.filter((line) => line < from);
        for (;;) {
            const answer = await api.search(host, run, { ...this.#asked, from, limit: PAGE });
            if (ticket !== this.#ticket) return;
            for (const match of answer.matches) found.push(match.line);
            this.more = answer.more && found.length >= MOST;
            if (!answer.more || this.more) break;
            if (found.length > this.lines.length) this.#show(found);
            from = answer.next;
        }
        this.#seen = total;
        this.#show(found);
    }

    /** Keeps the present hit, which a person may have chosen during the search. */
    #show(found) {
        const at = this.current >= 0 ? this.lines[this.current] : null;
        this.lines = [...found];
        this.current = at === null ? -1 : this.lines.indexOf(at);
        this.dispatchEvent(new Event('change'));
    }

    /** Goes to the next (+1) or previous (-1) hit; the first one is the nearest to `line`. Returns its line or null. */
    step(direction, line) {
        const n = this.lines.length;
        if (!n) return null;
        if (this.current < 0) {
            const after = this.lines.findIndex((hit) => hit >= line);
            if (direction > 0) this.current = after < 0 ? 0 : after;
            else this.current = after < 0 ? n - 1 : (after - 1 + n) % n;
        } else {
            this.current = (this.current + direction + n) % n;
        }
        this.dispatchEvent(new Event('change'));
        return this.lines[this.current];
    }

    /** Whether hits may be missing: too many hits, not everything searched, or lines that the server dropped. */
    get partial() {
        return this.more || this.searching || this.source.incomplete;
    }

    get label() {
        const n = this.lines.length;
        if (this.problem) return 'not valid';
        if (this.searching && !n) return 'searching…';
        const all = `${this.partial ? 'at least ' : ''}${count(n)}`;
        if (!n) return this.source.incomplete ? 'none in the lines kept' : 'none';
        return this.current >= 0 ? `${count(this.current + 1)} of ${all}` : all;
    }
}
