/* One host of the table: a <tbody> that holds its row and, when open, its log, so that sorting moves both together. A host
   that changes changes its own cells only. */
import { arrived, remaining } from './remaining.js';
import {
    Bar,
    SILENT_AFTER_S,
    brief,
    counts,
    elapsedMs,
    endMs,
    exitWords,
    isOpen,
    reason,
    silentMs,
    story,
    title,
    verdict,
} from './runs.js';
import { hasAgent, hostVerdict, reach, standingFailure, verdictWords } from './signals.js';
import { ago, dayAndTime, duration, el, serverNow, setAttr, setText, toMs, turn } from './util.js';

const HIGH_PERCENT = 80;
const COMMANDS = [
    ['pull', 'Pull'],
    ['switch', 'Switch'],
    ['test', 'Test'],
    ['update', 'Update'],
    ['stop', 'Stop'],
];

export const keyOf = (host) => String(host.id ?? host.host_id ?? host.hostname);

/** The host's object carries its metrics as JSON in a string. */
function metricsOf(host) {
    if (typeof host.metrics !== 'string') return host.metrics || null;
    try {
        return JSON.parse(host.metrics);
    } catch {
        return null;
    }
}

/** Sets the text of a cell. An empty cell is marked, so that a card can leave it out. */
function fill(cell, text) {
    setText(cell, text || '–');
    cell.classList.toggle('nothing', !text);
}

const short = (commit) => (commit && commit !== 'unknown' ? commit.slice(0, 7) : '');

export class HostRow {
    panel = null;
    cells = {};
    inView = false;
    arrivedAt = Date.now();
    #element = null;
    #bar = new Bar();
    #hay = '';
    #metrics = null;

    constructor(host, calls) {
        this.id = keyOf(host);
        this.calls = calls;
        this.set(host);
    }

