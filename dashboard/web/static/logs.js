/* The open logs, and their address. */
import { api } from './api.js';
import { LogPanel } from './logpanel.js';
import { notice, toast } from './say.js';
import { standingFailure } from './signals.js';

export class Logs {
    #open = new Map(); // host → row, in the order of opening
    #applying = false;

    /** `moved({step})` is called when the address must change; `step`: Back returns to the earlier address. */
    constructor({ fleet, live, notifier, moved }) {
        Object.assign(this, { fleet, live, notifier });
        this.moved = (how) => this.#applying || moved(how);
    }

    get panels() {
        return [...this.#open.values()].map((row) => row.panel);
    }

    /** The open panels as the address names them. */
    get places() {
        return this.panels.filter((panel) => panel.run).map((panel) => panel.place);
    }

    toggle(row) {
        return row.panel ? this.close(row, { focus: true }) : this.open(row);
    }

    /** Opens the host's log: the given run, or the newest. False: there is no such run. */
    async open(row, { run = null, first = null, last = null } = {}, { focus = true, step = true } = {}) {
        let wanted;
        try {
            wanted = await this.#find(row, run);
        } catch (error) {
            toast(`The run cannot be loaded: ${error.message}`, 'bad');
            return false;
        }
        if (!wanted) {
            this.#nothing(row, run);
            return false;
        }
        if (!row.panel) this.#mount(row);
        const opened = row.panel.open(wanted, { line: first, last });
        row.panel.element.scrollIntoView({ block: 'nearest' });
        if (focus) row.panel.focus();
        this.moved({ step });
        await opened;
        this.fleet.redrawNow(row);
        return true;
    }

    async #find(row, run) {
        const failure = run ? null : standingFailure(row.host);
        if (failure?.run) {
            const failed = await this.#find(row, failure.run);
            if (failed) return failed;
        }
        if (!run && row.run) return row.run;
        if (run && run === row.run?.id) return row.run;
        if (!run) return (await api.runs(row.id, 1)).runs[0] ?? null;
        return api.run(row.id, run).catch((error) => {
            if (error.status === 404) return null;
            throw error;
        });
    }

    #nothing(row, run) {
        if (!run) toast(`Nothing has run on ${row.id} yet.`, 'warn');
        else notice(`The run ${run} of ${row.id} is not kept any more.`, ['Show its latest run', () => this.open(row)]);
    }

    #mount(row) {
        const panel = new LogPanel({
            host: row.id,
            live: this.live,
            isWatched: this.notifier.isWatched,
            toggleWatch: (run) => this.notifier.toggle(run).then(() => panel.tick()),
            close: () => this.close(row, { focus: true }),
            moved: (how) => this.moved(how),
        });
        this.#open.set(row.id, row);
        row.mount(panel);
        this.fleet.arrange();
    }

    close(row, { focus = false } = {}) {
        if (!row.panel) return;
        row.panel.destroy();
        row.mount(null);
        this.#open.delete(row.id);
        this.fleet.redrawNow(row);
        if (focus) row.cells.expand.focus();
        this.moved({ step: true });
    }

    closeAll() {
        for (const row of [...this.#open.values()]) this.close(row);
    }

    /** Shows exactly the panels of an address. */
    async apply(places) {
        this.#applying = true;
        const wanted = new Set(places.map((place) => place.host));
        for (const row of [...this.#open.values()]) if (!wanted.has(row.id)) this.close(row);
        const opened = places.map((place) => this.#goTo(place, places.length === 1));
        this.#applying = false;
        await Promise.all(opened);
    }

    async #goTo(place, alone) {
        const row = this.fleet.get(place.host) ?? (await this.#fetch(place.host));
        if (!row) return;
        const here = row.panel?.place;
        const same = here && here.run === place.run && here.first === place.first && here.last === place.last;
        if (same || !(await this.open(row, place, { focus: alone, step: false }))) return;
        if (alone) row.element.scrollIntoView({ block: 'nearest' });
    }

    /** The list of hosts may be a moment old, so the server is asked whether the host exists. */
    async #fetch(id) {
        try {
            return this.fleet.set(await api.host(id));
        } catch (error) {
            const missing = [400, 404, 422].includes(error.status); // or it is not a valid name of a host
            notice(missing ? `There is no host ${id} on this dashboard.` : `${id} cannot be loaded: ${error.message}`);
            return null;
        }
    }

    /** A run that a person has just queued for this host is shown when it begins. */
    expect(row) {
        row.panel?.expectRun();
    }

    update(run) {
        this.fleet.get(run.host)?.panel?.update(run);
    }

    splice(message) {
        this.fleet.get(message.host)?.panel?.splice(message);
    }

    reconnected() {
        for (const panel of this.panels) panel.reconnected();
    }

    tick() {
        for (const panel of this.panels) panel.tick();
    }

    redraw() {
        for (const panel of this.panels) panel.view?.redraw();
    }
}
