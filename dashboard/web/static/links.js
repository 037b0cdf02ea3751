/* The links of a log line: addresses in its text, and targets that a program attached to a text (OSC 8). Such a text can say
   anything, so the host of the target is shown beside it. */
import { findAll } from './query.js';
import { el } from './util.js';

/* A link ends before punctuation that closes a sentence or a bracket. */
const URLS = /https?:\/\/[^\s<>"'`]+[^\s<>"'`.,:;!?)\]}]/g;

const MOST = 500; // links of a line; further addresses stay text

/** The URL of a target that a link may have; else null. */
function targetOf(text) {
    if (!/^https?:\/\//i.test(text)) return null;
    try {
        return new URL(text);
    } catch {
        return null;
    }
}

/** The links of a line: [[start, end, target]…] in order. `pieces`: of the line, with their targets. */
export function findLinks(text, pieces) {
    const links = [];
    let at = 0;
    for (const { text: part, target } of pieces) {
        if (links.length === MOST) break;
        const last = links[links.length - 1];
        if (target && last?.[1] === at && last[2] === target) last[1] += part.length;
        else if (target && targetOf(target)) links.push([at, at + part.length, target]);
        at += part.length;
    }
    if (!text.includes('://')) return links;
    const free = ([start, end]) => !links.some((link) => start < link[1] && end > link[0]);
    const written = findAll(text, URLS)
        .filter((range) => free(range) && targetOf(text.slice(...range)))
        .map(([start, end]) => [start, end, text.slice(start, end)]);
    return [...links, ...written].sort((a, b) => a[0] - b[0]);
}

/** The element of a link whose text is `words`. */
export function linkTo(target, words) {
    const { href, host, username, password } = targetOf(target);
    const plain = words === target && !username && !password;
    return el('a', {
        class: 'link',
        href,
        target: '_blank',
        rel: 'noopener noreferrer',
        title: target,
        'data-target-host': plain ? null : host,
    });
}
