/* The log of one host: the header and steps of the run, a toolbar that stays in sight, and the lines. This module decides which
   run is shown, what is followed, and which lines are in sight. Search: finder.js; selection of lines: picker.js. */
import { api, logUrl } from './api.js';
import { Builds, nameInFront } from './builds.js';
import { Changes } from './changes.js';
import { askLine, menu } from './dialogs.js';
import { Finder } from './finder.js';
import { Lines } from './lines.js';
import { Picker } from './picker.js';
import { arrived } from './remaining.js';
import { RunHeader } from './runheader.js';
import { RunList } from './runlist.js';
import { isOpen, title, verdict } from './runs.js';
import { toast } from './say.js';
import { Stepper } from './stepper.js';
import { buildPanel } from './toolbar.js';
import { plural, prefs, setAttr, setText, throttle, toMs } from './util.js';
import { View } from './view.js';

const TAIL = 800;
const MARKS_EVERY_MS = 2000;
const EXPECTED_MS = 600000; // a command that a person has queued begins within this time
const TIMES = ['off', 'clock', 'elapsed'];
let serial = 0;

export class LogPanel {
    run = null;
    lines = null;
    view = null;
    #sticky = true;
    #hover = false;
    #waitingFrom = 0;
    #arrivedAt = Date.now();
    #parts = {};
    #shown = ''; // the run that the view shows
    #latest = null; // the host's newest run, if another run is shown
    #expectedUntil = 0;
    #inView = true;
    #place = null; // the panel's place in the list, while it fills the window
    #markSoon = throttle(() => this.#mark(), MARKS_EVERY_MS);

