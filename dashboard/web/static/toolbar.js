/* The elements of a log panel: the steps and the other parts about the whole run, the toolbar, and the box for the lines.
   logpanel.js updates them. */
import { el } from './util.js';

/* name, text, description, further attributes. If the text is only a sign, the description is the accessible name. */
const HOW = [
    ['case', 'Aa', 'Match case', { class: 'icon how', 'aria-pressed': 'false' }],
    ['word', 'ab', 'ab: match whole words', { class: 'icon how word', 'aria-pressed': 'false' }],
    ['regex', '.*', 'Regular expression', { class: 'icon how', 'aria-pressed': 'false' }],
    ['only', '≡', 'Show only the lines that match (m)', { class: 'icon how', 'aria-pressed': 'false' }],
];
const FIND = [
    ['prev', '↑', 'Previous match (Shift+Enter)', { class: 'icon' }],
    ['next', '↓', 'Next match (Enter)', { class: 'icon' }],
];
const MARKS = [
    ['errors', 'No errors', 'Next error (e)', { class: 'marks error' }],
    ['warnings', 'No warnings', 'Next warning (w)', { class: 'marks warning' }],
    ['newer', 'Show the latest run', 'A newer run of this host', { class: 'newer', hidden: true }],
];
const SWITCHES = [
    ['wrap', 'Wrap', 'Wrap long lines (z)', { 'aria-pressed': 'false' }],
    ['times', 'Times', 'Clock times, elapsed times, none (t)', { 'aria-pressed': 'false' }],
    ['follow', 'Follow', 'Follow new lines (End)', { 'aria-pressed': 'true' }],
    ['fold', 'Fold…', 'Fold phases away', { 'aria-haspopup': 'menu', 'aria-expanded': 'false' }],
    ['goto', 'Line…', 'Go to a line (:)'],
    ['copy', 'Copy', 'Copy the lines that are selected, or else in sight (c)'],
    ['link', 'Link', 'Copy a link to this place (l)'],
];
const CORNER = [
    ['watch', 'Notify me', 'Tell me when this run ends', { 'aria-pressed': 'false' }],
    ['runs', 'Runs', 'All runs of this host', { 'aria-expanded': 'false' }],
    ['max', '⤢', 'Fill the window (f)', { class: 'icon', 'aria-pressed': 'false' }],
    ['close', '✕', 'Close this log (x)', { class: 'icon' }],
];

/** The panel's elements by name, `element` being the whole; `above` are elements above the toolbar; `act(name)` is called when a button is pressed. */
export function buildPanel({ id, host, above, header, act }) {
    const p = {};
    const buttons = (list) =>
        list.map(([name, text, title, more = {}]) => {
            const label = more.class?.startsWith('icon') ? title : null;
            const onclick = () => act(name);
            p[name] = el(
                'button',
                { type: 'button', 'data-do': name, title, 'aria-label': label, onclick, ...more },
                text,
            );
            return p[name];
        });
    const word = 'Search the log';
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
    p.full = el('a', { class: 'button', target: '_blank', rel: 'noopener', text: 'Full log' });
    p.download = el('a', { class: 'button', download: '', text: 'Download' });
    const find = el(
        'div',
        { class: 'find', role: 'search', 'aria-label': `Search the log of ${host}` },
        el('span', { class: 'find-field' }, p.input, p.found),
        ...buttons(HOW),
        ...buttons(FIND),
    );
    const toolbar = el(
        'div',
        { class: 'toolbar', role: 'group', 'aria-label': `Log of ${host}: tools` },
        find,
        ...buttons(MARKS),
        el('span', { class: 'spring' }),
        ...buttons(SWITCHES),
        p.full,
        p.download,
    );
    const corner = el('div', { class: 'corner' }, ...buttons(CORNER));
    p.body = el('div', { class: 'log-body' });
    p.element = el(
        'section',
        { class: 'panel', id, 'aria-label': `Log of ${host}`, 'data-host': host },
        el('div', { class: 'panel-head' }, header, corner),
        ...above,
        toolbar,
        p.body,
    );
    return p;
}
