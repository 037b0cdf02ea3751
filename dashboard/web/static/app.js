/* The page's story: connect, keep the list of hosts, open logs, pass on what a person asks for. */
import { api, setCsrf } from './api.js';
import { addHostBox, confirmBox, helpBox, historyBox, menu, tellBox } from './dialogs.js';
import { FILTERS, HostRow, SHOWN_AT_FIRST, arrange, keyOf, passes } from './hosts.js';
import { Live } from './live.js';
import { LogPanel } from './logpanel.js';
import { Notifier } from './notify.js';
import { isOpen, stateWords } from './runs.js';
import { count, duration, el, plural, prefs, setServerNow, setText, throttle } from './util.js';

const LOST_GRACE_MS = 1500;
const TOAST_MS = 5000;
const ANNOUNCED_HOSTS = 30; // of more than that only those whose log is open
const $ = (id) => document.getElementById(id);

const rows = new Map();
let target = null;
let version = '';
let filter = '';
let shownAtMost = SHOWN_AT_FIRST;
let gotHosts = false;
const live = new Live(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/ws`);
const notifier = new Notifier(toast);
const arrangeSoon = throttle(arrangeRows, 500);

/* ---- messages ---- */

const handlers = {
    hello(message) {
        setServerNow(message.now);
        setCsrf(message.csrf);
        $('logout').hidden = !!message.dev;
        setTarget(message.target);
        if (version && version !== message.version)
            toast('The dashboard was updated: reload this page when it suits you.', 'warn');
        version = message.version;
    },
    hosts(message) {
        setServerNow(message.now);
        gotHosts = true;
        const here = new Set(message.hosts.map(keyOf));
        for (const id of [...rows.keys()]) if (!here.has(id)) dropHost(id);
        for (const host of message.hosts) setHost(host);
        arrangeRows();
        openFromHash();
    },
    changed(message) {
        for (const host of message.hosts) setHost(host);
        for (const id of message.gone) dropHost(id);
        arrangeSoon();
    },
    run({ run }) {
        const row = rows.get(run.host);
        if (!row) return;
        /* Which run the host is told of by, the server says: here a log that is open may be of another one. */
        if (row.host.run?.id === run.id) {
            row.set({ ...row.host, run });
            if (row.shown) drawRow(row);
        }
        row.panel?.update(run);
        notifier.update(run);
    },
    splice(message) {
        rows.get(message.host)?.panel?.splice(message);
    },
    ping(message) {
        setServerNow(message.now);
    },
    target(message) {
        setTarget(message.target);
    },
};

live.addEventListener('message', ({ detail }) => handlers[detail.type]?.(detail));
live.addEventListener('state', () => {
    if (live.state === 'live') {
        live.send({ op: 'subscribe' });
        for (const row of rows.values()) row.panel?.reconnected();
    }
    showConnection();
    drawAll();
});
/* A WebSocket does not say why it was refused; a plain call does, and a lost session leads to the sign-in page. */
live.addEventListener('refused', async () => {
    const answer = await fetch('/api/hosts', { credentials: 'same-origin' }).catch(() => null);
    answer?.body?.cancel();
    if (answer?.status === 401) location.assign('/login');
});
live.addEventListener('tick', () => {
    showConnection();
    drawAll();
    for (const row of rows.values()) row.panel?.tick();
    notifier.showTitle([...rows.values()].map((row) => row.run).filter(Boolean));
});

function connected() {
    return live.state === 'live' || !live.lostSince || Date.now() - live.lostSince < LOST_GRACE_MS;
}

function showConnection() {
    const words = { connecting: 'Connecting', live: 'Live', lost: 'Disconnected' }[live.state];
    $('conn').dataset.conn = live.state;
    setText($('conn-text'), words);
    const lost = live.state !== 'live' && !connected();
    document.body.classList.toggle('old', lost);
    if ($('lost').hidden !== !lost) $('lost').hidden = !lost;
    if (!lost) return;
    const when = live.retryIn > 0 ? `Trying again in ${live.retryIn} s.` : 'Trying again…';
    setText(
        $('lost-text'),
        `No connection to the dashboard for ${duration(Date.now() - live.lostSince)}. What you see may be old. ${when}`,
    );
}

/* ---- hosts ---- */

function setHost(host) {
    const id = keyOf(host);
    let row = rows.get(id);
    if (!row) {
        row = new HostRow(host, {
            act: (command) => act(row, command),
            openMenu: (opener) => menu(opener, hostMenu(row)),
            toggle: () => toggleLog(row),
        });
        rows.set(id, row);
    }
    const before = row.state(true);
    const known = row.known;
    row.known = true;
    row.set(host);
    const matters = row.panel || rows.size <= ANNOUNCED_HOSTS;
    if (known && matters && row.state(true) !== before)
        announce(`${host.hostname ?? id}: ${stateWords(host, row.state(true))}`);
    if (row.shown) drawRow(row);
    if (host.run) {
        row.panel?.update(host.run);
        notifier.update(host.run);
    }
}

function dropHost(id) {
    const row = rows.get(id);
    if (!row) return;
    closeLog(row);
    if (row.shown) row.element.remove();
    rows.delete(id);
}

function drawRow(row) {
    row.draw(connected(), target);
}

function drawAll() {
    for (const row of rows.values()) if (row.shown) drawRow(row);
}

function arrangeRows() {
    const all = [...rows.values()];
    const wanted = arrange(all, {
        text: $('filter').value,
        filter,
        sort: $('sort').value,
        connected: connected(),
        target,
    });
    const shown = wanted.slice(0, shownAtMost);
    const keep = new Set(shown);
    for (const row of all) if (!keep.has(row) && row.shown) row.element.remove();
    let at = $('hosts').tHead;
    for (const row of shown) {
        if (!row.shown) drawRow(row);
        if (at.nextElementSibling !== row.element) {
            at.after(row.element);
            row.panel?.view.redraw();
        }
        at = row.element;
    }
    $('more').hidden = wanted.length <= shown.length;
    setText($('more-button'), `Show ${count(wanted.length - shown.length)} more`);
    $('empty').hidden = !gotHosts || wanted.length > 0;
    setText(
        $('empty'),
        all.length
            ? 'No host matches.'
            : 'No hosts yet. The first heartbeat of an agent or of nixfleet-run makes one, or add it under Actions.',
    );
    const online = all.filter((row) => row.state(connected()) !== 'offline').length;
    setText($('fleet'), all.length ? `${count(online)} of ${plural(all.length, 'host')} online` : '');
    drawChips(all);
}

function drawChips(all) {
    for (const name of FILTERS) {
        const n = all.filter((row) => passes(row, name, connected(), target)).length;
        let chip = $(`chip-${name}`);
        if (!chip) {
            chip = el(
                'button',
                {
                    type: 'button',
                    class: 'chip',
                    id: `chip-${name}`,
                    'aria-pressed': 'false',
                    onclick: () => setFilter(name),
                },
                el('span', { class: 'chip-name', text: name }),
                el('span', { class: 'chip-count num' }),
            );
            $('chips').append(chip);
        }
        setText(chip.lastChild, count(n));
        chip.hidden = n === 0 && filter !== name;
        chip.setAttribute('aria-pressed', String(filter === name));
    }
}

function setFilter(name) {
    filter = filter === name ? '' : name;
    arrangeRows();
}

function setTarget(value) {
    target = value?.hash ? value : null;
    $('target').hidden = !target;
    if (!target) return;
    setText($('target-hash'), target.hash.slice(0, 7));
    $('target').title = target.message || '';
    drawAll();
    arrangeSoon();
}

/* ---- logs ---- */

async function toggleLog(row, where) {
    if (row.panel && !where) return closeLog(row);
    await openLog(row, where ?? {});
}

async function openLog(row, { run, line = null, last = null } = {}) {
    let wanted = run && run !== row.run?.id ? await findRun(row.id, run) : row.run;
    if (!wanted) wanted = await findRun(row.id);
    if (!wanted) {
        toast(run ? 'That run is not kept any more.' : `Nothing has run on ${row.id} yet.`, 'warn');
        return;
    }
    if (!row.panel) {
        row.mount(
            new LogPanel({
                host: row.id,
                live,
                toast,
                isWatched: notifier.isWatched,
                toggleWatch: (one) => notifier.toggle(one).then(() => row.panel?.tick()),
                close: () => closeLog(row, true),
            }),
        );
    }
    const opened = row.panel.open(wanted, { line, last });
    row.panel.element.scrollIntoView({ block: 'nearest' });
    await opened;
    drawRow(row);
}

async function findRun(host, id) {
    try {
        if (id) {
            const answer = await api.run(host, id);
            return answer.run ?? answer;
        }
        const answer = await api.runs(host, 1);
        return (answer.runs ?? answer)[0] ?? null;
    } catch {
        return null;
    }
}

function closeLog(row, focus) {
    if (!row.panel) return;
    document.body.classList.remove('has-max');
    row.panel.destroy();
    row.mount(null);
    if (location.hash.startsWith(`#${row.id}`)) history.replaceState(null, '', location.pathname);
    drawRow(row);
    if (focus) row.cells.expand.focus();
}