    constructor({ host, live, isWatched, toggleWatch, close, moved }) {
        Object.assign(this, { host, live, isWatched, toggleWatch, close, moved });
        this.id = `log-${++serial}`;
        this.stepper = new Stepper();
        this.header = new RunHeader();
        this.runList = new RunList({ host, pick: (run) => this.pickRun(run) });
        this.builds = new Builds({
            host,
            alone: (one) => this.finder.alone(nameInFront(one.name)),
            fold: (one) => this.finder.toggleFront(nameInFront(one.name)),
            isFolded: (one) => this.finder.isFrontFolded(nameInFront(one.name)),
        });
        this.changes = new Changes({ host, known: (changes) => this.header.changed(changes) });
        this.#build();
        this.finder = new Finder({ parts: this.#parts, reveal: (line) => this.#reveal(line), host });
        this.picker = new Picker({
            box: this.#parts.picked,
            host,
            moved: () => this.moved({}),
            address: () => this.place,
        });
    }

    /* ---- parts ---- */

    #build() {
        const acts = {
            prev: () => this.finder.step(-1),
            next: () => this.finder.step(1),
            case: () => this.finder.toggle('case'),
            word: () => this.finder.toggle('word'),
            regex: () => this.finder.toggle('regex'),
            only: () => this.finder.toggleOnly(),
            errors: () => this.finder.jump('error'),
            warnings: () => this.finder.jump('warning'),
            newer: () => this.pickRun(this.#latest),
            wrap: () => this.#toggleWrap(),
            times: () => this.#nextTimes(),
            follow: () => this.#toggleFollow(),
            fold: () => this.#foldMenu(),
            goto: () => this.#askLine(),
            copy: () => this.picker.copy(),
            link: () => this.picker.copyLink(),
            watch: () => this.toggleWatch(this.run),
            runs: () => this.#toggleRuns(),
            max: () => this.maximise(),
            close: () => this.close(),
            pill: () => this.#followFromPill(),
        };
        this.#parts = buildPanel({
            id: this.id,
            host: this.host,
            header: this.header.element,
            above: [this.stepper, this.changes, this.builds, this.runList].map((part) => part.element),
            act: (name) => acts[name](),
        });
        this.element = this.#parts.element;
        const { body } = this.#parts;
        body.addEventListener('pointermove', (event) => this.#pointed(event));
        body.addEventListener('pointerleave', () => this.#setHover(false));
        this.element.addEventListener('keydown', (event) => this.#key(event));
    }

    /* ---- which run ---- */

    /** Shows a run at a line (from 0); without one, at its error if it failed, else at its end. */
    async open(run, { line = null, last = null } = {}) {
        if (this.run && this.run.id !== run.id) this.#untail();
        const same = this.#shown === run.id;
        this.run = run;
        if (!same) this.#show(run);
        this.update(run);
        if (line !== null) this.goTo(line, last ?? line);
        else if (!same) await this.#toItsPlace(run);
    }

    /** Shows the run that a person has chosen. */
    async pickRun(run) {
        await this.open(run);
        this.moved({ step: true });
        this.focus();
    }

    #show(run) {
        this.view?.close();
        this.#shown = run.id;
        this.#offer(null);
        this.lines = new Lines(this.host, run.id);
        this.view = new View(this.lines, `Output of ${title(run)} on ${this.host}`);
        this.view.started = toMs(run.started);
        this.view.inView = this.#inView;
        this.#applyWrap(prefs.get('wrap', 'off') === 'on');
        this.#applyTimes(prefs.get('times', 'off'));
        this.lines.addEventListener('change', () => this.#grew());
        this.view.addEventListener('moved', ({ detail }) => this.#moved(detail.up));
        this.view.addEventListener('pick', ({ detail }) => this.picker.pick(detail));
        const { body, none, picked, pill } = this.#parts;
        body.replaceChildren(this.view.element, this.view.target, none, picked, pill);
        this.#sticky = true;
        this.lines.setTotal(run.lines ?? 0, run.first ?? 0);
        this.#arrivedAt = Date.now();
        this.tail(); // also for a run that is over: its last lines may still arrive
        this.picker.show(this.view, this.lines);
        this.finder.show(this.view, this.lines);
        this.runList.load(run.id);
        this.#followState();
    }

    /** A failed run is shown at its error, every other run at its end. */
    async #toItsPlace(run) {
        if (isOpen(run) || verdict(run) === 'ok') return this.followNow();
        const at = typeof run.error_line === 'number' ? run.error_line : await this.#firstError(run);
        if (this.#shown !== run.id) return undefined;
        return at === null ? this.followNow() : this.#reveal(at);
    }

    async #firstError(run) {
        const answer = await api.search(this.host, run.id, { kind: 'error', limit: 1 }).catch(() => null);
        return answer?.matches[0]?.line ?? null;
    }

    /** Takes a new state of a run. A run other than the shown one is only offered, so that a reader is not interrupted. */
    update(run) {
        arrived(run);
        if (this.run && run.id !== this.run.id) return this.#other(run);
        const ended = this.run && isOpen(this.run) && !isOpen(run);
        this.run = run;
        this.#arrivedAt = Date.now();
        /* While a run is open, its tail says how long the log is: a heartbeat may be ahead of the lines. */
        if (!isOpen(run)) this.lines.setTotal(run.lines ?? 0, run.first ?? 0);
        const p = this.#parts;
        setAttr(p.full, 'href', logUrl(this.host, run.id));
        setAttr(p.download, 'href', logUrl(this.host, run.id));
        setAttr(p.download, 'download', `${this.host}-${run.id}.log`);
        setAttr(this.element, 'data-verdict', verdict(run));
        p.watch.hidden = !isOpen(run);
        p.follow.hidden = !isOpen(run);
        this.header.update(run);
        this.runList.update(run);
        this.builds.update(run);
        this.changes.update(run);
        this.tick();
        if (ended) this.#ended(run);
        return undefined;
    }

    /** When a watched run fails, its error is shown, as for a person who opens the log later. */
    #ended(run) {
        this.#markSoon();
        this.#followState();
        this.runList.load(run.id);
        if (this.#sticky && !this.#hover && verdict(run) !== 'ok') this.#toItsPlace(run);
    }

    #other(run) {
        this.runList.update(run);
        const known = this.#latest?.id === run.id;
        if (toMs(run.started) <= toMs(this.run.started) && !isOpen(run)) return known ? this.#offer(run) : undefined;
        const asked = Date.now() < this.#expectedUntil && isOpen(run);
        const reads = !this.#sticky || this.#hover || verdict(this.run) !== 'ok';
        const later = toMs(run.started) > toMs(this.run.started);
        if (later && isOpen(run) && !known && !isOpen(this.run) && (asked || !reads)) {
            this.#expectedUntil = 0;
            this.open(run).then(() => this.moved({}));
            return undefined;
        }
        this.#offer(run);
        if (!known) this.runList.load(this.run.id);
        return undefined;
    }

    #offer(run) {
        this.#latest = run;
        this.#parts.newer.hidden = !run;
        if (run) setText(this.#parts.newer, isOpen(run) ? 'Show the run in progress' : 'Show the latest run');
    }

    /** To be called when a person has queued a command for this host: its run is shown when it begins. */
    expectRun() {
        this.#expectedUntil = Date.now() + EXPECTED_MS;
    }

    /** Called once a second: updates the times. */
    tick() {
        if (!this.run || !this.#inView) return;
        this.header.tick();
        this.stepper.update(this.run, this.#arrivedAt);
        setAttr(this.#parts.watch, 'aria-pressed', String(this.isWatched(this.run)));
    }

    #toggleRuns() {
        setAttr(this.#parts.runs, 'aria-expanded', String(this.runList.toggle()));
        this.view.redraw();
    }

    /* ---- the live tail ---- */

    tail() {
        this.live.send({ op: 'tail', run: this.run.id, from: -TAIL });
    }

    #untail() {
        this.live.send({ op: 'untail', run: this.run.id });
    }

    /** After a new connection: asks for the newest lines; others are fetched when they come into sight. */
    reconnected() {
        if (!this.run) return;
        this.lines.distrust(this.lines.total - TAIL);
        this.tail();
        this.runList.load(this.run.id);
    }

    splice(message) {
        if (message.run === this.#shown) this.lines.splice(message);
    }

    destroy() {
        if (this.run) this.#untail();
        this.maximise(false);
        this.view?.close();
        this.element.remove();
    }

    setInView(inView) {
        this.#inView = inView;
        if (this.view) this.view.inView = inView;
        if (!inView) return;
        this.view?.redraw();
        this.tick();
    }

    #grew() {
        this.#markSoon();
        this.#showWaiting();
    }

    #mark() {
        if (this.element.isConnected) this.finder.update();
    }

    /* ---- following ---- */

    #moved(up) {
        if (up) this.#sticky = false;
        if (this.view.atEnd) this.#sticky = true;
        this.#followState();
    }

    /** A pointer that is moved over the log pauses it; a log that opens or scrolls under a resting pointer does not. */
    #pointed({ pointerType, movementX, movementY }) {
        if (pointerType === 'mouse' && (movementX || movementY)) this.#setHover(true);
    }

    #setHover(hover) {
        if (this.#hover === hover) return;
        this.#hover = hover;
        if (this.view) this.#followState();
    }

    #followState() {
        const follow = this.#sticky && !this.#hover;
        if (this.view.follow && !follow) this.#waitingFrom = this.lines.total;
        this.view.follow = follow;
        if (follow) this.view.toEnd();
        const paused = this.#sticky && this.#hover && isOpen(this.run);
        const p = this.#parts;
        setAttr(p.follow, 'aria-pressed', String(follow));
        setText(p.follow, paused ? 'Paused' : 'Follow');
        setAttr(p.follow, 'title', paused ? 'Paused while the pointer is over the log' : 'Follow new lines (End)');
        setAttr(this.element, 'data-follow', follow ? 'on' : paused ? 'paused' : 'off');
        this.#showWaiting();
    }

