/* Finds lines on the server, so that five million are searched as easily as fifty, and keeps the list of hits right while
   the log grows: only new lines, and the few that may have been rewritten, are searched again. */
import { api } from './api.js';

const MOST = 5000;
const PAGE = 1000;
const REWRITTEN = 300; // no terminal is higher: lines further back never change

export class Hits extends EventTarget {
    lines = [];
    more = false; // there are more than MOST
    current = -1;
    #asked = null;
    #seen = 0;
    #ticket = 0;
    #busy = false;

    constructor(source) {
        super();
        this.source = source;
    }

    get active() {
        return this.#asked !== null;
    }

    /** A new question: `{q}` or `{kind}`; null ends the search. */
    async ask(question) {
        this.#asked = question;
        this.lines = [];
        this.more = false;
        this.current = -1;
        this.#seen = 0;
        this.#ticket++;
        this.#busy = false;
        if (question) await this.update();
        else this.dispatchEvent(new Event('change'));
    }

    /** Searches what came since. */
    async update() {
        if (!this.#asked || this.#busy || this.more) return;
        const ticket = this.#ticket;
        const total = this.source.total;
        this.#busy = true;
        try {
            let from = Math.max(0, this.#seen - REWRITTEN);
            const found = this.lines.filter((line) => line < from);
            for (;;) {
                const answer = await api.search(this.source.host, this.source.run, {
                    ...this.#asked,
                    from,
                    limit: PAGE,
                });
                if (ticket !== this.#ticket) return;
                for (const match of answer.matches) found.push(match.line);
                this.more = answer.more && found.length >= MOST;
                if (!answer.more || this.more) break;
                if (found.length > this.lines.length) this.#show(found);
                from = answer.next;
            }
            this.#show(found);
            this.#seen = total;
        } catch {
            /* The next update tries again. */
        } finally {
            if (ticket === this.#ticket) this.#busy = false;
        }
        if (ticket === this.#ticket) this.dispatchEvent(new Event('change'));
    }

    /** Keeps the hit that someone is at, which may have been chosen while the search went on. */
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

    get label() {
        const n = this.lines.length;
        if (!n) return 'none';
        const all = this.more ? `${n}+` : `${n}`;
        return this.current >= 0 ? `${this.current + 1} of ${all}` : all;
    }
}