    /** Makes the elements when the row is first shown: of ten thousand hosts, a page shows only a few. */
    get element() {
        return (this.#element ??= this.#build());
    }

    /** Gives up its elements: a page that is open for months would have those of all hosts. */
    forget() {
        this.#element = this.row = this.detail = null;
        this.cells = {};
    }

    get shown() {
        return !!this.#element?.isConnected;
    }

    get run() {
        return this.host.run;
    }

    get name() {
        return String(this.host.hostname ?? this.id);
    }

    set(host) {
        if (host.metrics !== this.host?.metrics) this.#metrics = metricsOf(host);
        this.host = host;
        arrived(host.run);
        this.arrivedAt = Date.now();
        this.#hay = '';
    }

    /* ---- what the list asks ---- */

    verdict(live) {
        return hostVerdict(this.host, live);
    }

    reach(live) {
        return reach(this.host, live);
    }

    outdated(target) {
        const commit = short(this.host.current_generation);
        const wanted = short(target?.hash);
        return commit && wanted ? commit !== wanted : !!this.host.outdated;
    }

    /** Everything that decides the place of the row and the counts of the chips. While this is equal, the list does not change.
       */
    standing(live) {
        const h = this.host;
        const facts = [this.verdict(live), this.reach(live), h.current_generation, h.criticality, h.hostname, h.pending_command];
        return [...facts, h.test_running, h.outdated].join();
    }

    /** Whether the host's agent would take a command now. */
    ready(live) {
        return this.reach(live) === 'online' && !this.working(live) && !this.host.pending_command;
    }

    working(live) {
        return this.verdict(live) === 'busy' || !!Number(this.host.test_running);
    }

    /** Whether the row's text has all of these words (in lower case). */
    matches(words) {
        if (!words.length) return true;
        if (!this.#hay) {
            const h = this.host;
            const parts = [h.hostname, this.id, h.location, h.device_type, h.host_type, h.os_name, h.comment];
            this.#hay = [...parts, h.run?.command, h.run?.error].join(' ').toLowerCase();
        }
        return words.every((word) => this.#hay.includes(word));
    }

    /* ---- its elements ---- */

    #build() {
        const { act, cancel, openMenu, toggle, pick } = this.calls;
        const c = this.cells;
        const cell = (name, label) => (c[name] = el('td', { class: `c-${name}`, 'data-label': label }));
        const button = (name, text, onclick, more = {}) =>
            (c[name] = el('button', { type: 'button', 'data-do': name, onclick, text, ...more }));
        c.pick = el('input', { type: 'checkbox', class: 'pick', onclick: (event) => pick(event.shiftKey) });
        c.dot = el('span', { class: 'dot', role: 'img' });
        c.label = el('span', { class: 'label' });
        c.expand = el(
            'button',
            { type: 'button', class: 'name', 'aria-expanded': 'false', 'data-do': 'toggle', onclick: toggle },
            c.label,
        );
        c.place = el('span', { class: 'sub' });
        c.state = el('span', { class: 'state-text' });
        c.count = el('span', { class: 'state-count num' });
        c.what = el('span', { class: 'what' });
        c.when = el('span', { class: 'when num' });
        c.fill = el('span', { class: 'mini-fill' });
        c.mini = el('span', { class: 'mini', 'aria-hidden': 'true' }, c.fill);
        c.shape = el('span', { class: 'shape', 'aria-hidden': 'true' });
        const buttons = COMMANDS.map(([name, text]) => button(name, text, () => act(name)));
        button('cancel', 'Cancel', cancel);
        button('menu', '⋮', () => openMenu(c.menu), {
            class: 'icon',
            'aria-haspopup': 'menu',
            'aria-expanded': 'false',
        });
        this.row = el(
            'tr',
            { class: 'host', tabindex: '-1', 'data-host': this.id },
            el(
                'th',
                { scope: 'row', class: 'c-host' },
                c.pick,
                c.dot,
                el('span', { class: 'host-name' }, c.expand, c.place),
            ),
            el(
                'td',
                { class: 'c-state', 'data-label': 'State' },
                el('span', { class: 'state' }, c.shape, c.state, c.count),
                c.mini,
                el('span', { class: 'sub detail' }, c.what, c.when),
            ),
            cell('seen', 'Seen'),
            cell('os', 'System'),
            cell('load', 'Load'),
            cell('config', 'Config'),
            cell('tests', 'Tests'),
            el('td', { class: 'c-actions' }, el('span', { class: 'buttons' }, ...buttons, c.cancel, c.menu)),
        );
        this.row.addEventListener('click', (event) => {
            if (event.target.closest('button, a, input, select, label') || String(getSelection())) return;
            toggle();
        });
        this.detail = el('tr', { class: 'detail', hidden: true }, el('td', { colspan: '8' }));
        setAttr(c.pick, 'aria-label', `Select ${this.name}`);
        setAttr(c.menu, 'aria-label', `More for ${this.name}`);
        return el('tbody', { class: 'host-group', 'data-host': this.id }, this.row, this.detail);
    }

    /** Updates the row from the host's object and the clock. Cheap if nothing changed. */
    draw(live, target, picked) {
        this.#element ??= this.#build();
        const { host, cells: c } = this;
        this.#identity(host);
        c.pick.checked = picked;
        this.row.classList.toggle('picked-row', picked);
        this.#stateCell(host, live);
        this.#reachCell(host, live);
        this.#systemCell(host);
        this.#loadCell(this.#metrics);
        this.#configCell(host, target);
        this.#testsCell(host);
        this.#buttons(host, live);
    }

    #identity(host) {
        const c = this.cells;
        setText(c.label, this.name);
        setAttr(c.expand, 'aria-label', `${this.name}: ${this.panel ? 'close' : 'open'} its log`);
        setText(c.place, [host.location, host.device_type].filter(Boolean).join(' · '));
        if (/^#[0-9a-f]{6}$/i.test(host.theme_color ?? '')) this.row.style.setProperty('--host', host.theme_color);
        setAttr(this.row, 'title', host.comment || null);
    }

    #stateCell(host, live) {
        const c = this.cells;
        const run = host.run;
        const verdictNow = this.verdict(live);
        const open = isOpen(run);
        setAttr(this.row, 'data-verdict', verdictNow);
        if (verdictNow === 'busy' && live) turn(c.shape);
        setText(c.state, verdictWords(host, verdictNow));
        setText(c.count, open ? counts(run) : '');
        c.mini.hidden = !open;
        if (open) {
            const scale = `scaleX(${this.#bar.of(run, story(run)).toFixed(3)})`;
            if (c.fill.style.transform !== scale) c.fill.style.transform = scale;
        }
        const [what, when] = this.#detail(host, run, open);
        setText(c.what, brief(what));
        setText(c.when, when);
        setAttr(c.what, 'title', what || null);
    }

