/* What a run is, on top of its log: the whole command, who started it and when, how long it took, how it ended and why, and
   how long it will still take. */
import { elapsedMs, exitWords, isOpen, reason, title, verdict } from './runs.js';
import { bytes, copyButton, dayAndTime, duration, el, plural, setText, toMs } from './util.js';

const LEAST_PAST = 2; // runs that it takes to say how long such a run takes

export class RunHeader {
    #run = null;
    #command = el('code', { class: 'command', tabindex: '0', 'aria-label': 'Command' });
    #facts = {};
    element;

    constructor() {
        const fact = (name, label) => {
            this.#facts[name] = el('dd', { 'data-fact': name });
            return el('div', { class: 'fact' }, el('dt', { text: label }), this.#facts[name]);
        };
        this.element = el(
            'div',
            { class: 'run-header' },
            el('p', { class: 'command-line' }, this.#command, copyButton('Copy the command', () => title(this.#run))),
            el(
                'dl',
                { class: 'facts' },
                fact('user', 'User'),
                fact('started', 'Started'),
                fact('duration', 'Duration'),
                fact('exit', 'Ended'),
                fact('size', 'Log'),
            ),
        );
    }

    update(run) {
        this.#run = run;
        setText(this.#command, title(run));
        this.#say('user', run.user ?? '');
        this.#say('started', run.started ? dayAndTime(toMs(run.started), true) : '');
        this.tick();
        const over = !isOpen(run);
        this.#say('exit', over ? exitWords(run) : '');
        this.#facts.exit.dataset.verdict = verdict(run);
        this.#facts.exit.title = reason(run);
        this.#say('size', `${plural(run.lines ?? 0, 'line')}, ${bytes(run.bytes ?? 0)}`);
    }

    tick() {
        if (this.#run) this.#say('duration', duration(elapsedMs(this.#run)));
    }

    #say(name, text) {
        setText(this.#facts[name], text);
        this.#facts[name].parentElement.hidden = !text;
    }
}

/** How long `run` will still take, by the runs of the same command that succeeded: words, or '' where nobody can know. */
export function timeLeft(run, past) {
    const same = past.filter(
        (one) => one.id !== run.id && !isOpen(one) && verdict(one) === 'ok' && title(one) === title(run) && one.started,
    );
    if (!isOpen(run) || same.length < LEAST_PAST) return '';
    const took = same.map(elapsedMs).sort((a, b) => a - b);
    const already = elapsedMs(run);
    const shortest = took[0] - already;
    const longest = took[took.length - 1] - already;
    if (longest <= 0) return `longer than the last ${took.length} runs (${duration(took[took.length - 1])} at most)`;
    return shortest > 0 ? `${duration(shortest)} to ${duration(longest)} left` : `at most ${duration(longest)} left`;
}
