/* What a dashboard without hosts shows: how the first one gets here. */
import { setupWays } from './setup.js';
import { el } from './util.js';

export function showWelcome(box, addHost) {
    box.replaceChildren(
        el('h2', { text: 'No hosts yet' }),
        el('p', { text: 'A host appears here with its first report. Add a host to get its token and the lines to type there:' }),
        el(
            'p',
            {},
            el('button', { type: 'button', class: 'primary', 'data-do': 'add-host', text: 'Add a host…', onclick: addHost }),
        ),
        el('p', { text: 'Or use the token that the dashboard was set up with (NIXFLEET_API_TOKEN):' }),
        setupWays('myhost'),
    );
}
