/**
 * Messages between an embedded page and its host. Without an allow-list (embed.html?allow=…) the host may look, at
 * settings and counts but no words of the user's, and not touch. With one, origins on it may do everything here and
 * others get no answer. Answers go to the asking origin only. No message can bring code, HTML or an address to load.
 *
 *   host -> {peft: 1, id, type: 'peft:getState' | 'peft:set' | 'peft:setState' | 'peft:train' | 'peft:stop', state?: {…}}
 *           (set changes what it names, setState takes the rest back to where it begins)
 *   host <- {peft: 1, id, type: 'peft:state', state, status, counts} | {peft: 1, id, type: 'peft:error', message}
 */
import { defaults, toLink } from './store.js';

/** Messages per second; more are dropped. */
const RATE = 20;
const MAX_ORIGINS = 20;
const TYPES = ['peft:getState', 'peft:set', 'peft:setState', 'peft:train', 'peft:stop'];

/** @param {string | null} text comma list @returns {string[]} well-formed http(s) origins */
export function readOrigins(text) {
    return (text ?? '')
        .split(',')
        .map((word) => word.trim())
        .filter((word) => /^https?:\/\/[a-z0-9.-]+(:\d{1,5})?$/i.test(word))
        .slice(0, MAX_ORIGINS);
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
    const state = (/** @type {unknown} */ id, whole = true) => {
        const { init_text: _, ...options } = lab.state.options;
        const shown = { ...lab.state, ...(!whole && { prompt: '', options }) };
        return { peft: 1, id, type: 'peft:state', state: shown, status: lab.status, link: toLink(shown), counts: lab.description?.counts ?? null };
    };
    const error = (/** @type {unknown} */ id, /** @type {string} */ text) => ({ peft: 1, id, type: 'peft:error', message: text });
    return ({ origin, data }) => {
        const mayTouch = allow.includes(origin);
        if ((allow.length && !mayTouch) || !data || typeof data !== 'object') return null;
        const message = /** @type {Record<string, unknown>} */ (data);
        if (message.peft !== 1 || typeof message.type !== 'string' || !/^(string|number)$/.test(typeof message.id)) return null;
        const at = now();
        recent = recent.filter((time) => at - time < 1000);
        if (recent.length >= RATE) return null;
        recent.push(at);
        const { id, type } = message;
        if (!TYPES.includes(type)) return error(id, `${type.slice(0, 40)} is not known; ${TYPES.join(', ')} are`);
        if (type === 'peft:getState') return state(id, mayTouch);
        if (!mayTouch)
            return error(
                id,
                `${type} is refused: this frame may only be read. Its address must name your origin: embed.html?allow=https://…`,
            );
        if (type === 'peft:set' || type === 'peft:setState') {
            if (!isSettings(message.state)) return error(id, `${type} needs {state: {…}} with settings of a permalink`);
            const { model, ...rest } = defaults(); // the default model is known by its name only
            lab.set({ ...(type === 'peft:setState' && rest), .../** @type {Record<string, unknown>} */ (message.state) });
        } else (type === 'peft:train' ? lab.train() : lab.stop()).catch(() => {}); // a failure is shown in the page
        return state(id);
    };
}