/** `#HOST`, `#HOST/RUN`, `#HOST/RUN/L12`, `#HOST/RUN/L12-L20`. */
function openFromHash() {
    const [, id, run, first, last] =
        /^#([A-Za-z][A-Za-z0-9-]*)(?:\/([0-9A-Za-z-]+)(?:\/L(\d+)(?:-L(\d+))?)?)?$/.exec(location.hash) ?? [];
    const row = id && rows.get(id.toLowerCase());
    if (!row || openFromHash.done === location.hash) return;
    openFromHash.done = location.hash;
    const line = first ? Math.max(0, Number(first) - 1) : null;
    if (!row.shown) {
        $('filter').value = '';
        filter = '';
    }
    openLog(row, { run, line, last: last ? Number(last) - 1 : line }).then(() => {
        arrangeRows();
        row.element.scrollIntoView({ block: 'nearest' });
    });
}
window.addEventListener('hashchange', () => {
    openFromHash.done = '';
    openFromHash();
});

/* ---- what a person asks for ---- */

const ASK_ALL = { pull: 'Pull', switch: 'Switch', test: 'Test', update: 'Update' };

async function act(row, command) {
    try {
        await api.command(row.id, command);
        row.queued = command === 'stop' ? null : { command, at: Date.now() };
        drawRow(row);
        toast(command === 'stop' ? `${row.id} is asked to stop` : `${row.id}: ${command} is queued`, 'ok');
    } catch (error) {
        toast(`${row.id}: ${error.message}`, 'bad');
    }
}

