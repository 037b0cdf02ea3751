/* The parts of a log panel: the steps with what belongs to the whole run, the toolbar, and the box for the lines. Made
   here, moved by logpanel.js. */
import { el } from './util.js';

/* name, text, what it does in words, more attributes. A text that is only a sign gets the words as its name. */
const FIND = [
    ['prev', '↑', 'Previous match (Shift+Enter)', { class: 'icon' }],
    ['next', '↓', 'Next match (Enter)', { class: 'icon' }],
];
const MARKS = [
    ['errors', 'No errors', 'Next error (e)', { class: 'marks error' }],
    ['warnings', 'No warnings', 'Next warning (w)', { class: 'marks warning' }],
    ['newer', 'Show the running one', 'Another run is going on on this host', { class: 'newer', hidden: true }],
];
const SWITCHES = [
    ['wrap', 'Wrap', 'Wrap long lines (z)', { 'aria-pressed': 'false' }],
    ['times', 'Times', 'Show when each line came (t)', { 'aria-pressed': 'false' }],
    ['follow', 'Follow', 'Follow new lines (End)', { 'aria-pressed': 'true' }],
    ['copy', 'Copy', 'Copy the lines that are selected, or else in sight (c)'],
    ['link', 'Link', 'Copy a link to this place (l)'],
];
const CORNER = [
    ['watch', 'Notify me', 'Tell me when this run ends', { 'aria-pressed': 'false' }],
    ['max', '⤢', 'Fill the window (f)', { class: 'icon', 'aria-pressed': 'false' }],
    ['close', '✕', 'Close this log (x)', { class: 'icon' }],
];

/** The panel's elements by name, `element` being the whole; `act(name)` is called when a button is pressed. */
export function buildPanel({ id, host, stepper, act }) {
    const p = {};
    const buttons = (list) =>
        list.map(([name, text, title, more = {}]) => {
            const label = more.class === 'icon' ? title : null;
            const onclick = () => act(name);
            p[name] = el(
                'button',
                { type: 'button', 'data-do': name, title, 'aria-label': label, onclick, ...more },
                text,
            );
            return p[name];
        });
    const word = 'Search the log';
    p.runs = el('select', { 'aria-label': `Runs of ${host}`, class: 'runs' });
    p.input = el('input', {
        type: 'search',
        placeholder: word,
        'aria-label': word,
        spellcheck: 'false',
        autocomplete: 'off',
    });
    p.found = el('span', { class: 'found num', role: 'status' });
    p.pill = el('button', { type: 'button', class: 'pill', hidden: true, onclick: () => act('pill') });
    p.picked = el('div', { class: 'picked', hidden: true });
    p.none = el('p', { class: 'none', hidden: true, text: 'Nothing written yet.' });
    p.full = el('a', {
        class: 'button',
        target: '_blank',
        rel: 'noopener',
        text: 'View full log',
    });
    p.download = el('a', { class: 'button', download: '', text: 'Download' });
    p.note = el('span', { class: 'size muted num' });
    const toolbar = el(
        'div',
        { class: 'toolbar', role: 'toolbar', 'aria-label': `Log of ${host}` },
        p.runs,
        el('div', { class: 'find', role: 'search' }, p.input, p.found, ...buttons(FIND)),
        ...buttons(MARKS),
        el('span', { class: 'spring' }),
        ...buttons(SWITCHES),
        p.full,
        p.download,
    );
    const corner = el('div', { class: 'corner' }, p.note, ...buttons(CORNER));
    p.body = el('div', { class: 'log-body' });
    p.element = el(
        'section',
        { class: 'panel', id, 'aria-label': `Log of ${host}`, 'data-host': host },
        el('div', { class: 'panel-head' }, stepper, corner),
        toolbar,
        p.body,
    );
    return p;
}
