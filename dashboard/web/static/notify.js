/* Tells a person who looks elsewhere: the tab's title says what runs, and a run that was marked with the bell ends with a
   notification. Permission is asked for only by the click on the bell. */
import { endedWords, isOpen, title, verdict, counts, workPhase } from './runs.js';

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

    /** A run's newest state. */
    update(run) {
        if (isOpen(run) || !this.#watched.delete(run.id)) return;
        const mark = { ok: '✓', warn: '!', bad: '✗' }[verdict(run)] ?? '•';
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

    /** The title: the news until they are seen, else what runs. */
    showTitle(runs) {
        let text = NAME;
        const watched = runs.filter((run) => this.#watched.has(run.id));
        const open = runs.filter(isOpen);
        if (this.#news) text = `${this.#news} · ${NAME}`;
        else if (watched.length || open.length === 1) {
            const run = watched[0] ?? open[0];
            text = `${[workPhase(run) ?? 'running', counts(run)].filter(Boolean).join(' ')} · ${run.host} · ${NAME}`;
        } else if (open.length) text = `${open.length} running · ${NAME}`;
        if (document.title !== text) document.title = text;
    }

    #seen() {
        if (document.visibilityState === 'visible' && document.hasFocus())
            setTimeout(() => (this.#news = ''), 4000);
    }
}
