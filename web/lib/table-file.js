/** Tables as files for spreadsheets and programs. */

/**
 * CSV (RFC 4180). A text that a spreadsheet would run as a formula (first character = + - @ tab or return) gets an
 * apostrophe before it; numbers stay numbers.
 * @param {string[]} columns @param {(string | number | boolean | null | undefined)[][]} rows
 */
export function csv(columns, rows) {
    const cell = (/** @type {unknown} */ value) => {
        if (typeof value === 'number') return Number.isFinite(value) ? String(value) : '';
        const text = String(value ?? '');
        const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
        return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    return [columns, ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}
