/* The page of a dashboard without hosts: a person adds the first host, and gets its token. */
import { mayChange } from './api.js';
import { setupWays } from './setup.js';
import { el } from './util.js';

/** `add(name)` adds the host and shows its token. It may throw an Error to be shown. */
export function showWelcome(box, add) {
    box.replaceChildren(
        el('h2', { text: 'No hosts yet' }),
        el('p', { text: 'A host appears here with its first report. It needs a token, and one of the ways to report that are shown with the token: bash, NixOS or curl.' }),
        ...(mayChange() ? [firstHost(add)] : forViewers()),
    );
}

function firstHost(add) {
    const error = el('p', { class: 'form-error', role: 'alert', hidden: true });
    const name = el('input', {
        name: 'hostname',
        required: true,
        maxlength: '63',
        pattern: '[A-Za-z0-9][A-Za-z0-9_\\-]*',
        title: 'Letters, digits, - and _; a letter or digit first',
        autocomplete: 'off',
        spellcheck: 'false',
    });
    const form = el(
        'form',
        { class: 'first-host' },
        el('label', { class: 'stack' }, 'Name of the first host', name),
        el('button', { class: 'primary', 'data-do': 'first-host', text: 'Add the host and show its token' }),
        error,
    );
    form.addEventListener('submit', async (event) => {
        event.preventDefault();
        error.hidden = true;
        try {
            await add(name.value);
        } catch (problem) {
            error.textContent = problem.message;
            error.hidden = false;
        }
    });
    return form;
}

function forViewers() {
    return [
        el('p', { text: 'You may only read: somebody who signs in with the password can add a host and gets its token here.' }),
        el('p', { text: 'With a token, type one of these on the host:' }),
        setupWays('myhost'),
    ];
}
