/**
 * Messages between an embedded page and its host. Nothing is accepted unless the host's origin is on the allow-list (embed.html?allow=…); answers go to that
 * origin only. No message can bring code, HTML or an address to load.
 *
 *   host -> {peft: 1, id, type: 'peft:getState' | 'peft:set' | 'peft:train' | 'peft:stop', state?: {…}}
 *   host <- {peft: 1, id, type: 'peft:state', state, status, counts} | {peft: 1, id, type: 'peft:error', message}
 */
import { toLink } from './store.js';

/** Messages per second; more are dropped. */
const RATE = 20;
const MAX_ORIGINS = 20;

/** @param {string | null} text comma list @returns {string[]} well-formed http(s) origins */
export function readOrigins(text) {
    return (text ?? '').split(',').map((word) => word.trim()).filter((word) => /^https?:\/\/[a-z0-9.-]+(:\d{1,5})?$/i.test(word)).slice(0, MAX_ORIGINS);
}

/** @param {any} value @returns {boolean} settings may only hold plain small values */
function isSettings(value) {
    return Boolean(value) && typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length <= 40;
}

/**
 * @param {{lab: import('./lab.js').Lab, allow: string[], now?: () => number}} options
 * @returns {(message: {origin: string, data: unknown}) => object | null} the answer to post back to that origin, or null
 */
export function messageHandler({ lab, allow, now = Date.now }) {
    /** @type {number[]} */
    let recent = [];
    const state = (/** @type {unknown} */ id) => ({ peft: 1, id, type: 'peft:state', state: { ...lab.state }, status: lab.status, link: toLink(lab.state), counts: lab.description?.counts ?? null });
    return ({ origin, data }) => {
        if (!allow.includes(origin) || !data || typeof data !== 'object') return null;
        const message = /** @type {Record<string, unknown>} */ (data);
        if (message.peft !== 1 || typeof message.type !== 'string' || !/^(string|number)$/.test(typeof message.id)) return null;
        const at = now();
        recent = recent.filter((time) => at - time < 1000);
        if (recent.length >= RATE) return null;
        recent.push(at);
        const { id, type } = message;
        if (type === 'peft:getState') return state(id);
        if (type === 'peft:set') {
            if (!isSettings(message.state)) return { peft: 1, id, type: 'peft:error', message: 'peft:set needs {state: {…}} with settings of a permalink' };
            lab.set(/** @type {Record<string, unknown>} */ (message.state));
            return state(id);
        }
        if (type === 'peft:train') {
            lab.train().catch(() => {}); // a failure is shown in the page
            return state(id);
        }
        if (type === 'peft:stop') {
            lab.stop().catch(() => {});
            return state(id);
        }
        return { peft: 1, id, type: 'peft:error', message: `${type.slice(0, 40)} is not known; peft:getState, peft:set, peft:train and peft:stop are` };
    };
}
