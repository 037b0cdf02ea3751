/* The phases of a run as steps, a bar, and one line about the present work. The elements are made once and then updated. */
import { Bar, SILENT_AFTER_S, elapsedMs, endedWords, isOpen, reason, silentMs, story } from './runs.js';
import { duration, el, setAttr, setText, turn } from './util.js';

const SHAPES = { done: '✓', now: '', todo: '', bad: '✗', warn: '!', skipped: '–', over: '■' };
const SPOKEN = {
    done: 'done',
    now: 'now',
    todo: 'to come',
    bad: 'failed',
    warn: 'with failures',
    skipped: 'not reached',
    over: 'stopped here',
};

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
    #doing = el('span', { class: 'doing' });
    #elapsed = el('span', { class: 'elapsed num' });
    #silent = el('span', { class: 'silent', hidden: true });
    #shape = '';
    #farthest = new Bar();
    element = el(
        'div',
        { class: 'stepper' },
        this.#list,
        this.#bar,
        el('p', { class: 'now' }, this.#doing, this.#silent, this.#elapsed),
    );

    /** `arrivedAt`: browser time of the run's newest message, from which times count. */
    update(run, arrivedAt) {
        const state = story(run);
        const shape = JSON.stringify(state.steps);
        if (shape !== this.#shape) {
            this.#shape = shape;
            this.#list.replaceChildren(...state.steps.map((step) => this.#step(step)));
        }
        if (state.judged === 'busy') turn(this.#list);
        const open = isOpen(run);
        const bar = this.#farthest.of(run, state);
        setAttr(this.element, 'data-verdict', state.judged);
        const scale = `scaleX(${bar.toFixed(3)})`;
        if (this.#fill.style.transform !== scale) this.#fill.style.transform = scale;
        setAttr(this.#bar, 'aria-valuenow', Math.round(bar * 100));
        setText(this.#doing, open ? this.#now(run) : [endedWords(run), reason(run)].filter(Boolean).join(': '));
        setText(this.#elapsed, open ? duration(elapsedMs(run)) : '');
        const silent = silentMs(run, arrivedAt);
        this.#silent.hidden = silent < SILENT_AFTER_S * 1000;
        if (!this.#silent.hidden) setText(this.#silent, `silent for ${duration(silent)}`);
    }

    #now(run) {
        if (run.stop_requested) return 'Asked to stop…';
        const p = run.progress || {};
        const parts = [];
        if (p.current) parts.push(p.current);
        if (p.failed) parts.push(`${p.failed} failed`);
        if (p.to_fetch && p.to_build)
            parts.push(`${Math.min(p.fetched ?? 0, p.to_fetch)}/${p.to_fetch} fetched`);
        return parts.join(' · ');
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
