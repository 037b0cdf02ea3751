/* The phases of a run as steps, a bar, and one line of what it is doing right now. Made once, then only changed. */
import { duration, el, setAttr, setText } from './util.js';
import { SILENT_AFTER_S, elapsedMs, endedWords, isOpen, silentMs, story } from './runs.js';

const SHAPES = { done: '✓', now: '', todo: '', bad: '✗', warn: '!' };
const SPOKEN = { done: 'done', now: 'now', todo: 'to come', bad: 'failed', warn: 'with failures' };

export class Stepper {
    #list = el('ol', { class: 'steps', 'aria-label': 'Phases' });
    #fill = el('div', { class: 'bar-fill' });
    #bar = el(
        'div',
        {
            class: 'bar',
            role: 'progressbar',
            'aria-label': 'Progress',
            'aria-valuemin': '0',
            'aria-valuemax': '100',
        },
        this.#fill,
    );
    #current = el('span', { class: 'doing' });
    #elapsed = el('span', { class: 'elapsed num' });
    #silent = el('span', { class: 'silent', hidden: true });
    #shape = '';
    element = el(
        'div',
        { class: 'stepper' },
        this.#list,
        this.#bar,
        el('p', { class: 'now' }, this.#current, this.#silent, this.#elapsed),
    );

    /** `heardAt`: browser time of the run's newest message, for what counts on by itself. */
    update(run, heardAt) {
        const { steps, bar, judged } = story(run);
        const shape = JSON.stringify(steps);
        if (shape !== this.#shape) {
            this.#shape = shape;
            this.#list.replaceChildren(...steps.map((step) => this.#step(step)));
        }
        const open = isOpen(run);
        this.element.dataset.verdict = judged;
        this.#fill.style.transform = `scaleX(${bar.toFixed(4)})`;
        setAttr(this.#bar, 'aria-valuenow', Math.round(bar * 100));
        setText(this.#current, open ? this.#doing(run) : endedWords(run) + this.#why(run));
        setText(this.#elapsed, open ? duration(elapsedMs(run)) : '');
        const silent = silentMs(run, heardAt);
        this.#silent.hidden = silent < SILENT_AFTER_S * 1000;
        if (!this.#silent.hidden) setText(this.#silent, `silent for ${duration(silent)}`);
    }

    #doing(run) {
        if (run.stop_requested) return 'Asked to stop…';
        const p = run.progress || {};
        const parts = [];
        if (p.current) parts.push(p.current);
        if (p.failed) parts.push(`${p.failed} failed`);
        if (p.to_fetch && p.to_build)
            parts.push(`${Math.min(p.fetched ?? 0, p.to_fetch)}/${p.to_fetch} fetched`);
        return parts.join(' · ');
    }

    #why(run) {
        if (run.failed_units?.length) return `: ${run.failed_units.join(', ')}`;
        if (run.error) return `: ${run.error}`;
        return '';
    }

    #step({ id, name, state, counts }) {
        return el(
            'li',
            {
                class: 'step',
                'data-step': id,
                'data-state': state,
                'aria-current': state === 'now' ? 'step' : null,
            },
            el('span', { class: 'step-mark', 'aria-hidden': 'true', text: SHAPES[state] }),
            el('span', { class: 'step-name', text: name }),
            counts ? el('span', { class: 'step-count num', text: counts }) : null,
            el('span', { class: 'vh', text: `, ${SPOKEN[state]}` }),
        );
    }
}
