/* The selection of lines in one log: made by clicks on line numbers; can be copied and linked. */
import { stripAnsi } from './ansi.js';
import { formatAddress } from './address.js';
import { api } from './api.js';
import { toast } from './say.js';
import { copyText, count, el, plural } from './util.js';

const MOST_COPIED = 20000;
const PAGE = 1000;

export class Picker {
    #view = null;
    #lines = null;
    #anchor = null; // first line of the selection

    /** `box`: shows the selection; `moved()` is called when the address has changed; `address()`: of the panel. */
    constructor({ box, host, moved, address }) {
        Object.assign(this, { box, host, moved, address });
    }

    show(view, lines) {
        this.#view = view;
        this.#lines = lines;
        this.#anchor = null;
        this.box.hidden = true;
    }

    select(first, last) {
        this.#anchor = first;
        this.#set([first, last]);
    }

    pick({ line, extend }) {
        const from = extend && this.#anchor !== null ? this.#anchor : line;
        if (!extend) this.#anchor = line;
        this.#set([Math.min(from, line), Math.max(from, line)]);
        this.moved();
    }

    clear() {
        this.#anchor = null;
        this.#set(null);
        this.moved();
    }

    #set(lines) {
        this.#view.selected = lines;
        this.#view.redraw();
        this.#draw();
    }

    #draw() {
        const picked = this.#view.selected;
        this.box.hidden = !picked;
        if (!picked) return;
        const [first, last] = picked;
        const text = first === last ? `Line ${count(first + 1)}` : `Lines ${count(first + 1)}–${count(last + 1)}`;
        const button = (name, words, act, more = {}) =>
            el('button', { type: 'button', 'data-do': name, text: words, onclick: act, ...more });
        this.box.replaceChildren(
            el('span', { class: 'num', text }),
            button('picked-copy', 'Copy text', () => this.copy()),
            button('picked-link', 'Copy link', () => this.copyLink()),
            button('picked-none', '✕', () => this.clear(), { class: 'icon', 'aria-label': 'Select nothing' }),
        );
    }

    async copy() {
        const [first, last] = this.#view.selected ?? this.#view.visible;
        const text = [];
        for (let at = first; at <= last && text.length < MOST_COPIED; ) {
            const answer = await api
                .lines(this.host, this.#lines.run, at, Math.min(PAGE, last - at + 1))
                .catch(() => null);
            if (!answer?.lines.length || answer.from > last) break;
            text.push(...answer.lines.slice(0, last - answer.from + 1).map(stripAnsi));
            at = answer.from + answer.lines.length;
        }
        const done = text.length > 0 && (await copyText(`${text.join('\n')}\n`));
        if (done) toast(`Copied ${plural(text.length, 'line')}`);
        else toast(text.length ? 'The browser did not allow copying' : 'The lines cannot be loaded', 'bad');
    }

    /** A link to the selected lines, or else to the first line in sight. */
    async copyLink() {
        const place = this.address();
        if (place.first === null) place.first = place.last = this.#view.visible[0];
        const link = new URL(formatAddress({ panels: [place], settings: {} }), location.href).href;
        toast((await copyText(link)) ? 'Copied a link to this place' : link);
    }
}
