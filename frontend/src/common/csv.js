/** @typedef {string|number|boolean|null|undefined} Cell */

/**
 * Rows as CSV (RFC 4180, with the mark that makes Excel read UTF-8). A cell that a spreadsheet would run as a formula is made harmless.
 * @param {string[]} header
 * @param {Cell[][]} rows
 */
export function toCsv(header, rows) {
  return `\ufeff${[header, ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('')}`;
}

/** @param {Cell} value */
function cell(value) {
  if (value === null || value === undefined) return '';
  const text = typeof value === 'string' && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
