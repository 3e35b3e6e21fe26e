/** Numbers as people read them, in the page's language. Units are always written out. */
import { number, t } from './i18n.js';

/** 2,048 @param {number} value */
export const count = (value) => number(value, { maximumFractionDigits: 0 });

/** 1.42 @param {number} value @param {number} [digits] after the point */
export const fixed = (value, digits = 2) => number(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });

const SUPERSCRIPT = '⁰¹²³⁴⁵⁶⁷⁸⁹';

/** 1.5·10⁻⁵ @param {number} value not 0 @param {number} digits significant ones */
function scientific(value, digits) {
    const [factor, exponent] = value.toExponential(digits - 1).split('e').map(Number);
    const raised = (exponent < 0 ? '⁻' : '') + [...String(Math.abs(exponent))].map((digit) => SUPERSCRIPT[Number(digit)]).join('');
    return factor === 1 ? `10${raised}` : `${number(factor, { maximumSignificantDigits: digits })}·10${raised}`;
}

/** 10⁻³, 0.1, 10, 10⁴: marks of a logarithmic axis @param {number} value above 0 */
export const power = (value) => (value >= 0.1 && value < 1000 ? number(value, { maximumSignificantDigits: 2 }) : scientific(value, 2));

/** 0.00312, 1.5·10⁻⁵: significant digits @param {number} value @param {number} [digits] */
export const significant = (value, digits = 3) => (value !== 0 && Math.abs(value) < 1e-4
    ? scientific(value, digits)
    : number(value, { maximumSignificantDigits: digits }));

/** 0.95 % @param {number} value already in percent */
export function percent(value) {
    const size = Math.abs(value);
    const digits = size >= 10 || size === 0 ? 0 : size >= 1 ? 1 : size >= 0.01 ? 2 : 4;
    return number(value / 100, { style: 'percent', minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** test, 80 examples: what a held-out number was computed on @param {string} split @param {number} n */
export const splitWords = (split, n) => t('split.count', { split: t(`split.${split}`), n });

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'];

/** 16.8 MB, powers of 1000 as disks and networks count @param {number} bytes */
export function byteSize(bytes) {
    let at = 0;
    let value = bytes;
    while (value >= 1000 && at < UNITS.length - 1) {
        value /= 1000;
        at++;
    }
    return `${number(value, { maximumSignificantDigits: 3 })} ${UNITS[at]}`;
}

/** 8 s, 2 min 5 s @param {number} seconds */
export function duration(seconds) {
    if (!Number.isFinite(seconds)) return '–';
    if (seconds < 1) return t('unit.ms', { n: Math.round(seconds * 1000) });
    if (seconds < 10) return t('unit.s', { n: Math.round(seconds * 10) / 10 });
    if (seconds < 60) return t('unit.s', { n: Math.round(seconds) });
    return t('unit.min_s', { m: Math.floor(seconds / 60), s: Math.round(seconds % 60) });
}

/** An option's value, short. @param {any} value @returns {string} */
export function optionValue(value) {
    if (Array.isArray(value)) return value.map((v) => String(v).replace(/_proj$/, '')).join(', ');
    if (typeof value === 'number') return significant(value, 6);
    if (typeof value === 'boolean') return t(value ? 'word.on' : 'word.off');
    if (value && typeof value === 'object') return JSON.stringify(value);
    return String(value ?? '–');
}
