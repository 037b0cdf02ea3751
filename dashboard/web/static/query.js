/* The search of a person as a regular expression of the browser, for highlighting what the server has found. */

/** A regular expression that matches exactly this text. */
export const escape = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

/** {q, case, word, regex}; the last three are '1' or absent. null: nothing can be highlighted. */
export function toPattern({ q, case: exact, word, regex }) {
    if (!q) return null;
    const source = regex ? q : escape(q);
    const whole = word ? `(?<![\\p{L}\\p{N}_])(?:${source})(?![\\p{L}\\p{N}_])` : source;
    try {
        return new RegExp(whole, `gu${exact ? '' : 'i'}`);
    } catch {
        return null;
    }
}

const MOST = 200;

/** Where `pattern` matches in `text`: [[start, end]…]. */
export function findAll(text, pattern) {
    const ranges = [];
    if (!pattern) return ranges;
    for (const match of text.matchAll(pattern)) {
        if (match[0]) ranges.push([match.index, match.index + match[0].length]);
        if (ranges.length === MOST) break;
    }
    return ranges;
}

/** Cuts `text`, which starts at `base`, at the borders of the ranges: [[part, index of the range or -1]…]. */
export function split(text, base, ranges) {
    const parts = [];
    let at = 0;
    for (const [i, [start, end]] of ranges.entries()) {
        const a = Math.max(start - base, at);
        const b = Math.min(end - base, text.length);
        if (a >= b) continue;
        if (a > at) parts.push([text.slice(at, a), -1]);
        parts.push([text.slice(a, b), i]);
        at = b;
    }
    if (at < text.length) parts.push([text.slice(at), -1]);
    return parts;
}
