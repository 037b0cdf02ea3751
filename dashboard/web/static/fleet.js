/* The list of hosts: which hosts are shown, their order, the number of each kind, and the selection. Only rows in sight are
   drawn. */
import { soon } from './frames.js';
import { HostRow, keyOf } from './hosts.js';
import { isProblem } from './signals.js';
import { count, el, moveBehind, plural, setText, throttle, toMs } from './util.js';

const SHOWN_AT_FIRST = 24; // as many as a window shows; more come as it is scrolled
const ARRANGE_EVERY_MS = 1000;
const DRAW_EVERY_MS = 500; // what hosts report; an open log may be drawn more often
const MOST_SPARE = 50; // a key in the filter shows again what was there a moment ago
const MOST_WAITS = 5;
const POINTS = matchMedia('(hover: hover)');
const NEAR = '150px'; // rows this near to the window stay drawn
const CRITICALITY = { high: 0, medium: 1, low: 2 };
const VERDICT_ORDER = { bad: 0, crashed: 0, warn: 1, stale: 2, busy: 3, ok: 4, over: 4, none: 5 };
const $ = (id) => document.getElementById(id);

/* The kinds that the chips count and filter, by the facts of a row. */
const KINDS = {
    problem: ({ verdict }) => isProblem(verdict),
    busy: ({ verdict }) => verdict === 'busy',
    idle: ({ verdict }) => ['ok', 'over', 'none'].includes(verdict),
    offline: ({ reach }) => reach === 'offline',
    outdated: ({ outdated }) => outdated,
};
const KIND_NAMES = Object.keys(KINDS);

const ORDERS = {
    criticality: ({ verdict }, { host }) => (isProblem(verdict) ? 0 : 10) + (CRITICALITY[host.criticality] ?? 3),
    name: () => 0,
    state: ({ verdict }) => VERDICT_ORDER[verdict],
    seen: (facts, { host }) => -toMs(host.last_seen),
};

export class Fleet {
    rows = new Map();
    target = null;
    live = true; // whether the live channel is connected
    loaded = false;
    text = '';
    only = '';
    sort = 'criticality';
    matching = []; // the rows that pass the filter, sorted
    counts = {};
    #most = SHOWN_AT_FIRST;
    #spare = new Set(); // rows that are not shown and still have their elements, the oldest first
    #online = 0;
    #waits = 0; // arrangements that left the rows where they are
    #outliers = 0; // rows that are shown although they are after the first #most
    #picked = new Set(); // ids
    #lastPick = null;
    #byElement = new WeakMap();
    #dirty = new Set(); // rows to draw
    #calls;
    #drawDirty = () => this.#draw();
    #drawSoon = throttle(() => soon(this.#drawDirty), DRAW_EVERY_MS);

