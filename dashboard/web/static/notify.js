/* For a person who looks elsewhere: the tab's title shows what runs, and the end of a run that was marked with the bell causes a
   notification. Only a click on the bell asks for permission. */
import { VERDICT_MARKS, counts, endedWords, isOpen, phaseName, title, verdict } from './runs.js';
import { plural } from './util.js';

const NAME = 'nixfleet';

export class Notifier {
    #watched = new Set();
    #news = '';

    constructor(toast) {
        this.toast = toast;
        document.addEventListener('visibilitychange', () => this.#seen());
        window.addEventListener('focus', () => this.#seen());
    }

    isWatched = (run) => !!run && this.#watched.has(run.id);

    toggle = async (run) => {
        if (this.#watched.delete(run.id)) return;
        this.#watched.add(run.id);
        if (!('Notification' in window)) return;
        if (Notification.permission === 'default') await Notification.requestPermission();
        if (Notification.permission === 'denied')
            this.toast('Notifications are blocked for this site; the tab’s title will tell.', 'warn');
    };

    /** Takes a new state of a run. */
    update(run) {
        if (isOpen(run) || !this.#watched.delete(run.id)) return;
        const mark = VERDICT_MARKS[verdict(run)];
        const words = `${title(run)}: ${endedWords(run)}`;
        this.#news = `${mark} ${run.host}: ${endedWords(run)}`;
        this.toast(`${mark} ${run.host}: ${words}`, verdict(run));
        if ('Notification' in window && Notification.permission === 'granted') {
            const note = new Notification(`${mark} ${run.host}`, {
                body: words,
                tag: run.id,
                icon: '/static/favicon.svg',
            });
            note.onclick = () => {
                window.focus();
                location.hash = `#${run.host}/${run.id}`;
                note.close();
            };
        }
    }

    /** The title: ended runs until the page is looked at, else what runs. The numbers are those of the list. */
    showTitle({ rows, live, counts: { busy = 0, problem = 0 } }) {
        let text = '';
        if (this.#news) text = this.#news;
        else {
            const open = [...rows.values()].map((row) => row.run).filter(isOpen);
            const one = open.find((run) => this.#watched.has(run.id)) ?? (busy === 1 ? open.find((run) => run.status === 'busy') : null);
            if (one) text = [phaseName(one).toLowerCase(), counts(one), '·', one.host].filter(Boolean).join(' ');
            else if (busy) text = `${busy} running`;
            else if (problem) text = plural(problem, 'problem');
        }
        const words = [live ? '' : 'Disconnected', text, NAME].filter(Boolean).join(' · ');
        if (document.title !== words) document.title = words;
    }

    #seen() {
        if (document.visibilityState === 'visible' && document.hasFocus())
            setTimeout(() => (this.#news = ''), 4000);
    }
}
