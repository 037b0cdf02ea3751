/* The commands with which a host reports to this dashboard, with the dashboard's address and the host's token. */
import { copyButton, el } from './util.js';

const TOKEN = 'THE-TOKEN';

/** [{title, text}…]; without a token, a placeholder. */
function ways(host, token = TOKEN) {
    const url = location.origin;
    const insecure = location.protocol === 'http:' && !/^(localhost|127\.|\[::1\])/.test(location.host);
    const file = '/etc/nixfleet/token';
    return [
        {
            title: 'bash',
            text: [
                `sudo install -d /etc/nixfleet`,
                `echo '${token}' | sudo install -m 640 -g "$(id -gn)" /dev/stdin ${file}`,
                `export NIXFLEET_URL=${url} NIXFLEET_TOKEN_FILE=${file} NIXFLEET_HOST=${host}`,
                ...(insecure ? ['export NIXFLEET_ALLOW_INSECURE_HTTP=1'] : []),
                `nixfleet-run echo hello`,
            ].join('\n'),
        },
        {
            title: 'NixOS',
            text: [
                `programs.nixfleet-run = {`,
                `  enable = true;`,
                `  url = "${url}";`,
                `  host = "${host}";`,
                `  tokenFile = "${file}";  # the token above, in a file`,
                ...(insecure ? ['  allowInsecureHttp = true;'] : []),
                `};`,
            ].join('\n'),
        },
        {
            title: 'curl',
            text: [
                `curl -H 'Authorization: Bearer ${token}' \\`,
                `  -d '{"lines":["hello"],"exit":{"code":0}}' \\`,
                `  ${url}/api/hosts/${host}/logs`,
            ].join('\n'),
        },
    ];
}

/** The same as elements, each with a button that copies the text. */
export function setupWays(host, token) {
    return el(
        'div',
        { class: 'ways' },
        ...ways(host, token).map(({ title, text }) =>
            el(
                'section',
                { class: 'way' },
                el('h3', { text: title }),
                el('pre', { 'data-way': title, text }),
                copyButton(`Copy the lines for ${title}`, () => text),
            ),
        ),
    );
}
