/* Colours of a log line. A line holds text, SGR sequences (ESC [ … m) and links (OSC 8); anything else that could move a
   cursor or hide text is dropped. The result is pieces of text with a style. They are drawn with textContent, so a line can never
   become markup. The 16 named colours are classes, so that each theme has its own readable set; 256 and true colours are
   shifted until they can be read on the theme's background. */

const NAMED = 16;
const MIN_CONTRAST = 4.5;
/* eslint-disable no-control-regex */
const ESCAPES =
    /\x1b\[([0-9;:]*)m|\x1b\]8;[^;\x07\x1b]*;([^\x07\x1b]*)(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?/g;
const CONTROLS = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/g;

const PLAIN = Object.freeze({
    fg: null,
    bg: null,
    bold: false,
    dim: false,
    italic: false,
    underline: false,
    strike: false,
    inverse: false,
});

/** The text without styles and links. */
export function stripAnsi(line) {
    return line.replace(ESCAPES, '').replace(CONTROLS, '');
}

/** [{text, style, target}…]; fg and bg are null, an index below 16, or [r, g, b]; target is the target of a link, or ''. At most
   the
    first `most` characters. */
export function parseAnsi(line, most = Infinity) {
    const pieces = [];
    let style = PLAIN;
    let target = '';
    let at = 0;
    let room = most;
    const push = (text) => {
        const clean = text.replace(CONTROLS, '').slice(0, room);
        if (!clean) return;
        room -= clean.length;
        const last = pieces[pieces.length - 1];
        if (last && last.style === style && last.target === target) last.text += clean;
        else pieces.push({ text: clean, style, target });
    };
    if (line.indexOf('\x1b') < 0) {
        push(line);
        return pieces;
    }
    for (const match of line.matchAll(ESCAPES)) {
        if (room <= 0) return pieces;
        push(line.slice(at, match.index));
        at = match.index + match[0].length;
        if (match[1] !== undefined) style = applySgr(style, match[1]);
        if (match[2] !== undefined) target = match[2];
    }
    push(line.slice(at));
    return pieces;
}

function applySgr(before, text) {
    const codes = text === '' ? [0] : text.split(/[;:]/).map(Number);
    let style = { ...before };
    for (let i = 0; i < codes.length; i++) {
        const code = codes[i];
        if (code === 0) style = { ...PLAIN };
        else if (code === 1) style.bold = true;
        else if (code === 2) style.dim = true;
        else if (code === 3) style.italic = true;
        else if (code === 4) style.underline = true;
        else if (code === 7) style.inverse = true;
        else if (code === 9) style.strike = true;
        else if (code === 22) style.bold = style.dim = false;
        else if (code === 23) style.italic = false;
        else if (code === 24) style.underline = false;
        else if (code === 27) style.inverse = false;
        else if (code === 29) style.strike = false;
        else if (code >= 30 && code <= 37) style.fg = code - 30;
        else if (code >= 90 && code <= 97) style.fg = code - 82;
        else if (code === 39) style.fg = null;
        else if (code >= 40 && code <= 47) style.bg = code - 40;
        else if (code >= 100 && code <= 107) style.bg = code - 92;
        else if (code === 49) style.bg = null;
        else if (code === 38 || code === 48) {
            const [color, used] = extended(codes, i + 1);
            if (color !== undefined) style[code === 38 ? 'fg' : 'bg'] = color;
            i += used;
        }
    }
    return style;
}

function extended(codes, at) {
    if (codes[at] === 5) return [indexed(codes[at + 1]), 2];
    if (codes[at] === 2) {
        const rgb = codes.slice(at + 1, at + 4);
        return [rgb.length === 3 && rgb.every((c) => c >= 0 && c < 256) ? rgb : undefined, 4];
    }
    return [undefined, 1];
}

function indexed(n) {
    if (!(n >= 0 && n < 256)) return undefined;
    if (n < NAMED) return n;
    if (n >= 232) {
        const grey = 8 + (n - 232) * 10;
        return [grey, grey, grey];
    }
    const level = (v) => (v === 0 ? 0 : 55 + v * 40);
    const cube = n - NAMED;
    return [level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6)];
}

function luminance([r, g, b]) {
    const channel = (v) => {
        const c = v / 255;
        return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    };
    return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
}

function contrast(a, b) {
    const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (hi + 0.05) / (lo + 0.05);
}

/** Moves `rgb` towards white or black until it is readable on `background`; keeps the hue as long as possible. */
function readable(rgb, background) {
    const goal = luminance(background) > 0.4 ? 0 : 255;
    for (let mix = 0; mix <= 1; mix += 0.1) {
        const tried = rgb.map((c) => Math.round(c + (goal - c) * mix));
        if (contrast(tried, background) >= MIN_CONTRAST) return tried;
    }
    return [goal, goal, goal];
}

/** Sets the style of an element: classes for colours of the theme, CSSOM for colours that the log itself has chosen. */
export function paint(node, style, background) {
    let { fg, bg } = style;
    const classes = [];
    if (style.inverse) [fg, bg] = [bg ?? 'bg', fg ?? 'fg'];
    if (style.bold) classes.push('a-bold');
    if (style.dim) classes.push('a-dim');
    if (style.italic) classes.push('a-italic');
    if (style.underline) classes.push('a-under');
    if (style.strike) classes.push('a-strike');
    if (typeof bg === 'number' || typeof bg === 'string') classes.push(`b-${bg}`);
    if (Array.isArray(bg)) node.style.backgroundColor = `rgb(${bg})`;
    if (Array.isArray(bg) && fg === null) fg = luminance(bg) > 0.4 ? [0, 0, 0] : [255, 255, 255];
    if (typeof fg === 'number' || typeof fg === 'string') classes.push(`f-${fg}`);
    if (Array.isArray(fg)) node.style.color = `rgb(${readable(fg, Array.isArray(bg) ? bg : background)})`;
    if (classes.length) node.className = classes.join(' ');
}

export const isPlain = (style) =>
    style === PLAIN ||
    (style.fg === null &&
        style.bg === null &&
        !style.bold &&
        !style.dim &&
        !style.italic &&
        !style.underline &&
        !style.strike &&
        !style.inverse);