    #showWaiting() {
        this.#parts.none.hidden = this.lines.total > 0;
        const waiting = this.view.follow ? 0 : this.lines.total - this.#waitingFrom;
        const { pill } = this.#parts;
        pill.hidden = waiting <= 0;
        if (waiting > 0) setText(pill, `↓ ${plural(waiting, 'new line')}`);
    }

    followNow() {
        this.#sticky = true;
        this.#waitingFrom = this.lines.total;
        this.view.toEnd();
        this.#followState();
    }

    /** A person who presses the pill wants to follow, although the pointer is over the log. */
    #followFromPill() {
        this.#hover = false; // until the pointer moves on
        this.followNow();
        this.focus();
    }

    #toggleFollow() {
        if (this.view.follow) {
            this.#sticky = false;
            this.#followState();
        } else {
            this.#hover = false;
            this.followNow();
        }
    }

    #stopFollowing() {
        this.#sticky = false;
        this.#followState();
    }

    /* ---- places in the log ---- */

    /** The address of the panel: {host, run, first, last}; lines only if some are selected. */
    get place() {
        const [first, last] = this.view?.selected ?? [null, null];
        return { host: this.host, run: this.run?.id ?? null, first, last };
    }

    focus() {
        this.view.element.focus({ preventScroll: true });
    }

    goTo(first, last = first) {
        this.#stopFollowing();
        this.finder.uncover(first);
        this.picker.select(first, last);
        this.view.show(first);
    }

    #reveal(line) {
        this.#stopFollowing();
        this.finder.uncover(line);
        this.view.current = line;
        this.view.redraw();
        this.view.show(line);
    }

    async #foldMenu() {
        const phases = await this.finder.phases.catch(() => []);
        const items = phases.map(({ name, first, last }) => {
            const folded = this.finder.isFolded(name);
            const act = () => (folded ? this.finder.unfold(name) : this.finder.fold(name, name, [[first, last]]));
            return [`${folded ? 'Unfold' : 'Fold'} ${name.toLowerCase()}`, act];
        });
        if (items.length) menu(this.#parts.fold, items);
        else toast('No phase begins in this log.', 'warn');
    }

    async #askLine() {
        const line = await askLine(this.lines.total);
        if (line === null) return;
        this.goTo(line);
        this.moved({});
        this.focus();
    }

    /* ---- switches and keys ---- */

    #toggleWrap() {
        prefs.set('wrap', this.view.wrap ? 'off' : 'on');
        this.#applyWrap(!this.view.wrap);
        if (this.view.follow) this.view.toEnd();
    }

    #applyWrap(on) {
        this.view.wrap = on;
        this.view.element.classList.toggle('wrap', on);
        setAttr(this.#parts.wrap, 'aria-pressed', String(on));
        this.view.redraw();
    }

    #nextTimes() {
        const next = TIMES[(TIMES.indexOf(this.view.times) + 1) % TIMES.length];
        prefs.set('times', next);
        this.#applyTimes(next);
    }

    #applyTimes(how) {
        this.view.times = TIMES.includes(how) ? how : 'off';
        const { times } = this.#parts;
        setAttr(times, 'aria-pressed', String(this.view.times !== 'off'));
        setText(times, this.view.times === 'elapsed' ? 'Elapsed' : 'Times');
        this.view.redraw();
    }

    /** Fills the window. Then nothing else can be reached by key or screen reader. */
    maximise(on = !this.#place) {
        if (on === !!this.#place) return;
        if (on) {
            this.#place = document.createComment('the log that fills the window');
            this.element.replaceWith(this.#place);
            document.body.append(this.element);
        } else {
            this.#place.replaceWith(this.element);
            this.#place = null;
        }
        this.element.classList.toggle('max', on);
        document.body.classList.toggle('has-max', on);
        for (const part of document.querySelectorAll('body > header, body > main, body > .skip')) part.inert = on;
        setAttr(this.#parts.max, 'aria-pressed', String(on));
        this.view.redraw();
        this.focus();
    }

    #key(event) {
        const { target } = event;
        if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
        const page = this.view.height * 0.9;
        const keys = {
            '/': () => this.finder.focus(),
            ':': () => this.#askLine(),
            n: () => this.finder.step(1),
            N: () => this.finder.step(-1),
            m: () => this.finder.toggleOnly(),
            e: () => this.finder.jump('error'),
            E: () => this.finder.jump('error', -1),
            w: () => this.finder.jump('warning'),
            W: () => this.finder.jump('warning', -1),
            z: () => this.#toggleWrap(),
            t: () => this.#nextTimes(),
            c: () => this.picker.copy(),
            l: () => this.picker.copyLink(),
            f: () => this.maximise(),
            x: () => this.close(),
            Escape: () => this.#escape(),
        };
        const moves = {
            j: () => this.view.scrollBy(20),
            k: () => this.#up(-20),
            ArrowDown: () => this.view.scrollBy(20),
            ArrowUp: () => this.#up(-20),
            PageDown: () => this.view.scrollBy(page),
            PageUp: () => this.#up(-page),
            ' ': () => (event.shiftKey ? this.#up(-page) : this.view.scrollBy(page)),
            Home: () => this.#top(),
            g: () => this.#top(),
            End: () => this.followNow(),
            G: () => this.followNow(),
        };
        const act = keys[event.key] ?? (target === this.view?.element ? moves[event.key] : null);
        if (!act) return;
        event.preventDefault();
        event.stopPropagation();
        act();
        if (moves[event.key] && !['End', 'G'].includes(event.key)) this.#moved(false);
    }

    #escape() {
        if (this.#place) this.maximise(false);
        else if (this.view.selected) this.picker.clear();
        else this.close();
    }

    #up(pixels) {
        this.#stopFollowing();
        this.view.scrollBy(pixels);
    }

    #top() {
        this.#stopFollowing();
        this.view.toStart();
    }
}
