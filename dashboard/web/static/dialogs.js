/* Questions, forms, menus and the list of keys. The browser's own <dialog> keeps the focus inside and gives it back. */
import { setupWays } from './setup.js';
import { copyButton, count, dayAndTime, el, toMs } from './util.js';

function show(dialog) {
    document.body.append(dialog);
    dialog.addEventListener('close', () => dialog.remove());
    dialog.showModal();
    return dialog;
}

/** Asks a question; resolves to whether the answer was yes. `names`: the hosts that it concerns. */
export function confirmBox({ heading, text = '', names = [], yes, danger = false }) {
    return new Promise((resolve) => {
        const dialog = el(
            'dialog',
            { 'aria-labelledby': 'ask-title' },
            el(
                'form',
                { method: 'dialog' },
                el('h2', { id: 'ask-title', text: heading }),
                text ? el('p', { text }) : null,
                names.length
                    ? el('ul', { class: 'names', tabindex: '0', 'aria-label': 'Hosts' }, ...names.map((name) => el('li', { text: name })))
                    : null,
                el(
                    'div',
                    { class: 'dialog-buttons' },
                    el('button', { value: '', autofocus: true, text: 'Cancel' }),
                    el('button', {
                        value: 'yes',
                        class: danger ? 'danger' : 'primary',
                        'data-do': 'confirm',
                        text: yes,
                    }),
                ),
            ),
        );
        dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'));
        show(dialog);
    });
}

/** Asks for a line number; resolves to the number, counted from 0, or to null. */
export function askLine(total) {
    return new Promise((resolve) => {
        const input = el('input', {
            name: 'line',
            inputmode: 'numeric',
            pattern: '[0-9]+',
            required: true,
            autofocus: true,
            autocomplete: 'off',
        });
        const dialog = el(
            'dialog',
            { 'aria-labelledby': 'line-title' },
            el(
                'form',
                { method: 'dialog' },
                el('h2', { id: 'line-title', text: 'Go to a line' }),
                el('label', { class: 'stack' }, `Line, 1 to ${count(Math.max(1, total))}`, input),
                el(
                    'div',
                    { class: 'dialog-buttons' },
                    el('button', { value: 'go', class: 'primary', 'data-do': 'go', text: 'Go' }),
                    el('button', { value: '', formnovalidate: true, text: 'Cancel' }),
                ),
            ),
        );
        dialog.addEventListener('close', () => {
            const line = Math.min(Number(input.value), total) - 1;
            resolve(dialog.returnValue === 'go' && line >= 0 ? line : null);
        });
        show(dialog);
    });
}

/** The form that adds a host before its first report. `add` gets the fields, and may throw an Error to be shown. */
export function addHostBox(add) {
    const error = el('p', { class: 'form-error', role: 'alert', hidden: true });
    const choice = (name, values) =>
        el('select', { name }, ...values.map((value) => el('option', { value, text: value })));
    const field = (label, input) => el('label', { class: 'stack' }, label, input);
    const form = el(
        'form',
        {},
        el('h2', { id: 'add-title', text: 'Add a host' }),
        error,
        field(
            'Name',
            el('input', {
                name: 'hostname',
                required: true,
                maxlength: '63',
                pattern: '[A-Za-z0-9][A-Za-z0-9_\\-]*',
                title: 'Letters, digits, - and _; a letter or digit first',
                autocomplete: 'off',
                spellcheck: 'false',
                autofocus: true,
            }),
        ),
        field('System', choice('host_type', ['nixos', 'macos'])),
        field('Place', choice('location', ['', 'home', 'work', 'cloud', 'office', 'mobile', 'other'])),
        field('Kind', choice('device_type', ['', 'server', 'desktop', 'laptop', 'gaming'])),
        field('Colour', el('input', { type: 'color', name: 'theme_color', value: '#769ff0' })),
        el(
            'div',
            { class: 'dialog-buttons' },
            el('button', { type: 'button', 'data-do': 'cancel', text: 'Cancel' }),
            el('button', { class: 'primary', text: 'Add host' }),
        ),
    );
    const dialog = el('dialog', { 'aria-labelledby': 'add-title' }, form);
    form.querySelector('[data-do="cancel"]').addEventListener('click', () => dialog.close());
    form.addEventListener('submit', async (event) => {
        event.preventDefault();
        try {
            await add(Object.fromEntries([...new FormData(form)].filter(([, value]) => value)));
            dialog.close();
        } catch (problem) {
            error.textContent = problem.message;
            error.hidden = false;
        }
    });
    show(dialog);
}

/** Shows a new token, which is never shown again, and the commands for the host. Returns the element that says whether the host
   has reported. */
export function tokenBox({ heading, host, token }) {
    const said = el('p', { class: 'muted', role: 'status', text: `${host} has not reported yet.` });
    show(
        el(
            'dialog',
            { class: 'wide-box', 'aria-labelledby': 'token-title' },
            el(
                'form',
                { method: 'dialog' },
                el('h2', { id: 'token-title', text: heading }),
                el('p', { text: 'Its token is shown this one time only. An agent takes it as NIXFLEET_TOKEN.' }),
                el(
                    'p',
                    { class: 'secret-line' },
                    el('code', { class: 'secret', text: token }),
                    copyButton('Copy the token', () => token),
                ),
                el('p', { text: 'On the host, one of these:' }),
                setupWays(host, token),
                said,
                el('div', { class: 'dialog-buttons' }, el('button', { class: 'primary', text: 'Done' })),
            ),
        ),
    );
    return said;
}