    /** `calls.row(row)` connects the buttons of a new row; `calls.changed()` is called after each new arrangement, and
       `calls.seen()` when other rows have come into sight. */
    constructor(calls) {
        this.#calls = calls;
        this.arrangeSoon = throttle(() => this.#arrangeAgain(), ARRANGE_EVERY_MS);
        this.watcher = new IntersectionObserver((seen) => this.#seen(seen), { rootMargin: NEAR });
        this.watcher.observe($('more'));
    }

    /* ---- hosts ---- */

    get(id) {
        return this.rows.get(id);
    }

    /** Takes a new state of a host; returns its row. */
    set(host) {
        const id = keyOf(host);
        let row = this.rows.get(id);
        if (row) row.set(host);
        else {
            row = new HostRow(host, {
                ...this.#calls.row(id),
                pick: (range) => this.#pick(row, range),
            });
            this.rows.set(id, row);
        }
        this.redraw(row);
        return row;
    }

    remove(id) {
        const row = this.rows.get(id);
        if (!row) return;
        this.rows.delete(id);
        this.#picked.delete(id);
        this.#detach(row);
        this.#spare.delete(row);
    }

    #detach(row) {
        if (!row.shown) return;
        this.watcher.unobserve(row.element);
        row.inView = false;
        row.element.remove();
        this.#spare.add(row);
        for (const oldest of this.#spare) {
            if (this.#spare.size <= MOST_SPARE) return;
            this.#spare.delete(oldest);
            oldest.forget();
        }
    }

    /* ---- drawing ---- */

    redraw(row) {
        if (!row.inView) return;
        this.#dirty.add(row);
        this.#drawSoon();
    }

    /** After something that a person did. */
    redrawNow(row) {
        if (row.inView) row.draw(this.live, this.target, this.#picked.has(row.id));
    }

    redrawAll() {
        for (const row of this.rows.values()) this.redraw(row);
    }

    #draw() {
        for (const row of this.#dirty) this.redrawNow(row);
        this.#dirty.clear();
    }

    #seen(entries) {
        for (const { target, isIntersecting } of entries) {
            if (target === $('more')) {
                if (isIntersecting && !target.hidden && !this.#outliers) this.showMore();
                continue;
            }
            if (!target.isConnected) continue;
            const row = this.#byElement.get(target);
            row.inView = isIntersecting;
            row.panel?.setInView(isIntersecting);
            this.redrawNow(row);
        }
        this.#calls.seen();
    }

    /** The ids of the hosts in sight. */
    get inView() {
        return [...this.rows.values()].filter((row) => row.inView).map((row) => row.id);
    }

    /** To be called when the connection is lost. `ms`: the server's clock at its last message. */
    lost(ms) {
        for (const row of this.rows.values()) if (!row.inView) row.host.knownUntil = ms;
    }

    showMore() {
        this.#most += SHOWN_AT_FIRST;
        this.arrange();
        /* The observer reports changes only, so a sentinel that has stayed in sight is observed anew. */
        this.watcher.unobserve($('more'));
        this.watcher.observe($('more'));
    }

    /* ---- the arrangement ---- */

    /** Whether `only` can have this value. */
    hasKind(name) {
        return Object.hasOwn(KINDS, name);
    }

    filter(settings) {
        Object.assign(this, settings);
        this.#most = SHOWN_AT_FIRST;
        this.arrange();
    }

    /** What hosts report puts no other row under a pointer that is about to press: for a while, the order stays as it is. */
    #arrangeAgain() {
        const waits = this.#waits < MOST_WAITS && POINTS.matches && !!$('hosts').querySelector('.c-actions:hover, .pick:hover');
        this.#waits = waits ? this.#waits + 1 : 0;
        this.arrange(!waits);
        if (waits) this.arrangeSoon();
    }

    /** Counts, filters, sorts; `place`: and puts the rows there. */
    arrange(place = true) {
        const wanted = this.#sift();
        wanted.sort((a, b) => a.key - b.key || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
        this.matching = wanted.filter(({ passes }) => passes).map(({ row }) => row);
        this.#unpickHidden();
        /* A row with an open log is always shown, wherever it sorts. Other rows that come in between would move the log while a
           person reads it. */
        const far = wanted.slice(this.#most).filter(({ row }) => row.panel);
        this.#outliers = far.length;
        if (place) this.#place([...wanted.slice(0, this.#most), ...far].map(({ row }) => row));
        this.#sayRest(wanted.length);
        this.#drawChips();
        this.#calls.changed();
    }

    /** The rows that pass the filter or have an open log, with what they are sorted by. All are counted on the way. */
    #sift() {
        const words = this.text.toLowerCase().split(/\s+/).filter(Boolean);
        const order = ORDERS[this.sort] ?? ORDERS.name;
        const counts = Object.fromEntries(KIND_NAMES.map((name) => [name, 0]));
        const wanted = [];
        this.#online = 0;
        for (const row of this.rows.values()) {
            const facts = { verdict: row.verdict(this.live), reach: row.reach(this.live), outdated: row.outdated(this.target) };
            if (facts.reach === 'online') this.#online++;
            let passes = !this.only;
            for (const name of KIND_NAMES) {
                if (!KINDS[name](facts)) continue;
                counts[name]++;
                if (name === this.only) passes = true;
            }
            passes &&= row.matches(words);
            if (passes || row.panel) wanted.push({ row, key: order(facts, row), name: row.name, passes });
        }
        this.counts = counts;
        return wanted;
    }

    /** The rows that others are moved around, because somebody reads or uses them: a row that is moved loses what is selected in it,
        and a log is drawn anew. Those that keep their order can stay. */
    #staying(shown) {
        const used = shown.filter((row) => row.shown && (row.panel || row.element.contains(document.activeElement)));
        const staying = new Set();
        let last = null;
        for (const row of used) {
            if (last && !(last.element.compareDocumentPosition(row.element) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
            staying.add(row);
            last = row;
        }
        return staying;
    }

    #move(at, row) {
        moveBehind(at, row.element);
        row.panel?.view?.wasMoved();
    }

    #place(shown) {
        const keep = new Set(shown);
        for (const row of this.rows.values()) if (row.shown && !keep.has(row)) this.#detach(row);
        const staying = this.#staying(shown);
        let at = $('hosts').tHead;
        for (const row of shown) {
            const fresh = !row.shown;
            this.#spare.delete(row);
            if (fresh) row.draw(this.live, this.target, this.#picked.has(row.id));
            if (staying.has(row))
                while (at.nextElementSibling !== row.element) this.#move(row.element, this.#byElement.get(at.nextElementSibling));
            else if (at.nextElementSibling !== row.element) this.#move(at, row);
            if (fresh) {
                this.#byElement.set(row.element, row);
                this.watcher.observe(row.element);
            }
            at = row.element;
        }
        this.placed = shown.length;
    }

    #sayRest(wanted) {
        $('more').hidden = wanted <= this.placed;
        setText($('more-button'), `Show ${count(wanted - this.placed)} more`);
        const none = this.rows.size === 0;
        $('hosts').hidden = none;
        $('filters').hidden = none;
        $('welcome').hidden = !this.loaded || !none;
        $('empty').hidden = none || wanted > 0;
        const words = [plural(this.rows.size, 'host'), this.#online ? `${count(this.#online)} online` : ''];
        setText($('fleet'), none ? '' : words.filter(Boolean).join(', '));
    }

    #drawChips() {
        for (const name of KIND_NAMES) {
            let chip = $(`chip-${name}`);
            if (!chip) {
                chip = el(
                    'button',
                    { type: 'button', class: 'chip', id: `chip-${name}`, onclick: () => this.#calls.chip(name) },
                    el('span', { class: 'chip-name', text: name }),
                    el('span', { class: 'chip-count num' }),
                );
                $('chips').append(chip);
            }
            const n = this.counts[name];
            setText(chip.lastChild, count(n));
            chip.hidden = n === 0 && this.only !== name;
            chip.setAttribute('aria-pressed', String(this.only === name));
        }
    }

    /* ---- the selection: only rows that pass the filter ---- */

    get picked() {
        return this.matching.filter((row) => this.#picked.has(row.id));
    }

    #pick(row, range) {
        const on = !this.#picked.has(row.id);
        const from = range ? this.matching.indexOf(this.#lastPick) : -1;
        const to = this.matching.indexOf(row);
        const rows = from < 0 || to < 0 ? [row] : this.matching.slice(Math.min(from, to), Math.max(from, to) + 1);
        for (const one of rows) {
            if (on) this.#picked.add(one.id);
            else this.#picked.delete(one.id);
            this.redrawNow(one);
        }
        this.#lastPick = row;
        this.#calls.changed();
    }

    pickAll(on) {
        this.#picked = new Set(on ? this.matching.map((row) => row.id) : []);
        for (const row of this.rows.values()) this.redrawNow(row);
        this.#calls.changed();
    }

    #unpickHidden() {
        if (!this.#picked.size) return;
        const here = new Set(this.matching.map((row) => row.id));
        for (const id of this.#picked) if (!here.has(id)) this.#picked.delete(id);
    }
}
