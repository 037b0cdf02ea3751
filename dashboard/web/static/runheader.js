/* The header above a log: the whole command, its user and start, its duration and remaining time, how and why it ended, and the
   generation that it made. */
import { generationWords } from './changes.js';
import { remaining, remainingWords } from './remaining.js';
import { commandLine, elapsedMs, exitWords, isOpen, reason, verdict } from './runs.js';
import { bytes, copyButton, dayAndTime, duration, el, plural, setText, toMs } from './util.js';

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
            el('p', { class: 'command-line' }, this.#command, copyButton('Copy the command', () => commandLine(this.#run))),
            el(
                'dl',
                { class: 'facts' },
                fact('user', 'User'),
                fact('started', 'Started'),
                fact('duration', 'Duration'),
                fact('left', 'Remaining'),
                fact('exit', 'Ended'),
                fact('generation', 'Generation'),
                fact('size', 'Log'),
            ),
        );
    }

    update(run) {
        if (this.#run?.id !== run.id) this.changed([]);
        this.#run = run;
        setText(this.#command, commandLine(run));
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
        if (!this.#run) return;
        this.#say('duration', duration(elapsedMs(this.#run)));
        this.#say('left', remainingWords(this.#run));
        this.#facts.left.toggleAttribute('data-overdue', !!remaining(this.#run)?.overdue);
    }

    /** Shows what the run has changed. */
    changed(changes) {
        this.#say('generation', changes.map(generationWords).filter(Boolean).join(', '));
    }

    #say(name, text) {
        setText(this.#facts[name], text);
        this.#facts[name].parentElement.hidden = !text;
    }
}
