/* Connects the modules of the page: the live channel, the list of hosts, the open logs, the address, the keyboard. */
import { Actions } from './actions.js';
import { Address } from './address.js';
import { mayChange, setCsrf } from './api.js';
import { colourButton } from './colours.js';
import { helpBox } from './dialogs.js';
import { FindAll } from './findall.js';
import { Fleet } from './fleet.js';
import { Live } from './live.js';
import { Logs } from './logs.js';
import { Notifier } from './notify.js';
import { announce, notice, toast } from './say.js';
import { verdictWords } from './signals.js';
import { Timeline } from './timeline.js';
import { duration, prefs, serverNow, setServerNow, setText, throttle } from './util.js';
import { showWelcome } from './welcome.js';

const LOST_GRACE_MS = 1500;
const VIEW_EVERY_MS = 200;
const MOST_IN_SIGHT = 128; // the server sends the progress of at most this many hosts
const ANNOUNCED_HOSTS = 30; // if more hosts are in sight, only those with an open log count
const $ = (id) => document.getElementById(id);

const live = new Live(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/ws`);

/* The server sends the state changes of all hosts, and the progress of those in sight. Only a list in the order of "seen"
   needs the progress of all. */
const EVERYTHING = 'everything';
let sent = '';

function subscribe() {
    live.send({ op: 'subscribe' });
    sent = EVERYTHING;
    tellView();
}

const tellView = throttle(() => {
    const everything = fleet.sort === 'seen' && !document.hidden;
    const hosts = document.hidden ? [] : fleet.inView.slice(0, MOST_IN_SIGHT);
    const wanted = everything ? EVERYTHING : hosts.join();
    if (wanted === sent) return;
    if (live.send(everything ? { op: 'subscribe' } : { op: 'view', hosts })) sent = wanted;
}, VIEW_EVERY_MS);
document.addEventListener('visibilitychange', () => tellView());

const notifier = new Notifier(toast);
const fleet = new Fleet({
    row: (id) => ({
        act: (command) => actions.act(fleet.get(id), command),
        cancel: () => actions.cancel(fleet.get(id)),
        openMenu: (opener) => actions.openHostMenu(opener, fleet.get(id)),
        toggle: () => logs.toggle(fleet.get(id)),
    }),
    changed: () => actions.drawBar(),
    seen: () => tellView(),
    chip: (name) => show({ only: fleet.only === name ? '' : name }, { step: true }),
});
const logs = new Logs({ fleet, live, notifier, moved: (how) => writeAddress(how) });
const actions = new Actions({ fleet, logs });
const address = new Address((view) => readAddress(view));
const timeline = new Timeline($('timeline'), (settings) => showView({ view: 'timeline', ...settings }));
const findAll = new FindAll($('find-all'), (settings) => showView({ view: 'search', ...settings }));
let version = '';
let viewSettings = {}; // settings of the views other than the list: which view, and what it shows

/* ---- messages ---- */

const handlers = {
    hello(message) {
        setServerNow(message.now);
        setCsrf(message.csrf);
        $('logout').hidden = !!message.dev || !mayChange();
        $('only-reads').hidden = mayChange();
        document.body.classList.toggle('only-reads', !mayChange());
        showWelcome($('welcome'), (hostname) => actions.add({ hostname }));
        setTarget(message.target);
        if (version && version !== message.version)
            notice('The dashboard was updated. Reload this page to use the new version.', ['Reload', () => location.reload()]);
        version = message.version;
    },
    hosts(message) {
        setServerNow(message.now);
        const here = new Set(message.hosts.map((host) => setHost(host).id));
        for (const id of [...fleet.rows.keys()]) if (!here.has(id)) dropHost(id);
        const first = !fleet.loaded;
        fleet.loaded = true;
        if (!first) fleet.arrange();
        else readAddress({ ...address.view, first }).then(showEarly);
    },
    changed(message) {
        for (const id of message.gone) dropHost(id);
        const moved = message.hosts.filter((host) => {
            const before = fleet.get(host.id)?.standing(true);
            return setHost(host).standing(true) !== before;
        });
        if (moved.length || message.gone.length || fleet.text || fleet.sort === 'seen') fleet.arrangeSoon();
    },
    run({ run }) {
        const row = fleet.get(run.host);
        if (!row) return;
        /* The server chooses the run that is shown for the host; an open log here may show another run. */
        if (row.run?.id === run.id) {
            row.set({ ...row.host, run });
            fleet.redraw(row);
        }
        logs.update(run);
        notifier.update(run);
    },
    splice: (message) => logs.splice(message),
    ping: (message) => setServerNow(message.now),
    target: (message) => setTarget(message.target),
};

live.addEventListener('message', ({ detail }) => handlers[detail.type]?.(detail));
live.addEventListener('state', () => {
    if (live.state === 'live') {
        refusals = 0;
        advice = '';
        subscribe();
        logs.reconnected();
    }
    showConnection();
});
/* A WebSocket does not report why it was refused. A plain call does, and a lost session leads to the sign-in page. If plain calls
   work and the WebSocket fails again and again, the configuration of a proxy is wrong. */
let refusals = 0;
let advice = '';
live.addEventListener('refused', async () => {
    const answer = await fetch('/api/session', { credentials: 'same-origin' }).catch(() => null);
    if (answer?.status === 401) location.assign(`/login${location.hash}`);
    const session = answer?.ok && (await answer.json().catch(() => null));
    refusals = session ? refusals + 1 : 0;
    advice = refusals > 1 ? proxyAdvice(session.host) : '';
    showConnection();
});

function proxyAdvice(host) {
    return host === location.host
        ? 'The dashboard answers, but the proxy in front of it does not pass WebSockets on: it needs HTTP/1.1 and the ' +
              'headers Upgrade and Connection (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; ' +
              'proxy_set_header Connection "upgrade").'
        : `The dashboard answers, but the proxy in front of it sends it the Host header “${host}” instead of ` +
              `“${location.host}” (nginx: proxy_set_header Host $http_host).`;
}

live.addEventListener('tick', () => {
    showConnection();
    notifier.showTitle(fleet);
    if (document.hidden) return;
    fleet.redrawAll();
    logs.tick();
});

function showConnection() {
    const words = { connecting: 'Connecting', live: 'Live', lost: 'Disconnected' }[live.state];
    const connected = live.state === 'live' || !live.lostSince || Date.now() - live.lostSince < LOST_GRACE_MS;
    $('conn').dataset.conn = live.state;
    setText($('conn-text'), words);
    if (fleet.live !== connected) {
        fleet.live = connected;
        if (!connected) fleet.lost(serverNow() - (Date.now() - live.lostSince));
        document.body.classList.toggle('old', !connected);
        $('lost').hidden = connected;
        fleet.redrawAll();
        fleet.arrangeSoon();
    }
    if (connected) return;
    const when = live.retryIn > 0 ? `Trying again in ${live.retryIn} s.` : 'Trying again…';
    const since = duration(Date.now() - live.lostSince);
    setText($('lost-text'), `No connection to the dashboard for ${since}. What you see may be old. ${advice || when}`);
}

/* ---- hosts ---- */

function setHost(host) {
    const known = fleet.get(host.id);
    const before = known?.verdict(true);
    const row = fleet.set(host);
    const now = row.verdict(true);
    actions.hostReported(host);
    if (known && now !== before && (row.panel || fleet.rows.size <= ANNOUNCED_HOSTS))
        announce(`${row.name}: ${verdictWords(host, now)}`);
    if (host.run) {
        row.panel?.update(host.run);
        notifier.update(host.run);
    }
    return row;
}

function dropHost(id) {
    const row = fleet.get(id);
    if (!row) return;
    logs.close(row);
    fleet.remove(id);
}

function setTarget(value) {
    fleet.target = value?.hash ? value : null;
    $('target').hidden = !fleet.target;
    fleet.redrawAll();
    fleet.arrangeSoon();
    if (!fleet.target) return;
    setText($('target-hash'), fleet.target.hash.slice(0, 7));
    $('target').title = fleet.target.message || '';
}

/* ---- the address and the view ---- */

/** Resolves when the logs of the address are open. */
function readAddress({ panels, settings, first = false }) {
    const { q = '' } = settings;
    const only = fleet.hasKind(settings.only) ? settings.only : '';
    viewSettings = settings.view ? { view: settings.view, ...pick(settings, ['days', 'find', 'how']) } : {};
    drawView();
    const sort = settings.sort ?? (first ? prefs.get('sort', 'criticality') : 'criticality');
    $('filter').value = q;
    $('sort').value = sort;
    if (!$('sort').value) $('sort').value = 'criticality';
    fleet.filter({ text: q, only, sort: $('sort').value });
    tellView();
    return logs.apply(panels).then(() => fleet.arrange());
}

function writeAddress(how) {
    const { text, only, sort } = fleet;
    const settings = { ...viewSettings, q: text.trim(), only, sort: sort === 'criticality' ? '' : sort };
    address.set({ panels: logs.places, settings }, how);
}

/** Shows another view, or another part of it. Back returns to the earlier one. */
function showView(settings) {
    viewSettings = settings;
    drawView();
    writeAddress({ step: true });
}

function drawView() {
    const { view = '' } = viewSettings;
    $('list').hidden = view !== '';
    $('timeline').hidden = view !== 'timeline';
    $('find-all').hidden = view !== 'search';
    for (const link of document.querySelectorAll('.views a')) {
        if (link.dataset.view === view) link.setAttribute('aria-current', 'page');
        else link.removeAttribute('aria-current');
    }
    if (view === 'timeline') timeline.show(viewSettings.days);
    else timeline.hide();
    if (view === 'search') findAll.show(viewSettings);
}

function pick(object, names) {
    return Object.fromEntries(names.filter((name) => object[name]).map((name) => [name, object[name]]));
}

/** Applies what a person typed or chose before the hosts arrived. */
const early = {};

function showEarly() {
    if (!Object.keys(early).length) return;
    if ('text' in early) $('filter').value = early.text;
    show(early);
}

function show(settings, how) {
    if (!fleet.loaded) {
        Object.assign(early, settings);
        return;
    }
    fleet.filter(settings);
    tellView();
    writeAddress(how);
}

$('filter').addEventListener('input', () => show({ text: $('filter').value }));
$('sort').addEventListener('change', () => {
    prefs.set('sort', $('sort').value);
    show({ sort: $('sort').value }, { step: true });
});
$('more-button').addEventListener('click', () => fleet.showMore());
$('fleet-menu').addEventListener('click', () =>
    actions.openFleetMenu($('fleet-menu'), [
        ['Reconnect', () => live.reconnect()],
        ['Close all logs', () => logs.closeAll()],
        ['Keyboard…', helpBox],
    ]),
);
$('target-refresh').addEventListener('click', () => actions.refreshTarget(setTarget));
$('lost-now').addEventListener('click', () => live.reconnect());
$('help-open').addEventListener('click', helpBox);
$('skip').addEventListener('click', (event) => {
    event.preventDefault();
    $('hosts').focus();
});
colourButton($('theme'), () => logs.redraw());

/* ---- keyboard ---- */

function focusHost(step) {
    const list = [...document.querySelectorAll('tr.host')];
    if (!list.length) return;
    const here = list.indexOf(document.activeElement?.closest('tbody')?.querySelector('tr.host'));
    const first = step > 0 ? 0 : list.length - 1;
    const to = here < 0 ? first : Math.max(0, Math.min(list.length - 1, here + step));
    list[to].querySelector('.name').focus();
    list[to].scrollIntoView({ block: 'nearest' });
}

document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open], .menu')) return;
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== 'checkbox') {
        if (event.key === 'Escape') event.target.blur();
        return;
    }
    const row = fleet.get(event.target.closest?.('tbody')?.dataset.host);
    const keys = {
        '?': helpBox,
        '/': () => $('filter').focus(),
        j: () => focusHost(1),
        k: () => focusHost(-1),
        r: () => live.reconnect(),
        o: () => row && logs.toggle(row),
        s: () => row && row.cells.menu.click(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
});
