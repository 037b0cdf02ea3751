/* The table of hosts. One <tbody> per host holds its row and, when open, its log, so that sorting moves both together.
   A host that changes changes its own cells only. */
import {
    counts,
    isOpen,
    agedState,
    stateWords,
    story,
    elapsedMs,
    silentMs,
    SILENT_AFTER_S,
    verdict,
    exitWords,
    title,
} from './runs.js';
import { ago, dayAndTime, duration, el, serverNow, setAttr, setText, toMs } from './util.js';

const SHOWN_AT_FIRST = 200;
const CRITICALITY = { high: 0, medium: 1, low: 2 };
const STATE_ORDER = { busy: 0, crashed: 1, stale: 2, idle: 3, offline: 4 };
const PENDING_LOCK_MS = 600000;
const HIGH_PERCENT = 80;
export const FILTERS = ['busy', 'problem', 'idle', 'offline', 'outdated'];

export const keyOf = (host) => String(host.id ?? host.host_id ?? host.hostname);

export function metricsOf(host) {
    if (typeof host.metrics !== 'string') return host.metrics || null;
    try {
        return JSON.parse(host.metrics);
    } catch {
        return null;
    }
}

function short(commit) {
    return commit && commit !== 'unknown' ? commit.slice(0, 7) : '';
}

export class HostRow {
    panel = null;
    cells = {};
    #element = null;
    heardAt = Date.now();
    queued = null; // { command, at }: asked for here, not yet taken by the host

    constructor(host, calls) {
        this.host = host;
        this.id = keyOf(host);
        this.calls = calls;
    }

    /** Its elements, made when it is first shown: of ten thousand hosts a page shows two hundred. */
    get element() {
        return (this.#element ??= this.#build());
    }

    get shown() {
        return !!this.#element?.isConnected;
    }

    #build() {
        const { act, openMenu, toggle } = this.calls;
        const c = this.cells;
        const cell = (name, label, ...inside) =>
            (c[name] = el('td', { class: `c-${name}`, 'data-label': label }, ...inside));
        c.dot = el('span', { class: 'dot', 'aria-hidden': 'true' });
        c.expand = el('button', {
            type: 'button',
            class: 'name',
            'aria-expanded': 'false',
            'data-do': 'toggle',
            onclick: toggle,
        });
        c.label = el('span', { class: 'label' });
        c.expand.append(c.label);
        c.place = el('span', { class: 'sub' });
        c.state = el('span', { class: 'state-text' });
        c.count = el('span', { class: 'state-count num' });
        c.detail = el('span', { class: 'sub detail' });
        c.fill = el('span', { class: 'mini-fill' });
        c.mini = el('span', { class: 'mini', 'aria-hidden': 'true' }, c.fill);
        c.buttons = el('span', { class: 'buttons' });
        for (const [name, text] of [
            ['pull', 'Pull'],
            ['switch', 'Switch'],
            ['test', 'Test'],
            ['update', 'Update'],
            ['stop', 'Stop'],
        ]) {
            c[name] = el('button', { type: 'button', 'data-do': name, onclick: () => act(name), text });
            c.buttons.append(c[name]);
        }
        c.menu = el('button', {
            type: 'button',
            class: 'icon',
            'aria-haspopup': 'menu',
            'aria-expanded': 'false',
            'data-do': 'menu',
            onclick: () => openMenu(c.menu),
            text: '⋮',
        });
        c.buttons.append(c.menu);
        const nameCell = el(
            'th',
            { scope: 'row', class: 'c-host' },
            c.dot,
            el('span', { class: 'host-name' }, c.expand, c.place),
        );
        const stateCell = el(
            'td',
            { class: 'c-state', 'data-label': 'State' },
            el(
                'span',
                { class: 'state' },
                el('span', { class: 'shape', 'aria-hidden': 'true' }),
                c.state,
                c.count,
            ),
            c.mini,
            c.detail,
        );
        this.row = el(
            'tr',
            { class: 'host', tabindex: '-1', 'data-host': this.id },
            nameCell,
            stateCell,
            cell('seen', 'Seen'),
            cell('os', 'System'),
            cell('load', 'Load'),
            cell('config', 'Config'),
            cell('tests', 'Tests'),
            el('td', { class: 'c-actions' }, c.buttons),
        );
        this.row.addEventListener(
            'click',
            (event) =>
                !event.target.closest('button, a, input, select') && !String(getSelection()) && toggle(),
        );
        this.detail = el('tr', { class: 'detail', hidden: true }, el('td', { colspan: '8' }));
        return el('tbody', { class: 'host-group', 'data-host': this.id }, this.row, this.detail);
    }

