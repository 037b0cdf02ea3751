/* The log of one host: its run's steps, a toolbar that stays in sight, and the lines. */
import { api, logUrl } from './api.js';
import { stripAnsi } from './ansi.js';
import { Lines } from './lines.js';
import { Hits } from './search.js';
import { Stepper } from './stepper.js';
import { buildPanel } from './toolbar.js';
import { View } from './view.js';
import { isOpen, title, verdict, exitWords } from './runs.js';
import {
    bytes,
    copyText,
    count,
    dayAndTime,
    el,
    plural,
    prefs,
    setAttr,
    setText,
    throttle,
    toMs,
} from './util.js';

const TAIL = 800;
const SEARCH_PAUSE_MS = 200;
const MARKS_EVERY_MS = 2000;
const MOST_COPIED = 20000;
let serial = 0;

export class LogPanel {
    run = null;
    lines = null;
    view = null;
    #sticky = true;
    #hover = false;
    #waitingFrom = 0;
    #heardAt = Date.now();
    #parts = {};
    #shown = ''; // run that the view shows
    #anchor = null; // first line of a selection
    #newerRun = null;
    #marked = '';

    constructor({ host, live, toast, isWatched, toggleWatch, close }) {
        Object.assign(this, { host, live, toast, isWatched, toggleWatch, close });
        this.id = `log-${++serial}`;
        this.stepper = new Stepper();
        this.#build();
        this.#markSoon = throttle(() => this.#mark(), MARKS_EVERY_MS);
    }

    #markSoon;

    /* ---- what it is made of ---- */

