/* The derivations of a run: name, machine, start or duration, the longest first. The lines of each can be shown alone in the log,
   or folded. If nix recorded what the builder wrote, the end of that text can be opened below the list. */
import { api, buildLogUrl } from './api.js';
import { isOpen } from './runs.js';
import { el, plural, refill, serverNow, setAttr, setText, shortDuration, throttle } from './util.js';

const EVERY_MS = 3000;
const SHOWN_AT_FIRST = 100;
const OWN_LINES = 500;
const ORDER = { failed: 0, building: 1, built: 2, fetched: 3, waiting: 4 };
const MARKS = { failed: '✗', building: '●', built: '✓', fetched: '↓', waiting: '·' };
const VERDICTS = { failed: 'bad', building: 'busy', built: 'ok', fetched: 'ok', waiting: 'none' };

/** The name in front of a derivation's lines: without the version. */
export const nameInFront = (name) => name.replace(/-[0-9].*$/s, '');

export class Builds {
    list = [];
    #run = null;
    #most = SHOWN_AT_FIRST;
    #own = null; // the derivation whose own log is open
    #loadSoon = throttle(() => this.#load(), EVERY_MS);

    /** `alone(derivation)` shows only the lines of one derivation. `fold(derivation)` folds or unfolds these lines, and resolves
       to whether they are folded now, as `isFolded(derivation)` says. */
    constructor({ host, alone, fold, isFolded }) {
        Object.assign(this, { host, alone, fold, isFolded });
        this.summary = el('summary', {});
        this.body = el('ul', { class: 'build-list' });
        this.more = el('button', { type: 'button', hidden: true, onclick: () => this.#showMore() });
        this.own = { title: el('strong', {}), text: el('pre', { tabindex: '0' }), whole: el('a', { class: 'button', download: '', text: 'Download' }) };
        const close = el('button', { type: 'button', 'data-do': 'close-own', text: 'Close', onclick: () => this.#openOwn(null) });
        this.own.box = el('section', { class: 'build-log', hidden: true, 'aria-label': 'Log of the builder' },
            el('div', { class: 'build-log-head' }, this.own.title, this.own.whole, close), this.own.text);
        this.element = el('details', { class: 'builds', hidden: true }, this.summary, this.body, this.more, this.own.box);
        this.element.addEventListener('toggle', () => this.#draw());
    }

    /** Shows another run, or a new state of the same run. */
    update(run) {
        const other = this.#run?.id !== run.id;
        const ended = !other && isOpen(this.#run) && !isOpen(run);
        this.#run = run;
        if (other) {
            this.list = [];
            this.#most = SHOWN_AT_FIRST;
            this.#openOwn(null);
            this.#draw();
        }
        if (other || ended) this.#load();
        else this.#loadSoon(); // pieces of builders' logs may come after the end of the run
    }

    async #load() {
        const { id } = this.#run;
        const answer = await api.derivations(this.host, id).catch(() => null); // the list stays as it is
        if (!answer || id !== this.#run.id) return;
        this.list = answer.derivations;
        this.#draw();
        const own = this.#own && this.list.find(({ n }) => n === this.#own.n);
        if (own && own.log !== this.#own.log) this.#openOwn(own);
    }

    /** Opens the end of the own log of a derivation, or closes the one that is open (null). */
    async #openOwn(one) {
        const { box, title, text, whole } = this.own;
        const again = one && this.#own?.n === one.n;
        this.#own = one;
        box.hidden = !one;
        if (!again) text.replaceChildren();
        if (!one) return;
        whole.href = buildLogUrl(this.host, this.#run.id, one.n);
        setText(title, `${one.name}: ${plural(one.log, 'line')}`);
        const answer = await this.#endOfLog(one).catch((error) => ({ error }));
        if (this.#own !== one) return; // another was opened meanwhile
        const atEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 4;
        setText(text, answer.error ? `The log cannot be read now: ${answer.error.message}` : answer.lines.join('\n'));
        if (!answer.error && answer.from > 0) setText(title, `${one.name}: the last ${answer.lines.length} of ${plural(one.log, 'line')}`);
        if (!again || atEnd) text.scrollTop = text.scrollHeight;
    }

    /** The last lines of the own log. An answer ends at a gap, so what is behind the gap is asked for, too. */
    async #endOfLog(one) {
        const { id } = this.#run;
        const { from, lines, total } = await api.buildLines(this.host, id, one.n, -OWN_LINES);
        let at = from + lines.length;
        while (at < total) {
            const next = await api.buildLines(this.host, id, one.n, at);
            if (!next.lines.length) break;
            if (next.from > at) lines.push(`[${plural(next.from - at, 'line')} omitted]`);
            lines.push(...next.lines);
            at = next.from + next.lines.length;
        }
        return { from, lines: lines.slice(-OWN_LINES) };
    }

    #took({ state, started, duration: took }) {
        if (took !== undefined) return took;
        return state === 'building' && started && isOpen(this.#run) ? Math.max(0, serverNow() - started) : 0;
    }

    get #sorted() {
        return [...this.list].sort((a, b) => ORDER[a.state] - ORDER[b.state] || this.#took(b) - this.#took(a) || a.n - b.n);
    }

    #draw() {
        this.element.hidden = this.list.length === 0;
        if (!this.list.length) return;
        const count = (state) => this.list.filter((one) => one.state === state).length;
        const parts = ['failed', 'building', 'built', 'fetched', 'waiting']
            .map((state) => [count(state), state])
            .filter(([n]) => n)
            .map(([n, state]) => `${n} ${state}`);
        setText(this.summary, `${plural(this.list.length, 'derivation')}: ${parts.join(', ')}`);
        if (!this.element.open) return;
        const sorted = this.#sorted;
        const longest = Math.max(1, ...sorted.map((one) => this.#took(one)));
        refill(this.body, sorted.slice(0, this.#most).map((one) => this.#row(one, longest)));
        this.more.hidden = sorted.length <= this.#most;
        setText(this.more, `Show ${sorted.length - this.#most} more`);
    }

    #showMore() {
        this.#most += SHOWN_AT_FIRST;
        this.#draw();
    }

    #row(one, longest) {
        const took = this.#took(one);
        const bar = el('span', { class: 'build-bar', 'aria-hidden': 'true' });
        bar.style.setProperty('--part', (took / longest).toFixed(3));
        const fold = el('button', { type: 'button', 'data-do': 'fold-build', 'aria-pressed': String(this.isFolded(one)), text: 'Fold' });
        fold.addEventListener('click', async () => setAttr(fold, 'aria-pressed', String(await this.fold(one))));
        const where = [one.step, one.machine && `on ${one.machine}`].filter(Boolean).join(' ');
        return el(
            'li',
            { 'data-state': one.state, 'data-n': one.n, 'data-key': one.n },
            el('span', { class: 'mark', 'data-verdict': VERDICTS[one.state], 'aria-hidden': 'true', text: MARKS[one.state] }),
            el('span', { class: 'build-name' }, el('bdi', { text: one.name }), el('span', { class: 'vh', text: `, ${one.state}` })),
            el('span', { class: 'muted', text: where }),
            bar,
            el('span', { class: 'num', text: took ? shortDuration(took) : one.state }),
            one.log ? el('button', { type: 'button', 'data-do': 'own-log', text: 'Log', onclick: () => this.#openOwn(one) }) : el('span'),
            one.lines ? el('button', { type: 'button', 'data-do': 'alone', text: 'Alone', onclick: () => this.alone(one) }) : el('span'),
            one.lines ? fold : el('span'),
        );
    }
}