function hostMenu(row) {
    const off = { disabled: !row.ready(live.state === 'live') };
    return [
        [row.panel ? 'Close log' : 'Open log', () => toggleLog(row)],
        ['Pull + switch', () => act(row, 'pull-switch'), off],
        ['Restart agent', () => act(row, 'restart'), { disabled: row.state(true) === 'offline' }],
        ['Unlock actions', () => unlock(row)],
        null,
        ['History…', () => showHistory(row)],
        ['Download logs', () => download(row)],
        [
            'Delete the run that is open…',
            () => deleteRun(row),
            { disabled: !row.panel || isOpen(row.panel.run) },
        ],
        ['New agent token…', () => newToken(row)],
        null,
        ['Remove host…', () => remove(row), { danger: true }],
    ];
}

async function showHistory(row) {
    try {
        const host = await api.host(row.id);
        historyBox(`What ${row.id} reported`, host.status_history ?? []);
    } catch (error) {
        toast(`${row.id}: ${error.message}`, 'bad');
    }
}

function unlock(row) {
    row.queued = null;
    row.host = { ...row.host, pending_command: null, test_running: 0 };
    drawRow(row);
}

function download(row) {
    const link = el('a', { href: api.downloadLogs(row.id), download: '' });
    document.body.append(link);
    link.click();
    link.remove();
}

async function newToken(row) {
    const yes = await confirmBox(
        `A new token for ${row.id}?`,
        'Its agent cannot report until it has the new token: the old one stops working at once.',
        'Make a new token',
        true,
    );
    if (!yes) return;
    try {
        const { agent_token: token } = await api.agentToken(row.id);
        tellBox(`The token of ${row.id}`, 'It is shown this one time only.', token);
    } catch (error) {
        toast(`${row.id}: ${error.message}`, 'bad');
    }
}

async function remove(row) {
    const yes = await confirmBox(
        `Remove ${row.id}?`,
        'Its runs and logs are deleted. An agent that still runs there adds it again with its next heartbeat.',
        'Remove host',
        true,
    );
    if (!yes) return;
    try {
        await api.removeHost(row.id);
        dropHost(row.id);
        arrangeRows();
        toast(`${row.id} is removed`, 'ok');
    } catch (error) {
        toast(`${row.id}: ${error.message}`, 'bad');
    }
}

async function deleteRun(row) {
    const { run } = row.panel;
    if (
        !(await confirmBox(
            'Delete this run?',
            `${run.command ?? 'The run'} on ${row.id}, with all its lines.`,
            'Delete run',
            true,
        ))
    )
        return;
    try {
        await api.deleteRun(row.id, run.id);
        closeLog(row, true);
        toast('The run is deleted', 'ok');
    } catch (error) {
        toast(`${row.id}: ${error.message}`, 'bad');
    }
}

