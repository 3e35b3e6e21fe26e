/** Tables as CSV (RFC 4180). Cells that a spreadsheet would read as a formula get a leading apostrophe. */

/** @param {unknown} value @returns {string} */
function cell(value) {
    if (value === null || value === undefined) return '';
    if (typeof value === 'number') return String(value);
    let text = String(value);
    if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {string[]} columns @param {unknown[][]} rows @returns {string} */
export const toCsv = (columns, rows) => `${[columns, ...rows].map((row) => row.map(cell).join(',')).join('\r\n')}\r\n`;