    get run() {
        return this.host.run;
    }

    set(host) {
        this.host = host;
        this.heardAt = Date.now();
        if (isOpen(host.run) || (this.queued && Date.now() - this.queued.at > PENDING_LOCK_MS))
            this.queued = null;
    }

    state(connected) {
        return agedState(this.host, connected);
    }

    /** Everything in the row, from the host's object and the clock. Cheap when nothing changed. */
    draw(connected, target) {
        this.#element ??= this.#build();
        const { host, cells: c } = this;
        const state = this.state(connected);
        this.#identity(host);
        this.#stateCell(host, state);
        const seen = toMs(host.last_seen);
        setText(c.seen, seen ? ago(serverNow() - seen) : 'never');
        setAttr(c.seen, 'title', seen ? dayAndTime(seen) : null);
        this.#systemCell(host);
        this.#loadCell(host);
        this.#configCell(host, target);
        this.#testsCell(host);
        this.#buttons(host, state);
    }

    #identity(host) {
        const c = this.cells;
        setText(c.label, host.hostname ?? this.id);
        setAttr(
            c.expand,
            'aria-label',
            `${host.hostname ?? this.id}: ${this.panel ? 'close' : 'open'} its log`,
        );
        setText(c.place, [host.location, host.device_type].filter(Boolean).join(' · '));
        if (/^#[0-9a-f]{6}$/i.test(host.theme_color ?? ''))
            this.row.style.setProperty('--host', host.theme_color);
        setAttr(this.row, 'title', host.comment || null);
    }

    #stateCell(host, state) {
        const c = this.cells;
        const run = host.run;
        setAttr(this.row, 'data-state', state);
        setText(c.state, stateWords(host, state));
        const open = isOpen(run);
        setText(c.count, open ? counts(run) : '');
        c.mini.hidden = !open;
        if (open) c.fill.style.transform = `scaleX(${story(run).bar.toFixed(4)})`;
        setAttr(this.row, 'data-last', run && !open ? verdict(run) : null);
        setText(c.detail, this.#detail(host, run, open));
    }