async function actAll(command) {
    const ready = [...rows.values()].filter((row) => row.ready(live.state === 'live'));
    if (!ready.length) return toast('No host is online and idle.', 'warn');
    const names =
        ready
            .slice(0, 8)
            .map((row) => row.id)
            .join(', ') + (ready.length > 8 ? '…' : '');
    if (
        !(await confirmBox(
            `${ASK_ALL[command]} ${plural(ready.length, 'host')}?`,
            `These are online and idle: ${names}`,
            `${ASK_ALL[command]} all`,
        ))
    )
        return;
    const results = await Promise.allSettled(
        ready.map((row) =>
            api.command(row.id, command).then(() => (row.queued = { command, at: Date.now() })),
        ),
    );
    const failed = results.filter((result) => result.status === 'rejected').length;
    drawAll();
    toast(
        failed
            ? `${command} is queued on ${ready.length - failed} hosts, ${failed} refused`
            : `${command} is queued on ${plural(ready.length, 'host')}`,
        failed ? 'warn' : 'ok',
    );
}

function stopAll() {
    const busy = [...rows.values()].filter((row) => row.state(true) === 'busy');
    if (!busy.length) return toast('Nothing runs.', 'warn');
    confirmBox(
        `Stop ${plural(busy.length, 'run')}?`,
        busy.map((row) => row.id).join(', '),
        'Stop all',
        true,
    ).then((yes) => yes && busy.forEach((row) => act(row, 'stop')));
}

$('fleet-menu').addEventListener('click', () =>
    menu($('fleet-menu'), [
        [
            'Add host…',
            () =>
                addHostBox(async (host) =>
                    toast((await api.addHost(host)).message ?? `${host.hostname} is added`, 'ok'),
                ),
        ],
        null,
        ...Object.keys(ASK_ALL).map((command) => [`${ASK_ALL[command]} all…`, () => actAll(command)]),
        ['Stop all…', stopAll, { danger: true }],
        null,
        ['Refresh', () => live.reconnect()],
        ['Close all logs', () => [...rows.values()].forEach((row) => closeLog(row))],
    ]),
);
$('target-refresh').addEventListener('click', () =>
    api.refreshTarget().then(
        (found) => setTarget(found),
        (error) => toast(`Target commit: ${error.message}`, 'bad'),
    ),
);
$('lost-now').addEventListener('click', () => live.reconnect());
$('help-open').addEventListener('click', helpBox);
$('filter').addEventListener('input', arrangeRows);
$('more-button').addEventListener('click', () => {
    shownAtMost += SHOWN_AT_FIRST;
    arrangeRows();
});
$('sort').value = prefs.get('sort', 'criticality');
$('sort').addEventListener('change', () => {
    prefs.set('sort', $('sort').value);
    arrangeRows();
});

/* ---- colours ---- */

const THEMES = { auto: ['◐', 'as the system'], light: ['☀︎', 'light'], dark: ['☾', 'dark'] };

function showTheme() {
    const now = document.documentElement.dataset.theme ?? 'auto';
    const [mark, words] = THEMES[now];
    setText($('theme'), mark);
    $('theme').setAttribute('aria-label', `Colours: ${words}`);
    $('theme').title = `Colours: ${words}`;
    for (const row of rows.values()) row.panel?.view.redraw();
}
$('theme').addEventListener('click', () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(document.documentElement.dataset.theme ?? 'auto') + 1) % names.length];
    if (next === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    prefs.set('theme', next);
    showTheme();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showTheme);
showTheme();

/* ---- saying things ---- */

function toast(text, kind = 'ok') {
    const box = el('p', { class: `toast ${kind}`, text });
    $('toasts').append(box);
    setTimeout(() => box.remove(), TOAST_MS);
}

function announce(text) {
    setText($('announce'), text);
}

/* ---- keyboard ---- */

function focusHost(step) {
    const list = [...document.querySelectorAll('tr.host')];
    if (!list.length) return;
    const here = list.indexOf(document.activeElement?.closest('tbody')?.querySelector('tr.host'));
    const to =
        here < 0 ? (step > 0 ? 0 : list.length - 1) : Math.max(0, Math.min(list.length - 1, here + step));
    list[to].querySelector('.name').focus();
    list[to].scrollIntoView({ block: 'nearest' });
}

document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open], .menu'))
        return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
        if (event.key === 'Escape') event.target.blur();
        return;
    }
    const row = rows.get(event.target.closest?.('tbody')?.dataset.host);
    const keys = {
        '?': helpBox,
        '/': () => $('filter').focus(),
        j: () => focusHost(1),
        k: () => focusHost(-1),
        r: () => live.reconnect(),
        o: () => row && toggleLog(row).then(() => row.panel?.view.element.focus()),
        s: () => row && row.cells.menu.click(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
});
