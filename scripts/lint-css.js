// Checks stylesheets with css-tree: syntax, property names, values. scripts/lint-css.js FILE...
'use strict';
const fs = require('fs');
const csstree = require('css-tree');

const SKIPPED = new Set(['forced-color-adjust', 'overflow-anchor']); // standard, but unknown to some versions of css-tree
let problems = 0;

function report(file, at, what) {
    console.error(`${file}:${at ? `${at.start.line}:${at.start.column}` : '1:1'}: ${what}`);
    problems++;
}

for (const file of process.argv.slice(2)) {
    const used = new Map(); // if a rule sets a property twice, the first value has no effect
    const tree = csstree.parse(fs.readFileSync(file, 'utf8'), {
        positions: true,
        onParseError: ({ line, column, message }) => report(file, { start: { line, column } }, message),
    });
    csstree.walk(tree, {
        visit: 'Rule',
        enter(rule) {
            used.clear();
            rule.block.children.forEach((node) => {
                if (node.type !== 'Declaration') return;
                if (used.has(node.property)) report(file, node.loc, `${node.property} is declared twice`);
                used.set(node.property, node);
            });
        },
    });
    csstree.walk(tree, {
        visit: 'Declaration',
        enter({ property, value, loc }) {
            const free = property.startsWith('--') || SKIPPED.has(property) || /\b(var|min|max|clamp)\(/.test(csstree.generate(value));
            if (free) return;
            const { error } = csstree.lexer.matchProperty(property, value);
            if (error) report(file, loc, `${property}: ${error.message.split('\n')[0]}`);
        },
    });
}
process.exit(problems ? 1 : 0);