    #detail(host, run, open) {
        if (open) {
            const silent = silentMs(run, this.heardAt);
            const parts = [duration(elapsedMs(run))];
            if (run.stop_requested) parts.unshift('stopping');
            if (silent >= SILENT_AFTER_S * 1000) parts.push(`silent for ${duration(silent)}`);
            else if (run.progress?.current) parts.push(run.progress.current);
            return parts.join(' · ');
        }
        if (this.queued || host.pending_command)
            return `${this.queued?.command ?? host.pending_command} waits for the host`;
        if (run)
            return `${exitWords(run)} · ${title(run).slice(0, 60)} · ${ago(serverNow() - (toMs(run.ended) || toMs(run.last_seen)))}`;
        return host.comment || '';
    }

    #systemCell(host) {
        const c = this.cells;
        const name =
            host.os_name || { nixos: 'NixOS', macos: 'macOS' }[host.host_type] || host.host_type || '';
        setText(c.os, [name, (host.os_version || '').slice(0, 5)].filter(Boolean).join(' '));
        setAttr(
            c.os,
            'title',
            [
                name,
                host.os_version,
                host.nixpkgs_version && `nixpkgs ${host.nixpkgs_version}`,
                host.agent_version && `agent ${host.agent_version}`,
            ]
                .filter(Boolean)
                .join('\n') || null,
        );
    }

    #loadCell(host) {
        const c = this.cells;
        const m = metricsOf(host);
        if (!m) {
            setText(c.load, '–');
            setAttr(c.load, 'title', null);
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
            c.load.replaceChildren(
                ...[
                    ['CPU', m.cpu],
                    ['RAM', m.ram],
                ]
                    .filter(([, v]) => typeof v === 'number')
                    .map(([label, value]) => part(label, value)),
            );
        }
        setAttr(
            c.load,
            'title',
            [m.swap !== undefined && `swap ${m.swap} %`, m.load !== undefined && `load ${m.load}`]
                .filter(Boolean)
                .join('\n') || null,
        );
    }

    #configCell(host, target) {
        const c = this.cells;
        const commit = short(host.current_generation);
        const old = this.outdated(target);
        const known = commit && short(target?.hash);
        setText(c.config, commit ? `${commit}${known ? (old ? ' ↓' : ' ✓') : ''}` : '–');
        c.config.classList.toggle('outdated', old);
        setAttr(
            c.config,
            'title',
            !commit
                ? null
                : old
                  ? `Outdated: the target is ${short(target?.hash)}`
                  : known
                    ? 'At the target commit'
                    : host.current_generation,
        );
    }

    outdated(target) {
        const commit = short(this.host.current_generation);
        const wanted = short(target?.hash);
        return commit && wanted ? commit !== wanted : !!this.host.outdated;
    }

    #testsCell(host) {
        const c = this.cells;
        let text = '–';
        let bad = false;
        if (Number(host.test_running)) text = `${host.test_current ?? 0}/${host.test_total ?? 0} …`;
        else if (host.test_total) {
            const failed = host.test_total - (host.test_passed_count ?? 0);
            bad = failed > 0;
            text = bad ? `${host.test_passed_count ?? 0} ✓ ${failed} ✗` : `${host.test_passed_count} ✓`;
        } else if (host.test_status) text = host.test_status;
        setText(c.tests, text);
        c.tests.classList.toggle('bad', bad);
        setAttr(c.tests, 'title', host.test_result || host.test_status || null);
    }

    #buttons(host, state) {
        const c = this.cells;
        const busy = state === 'busy' || Number(host.test_running);
        const locked = state === 'offline' || !!this.queued || !!host.pending_command;
        c.stop.hidden = !busy;
        for (const name of ['pull', 'switch', 'test', 'update']) {
            c[name].hidden = !!busy;
            c[name].disabled = locked;
            setAttr(
                c[name],
                'title',
                state === 'offline'
                    ? 'The host is offline'
                    : locked
                      ? 'A command already waits for the host'
                      : null,
            );
        }
        c.stop.disabled = !!this.run?.stop_requested;
        setAttr(c.menu, 'aria-label', `More for ${host.hostname ?? this.id}`);
    }

    /** May it be told to do something now? */
    ready(connected) {
        return (
            this.state(connected) === 'idle' &&
            !this.queued &&
            !this.host.pending_command &&
            !Number(this.host.test_running)
        );
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

/** Which rows to show and in which order. */
export function arrange(rows, { text, filter, sort, connected, target }) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = rows.filter(
        (row) => row.panel || (matches(row, words) && passes(row, filter, connected, target)),
    );
    const name = (row) => String(row.host.hostname ?? row.id);
    const orders = {
        name: () => 0,
        criticality: (a, b) =>
            (CRITICALITY[a.host.criticality] ?? 3) - (CRITICALITY[b.host.criticality] ?? 3),
        state: (a, b) => STATE_ORDER[a.state(connected)] - STATE_ORDER[b.state(connected)],
        seen: (a, b) => toMs(b.host.last_seen) - toMs(a.host.last_seen),
    };
    const order = orders[sort] ?? orders.name;
    return wanted.sort((a, b) => order(a, b) || (name(a) < name(b) ? -1 : 1));
}

function matches(row, words) {
    const h = row.host;
    const hay = [
        h.hostname,
        row.id,
        h.location,
        h.device_type,
        h.host_type,
        h.os_name,
        h.comment,
        h.run?.command,
    ]
        .join(' ')
        .toLowerCase();
    return words.every((word) => hay.includes(word));
}

export function passes(row, filter, connected, target) {
    if (!filter) return true;
    const state = row.state(connected);
    if (filter === 'outdated') return row.outdated(target);
    if (filter === 'problem')
        return (
            state === 'crashed' ||
            state === 'stale' ||
            (row.run && !isOpen(row.run) && verdict(row.run) !== 'ok')
        );
    return state === filter;
}

export { SHOWN_AT_FIRST };