    /** What the host does or did last, and the time. */
    #detail(host, run, open) {
        if (open) {
            const silent = silentMs(run, this.arrivedAt);
            const parts = [];
            if (run.stop_requested) parts.push('stopping');
            if (silent >= SILENT_AFTER_S * 1000) parts.push(`silent for ${duration(silent)}`);
            parts.push(run.progress?.current || title(run));
            return [parts.join(' · '), [duration(elapsedMs(run)), remaining(run)?.short].filter(Boolean).join(' · ')];
        }
        if (host.pending_command) return [`${host.pending_command} is queued; the agent has not taken it yet`, ''];
        const failure = standingFailure(host);
        if (failure) {
            const why = failure.error || { crashed: 'crashed', units_failed: 'units failed' }[failure.outcome] || 'failed';
            return [`${failure.name}: ${why}`, ago(serverNow() - toMs(failure.ended))];
        }
        if (!run) return [host.comment || '', ''];
        const when = ago(serverNow() - endMs(run));
        if (['ok', 'over'].includes(verdict(run))) return [`${exitWords(run)} · ${title(run)}`, when];
        return [reason(run) || `${exitWords(run)} · ${title(run)}`, when];
    }

    #reachCell(host, live) {
        const c = this.cells;
        const seen = toMs(host.last_seen);
        const signal = this.reach(live);
        const since = seen ? ago(serverNow() - seen) : 'never';
        setAttr(this.row, 'data-reach', signal ?? 'none');
        setText(c.seen, signal === 'offline' && seen ? `offline · ${since}` : since);
        setAttr(c.seen, 'title', seen ? dayAndTime(seen) : null);
        const words = { online: 'its agent is reachable', offline: 'its agent is not reachable' }[signal] ?? 'no agent';
        setAttr(c.dot, 'aria-label', words);
        setAttr(c.dot, 'title', words);
    }

    #systemCell(host) {
        const c = this.cells;
        const kind = { nixos: 'NixOS', macos: 'macOS' }[host.host_type] ?? host.host_type;
        const name = host.os_name || kind || '';
        fill(c.os, [name, (host.os_version || '').slice(0, 5)].filter(Boolean).join(' '));
        const more = [
            name,
            host.os_version,
            host.nixpkgs_version && `nixpkgs ${host.nixpkgs_version}`,
            host.agent_version && `agent ${host.agent_version}`,
        ];
        setAttr(c.os, 'title', more.filter(Boolean).join('\n') || null);
    }

    #loadCell(m) {
        const c = this.cells;
        c.load.classList.toggle('nothing', !m);
        if (!m) {
            setText(c.load, '–');
            setAttr(c.load, 'title', null);
            delete c.load.dataset.shape;
            return;
        }
        const shape = JSON.stringify([m.cpu, m.ram]);
        if (c.load.dataset.shape !== shape) {
            c.load.dataset.shape = shape;
            const part = (label, value) =>
                el(
                    'span',
                    { class: Number(value) >= HIGH_PERCENT ? 'metric high' : 'metric' },
                    el('span', { class: 'muted', text: `${label} ` }),
                    `${Math.round(value)} %`,
                );
            const values = [
                ['CPU', m.cpu],
                ['RAM', m.ram],
            ].filter(([, value]) => typeof value === 'number');
            c.load.replaceChildren(...values.map(([label, value]) => part(label, value)));
        }
        const more = [m.swap !== undefined && `swap ${m.swap} %`, m.load !== undefined && `load ${m.load}`];
        setAttr(c.load, 'title', more.filter(Boolean).join('\n') || null);
    }

    #configCell(host, target) {
        const c = this.cells;
        const commit = short(host.current_generation);
        const old = this.outdated(target);
        const known = commit && short(target?.hash);
        fill(c.config, commit ? `${commit}${known ? (old ? ' ↓' : ' ✓') : ''}` : '');
        c.config.classList.toggle('outdated', old);
        const words = old ? `Outdated: the target is ${short(target?.hash)}` : 'At the target commit';
        setAttr(c.config, 'title', !commit ? null : known ? words : host.current_generation);
    }

    #testsCell(host) {
        const c = this.cells;
        let text = '';
        let bad = false;
        if (Number(host.test_running))
            text = host.test_total ? `${host.test_current ?? 0}/${host.test_total} …` : 'starting …';
        else if (host.test_total) {
            const failed = host.test_total - (host.test_passed_count ?? 0);
            bad = failed > 0;
            text = bad ? `${host.test_passed_count ?? 0} ✓ ${failed} ✗` : `${host.test_passed_count} ✓`;
        } else if (host.test_status) text = host.test_status;
        fill(c.tests, text);
        c.tests.classList.toggle('bad', bad);
        setAttr(c.tests, 'title', host.test_result || host.test_status || null);
    }

    /** A button is shown only if an agent would take its command. */
    #buttons(host, live) {
        const c = this.cells;
        const agent = hasAgent(host);
        const working = this.working(live) || isOpen(this.run);
        const waiting = host.pending_command;
        for (const [name] of COMMANDS) {
            c[name].hidden = name === 'stop' ? !working : !agent || working || !!waiting;
            if (name !== 'stop') {
                c[name].disabled = this.reach(live) !== 'online';
                setAttr(c[name], 'title', c[name].disabled ? 'Its agent is not reachable' : null);
            }
        }
        c.stop.disabled = !!this.run?.stop_requested;
        c.cancel.hidden = !waiting;
        if (waiting) setText(c.cancel, `Cancel the ${waiting}`);
    }

    mount(panel) {
        this.#element ??= this.#build();
        this.panel = panel;
        this.detail.firstChild.replaceChildren(...(panel ? [panel.element] : []));
        this.detail.hidden = !panel;
        setAttr(this.cells.expand, 'aria-expanded', String(!!panel));
        setAttr(this.cells.expand, 'aria-controls', panel ? panel.id : null);
        this.element.classList.toggle('open', !!panel);
    }
}
