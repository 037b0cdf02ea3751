/* Draws the rows of a Lines around one place, with at most a few hundred elements, however long the log is. The anchor is a row
   and the number of its pixels above the upper edge. The scroll bar follows the anchor: a browser cannot make an element of five
   million rows, so the height of the canvas is limited, and the bar then stands for a fraction of the log. Small moves (wheel,
   keys, finger) move the anchor pixel by pixel; a large one (dragging the bar) jumps to the fraction. With wrapping, rows have
   any height: they are measured when they are drawn, and only the bar is an estimate. */
import { parseAnsi, paint, isPlain, stripAnsi } from './ansi.js';
import { soon } from './frames.js';
import { findLinks, linkTo } from './links.js';
import { findAll, split } from './query.js';
import { clockTime, count, el, elapsedTime } from './util.js';

const MAX_CANVAS = 6000000;
const OVERSCAN = 24;
const LONG_LINE = 3000;
const JUMP_FACTOR = 3;

export class View extends EventTarget {
    #lines;
    #anchor = { row: 0, offset: 0 };
    #drawn = new Map(); // row → element
    #stale = true;
    #lastTop = 0;
    #ours = false;
    #rowHeight = 20;
    #background = [255, 255, 255];
    #opened = new Set(); // long lines that a person opened
    #changedNow = () => this.#drawChanges();
    #follows = (event) => this.#changed(event.detail);

    follow = false;
    wrap = false;
    times = 'off'; // 'clock' or 'elapsed': what stands in front of a line
    started = 0; // ms: what elapsed times count from
    inView = true; // else nothing is drawn
    pattern = null; // the highlighted pattern
    current = null; // line of the current match
    selected = null; // [first, last] line
    marks = new Map(); // line → 'error' | 'warning'

