/* Messages of the page: short messages that disappear, a notice that stays until a person closes it, and text for screen readers
   only. */
import { el, setText } from './util.js';

const TOAST_MS = 6000;
const MOST_TOASTS = 3;
const $ = (id) => document.getElementById(id);

export function toast(text, kind = 'ok') {
    const box = el('p', { class: `toast ${kind}`, text });
    const all = $('toasts');
    all.append(box);
    while (all.children.length > MOST_TOASTS) all.firstChild.remove();
    setTimeout(() => box.remove(), TOAST_MS);
}

/** A notice above the list. `action` is [label, function] or nothing. */
export function notice(text, action) {
    const box = $('notice');
    const close = () => (box.hidden = true);
    const button = (label, act, more = {}) =>
        el('button', { type: 'button', text: label, onclick: () => (close(), act?.()), ...more });
    box.replaceChildren(
        el('span', { text }),
        action ? button(action[0], action[1], { 'data-do': 'notice' }) : '',
        button('✕', null, { class: 'icon', 'aria-label': 'Close this notice' }),
    );
    box.hidden = false;
}

export function announce(text) {
    setText($('announce'), text);
}
