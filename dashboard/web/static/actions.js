/* The actions of a person: commands for one host or for many, the waiting command, tokens, deletion. An action that changes a
   host or stops work asks once and names the hosts. */
import { api, mayChange } from './api.js';
import { addHostBox, confirmBox, historyBox, menu, tokenBox } from './dialogs.js';
import { keyOf } from './hosts.js';
import { isOpen, title } from './runs.js';
import { hasAgent } from './signals.js';
import { toast } from './say.js';
import { el, plural, serverNow, setText, toMs } from './util.js';

const VERBS = {
    pull: 'Pull',
    switch: 'Switch',
    'pull-switch': 'Pull and switch',
    test: 'Test',
    update: 'Update',
    stop: 'Stop',
    restart: 'Restart the agent of',
};
const ASKS = ['switch', 'pull-switch', 'update', 'stop', 'restart'];
const IN_BULK = ['pull', 'switch', 'test', 'update', 'stop'];
const $ = (id) => document.getElementById(id);

export class Actions {
    #awaited = null; // the host whose token the dialog shows

    constructor({ fleet, logs }) {
        Object.assign(this, { fleet, logs });
        this.#buildBar();
    }

    /* ---- one host ---- */

    async act(row, command) {
        const doing = command === 'stop' && row.run ? `${title(row.run)}` : '';
        const sure = ASKS.includes(command)
            ? await confirmBox({
                  heading: `${VERBS[command]} ${row.id}?`,
                  text: doing && `It runs: ${doing}`,
                  yes: VERBS[command],
                  danger: command === 'stop',
              })
            : true;
        if (!sure) return;
        try {
            await api.command(row.id, command);
            if (command !== 'stop') this.logs.expect(row);
            toast(command === 'stop' ? `${row.id} is asked to stop` : `${row.id}: ${command} is queued`);
        } catch (error) {
            toast(`${row.id}: ${error.message}`, 'bad');
        }
    }

    async cancel(row) {
        const waiting = row.host.pending_command;
        try {
            await api.cancelCommand(row.id);
            toast(`${row.id}: the ${waiting} is cancelled`);
        } catch (error) {
            toast(`${row.id}: ${error.message}`, 'bad');
        }
    }

    openHostMenu(opener, row) {
        const open = row.panel?.run;
        const items = [[row.panel ? 'Close log' : 'Open log', () => this.logs.toggle(row)]];
        if (hasAgent(row.host) && mayChange()) {
            const off = { disabled: !row.ready(this.fleet.live) };
            items.push(['Pull and switch…', () => this.act(row, 'pull-switch'), off]);
            items.push(['Restart agent…', () => this.act(row, 'restart'), off]);
        }
        items.push(null, ['History…', () => this.#history(row)], ['Download history', () => this.#download(row)]);
        if (mayChange()) {
            if (open && !isOpen(open)) items.push(['Delete this run…', () => this.#deleteRun(row), { danger: true }]);
            items.push(['New agent token…', () => this.#newToken(row)], null);
            items.push(['Remove host…', () => this.#remove(row), { danger: true }]);
        }
        menu(opener, items);
    }

    async #history(row) {
        try {
            historyBox(`${row.id}: history`, (await api.host(row.id)).status_history ?? []);
        } catch (error) {
            toast(`${row.id}: ${error.message}`, 'bad');
        }
    }

    #download(row) {
        const link = el('a', { href: api.historyFile(row.id), download: '' });
        document.body.append(link);
        link.click();
        link.remove();
    }

    async #newToken(row) {
        const sure = await confirmBox({
            heading: `A new token for ${row.id}?`,
            text: 'The old token stops working at once: the host cannot report until it has the new one.',
            yes: 'Make a new token',
            danger: true,
        });
        if (sure) await this.#showToken(row.id, `The token of ${row.id}`);
    }

    async #showToken(host, heading) {
        try {
            const { agent_token: token } = await api.agentToken(host);
            const said = tokenBox({ heading, host, token });
            this.#awaited = { host, since: serverNow(), said };
        } catch (error) {
            toast(`${host}: ${error.message}`, 'bad');
        }
    }

    /** To be called with each new state of a host: the dialog that shows a token then says whether the host has reported. */
    hostReported(host) {
        const { host: id, since, said } = this.#awaited ?? {};
        if (keyOf(host) !== id || toMs(host.last_seen) < since) return;
        setText(said, `${id} has reported.`);
        this.#awaited = null;
    }

    async #remove(row) {
        const sure = await confirmBox({
            heading: `Remove ${row.id}?`,
            text: 'Its runs and logs are deleted. A host that still reports is added again by its next report.',
            yes: 'Remove host',
            danger: true,
        });
        if (!sure) return;
        try {
            await api.removeHost(row.id);
            toast(`${row.id} is removed`);
        } catch (error) {
            toast(`${row.id}: ${error.message}`, 'bad');
        }
    }

    async #deleteRun(row) {
        const { run } = row.panel;
        const sure = await confirmBox({
            heading: 'Delete this run?',
            text: `${title(run)} on ${row.id}, with all its lines.`,
            yes: 'Delete run',
            danger: true,
        });
        if (!sure) return;
        try {
            await api.deleteRun(row.id, run.id);
            this.logs.close(row, { focus: true });
            toast('The run is deleted');
        } catch (error) {
            toast(`${row.id}: ${error.message}`, 'bad');
        }
    }

    async refreshTarget(found) {
        try {
            found(await api.refreshTarget());
        } catch (error) {
            toast(`The target commit cannot be looked up: ${error.message}`, 'bad');
        }
    }

    addHost() {
        addHostBox((host) => this.add(host));
    }

    /** Throws an Error to be shown if the host cannot be added. */
    async add(host) {
        const added = await api.addHost(host);
        await this.#showToken(added.host_id, `${added.host_id} is added`);
    }

    /* ---- many hosts ---- */

    /** The selected hosts; if none is selected, the hosts that pass the filter. */
    get #aimedAt() {
        return this.fleet.picked.length ? this.fleet.picked : this.fleet.matching;
    }

    #able(command) {
        const { live } = this.fleet;
        const able = command === 'stop' ? (row) => isOpen(row.run) : (row) => row.ready(live);
        return this.#aimedAt.filter(able);
    }

