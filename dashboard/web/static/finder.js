/* Finds places in one log: the search box with its options, "only the lines that match", and the errors and warnings. */
import { FoldedLines, phasesOf, rangesOf } from './folds.js';
import { SomeLines } from './lines.js';
import { escape, toPattern } from './query.js';
import { Hits } from './search.js';
import { plural, setAttr, setText } from './util.js';

const PAUSE_MS = 200;
const OPTIONS = ['case', 'word', 'regex'];

const nameOfFront = (front) => `build ${front}`;

export class Finder {
    #view = null;
    #lines = null; // all lines
    #folded = null; // the lines without the folded parts, while parts are folded
    #some = null; // the lines that match, while only these are shown
    #options = new Set();
    #marked = '';
    #pause = 0;

    /** `parts`: of the panel; `reveal(line)` shows a line. */
    constructor({ parts, reveal }) {
        Object.assign(this, { parts, reveal });
        const { input } = parts;
        input.addEventListener('input', () => {
            this.hits?.ask(null);
            setText(parts.found, input.value ? 'searching…' : '');
            clearTimeout(this.#pause);
            this.#pause = setTimeout(() => this.#search(), PAUSE_MS);
        });
        input.addEventListener('keydown', (event) => this.#key(event));
    }

    /** To be called when another log is shown: the text in the box is searched there, too. */
    show(view, lines) {
        this.#view = view;
        this.#lines = lines;
        this.#some = null;
        this.#folded = null;
        this.#marked = '';
        view.addEventListener('unfold', ({ detail }) => this.unfold(detail));
        setAttr(this.parts.only, 'aria-pressed', 'false');
        this.hits = new Hits(lines);
        this.errors = new Hits(lines);
        this.warnings = new Hits(lines);
        this.hits.addEventListener('change', () => this.#showFound());
        for (const marks of [this.errors, this.warnings]) marks.addEventListener('change', () => this.#showMarks());
        this.errors.ask({ kind: 'error' });
        this.warnings.ask({ kind: 'warning' });
        this.#showFound();
        if (this.parts.input.value) this.#search();
    }

    /** To be called when the log has grown. */
    update() {
        for (const hits of [this.errors, this.warnings, this.hits]) hits.update();
    }

    focus() {
        this.parts.input.focus();
        this.parts.input.select();
    }

    get #question() {
        const q = this.parts.input.value;
        return q ? { q, ...Object.fromEntries([...this.#options].map((name) => [name, '1'])) } : null;
    }

    async #search() {
        clearTimeout(this.#pause);
        const question = this.#question;
        this.#view.pattern = question && toPattern(question);
        this.#view.current = null;
        this.#view.redraw();
        if (!question) this.#showAll();
        await this.hits.ask(question);
        if (question && this.hits.lines.length && !this.#some) this.step(1);
    }

    toggle(option) {
        if (!this.#options.delete(option)) this.#options.add(option);
        this.#showOptions();
        this.#search();
    }

    #showOptions() {
        for (const name of OPTIONS) setAttr(this.parts[name], 'aria-pressed', String(this.#options.has(name)));
    }

    /** Shows only the lines that match, or all again. */
    toggleOnly() {
        if (this.#some) return this.#showAll();
        if (!this.hits.active) return this.focus();
        this.#some = new SomeLines(this.#lines);
        this.#some.numbers = this.hits.lines;
        this.#view.showLines(this.#some);
        return setAttr(this.parts.only, 'aria-pressed', 'true');
    }

    /** Shows only the lines that begin with `front`, as a search that a person can see and change. */
    async alone(front) {
        this.parts.input.value = `^${escape(front)}> `;
        this.#options = new Set(['regex', 'case']);
        this.#showOptions();
        await this.#search();
        if (!this.#some && this.hits.lines.length) this.toggleOnly();
    }

    /* ---- folds ---- */

    get phases() {
        return phasesOf(this.#lines.host, this.#lines.run, this.#lines.total);
    }

    isFolded(what) {
        return !!this.#folded?.has(what);
    }

    /** Folds lines. `what` identifies the part; `words` are shown in its place. */
    fold(what, words, ranges) {
        if (!this.#folded) {
            this.#folded = new FoldedLines(this.#lines);
            if (!this.#some) this.#view.showLines(this.#folded);
        }
        this.#folded.fold(what, words, ranges);
        this.#view.redraw();
    }

    unfold(what) {
        this.#folded?.unfold(what);
        this.#dropEmpty();
    }

    /** Unfolds the part that hides this line. */
    uncover(line) {
        this.#folded?.uncover(line);
        this.#dropEmpty();
    }

    #dropEmpty() {
        if (this.#folded?.empty) {
            if (!this.#some) this.#view.showLines(this.#lines);
            this.#folded.close();
            this.#folded = null;
        }
        this.#view.redraw();
    }

    isFrontFolded(front) {
        return this.isFolded(nameOfFront(front));
    }

    /** Folds or unfolds all lines that begin with `front`; resolves to whether they are folded now. */
    async toggleFront(front) {
        const what = nameOfFront(front);
        if (this.isFolded(what)) {
            this.unfold(what);
            return false;
        }
        const hits = new Hits(this.#lines);
        await hits.ask({ q: `^${escape(front)}> `, regex: 1, case: 1 });
        if (hits.lines.length) this.fold(what, front, rangesOf(hits.lines));
        return hits.lines.length > 0;
    }

    #showAll() {
        if (!this.#some) return;
        this.#some.close();
        this.#some = null;
        this.#view.showLines(this.#folded ?? this.#lines);
        setAttr(this.parts.only, 'aria-pressed', 'false');
        if (this.#view.current !== null) this.reveal(this.#view.current);
    }

    #key(event) {
        if (event.key !== 'Enter' && event.key !== 'Escape') return;
        event.preventDefault();
        event.stopPropagation();
        if (event.key === 'Enter') return this.step(event.shiftKey ? -1 : 1);
        this.parts.input.value = '';
        this.#search();
        return this.#view.element.focus();
    }

    step(direction) {
        this.#go(this.hits, direction);
    }

    jump(kind, direction = 1) {
        this.#go(kind === 'error' ? this.errors : this.warnings, direction);
    }

    #go(hits, direction) {
        const line = hits.step(direction, this.#view.visible[0]);
        if (line !== null) this.reveal(line);
    }

    #showFound() {
        const { hits, parts } = this;
        setText(parts.found, hits.active ? hits.label : '');
        setAttr(parts.found, 'title', hits.problem || null);
        setAttr(parts.input, 'aria-invalid', hits.problem ? 'true' : null);
        for (const name of ['prev', 'next']) parts[name].disabled = !hits.lines.length;
        if (this.#some) this.#some.numbers = hits.lines;
    }

    #showMarks() {
        const marks = new Map();
        for (const line of this.warnings.lines) marks.set(line, 'warning');
        for (const line of this.errors.lines) marks.set(line, 'error');
        /* If nothing has changed, nothing is drawn: drawing would end a selection that a reader is making. */
        const sign = [...marks].join();
        if (sign !== this.#marked) this.#view.redraw();
        this.#marked = sign;
        this.#view.marks = marks;
        this.#count('errors', this.errors, 'error');
        this.#count('warnings', this.warnings, 'warning');
    }

    #count(name, hits, one) {
        const n = hits.lines.length;
        const place = hits.current >= 0 ? `${hits.current + 1}/` : '';
        const least = hits.partial ? 'at least ' : '';
        const none = hits.searching ? `Counting ${one}s…` : `No ${one}s${least ? ' in the lines kept' : ''}`;
        setText(this.parts[name], n ? `${place || least}${plural(n, one)}` : none);
        this.parts[name].disabled = !n;
    }
}