/** A list of times and texts, newest first. */
export function historyBox(heading, entries) {
    const rows = entries.map((entry) => {
        const at = toMs(entry.timestamp);
        const text = [entry.icon, entry.message].filter(Boolean).join(' ');
        return el(
            'li',
            {},
            el('time', { class: 'muted num', text: at ? dayAndTime(at) : '' }),
            el('span', { text }),
        );
    });
    show(
        el(
            'dialog',
            { 'aria-labelledby': 'history-title' },
            el(
                'form',
                { method: 'dialog' },
                el('h2', { id: 'history-title', text: heading }),
                rows.length
                    ? el('ol', { class: 'history' }, ...rows)
                    : el('p', { class: 'muted', text: 'Nothing yet.' }),
                el(
                    'div',
                    { class: 'dialog-buttons' },
                    el('button', { class: 'primary', autofocus: true, text: 'Close' }),
                ),
            ),
        ),
    );
}

const KEYS = [
    [
        'Everywhere',
        [
            ['?', 'This list'],
            ['/', 'Filter hosts; in a log: search it'],
            ['j  k', 'Next, previous host'],
            ['Enter  o', 'Open or close its log'],
            ['s', 'The actions of this host'],
            ['r', 'Reconnect now'],
            ['Esc', 'Back'],
        ],
    ],
    [
        'In a log',
        [
            ['j  k  ↑  ↓', 'Scroll by a line'],
            ['Space  PgDn  PgUp', 'Scroll by a page'],
            ['g  Home', 'First line'],
            ['G  End', 'Last line, and follow'],
            ['n  N', 'Next, previous match'],
            ['e  E', 'Next, previous error'],
            ['w  W', 'Next, previous warning'],
            ['z', 'Wrap long lines'],
            ['t', 'Clock times, elapsed times'],
            ['m', 'Only the lines that match'],
            [':', 'Go to a line'],
            ['c', 'Copy lines'],
            ['l', 'Copy a link'],
            ['f', 'Fill the window'],
            ['x', 'Close the log'],
        ],
    ],
];

export function helpBox() {
    if (document.querySelector('dialog[open]')) return;
    show(
        el(
            'dialog',
            { class: 'help', 'aria-labelledby': 'help-title' },
            el(
                'form',
                { method: 'dialog' },
                el('h2', { id: 'help-title', text: 'Keyboard' }),
                el(
                    'div',
                    { class: 'key-groups' },
                    ...KEYS.map(([group, keys]) =>
                        el(
                            'section',
                            {},
                            el('h3', { text: group }),
                            el(
                                'dl',
                                {},
                                ...keys.flatMap(([key, what]) => [
                                    el('dt', {}, ...key.split(/\s+/).map((one) => el('kbd', { text: one }))),
                                    el('dd', { text: what }),
                                ]),
                            ),
                        ),
                    ),
                ),
                el('p', {
                    class: 'muted',
                    text: 'Click a line number to select it, Shift+click for a range.',
                }),
                el(
                    'div',
                    { class: 'dialog-buttons' },
                    el('button', { class: 'primary', autofocus: true, text: 'Close' }),
                ),
            ),
        ),
    );
}

/** A menu below `opener`: items are [label, action, {danger, disabled}], or null for a line. Arrow keys, Home, End, Esc. */
export function menu(opener, items) {
    const open = document.querySelector('.menu');
    if (open) {
        open.dismiss();
        if (open.opener === opener) return;
    }
    const box = el('div', { class: 'menu', role: 'menu' });
    for (const item of items) {
        if (!item) {
            box.append(el('hr'));
            continue;
        }
        const [label, action, { danger, disabled } = {}] = item;
        const entry = el('button', {
            type: 'button',
            role: 'menuitem',
            tabindex: '-1',
            class: danger ? 'danger-text' : null,
            disabled,
            text: label,
        });
        entry.addEventListener('click', () => {
            dismiss();
            action();
        });
        box.append(entry);
    }
    const outside = (event) => !box.contains(event.target) && !opener.contains(event.target) && dismiss();
    const dismiss = () => {
        box.remove();
        opener.setAttribute('aria-expanded', 'false');
        document.removeEventListener('pointerdown', outside, true);
        window.removeEventListener('resize', dismiss);
    };
    box.opener = opener;
    box.dismiss = dismiss;
    box.addEventListener('keydown', (event) => {
        const entries = [...box.querySelectorAll('button:not(:disabled)')];
        const at = entries.indexOf(document.activeElement);
        const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 }[event.key];
        if (to !== undefined) entries[(to + entries.length) % entries.length].focus();
        else if (event.key === 'Escape' || event.key === 'Tab') {
            dismiss();
            opener.focus();
        } else return;
        event.stopPropagation();
        if (event.key !== 'Tab') event.preventDefault();
    });
    document.querySelector('main').append(box);
    const at = opener.getBoundingClientRect();
    const left = Math.max(
        8,
        Math.min(at.right - box.offsetWidth, document.documentElement.clientWidth - box.offsetWidth - 8),
    );
    const below = at.bottom + 4 + box.offsetHeight < window.innerHeight;
    box.style.left = `${left + window.scrollX}px`;
    box.style.top = `${(below ? at.bottom + 4 : Math.max(8, at.top - 4 - box.offsetHeight)) + window.scrollY}px`;
    opener.setAttribute('aria-expanded', 'true');
    document.addEventListener('pointerdown', outside, true);
    window.addEventListener('resize', dismiss);
    box.querySelector('button:not(:disabled)')?.focus();
}
