'use strict';
// Rows to one JSON parameter, for functions of the database that take records.

/** @import { Row } from './types' */

// In the JSON of a text that PostgreSQL refuses: NUL, and half of a surrogate pair (pairs are not escaped).
const UNSTORABLE = /\\u(?:0000|d[89a-f])/;

/**
 * The rows as an array of objects. What is null or missing in a row is left out: to the database it is the same, and it
 * reads less. Inside of a row's values everything stays.
 * @param {Row[]} rows
 * @returns {string}
 */
const recordsJson = (rows) => json(rows.map(told));

/**
 * The rows as one object with a list per key, which PostgreSQL reads twice as fast; a key that no row tells is left out.
 * @param {Row[]} rows
 * @returns {string}
 */
function listsJson(rows) {
  const keys = new Set();
  for (const row of rows) {
    for (const key in row) {
      if (row[key] !== null && row[key] !== undefined) keys.add(key);
    }
  }
  return json(Object.fromEntries(Array.from(keys, (key) => [key, rows.map((row) => row[key])])));
}

/** @param {Row} row */
function told(row) {
  /** @type {Row} */
  const record = {};
  for (const key in row) if (row[key] !== null && row[key] !== undefined) record[key] = row[key];
  return record;
}

/** @param {unknown} value */
function json(value) {
  const text = JSON.stringify(value);
  return UNSTORABLE.test(text) ? JSON.stringify(value, storable) : text;
}

/**
 * @param {string} _key
 * @param {unknown} value
 */
function storable(_key, value) {
  return typeof value === 'string' ? value.replaceAll('\u0000', '\ufffd').toWellFormed() : value;
}

module.exports = { recordsJson, listsJson };