    #build() {
        const acts = {
            prev: () => this.#step(this.hits, -1),
            next: () => this.#step(this.hits, 1),
            errors: () => this.jump('error'),
            warnings: () => this.jump('warning'),
            newer: () => this.open(this.#newerRun),
            wrap: () => this.toggle('wrap'),
            times: () => this.toggle('times'),
            follow: () => this.#toggleFollow(),
            copy: () => this.copy(),
            link: () => this.copyLink(),
            watch: () => this.toggleWatch(this.run),
            max: () => this.maximise(),
            close: () => this.close(),
            pill: () => this.followNow(),
        };
        const parts = {
            id: this.id,
            host: this.host,
            stepper: this.stepper.element,
            act: (name) => acts[name](),
        };
        const p = (this.#parts = buildPanel(parts));
        this.element = p.element;
        p.input.addEventListener('input', () => {
            clearTimeout(this.pause);
            this.pause = setTimeout(() => this.#search(), SEARCH_PAUSE_MS);
        });
        p.input.addEventListener('keydown', (event) => this.#searchKey(event));
        p.runs.addEventListener('focus', () => this.#listRuns());
        p.runs.addEventListener('change', () => this.#pickRun(p.runs.value));
        this.element.addEventListener('keydown', (event) => this.#key(event));
    }

    /* ---- which run ---- */

    /** Shows a run; `line` (from 0) is where, else its error if it failed, else its end. */
    async open(run, { line = null, last = null } = {}) {
        if (this.run && this.run.id !== run.id) this.#untail();
        const same = this.#shown === run.id;
        this.run = run;
        if (!same) this.#show(run);
        this.update(run);
        if (line !== null) this.goTo(line, last ?? line);
        else if (!same) await this.#opensAt(run);
    }

    #show(run) {
        this.view?.close();
        this.#shown = run.id;
        this.#marked = '';
        this.#newerRun = null;
        this.#parts.newer.hidden = true;
        this.lines = new Lines(this.host, run.id);
        this.view = new View(this.lines, `Output of ${title(run)} on ${this.host}`);
        this.hits = new Hits(this.lines);
        this.errors = new Hits(this.lines);
        this.warnings = new Hits(this.lines);
        for (const name of ['wrap', 'times']) this.#apply(name, prefs.get(name, 'off') === 'on');
        this.lines.addEventListener('change', () => this.#grew());
        this.view.addEventListener('moved', ({ detail }) => this.#moved(detail.up));
        this.view.addEventListener('pick', ({ detail }) => this.#pick(detail));
        this.view.element.addEventListener(
            'pointerenter',
            (event) => event.pointerType === 'mouse' && this.#setHover(true),
        );
        this.view.element.addEventListener('pointerleave', () => this.#setHover(false));
        this.hits.addEventListener('change', () => this.#showFound());
        this.errors.addEventListener('change', () => this.#showMarks());
        this.warnings.addEventListener('change', () => this.#showMarks());
        this.#parts.body.replaceChildren(
            this.view.element,
            this.#parts.none,
            this.#parts.picked,
            this.#parts.pill,
        );
        this.#parts.picked.hidden = true;
        this.#sticky = true;
        this.lines.setTotal(run.lines ?? 0, run.first ?? 0);
        this.#heardAt = Date.now();
        this.#parts.runs.replaceChildren(this.#option(run));
        this.#listRuns();
        this.tail(); // of a run that is over, too: its last lines may be on their way
        this.errors.ask({ kind: 'error' });
        this.warnings.ask({ kind: 'warning' });
        if (this.#parts.input.value) this.#search();
        this.#followState();
    }

    async #opensAt(run) {
        if (isOpen(run) || verdict(run) === 'ok') {
            this.followNow();
            return;
        }
        if (typeof run.error_line === 'number') {
            this.#reveal(run.error_line);
            return;
        }
        try {
            const { matches } = await api.search(this.host, run.id, { kind: 'error', limit: 1000 });
            if (this.#shown === run.id && matches.length) this.#reveal(matches[0].line);
            else this.followNow();
        } catch {
            this.followNow();
        }
    }

    /** The run's newest state; a run that is not the one shown is offered, never forced on a reader. */
    update(run) {
        if (this.run && run.id !== this.run.id) {
            if (isOpen(run) && run.id !== this.#newerRun?.id) {
                this.#newerRun = run;
                const later = toMs(run.started) > toMs(this.run.started);
                if (later && !isOpen(this.run) && this.#sticky && !this.#hover) this.open(run);
                else this.#parts.newer.hidden = false;
                this.#listRuns();
            }
            return;
        }
        const ended = isOpen(this.run) && !isOpen(run);
        this.run = run;
        this.#heardAt = Date.now();
        /* While a run is open its tail says how long the log is; a heartbeat may be ahead of the lines. */
        if (!isOpen(run)) this.lines.setTotal(run.lines ?? 0, run.first ?? 0);
        const p = this.#parts;
        p.full.href = logUrl(this.host, run.id);
        p.download.href = logUrl(this.host, run.id);
        p.download.setAttribute('download', `${this.host}-${run.id}.log`);
        setText(p.note, `${plural(run.lines ?? 0, 'line')}, ${bytes(run.bytes ?? 0)}`);
        this.element.dataset.verdict = verdict(run);
        setText(p.runs.options[p.runs.selectedIndex] ?? p.runs, this.#runWords(run));
        p.watch.hidden = !isOpen(run);
        p.follow.hidden = !isOpen(run);
        this.tick();
        if (ended) {
            this.#markSoon();
            this.#followState();
            this.#listRuns();
        }
    }

    /** Once a second: what counts on by itself. */
    tick() {
        if (!this.run) return;
        this.stepper.update(this.run, this.#heardAt);
        setAttr(this.#parts.watch, 'aria-pressed', String(this.isWatched(this.run)));
    }

    async #listRuns() {
        try {
            const answer = await api.runs(this.host);
            const runs = answer.runs ?? answer;
            if (!runs.some((run) => run.id === this.run.id)) runs.push(this.run);
            const value = this.run.id;
            this.#parts.runs.replaceChildren(...runs.map((run) => this.#option(run)));
            this.#parts.runs.value = value;
        } catch {
            /* The run that is shown stays the only choice. */
        }
    }

    #option(run) {
        return el('option', { value: run.id, text: this.#runWords(run) });
    }

    #runWords(run) {
        const mark = { ok: '✓', warn: '!', bad: '✗', busy: '●', stale: '?' }[verdict(run)];
        const when = run.started ? dayAndTime(toMs(run.started)) : '';
        const how = isOpen(run) ? 'running' : exitWords(run).toLowerCase();
        return `${mark} ${when} · ${title(run).slice(0, 60)} · ${how}`;
    }

    async #pickRun(id) {
        try {
            const answer = await api.run(this.host, id);
            await this.open(answer.run ?? answer);
        } catch (error) {
            this.toast(`That run cannot be shown: ${error.message}`, 'bad');
        }
    }

    /* ---- the live tail ---- */

    tail() {
        this.live.send({ op: 'tail', run: this.run.id, from: -TAIL });
    }

    #untail() {
        this.live.send({ op: 'untail', run: this.run.id });
    }

    /** After a new connection: the newest lines again; what may have changed meanwhile is fetched when it is looked at. */
    reconnected() {
        if (!this.run) return;
        this.lines.distrust(this.lines.total - TAIL);
        this.tail();
        this.#listRuns();
    }

    splice(message) {
        if (message.run !== this.#shown) return;
        this.lines.splice(message);
    }

    destroy() {
        if (this.run) this.#untail();
        this.view?.close();
        this.element.remove();
    }

    #grew() {
        this.#markSoon();
        this.#showWaiting();
    }

    #mark() {
        if (!this.element.isConnected) return;
        this.errors.update();
        this.warnings.update();
        this.hits.update();
    }

    /* ---- following ---- */

    #moved(up) {
        if (up) this.#sticky = false;
        if (this.view.atEnd) this.#sticky = true;
        this.#followState();
    }

    #setHover(hover) {
        this.#hover = hover;
        this.#followState();
    }

    #followState() {
        const follow = this.#sticky && !this.#hover;
        if (this.view.follow && !follow) this.#waitingFrom = this.lines.total;
        this.view.follow = follow;
        if (follow) this.view.toEnd();
        setAttr(this.#parts.follow, 'aria-pressed', String(this.#sticky));
        this.element.dataset.follow = follow ? 'on' : this.#sticky ? 'paused' : 'off';
        this.#showWaiting();
    }

    #showWaiting() {
        this.#parts.none.hidden = this.lines.total > 0;
        const waiting = this.view.follow ? 0 : this.lines.total - this.#waitingFrom;
        const pill = this.#parts.pill;
        pill.hidden = waiting <= 0;
        if (waiting > 0) setText(pill, `↓ ${plural(waiting, 'new line')}`);
    }

    followNow() {
        this.#sticky = true;
        this.#waitingFrom = this.lines.total;
        this.view.toEnd();
        this.#followState();
    }

    #toggleFollow() {
        if (this.#sticky) {
            this.#sticky = false;
            this.#followState();
        } else {
            this.followNow();
        }
    }

    /* ---- places in the log ---- */

    goTo(first, last = first) {
        this.#sticky = false;
        this.#followState();
        this.view.selected = [first, last];
        this.#anchor = first;
        this.view.redraw();
        this.view.show(first);
        this.#showPicked();
    }

    #pick({ line, extend }) {
        const from = extend && this.#anchor !== null ? this.#anchor : line;
        if (!extend) this.#anchor = line;
        this.view.selected = [Math.min(from, line), Math.max(from, line)];
        history.replaceState(null, '', this.#hash());
        this.view.redraw();
        this.#showPicked();
    }

    #hash() {
        const [first, last] = this.view.selected ?? [this.view.visible[0], this.view.visible[0]];
        return `#${this.host}/${this.run.id}/L${first + 1}${last > first ? `-L${last + 1}` : ''}`;
    }

    #showPicked() {
        const box = this.#parts.picked;
        const picked = this.view.selected;
        box.hidden = !picked;
        if (!picked) return;
        const [first, last] = picked;
        box.replaceChildren(
            el('span', {
                class: 'num',
                text:
                    first === last
                        ? `Line ${count(first + 1)}`
                        : `Lines ${count(first + 1)}–${count(last + 1)}`,
            }),
            el('button', {
                type: 'button',
                'data-do': 'picked-copy',
                text: 'Copy text',
                onclick: () => this.copy(),
            }),
            el('button', {
                type: 'button',
                'data-do': 'picked-link',
                text: 'Copy link',
                onclick: () => this.copyLink(),
            }),
            el('button', {
                type: 'button',
                class: 'icon',
                'aria-label': 'Select nothing',
                text: '✕',
                onclick: () => this.#unpick(),
            }),
        );
    }

    #unpick() {
        this.view.selected = null;
        this.#anchor = null;
        if (location.hash.startsWith(`#${this.host}/`))
            history.replaceState(null, '', `#${this.host}/${this.run.id}`);
        this.view.redraw();
        this.#showPicked();
    }

    async copy() {
        const [first, last] = this.view.selected ?? this.view.visible;
        const text = [];
        for (let at = first; at <= last && text.length < MOST_COPIED;) {
            const answer = await api
                .lines(this.host, this.run.id, at, Math.min(1000, last - at + 1))
                .catch(() => null);
            if (!answer?.lines.length || answer.from > last) break;
            text.push(...answer.lines.slice(0, last - answer.from + 1).map(stripAnsi));
            at = answer.from + answer.lines.length;
        }
        const done = text.length > 0 && (await copyText(text.join('\n') + '\n'));
        this.toast(
            done ? `Copied ${plural(text.length, 'line')}` : 'The browser did not allow copying',
            done ? 'ok' : 'bad',
        );
    }

    async copyLink() {
        const link = new URL(this.#hash(), location.href).href;
        history.replaceState(null, '', this.#hash());
        this.toast((await copyText(link)) ? 'Copied a link to this place' : link, 'ok');
    }

    /* ---- search, errors, warnings ---- */

    async #search() {
        const q = this.#parts.input.value;
        this.view.query = q;
        this.view.current = null;
        this.view.redraw();
        await this.hits.ask(q ? { q } : null);
        if (q && this.hits.lines.length) this.#step(this.hits, 1);
    }

    #searchKey(event) {
        if (event.key === 'Enter') {
            event.preventDefault();
            this.#step(this.hits, event.shiftKey ? -1 : 1);
        } else if (event.key === 'Escape') {
            event.preventDefault();
            event.stopPropagation();
            this.#parts.input.value = '';
            this.#search();
            this.view.element.focus();
        }
    }

    focusSearch() {
        this.#parts.input.focus();
        this.#parts.input.select();
    }

    #step(hits, direction) {
        const line = hits.step(direction, this.view.visible[0]);
        if (line !== null) this.#reveal(line);
    }

    #reveal(line) {
        this.#sticky = false;
        this.#followState();
        this.view.current = line;
        this.view.redraw();
        this.view.show(line);
    }

    jump(kind, direction = 1) {
        this.#step(kind === 'error' ? this.errors : this.warnings, direction);
    }

    #showFound() {
        const asked = this.hits.active;
        setText(this.#parts.found, asked ? this.hits.label : '');
        for (const name of ['prev', 'next']) this.#parts[name].disabled = !this.hits.lines.length;
    }

    #showMarks() {
        const marks = new Map();
        for (const line of this.warnings.lines) marks.set(line, 'warning');
        for (const line of this.errors.lines) marks.set(line, 'error');
        /* Nothing new, nothing redrawn: a redraw would end the selection that a reader drags. */
        const sign = [...marks].join();
        if (sign !== this.#marked) this.view.redraw();
        this.#marked = sign;
        this.view.marks = marks;
        for (const [name, hits, one] of [
            ['errors', this.errors, 'error'],
            ['warnings', this.warnings, 'warning'],
        ]) {
            const n = hits.lines.length;
            const place = hits.current >= 0 ? `${hits.current + 1}/` : '';
            setText(this.#parts[name], n ? `${place}${plural(n, one)}` : `No ${one}s`);
            this.#parts[name].disabled = !n;
        }
    }

    /* ---- switches and keys ---- */

    toggle(name) {
        const on = !this.view[name];
        prefs.set(name, on ? 'on' : 'off');
        this.#apply(name, on);
        if (this.view.follow) this.view.toEnd();
    }

    #apply(name, on) {
        this.view[name] = on;
        this.view.element.classList.toggle(name, on);
        setAttr(this.#parts[name], 'aria-pressed', String(on));
        this.view.redraw();
    }

    maximise(on = !this.element.classList.contains('max')) {
        this.element.classList.toggle('max', on);
        document.body.classList.toggle('has-max', on);
        setAttr(this.#parts.max, 'aria-pressed', String(on));
        this.view.redraw();
    }

    get maximised() {
        return this.element.classList.contains('max');
    }

    #key(event) {
        if (
            event.ctrlKey ||
            event.metaKey ||
            event.altKey ||
            /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)
        )
            return;
        const page = this.view.height * 0.9;
        const keys = {
            '/': () => this.focusSearch(),
            n: () => this.#step(this.hits, 1),
            N: () => this.#step(this.hits, -1),
            e: () => this.jump('error'),
            E: () => this.jump('error', -1),
            w: () => this.jump('warning'),
            W: () => this.jump('warning', -1),
            z: () => this.toggle('wrap'),
            t: () => this.toggle('times'),
            c: () => this.copy(),
            l: () => this.copyLink(),
            f: () => this.maximise(),
            x: () => this.close(),
            Escape: () =>
                this.maximised ? this.maximise(false) : this.view.selected ? this.#unpick() : this.close(),
        };
        const moves = {
            j: () => this.view.scrollBy(20),
            k: () => this.#up(-20),
            ArrowDown: () => this.view.scrollBy(20),
            ArrowUp: () => this.#up(-20),
            PageDown: () => this.view.scrollBy(page),
            PageUp: () => this.#up(-page),
            ' ': () => (event.shiftKey ? this.#up(-page) : this.view.scrollBy(page)),
            Home: () => (this.#up(0), this.view.toStart()),
            g: () => (this.#up(0), this.view.toStart()),
            End: () => this.followNow(),
            G: () => this.followNow(),
        };
        const act = keys[event.key] ?? (event.target === this.view?.element ? moves[event.key] : null);
        if (!act) return;
        event.preventDefault();
        event.stopPropagation();
        act();
        if (moves[event.key] && !['End', 'G'].includes(event.key)) this.#moved(false);
    }

    #up(pixels) {
        this.#sticky = false;
        this.#followState();
        if (pixels) this.view.scrollBy(pixels);
    }
}
