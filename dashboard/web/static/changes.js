/* What a run changed in nix's profiles: generations, packages, size. The list is above the log, folded at first. */
import { api } from './api.js';
import { isOpen } from './runs.js';
import { bytes, el, plural } from './util.js';

export class Changes {
    #run = null;

    /** `known` is called with the list when it has arrived. */
    constructor({ host, known }) {
        Object.assign(this, { host, known });
        this.element = el('div', { class: 'changes', hidden: true });
    }

    update(run) {
        const same = this.#run?.id === run.id && isOpen(this.#run) === isOpen(run);
        this.#run = run;
        if (same) return;
        this.element.hidden = true;
        if (!isOpen(run)) this.#load(run);
    }

    async #load({ id }) {
        const answer = await api.changes(this.host, id).catch(() => null);
        if (id !== this.#run.id || !answer?.changes?.length) return;
        this.element.replaceChildren(...answer.changes.map(profile));
        this.element.hidden = false;
        this.known(answer.changes);
    }
}

/** `41 → 42`, with the name of the profile unless it is the system's; '' if a generation is not known. */
export function generationWords(change) {
    const { old_generation: old, new_generation: now } = change;
    if (old === undefined || now === undefined) return '';
    return `${change.profile === 'system' ? '' : `${change.profile} `}${old} → ${now}`;
}

const kind = ({ old, new: now }) => (old === undefined ? 'added' : now === undefined ? 'removed' : 'changed');

/** A profile's change in words: `system: generation 41 → 42 · 3 changed · +12 MB`. */
export function changeWords(change) {
    const packages = change.packages ?? [];
    const parts = ['changed', 'added', 'removed']
        .map((of) => [packages.filter((one) => kind(one) === of).length, of])
        .filter(([n]) => n)
        .map(([n, of]) => `${n} ${of}`);
    const generations = [change.old_generation, change.new_generation].filter((n) => n !== undefined).join(' → ');
    const words = [
        `${change.profile}${generations ? `: generation ${generations}` : ''}`,
        ...parts,
        change.rebuilt ? `${change.rebuilt} rebuilt` : '',
        change.more ? `${change.more} more` : '',
        change.size ? `${change.size < 0 ? '−' : '+'}${bytes(Math.abs(change.size))}` : '',
    ];
    return words.filter(Boolean).join(' · ');
}

function profile(change) {
    return el(
        'details',
        { class: 'change', 'data-profile': change.profile },
        el('summary', { text: changeWords(change) }),
        el('p', { class: 'paths muted' }, el('code', { text: change.old ?? '' }), ' → ', el('code', { text: change.new ?? '' })),
        el('ul', { class: 'package-list' }, ...(change.packages ?? []).map(package_)),
        change.rebuilt ? el('p', { class: 'muted', text: `${plural(change.rebuilt, 'package')} of the same version, rebuilt` }) : '',
    );
}

function package_(one) {
    const of = kind(one);
    const versions = { changed: `${one.old} → ${one.new}`, added: one.new, removed: one.old }[of];
    return el(
        'li',
        { 'data-kind': of },
        el('span', { class: 'package-kind', text: { changed: '~', added: '+', removed: '−' }[of], title: of }),
        el('bdi', { text: one.name }),
        el('span', { class: 'num muted', text: versions }),
    );
}
