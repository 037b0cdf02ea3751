/* Searches the logs of all runs, the newest first. Each answer of the server covers a part; results appear as they arrive, and a
   person can stop at the right one. */
import { formatAddress } from './address.js';
import { api } from './api.js';
import { findAll, split, toPattern } from './query.js';
import { count, dayAndTime, el, plural, setText } from './util.js';

const AT_ONCE = 200; // after this many results a person is asked whether to continue
const HOW = [
    ['case', 'Match case'],
    ['word', 'Whole words'],
    ['regex', 'Regular expression'],
];

export class FindAll {
    #ticket = 0;
    #asked = null;
    #next = null; // where the next answer continues
    #found = 0;
    #runs = 0;
    #last = null; // the run of the last result, and its list

    /** `box` is the element to fill; `changed({find, how})` is called for a new search. */
    constructor(box, changed) {
        this.changed = changed;
        this.input = el('input', {
            type: 'search',
            name: 'find',
            placeholder: 'Search in the logs of all runs',
            'aria-label': 'Search in the logs of all runs',
            autocomplete: 'off',
            spellcheck: 'false',
        });
        this.how = HOW.map(([name, words]) =>
            el('label', { class: 'check' }, el('input', { type: 'checkbox', name }), words),
        );
        this.button = el('button', { class: 'primary', text: 'Search' });
        this.stop = el('button', { type: 'button', 'data-do': 'stop-search', text: 'Stop', hidden: true, onclick: () => this.#stop() });
        this.note = el('p', { class: 'muted', role: 'status' });
        this.results = el('ol', { class: 'results' });
        this.more = el('button', { type: 'button', 'data-do': 'more-results', text: 'Search on', hidden: true, onclick: () => this.#run() });
        const form = el('form', { role: 'search', 'aria-label': 'All logs', class: 'find-form' }, this.input, ...this.how, this.button, this.stop);
        form.addEventListener('submit', (event) => {
            event.preventDefault();
            this.changed({ find: this.input.value, how: this.#options.join(',') });
        });
        box.append(form, this.note, this.results, this.more);
    }

    get #boxes() {
        return this.how.map((label) => label.firstChild);
    }

    get #options() {
        return this.#boxes.filter((one) => one.checked).map((one) => one.name);
    }

    /** Shows the results of the search in the address. */
    show({ find = '', how = '' }) {
        const options = how.split(',').filter(Boolean);
        const question = { q: find, ...Object.fromEntries(options.map((name) => [name, '1'])) };
        if (JSON.stringify(question) === JSON.stringify(this.#asked)) return;
        this.#asked = question;
        this.input.value = find;
        for (const one of this.#boxes) one.checked = options.includes(one.name);
        this.#next = null;
        this.#found = this.#runs = 0;
        this.#last = null;
        this.results.replaceChildren();
        if (find) this.#run();
        else this.#say('');
        this.input.focus();
    }

    #stop() {
        this.#ticket++;
        this.#finish(`Stopped. ${this.#soFar}`);
    }

    get #soFar() {
        return `${plural(this.#found, 'match', 'matches')} in ${plural(this.#runs, 'searched run')}`;
    }

    #say(text) {
        setText(this.note, text);
    }

    #finish(text) {
        this.stop.hidden = true;
        this.more.hidden = !this.#next;
        this.#say(text);
    }

    async #run() {
        const ticket = ++this.#ticket;
        const pattern = toPattern(this.#asked);
        const goal = this.#found + AT_ONCE;
        this.stop.hidden = false;
        this.more.hidden = true;
        this.#say('Searching…');
        try {
            do {
                const answer = await api.searchAll({ ...this.#asked, ...(this.#next ? { at: this.#next } : {}) });
                if (ticket !== this.#ticket) return;
                this.#next = answer.more ? answer.next : null;
                this.#runs += answer.runs;
                for (const match of answer.matches) this.#add(match, pattern);
                const back = answer.back_to ? `, back to ${dayAndTime(answer.back_to)}` : '';
                this.#say(`Searching… ${this.#soFar}${back}`);
            } while (this.#next && this.#found < goal);
            this.#finish(this.#next ? `The newest ${this.#soFar}. There is more.` : `${this.#soFar}: all that are kept.`);
        } catch (error) {
            if (ticket === this.#ticket) this.#finish(`This cannot be searched: ${error.message}`);
        }
    }

    #add(match, pattern) {
        this.#found++;
        if (this.#last?.run !== match.run) this.#last = this.#group(match);
        const link = el('a', { href: address(match, match.line) }, el('span', { class: 'line-number num', text: count(match.line + 1) }));
        const text = el('span', { class: 'line-text' });
        for (const [part, hit] of split(match.text, 0, findAll(match.text, pattern)))
            text.append(hit >= 0 ? el('mark', { text: part }) : part);
        link.append(text);
        this.#last.list.append(el('li', {}, link));
    }

    #group(match) {
        const list = el('ol', { class: 'lines-found' });
        this.results.append(
            el(
                'li',
                { 'data-run': match.run },
                el(
                    'h2',
                    {},
                    el('bdi', { text: match.host }),
                    el('span', { class: 'muted num', text: ` ${dayAndTime(match.started)} ` }),
                    el('code', { text: match.command }),
                ),
                list,
            ),
        );
        return { run: match.run, list };
    }
}

function address({ host, run }, line) {
    return formatAddress({ panels: [{ host, run, first: line, last: line }], settings: {} });
}
