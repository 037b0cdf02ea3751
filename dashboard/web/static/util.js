/* Helpers for all modules: making elements, the server's clock, times and numbers as text. */

/** An element with properties, attributes (aria-*, data-*, role…) and children. Strings become text, never markup. */
export function el(tag, props = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(props)) {
        if (value === undefined || value === null || value === false) continue;
        if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
        else if (key === 'class') node.className = value;
        else if (key === 'text') node.textContent = value;
        else node.setAttribute(key, value === true ? '' : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
    return node;
}

/** Writes the text only if it differs: without a change of the DOM there is no layout, and the selection stays. */
export function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
}

/** Other children for `box`. The focus stays where it was: on what does the same (`data-do`) in the row of the same `data-key`. */
export function refill(box, children) {
    const at = box.contains(document.activeElement) ? document.activeElement : null;
    const key = at?.closest('[data-key]')?.dataset.key;
    box.replaceChildren(...children);
    if (!at || at.isConnected) return;
    const row = [...box.querySelectorAll('[data-key]')].find((one) => one.dataset.key === key);
    row?.querySelector(`[data-do="${at.dataset.do}"]`)?.focus({ preventScroll: true });
}

const SCROLLS = '.run-table, .build-list, .package-list, .comparison, .command, .build-log pre';

/** Puts `node` behind `at`. A browser forgets what is scrolled and focused in a part that is moved; here it stays. */
export function moveBehind(at, node) {
    const focused = node.contains(document.activeElement) ? document.activeElement : null;
    const scrolled = [...node.querySelectorAll(SCROLLS)].map((one) => [one, one.scrollTop, one.scrollLeft]);
    at.after(node);
    for (const [one, top, left] of scrolled) {
        one.scrollTop = top;
        one.scrollLeft = left;
    }
    focused?.focus({ preventScroll: true });
}

export function setAttr(node, name, value) {
    if (value === null || value === undefined) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

const TURNS = 8; // positions of the activity sign

/** Turns the activity sign by one position each second. An animation would cost sixty frames a second, and would continue after
   the connection is lost. */
export function turn(node) {
    const degrees = `${(Math.floor(Date.now() / 1000) % TURNS) * (360 / TURNS)}deg`;
    if (node.style.getPropertyValue('--turn') !== degrees) node.style.setProperty('--turn', degrees);
}

/* The server's clock as far as known. Every "ago" and "elapsed" uses it, so a wrong clock of the browser has no effect. */
let clockOffset = 0;

export function setServerNow(now) {
    const ms = toMs(now);
    if (ms) clockOffset = ms - Date.now();
}

export function serverNow() {
    return Date.now() + clockOffset;
}

/** Milliseconds of a time in ms, or in RFC 3339 with or without its Z (the bash agent's times have none); else 0. */
export function toMs(time) {
    if (typeof time === 'number') return time;
    if (typeof time !== 'string' || time === '') return 0;
    const zoned = /(Z|[+-]\d\d:?\d\d)$/.test(time) ? time : time.replace(' ', 'T') + 'Z';
    const ms = Date.parse(zoned);
    return Number.isNaN(ms) ? 0 : ms;
}

/** 7 s, 3 min 05 s, 2 h 07 min, 4 d 3 h. */
export function duration(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, '0')} s`;
    if (s < 86400)
        return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, '0')} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const SHORT_MS = 10000;

/** The same with a tenth below ten seconds: 0.4 s. */
export const shortDuration = (ms) => (ms < SHORT_MS ? `${(ms / 1000).toFixed(1)} s` : duration(ms));

export function ago(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    if (s < 5) return 'now';
    if (s < 60) return `${s - (s % 5)} s ago`; // in steps: a text that changes each second would be drawn each second
    if (s < 3600) return `${Math.floor(s / 60)} min ago`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
    return `${Math.floor(s / 86400)} d ago`;
}

export function clockTime(ms) {
    const date = new Date(ms);
    const two = (n) => String(n).padStart(2, '0');
    return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** 0:07.3, 12:03.0, 1:00:07.3: time since a start, in one width except for the longest. */
export function elapsedTime(ms) {
    const tenths = Math.max(0, Math.floor(ms / 100));
    const s = Math.floor(tenths / 10) % 60;
    const min = Math.floor(tenths / 600) % 60;
    const h = Math.floor(tenths / 36000);
    const two = (n) => String(n).padStart(2, '0');
    const text = `${h ? `${h}:${two(min)}` : min}:${two(s)}.${tenths % 10}`;
    return text.padStart(8);
}

export function dayAndTime(ms, seconds = false) {
    return new Date(ms).toLocaleString([], {
        year: 'numeric',
        month: 'short',
        day: 'numeric',
        hour: '2-digit',
        minute: '2-digit',
        second: seconds ? '2-digit' : undefined,
    });
}

export const count = (n) => Number(n).toLocaleString('en-US');
export const plural = (n, one, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`;

export function bytes(n) {
    if (n < 1024) return `${n} B`;
    if (n < 1048576) return `${(n / 1024).toFixed(0)} KB`;
    return `${(n / 1048576).toFixed(1)} MB`;
}

/** Runs `fn` at most once per `ms`, the last call always included. */
export function throttle(fn, ms) {
    let timer = 0;
    let last = 0;
    return () => {
        if (timer) return;
        timer = setTimeout(
            () => {
                timer = 0;
                last = performance.now();
                fn();
            },
            Math.max(0, ms - (performance.now() - last)),
        );
    };
}

/** A person's preferences, stored in this browser; works without storage, too. */
export const prefs = {
    get(key, fallback) {
        try {
            return localStorage.getItem(`nixfleet.${key}`) ?? fallback;
        } catch {
            return fallback;
        }
    },
    set(key, value) {
        try {
            localStorage.setItem(`nixfleet.${key}`, value);
        } catch {
            /* not stored */
        }
    },
};

/** Copies text, also without the clipboard API, which exists only over https and on localhost. */
export async function copyText(text) {
    if (navigator.clipboard && window.isSecureContext) {
        try {
            await navigator.clipboard.writeText(text);
            return true;
        } catch {
            /* not allowed: the old way may still be */
        }
    }
    const area = el('textarea', { class: 'vh', 'aria-hidden': 'true' });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
}

const COPIED_MS = 2000;

/** A button that copies what `text()` returns, and says that it did. */
export function copyButton(label, text) {
    const button = el('button', { type: 'button', class: 'copy', 'aria-label': label, title: label, 'data-do': 'copy-text' }, 'Copy');
    button.addEventListener('click', async () => {
        setText(button, (await copyText(text())) ? 'Copied' : 'Not allowed');
        setTimeout(() => setText(button, 'Copy'), COPIED_MS);
    });
    return button;
}