    async actMany(command) {
        const able = this.#able(command);
        const all = this.#aimedAt.length;
        const which = this.fleet.picked.length ? 'selected' : 'shown';
        if (!able.length)
            return toast(command === 'stop' ? `Nothing runs on the hosts ${which}.` : `No host ${which} can take a command now.`, 'warn');
        const left = all - able.length;
        const why = command === 'stop' ? 'nothing runs there' : 'busy, offline, waiting, or without an agent';
        const sure = await confirmBox({
            heading: `${VERBS[command]} ${plural(able.length, 'host')}?`,
            text: left ? `${plural(left, 'other host')} ${which} will be left alone (${why}).` : '',
            names: able.map((row) => row.id),
            yes: `${VERBS[command]} ${plural(able.length, 'host')}`,
            danger: command === 'stop',
        });
        if (!sure) return;
        const sent = await Promise.allSettled(able.map((row) => api.command(row.id, command)));
        if (command !== 'stop') able.forEach((row) => this.logs.expect(row));
        const failed = able.filter((_, i) => sent[i].status === 'rejected').map((row) => row.id);
        const done = `${VERBS[command]}: asked of ${plural(able.length - failed.length, 'host')}`;
        toast(failed.length ? `${done}; refused by ${failed.join(', ')}` : done, failed.length ? 'warn' : 'ok');
    }

    openFleetMenu(opener, more) {
        const n = this.#aimedAt.length;
        const which = this.fleet.picked.length ? 'selected' : 'shown';
        const many = IN_BULK.filter((command) => this.#able(command).length).map((command) => [
            `${VERBS[command]} the ${plural(n, 'host')} ${which}…`,
            () => this.actMany(command),
            { danger: command === 'stop' },
        ]);
        const changes = [['Add a host…', () => this.addHost()], null, ...many, ...(many.length ? [null] : [])];
        menu(opener, [...(mayChange() ? changes : []), ...more]);
    }

    #buildBar() {
        $('bulk-buttons').append(
            ...IN_BULK.map((command) =>
                el('button', {
                    type: 'button',
                    'data-do': command,
                    class: command === 'stop' ? 'danger-text' : null,
                    text: `${VERBS[command]}…`,
                    onclick: () => this.actMany(command),
                }),
            ),
        );
        $('bulk-none').addEventListener('click', () => this.fleet.pickAll(false));
        $('pick-all').addEventListener('click', () => this.fleet.pickAll($('pick-all').checked));
    }

    /** Updates the bar of the selection from the list. */
    drawBar() {
        const n = this.fleet.picked.length;
        const all = this.fleet.matching.length;
        $('bulk').hidden = n === 0;
        $('pick-all').checked = n > 0 && n === all;
        $('pick-all').indeterminate = n > 0 && n < all;
        if (!n) return;
        setText($('bulk-text'), `${plural(n, 'host')} selected`);
        for (const button of $('bulk-buttons').children) button.disabled = !this.#able(button.dataset.do).length;
    }
}
