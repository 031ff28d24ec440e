'use strict';
// Rows to PostgreSQL array literals, one per column: the form in which a few hundred rows travel as one statement.

/** @import { Row } from './types' */

const NEEDS_ESCAPE = /["\\]/;

/** @param {string} text */
const quoted = (text) => `"${NEEDS_ESCAPE.test(text) ? text.replace(/["\\]/g, '\\$&') : text}"`;

/**
 * The array literal of one column, for example `{1.5,NULL,"a b"}`. Missing values are NULL; dates are ISO 8601; objects
 * are JSON.
 * @param {Row[]} rows
 * @param {string} column  the rows' property
 * @returns {string}
 */
function columnLiteral(rows, column) {
  let literal = '{';
  for (let i = 0; i < rows.length; i++) {
    if (i > 0) literal += ',';
    const value = rows[i][column];
    if (value === null || value === undefined) literal += 'NULL';
    else if (typeof value === 'number') literal += value;
    else if (typeof value === 'string') literal += quoted(value);
    else if (typeof value === 'boolean') literal += value ? 't' : 'f';
    else if (value instanceof Date) literal += quoted(value.toISOString());
    else literal += quoted(JSON.stringify(value));
  }
  return `${literal}}`;
}

module.exports = { columnLiteral };
