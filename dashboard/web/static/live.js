/* The live channel: one WebSocket that connects again by itself. It passes messages on without reading their content, and reports
   when it is connected. It also notices a dead connection: the server sends a message every 15 s, so after 40 s of silence (or
   after the computer slept) the page may show old data. */

const SILENCE_MS = 40000;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30000;
const TICK_MS = 1000;
const SLEPT_MS = 20000;

export class Live extends EventTarget {
    #socket = null;
    #wait = FIRST_WAIT_MS;
    #retryAt = 0;
    #lastHeard = 0;
    #lastTick = Date.now();
    #url;

    /** State: 'connecting', 'live' or 'lost'; `lostSince` is a browser time in ms, or 0. */
    state = 'connecting';
    lostSince = 0;

    constructor(url) {
        super();
        this.#url = url;
        setInterval(() => this.#tick(), TICK_MS);
        window.addEventListener('offline', () => this.#drop());
        window.addEventListener('online', () => this.reconnect());
        window.addEventListener('pageshow', (event) => event.persisted && this.reconnect());
        document.addEventListener('visibilitychange', () => {
            if (document.visibilityState === 'visible') this.#tick();
        });
        this.reconnect();
    }

    /** Seconds until the next try, while there is no connection. */
    get retryIn() {
        return Math.max(0, Math.ceil((this.#retryAt - Date.now()) / 1000));
    }

    send(message) {
        if (this.#socket?.readyState !== WebSocket.OPEN) return false;
        this.#socket.send(JSON.stringify(message));
        return true;
    }

    reconnect() {
        this.#close();
        this.#retryAt = 0;
        const socket = new WebSocket(this.#url);
        this.#socket = socket;
        this.#lastHeard = Date.now();
        socket.onopen = () => {
            if (socket !== this.#socket) return;
            this.#lastHeard = Date.now();
            this.#wait = FIRST_WAIT_MS;
            this.lostSince = 0;
            this.#become('live');
        };
        socket.onmessage = (event) => {
            if (socket !== this.#socket) return;
            this.#lastHeard = Date.now();
            let message;
            try {
                message = JSON.parse(event.data);
            } catch {
                return;
            }
            this.dispatchEvent(new CustomEvent('message', { detail: message }));
        };
        socket.onclose = () => {
            if (socket !== this.#socket) return;
            const refused = this.state !== 'live';
            this.#drop();
            if (refused) this.dispatchEvent(new Event('refused'));
        };
        socket.onerror = () => {};
    }

    #close() {
        const old = this.#socket;
        this.#socket = null;
        if (old) old.close();
    }

    #drop() {
        this.#close();
        if (!this.lostSince) this.lostSince = this.#lastHeard || Date.now();
        this.#retryAt = Date.now() + this.#wait * (0.5 + Math.random() / 2);
        this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS);
        this.#become('lost');
    }

    #tick() {
        const now = Date.now();
        const slept = now - this.#lastTick > SLEPT_MS;
        this.#lastTick = now;
        if (this.#socket) {
            const quiet = now - this.#lastHeard;
            if (quiet > SILENCE_MS) this.#drop();
            else if (slept && quiet > SLEPT_MS) this.reconnect();
        } else if (now >= this.#retryAt) {
            this.reconnect();
        }
        this.dispatchEvent(new Event('tick'));
    }

    #become(state) {
        if (this.state === state) return;
        this.state = state;
        this.dispatchEvent(new Event('state'));
    }
}