    constructor(lines, label) {
        super();
        this.#lines = lines;
        this.rows = el('div', { class: 'rows' });
        this.canvas = el('div', { class: 'canvas' }, this.rows);
        this.element = el(
            'div',
            { class: 'view', role: 'log', 'aria-live': 'off', 'aria-label': label, tabindex: '0' },
            this.canvas,
        );
        this.element.addEventListener('scroll', () => this.#scrolled(), { passive: true });
        this.element.addEventListener('click', (event) => this.#clicked(event));
        this.target = el('div', { class: 'link-target', 'aria-hidden': 'true', hidden: true });
        for (const name of ['pointerover', 'focusin']) this.element.addEventListener(name, (event) => this.#showTarget(event.target));
        for (const name of ['pointerout', 'focusout']) this.element.addEventListener(name, () => this.#showTarget(null));
        lines.addEventListener('change', this.#follows);
        this.resizes = new ResizeObserver(() => this.redraw());
        this.resizes.observe(this.element);
    }

    close() {
        this.resizes.disconnect();
        this.#lines.removeEventListener('change', this.#follows);
        this.closed = true;
    }

    /** Shows other lines instead, of the same log, around the line that is on top now. */
    showLines(lines) {
        const { line } = this.#lines.lineOf(this.#anchor.row);
        this.#lines.removeEventListener('change', this.#follows);
        this.#lines = lines;
        lines.addEventListener('change', this.#follows);
        this.#anchor = { row: Math.max(0, lines.rowOf(line)), offset: 0 };
        this.redraw();
    }

    /** Draws every row anew, after a change of wrapping, timestamps, theme or search. */
    redraw() {
        this.#stale = true;
        this.#schedule();
    }

    /** To be called when the element has moved in the document, which resets its scroll position: draws at once, so that nobody
       sees this. */
    wasMoved() {
        this.#stale = true;
        this.#drawChanges();
    }

    get height() {
        return this.element.clientHeight;
    }

    /** Lines in sight: [first, last]. */
    get visible() {
        let last = this.#anchor.row;
        let pixels = -this.#anchor.offset;
        while (last < this.#lines.rows && pixels < this.height) pixels += this.#heightOf(last++);
        return [this.#lines.lineOf(this.#anchor.row).line, this.#lines.lineOf(Math.max(last - 1, 0)).line];
    }

    get atEnd() {
        return this.#fromEnd() < this.#rowHeight * 1.5;
    }

    /** Puts a line in the upper third. */
    show(line) {
        this.#anchor = { row: Math.max(0, this.#lines.rowOf(line)), offset: 0 };
        this.#stale = true;
        this.#move(-Math.floor(this.height / 3));
        this.#draw();
        this.#syncBar();
    }

    toStart() {
        this.#anchor = { row: 0, offset: 0 };
        this.#draw();
        this.#syncBar();
    }

    toEnd() {
        this.#pinEnd();
        this.#draw();
        this.#pinEnd();
        this.#draw();
        this.#syncBar();
    }

    scrollBy(pixels) {
        this.#move(pixels);
        this.#draw();
        this.#syncBar();
    }

    #changed({ from }) {
        for (const [row, node] of this.#drawn) {
            if (this.#lines.lineOf(row).line >= from || node.dataset.missing) node.dataset.dirty = '1';
        }
        this.#schedule();
    }

    #schedule() {
        soon(this.#changedNow);
    }

    #drawChanges() {
        if (this.closed || !this.inView || !this.element.isConnected || !this.height) return;
        if (this.follow) this.toEnd();
        else {
            this.#draw();
            this.#syncBar();
        }
    }

    #scrolled() {
        const top = this.element.scrollTop;
        const delta = top - this.#lastTop;
        this.#lastTop = top;
        if (this.#ours) {
            this.#ours = false;
            if (Math.abs(delta) < 1) return;
        }
        if (delta === 0) return;
        const capped = this.#lines.rows * this.#rowHeight > MAX_CANVAS || this.wrap;
        if (capped && Math.abs(delta) > this.height * JUMP_FACTOR) {
            const room = this.element.scrollHeight - this.height;
            const fraction = room > 0 ? Math.min(1, top / room) : 0;
            if (fraction > 0.999) this.#pinEnd();
            else this.#anchor = { row: Math.floor(fraction * Math.max(0, this.#lines.rows - 1)), offset: 0 };
        } else if (capped) {
            this.#move(delta);
        } else {
            this.#anchor = {
                row: Math.min(Math.floor(top / this.#rowHeight), Math.max(0, this.#lines.rows - 1)),
                offset: top % this.#rowHeight,
            };
        }
        this.#draw();
        clearTimeout(this.settle);
        const edge = capped && (top <= 0 || top >= this.element.scrollHeight - this.height - 1);
        if (edge) this.#syncBar();
        else this.settle = setTimeout(() => this.#syncBar(), 150);
        this.dispatchEvent(new CustomEvent('moved', { detail: { up: delta < 0 } }));
    }

    #heightOf(row) {
        if (!this.wrap) return this.#rowHeight;
        return this.#drawn.get(row)?.offsetHeight || this.#rowHeight;
    }

    #fromEnd() {
        let pixels = -this.#anchor.offset - this.height;
        const last = this.#lines.rows;
        if (last - this.#anchor.row > 500) return Infinity;
        for (let row = this.#anchor.row; row < last; row++) pixels += this.#heightOf(row);
        return pixels;
    }

    #move(pixels) {
        let { row, offset } = this.#anchor;
        offset += pixels;
        while (offset < 0 && row > 0) {
            row--;
            if (this.wrap && !this.#drawn.has(row)) this.#fill(row, row + 1);
            offset += this.#heightOf(row);
        }
        const last = Math.max(0, this.#lines.rows - 1);
        while (row < last && offset >= this.#heightOf(row)) offset -= this.#heightOf(row++);
        this.#anchor = { row, offset: Math.max(0, offset) };
        if (this.#fromEnd() < 0) this.#pinEnd();
    }

    #pinEnd() {
        let row = this.#lines.rows;
        let pixels = 0;
        while (row > 0 && pixels < this.height) {
            row--;
            if (this.wrap && !this.#drawn.has(row)) this.#fill(row, row + 1);
            pixels += this.#heightOf(row);
        }
        this.#anchor = { row, offset: Math.max(0, pixels - this.height) };
    }

    /** Sets the bar to where the anchor is, and the rows under the anchor. */
    #syncBar() {
        const rows = this.#lines.rows;
        const ideal = rows * this.#rowHeight;
        const capped = ideal > MAX_CANVAS || this.wrap;
        const content =
            this.wrap && this.#drawn.size >= rows ? this.rows.offsetHeight : Math.min(ideal, MAX_CANVAS);
        this.canvas.style.height = `${content}px`;
        let top = this.#anchor.row * this.#rowHeight + this.#anchor.offset;
        if (capped) {
            const room = Math.max(0, content - this.height);
            const fromEnd = this.#fromEnd();
            if (fromEnd <= 0) top = room;
            else if (this.#anchor.row === 0) top = this.#anchor.offset;
            else
                top = Math.min(
                    room - Math.min(fromEnd, room / 2),
                    Math.max(1, (this.#anchor.row / Math.max(1, rows - 1)) * room),
                );
        }
        if (Math.abs(this.element.scrollTop - top) >= 1) {
            this.#ours = true;
            this.element.scrollTop = top;
        }
        this.#lastTop = this.element.scrollTop;
        this.#place();
    }

    #place() {
        let above = 0;
        for (const [row, node] of this.#drawn) {
            if (row < this.#anchor.row) above += this.wrap ? node.offsetHeight : this.#rowHeight;
        }
        const top = this.element.scrollTop - this.#anchor.offset - above;
        this.rows.style.transform = `translateY(${Math.round(top)}px)`;
    }

    #draw() {
        if (!this.height) return;
        if (this.#stale) {
            this.#measure();
            this.#drawn.clear();
            this.rows.replaceChildren();
            this.#showTarget(null);
            this.#stale = false;
        }
        const rows = this.#lines.rows;
        if (this.#anchor.row >= rows) this.#pinEnd();
        const fits = Math.ceil(this.height / this.#rowHeight) + 1;
        this.#fill(
            Math.max(0, this.#anchor.row - OVERSCAN),
            Math.min(rows, this.#anchor.row + fits + OVERSCAN),
            true,
        );
        this.#place();
    }

    #measure() {
        const style = getComputedStyle(this.element);
        this.#rowHeight = parseFloat(style.getPropertyValue('--row')) || 20;
        const rgb = style.backgroundColor.match(/[\d.]+/g);
        if (rgb) this.#background = rgb.slice(0, 3).map(Number);
    }

    /** Makes the elements of rows from..to, with `only` no others. Rows that did not change keep their element. */
    #fill(from, to, only = false) {
        if (only) {
            for (const [row, node] of this.#drawn) {
                if (row >= from && row < to) continue;
                node.remove();
                this.#drawn.delete(row);
            }
        }
        let next = this.rows.firstChild;
        if (!only)
            next = [...this.#drawn].filter(([row]) => row > from).sort((a, b) => a[0] - b[0])[0]?.[1] ?? null;
        for (let row = from; row < to; row++) {
            let node = this.#drawn.get(row);
            if (node && node.dataset.dirty) {
                const fresh = this.#row(row);
                if (next === node) next = fresh;
                node.replaceWith(fresh);
                node = fresh;
                this.#drawn.set(row, fresh);
            }
            if (!node) {
                node = this.#row(row);
                this.#drawn.set(row, node);
            }
            if (node === next) next = next.nextSibling;
            else this.rows.insertBefore(node, next);
        }
    }

    #row(row) {
        const { line, omitted, folded, words } = this.#lines.lineOf(row);
        if (folded) {
            const open = el('button', { type: 'button', class: 'folded', 'data-unfold': folded, text: `▸ ${words}` });
            return el('div', { class: 'row omitted', 'data-line': line }, el('span', { class: 'text' }, open));
        }
        if (omitted) {
            return el(
                'div',
                { class: 'row omitted', 'data-line': line },
                el('span', { class: 'text', text: `⋯ ${count(omitted)} lines omitted ⋯` }),
            );
        }
        const text = this.#lines.get(line);
        const node = el('div', { class: 'row', 'data-line': line });
        const mark = this.marks.get(line);
        if (mark) node.classList.add(mark);
        if (this.selected && line >= this.selected[0] && line <= this.selected[1])
            node.classList.add('selected');
        if (line === this.current) node.classList.add('current');
        node.append(
            el('a', {
                class: 'num',
                href: `#${this.#lines.host}/${this.#lines.run}/L${line + 1}`,
                'data-number': line + 1,
                'aria-label': `Line ${line + 1}`,
                tabindex: '-1',
            }),
        );
        if (this.times !== 'off') node.append(this.#time(line));
        if (text === undefined) {
            node.dataset.missing = '1';
            node.append(el('span', { class: 'text missing', text: ' ' }));
        } else {
            node.append(this.#text(line, text));
        }
        return node;
    }

    #time(line) {
        const at = this.#lines.time(line);
        const words = this.times === 'clock' ? clockTime(at) : elapsedTime(at - this.started);
        return el('span', {
            class: 'time',
            'data-time': at ? words : '        ',
            title: at ? new Date(at).toISOString() : null,
        });
    }

    #text(line, raw) {
        const box = el('span', { class: 'text' });
        const most = this.#opened.has(line) ? Infinity : LONG_LINE;
        const hidden = raw.length > most ? stripAnsi(raw).length - most : 0;
        const pieces = parseAnsi(raw, most);
        const plain = pieces.map((piece) => piece.text).join('');
        const links = findLinks(plain, pieces);
        const hits = findAll(plain, this.pattern);
        let at = 0;
        let link = null; // the element of the link that is being written, and which one it is
        let linkOf = -1;
        for (const { text, style } of pieces) {
            for (const [part, which] of split(text, at, links)) {
                if (which >= 0 && which !== linkOf) {
                    const [start, end, target] = links[which];
                    box.append((link = linkTo(target, plain.slice(start, end))));
                }
                linkOf = which;
                this.#pieces(which >= 0 ? link : box, part, at, hits, style);
                at += part.length;
            }
        }
        if (!box.firstChild) box.append(' ');
        if (hidden > 0) {
            const rest = `… ${count(hidden)} more characters`;
            box.append(el('button', { type: 'button', class: 'rest', 'data-open': line, text: rest }));
        }
        return box;
    }

    /** The target of the link under the pointer or the focus. */
    #showTarget(node) {
        const link = node?.closest('.link') ?? null;
        this.target.hidden = !link;
        if (link) this.target.textContent = link.title;
    }

    #pieces(into, text, base, hits, style) {
        for (const [part, hit] of split(text, base, hits)) {
            let node = part;
            if (!isPlain(style)) {
                node = el('span', { text: part });
                paint(node, style, this.#background);
            }
            into.append(hit >= 0 ? el('mark', {}, node) : node);
        }
    }

    #clicked(event) {
        const rest = event.target.closest('[data-open]');
        if (rest) {
            this.#opened.add(Number(rest.dataset.open));
            this.redraw();
            return;
        }
        const fold = event.target.closest('[data-unfold]');
        if (fold) {
            this.element.focus({ preventScroll: true });
            this.dispatchEvent(new CustomEvent('unfold', { detail: fold.dataset.unfold }));
            return;
        }
        const number = event.target.closest('.num');
        if (!number || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        this.element.focus({ preventScroll: true }); // the number is drawn anew; the keys stay in the log
        this.dispatchEvent(
            new CustomEvent('pick', {
                detail: { line: Number(number.parentElement.dataset.line), extend: event.shiftKey },
            }),
        );
    }
}
