/* The address is the view: `#HOST/RUN/L12-L20+HOST2/RUN2?q=web&only=problem&sort=name`. This module reads and writes this form,
   and keeps the browser's history. A link of one panel alone is the form that docs/protocol.md promises. */

const PANEL = /^([A-Za-z0-9][\w-]*)(?:\/([0-9A-Za-z-]+)(?:\/L(\d+)(?:-L(\d+))?)?)?$/;

/** {panels: [{host, run, first, last}…], settings: {q, only, …}}; lines count from 0. A part that is not the address of a panel
   becomes the name of a host that does not exist. */
function parseAddress(hash) {
    const [panels, query = ''] = hash.replace(/^#/, '').split(/\?(.*)/s);
    const list = [];
    for (const text of decodeURIComponentSafe(panels).split('+')) {
        if (!text) continue;
        const [, host, run, first, last] = PANEL.exec(text) ?? ['', text];
        const from = first ? Math.max(0, Number(first) - 1) : null;
        const to = last ? Math.max(from, Number(last) - 1) : from;
        list.push({ host: host.toLowerCase(), run: run ?? null, first: from, last: to });
    }
    return { panels: list, settings: Object.fromEntries(new URLSearchParams(query)) };
}

function decodeURIComponentSafe(text) {
    try {
        return decodeURIComponent(text);
    } catch {
        return text;
    }
}

function panelAddress({ host, run, first = null, last = null }) {
    let text = host;
    if (run) text += `/${run}`;
    if (run && first !== null) text += `/L${first + 1}${last > first ? `-L${last + 1}` : ''}`;
    return text;
}

/** The address of a view with its `#`; '' for the view that needs no address. Leaves out settings that are empty. */
export function formatAddress({ panels, settings }) {
    const query = new URLSearchParams(Object.entries(settings).filter(([, value]) => value)).toString();
    const text = panels.map(panelAddress).join('+');
    return text || query ? `#${text}${query ? `?${query}` : ''}` : '';
}

/** `apply(view)` is called when a person goes back, forward, or to another link. */
export class Address {
    #apply;

    constructor(apply) {
        this.#apply = apply;
        window.addEventListener('hashchange', () => this.#apply(parseAddress(location.hash)));
    }

    get view() {
        return parseAddress(location.hash);
    }

    /** Sets the address to that of `view`. `step`: Back returns to the earlier address. */
    set(view, { step = false } = {}) {
        const url = location.pathname + location.search + formatAddress(view);
        if (url === location.pathname + location.search + location.hash) return;
        if (step) history.pushState(null, '', url);
        else history.replaceState(null, '', url);
    }
}
