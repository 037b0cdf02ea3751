/* The calls that the page makes over HTTP. A lost session leads to the sign-in page; every other failure is an Error
   whose message can be shown to a person. */
let csrf = '';

export function setCsrf(token) {
    csrf = token || '';
    for (const field of document.querySelectorAll('input[name="csrf_token"]')) field.value = csrf;
}

/** Whether the person has signed in. A page that was opened with the view token can change nothing. */
export const mayChange = () => csrf !== '';

async function call(method, path, body) {
    const headers = { Accept: 'application/json' };
    if (method !== 'GET') headers['X-CSRF-Token'] = csrf;
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    let answer;
    try {
        answer = await fetch(path, {
            method,
            headers,
            credentials: 'same-origin',
            body: body === undefined ? undefined : JSON.stringify(body),
        });
    } catch {
        throw new Error('the dashboard cannot be reached');
    }
    if (answer.status === 401) {
        location.assign(`/login${location.hash}`);
        throw new Error('signed out');
    }
    const said = await answer.json().catch(() => null);
    if (!answer.ok) {
        const detail = said && (said.detail || said.error);
        const error = new Error(
            typeof detail === 'string' ? detail : `the dashboard answered ${answer.status}`,
        );
        error.status = answer.status;
        throw error;
    }
    return said;
}

const hostPath = (host) => `/api/hosts/${encodeURIComponent(host)}`;
const runPath = (host, run) => `${hostPath(host)}/runs/${encodeURIComponent(run)}`;
export const buildLogUrl = (host, run, n) => `${runPath(host, run)}/derivations/${n}/log`;
export const logUrl = (host, run) => `${runPath(host, run)}/log`;

export const api = {
    host: (host) => call('GET', hostPath(host)),
    runs: (host, limit = 50, before) =>
        call(
            'GET',
            `${hostPath(host)}/runs?limit=${limit}${before ? `&before=${encodeURIComponent(before)}` : ''}`,
        ),
    run: (host, run) => call('GET', runPath(host, run)),
    deleteRun: (host, run) => call('DELETE', runPath(host, run)),
    lines: (host, run, from, limit) => call('GET', `${runPath(host, run)}/lines?from=${from}&limit=${limit}`),
    search: (host, run, { from = 0, limit = 1000, ...question }) => {
        const query = new URLSearchParams({ from, limit, ...question });
        return call('GET', `${runPath(host, run)}/search?${query}`);
    },
    buildLines: (host, run, n, from) => call('GET', `${runPath(host, run)}/derivations/${n}/lines?from=${from}`),
    derivations: (host, run) => call('GET', `${runPath(host, run)}/derivations`),
    changes: (host, run) => call('GET', `${runPath(host, run)}/changes`),
    allRuns: (query) => call('GET', `/api/runs?${new URLSearchParams(query)}`),
    searchAll: (question) => call('GET', `/api/search?${new URLSearchParams(question)}`),
    command: (host, command) => call('POST', `${hostPath(host)}/command`, { command }),
    cancelCommand: (host) => call('DELETE', `${hostPath(host)}/command`),
    addHost: (host) => call('POST', '/api/hosts', host),
    removeHost: (host) => call('DELETE', hostPath(host)),
    refreshTarget: () => call('POST', '/api/nixcfg/refresh', {}),
    agentToken: (host) => call('POST', `${hostPath(host)}/agent-token`, {}),
    historyFile: (host) => `${hostPath(host)}/logs/download?format=txt`,
};
