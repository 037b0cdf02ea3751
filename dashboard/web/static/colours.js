/* The button that selects the colours: as the system, light, dark. theme.js applies the selection. */
import { prefs, setText } from './util.js';

const CHOICES = { auto: ['◐', 'follow the system'], light: ['☀︎', 'light'], dark: ['☾', 'dark'] };

/** `changed` is called after each change of the colours. */
export function colourButton(button, changed) {
    const choice = () => (CHOICES[prefs.get('theme', 'auto')] ? prefs.get('theme', 'auto') : 'auto');
    const show = () => {
        const [mark, words] = CHOICES[choice()];
        setText(button, mark);
        button.title = `Colours: ${words}`;
        button.setAttribute('aria-label', button.title);
    };
    button.addEventListener('click', () => {
        const names = Object.keys(CHOICES);
        prefs.set('theme', names[(names.indexOf(choice()) + 1) % names.length]);
        window.dispatchEvent(new Event('nixfleet-theme'));
        show();
    });
    new MutationObserver(changed).observe(document.documentElement, { attributeFilter: ['data-theme'] });
    show();
}
