// Figures for people: each function returns [value, unit] or a text; null is "–", never 0.

import { wallTime, zone } from './clock.js';

/** @import { Figure } from './types.d.ts' */
/** @typedef {number|string|Date} Time  ms since 1970, ISO 8601, or a Date */

/** What stands in place of an unknown figure. */
export const NONE = '–';
const locale = undefined; // the browser's own

/** @type {Map<number, Intl.NumberFormat>} */
const numbers = new Map();

/**
 * A number with exactly this many digits after the point.
 * @param {number|null|undefined} value
 * @param {number} [digits]
 */
export function number(value, digits = 0) {
  if (value == null) return NONE;
  let format = numbers.get(digits);
  if (!format) {
    format = new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: 'negative' });
    numbers.set(digits, format);
  }
  return format.format(value).replace('-', '−');
}

/**
 * @param {number|null|undefined} value  W
 * @returns {Figure}
 */
export function watts(value) {
  if (value == null) return [NONE];
  return Math.abs(value) >= 10_000 ? [number(value / 1000, 1), 'kW'] : [number(value, Math.abs(value) < 10 ? 1 : 0), 'W'];
}

/**
 * @param {number|null|undefined} value  kWh
 * @returns {Figure}
 */
export function kwh(value) {
  if (value == null) return [NONE];
  return [number(value, Math.abs(value) < 10 ? 3 : Math.abs(value) < 1000 ? 1 : 0), 'kWh'];
}

/**
 * Filament or CO2.
 * @param {number|null|undefined} value  g
 * @returns {Figure}
 */
export function grams(value) {
  if (value == null) return [NONE];
  return value >= 1000 ? [number(value / 1000, 2), 'kg'] : [number(value, value < 10 ? 1 : 0), 'g'];
}

/**
 * @param {number|null|undefined} value
 * @param {string|null} [currency]  ISO 4217
 * @returns {[string]}
 */
export function money(value, currency) {
  if (value == null) return [NONE];
  if (!currency) return [number(value, 2)];
  // Less than a unit is shown to a tenth of a cent: a print often costs no more.
  const digits = value !== 0 && Math.abs(value) < 1 ? 3 : 2;
  const format = new Intl.NumberFormat(locale, { style: 'currency', currency, minimumFractionDigits: digits, maximumFractionDigits: digits });
  return [format.format(value)];
}

/**
 * @param {number|null|undefined} value  %
 * @param {number} [digits]
 */
export const percent = (value, digits = 0) => (value == null ? NONE : `${number(value, digits)} %`);

/**
 * With its sign.
 * @param {number|null|undefined} value  %
 */
export const difference = (value) => (value == null ? NONE : `${value > 0 ? '+' : value < 0 ? '−' : '±'}${number(Math.abs(value))} %`);

/**
 * "215 / 215 °C", or only the actual one when there is no target.
 * @param {number|null|undefined} actual  °C
 * @param {number|null|undefined} target  °C
 */
export function temperature(actual, target) {
  if (actual == null) return NONE;
  return target ? `${number(actual)}\u202f/\u202f${number(target)}\u00a0°C` : `${number(actual)}\u00a0°C`;
}

/** @param {number|null|undefined} seconds */
export function duration(seconds) {
  if (seconds == null || seconds < 0) return NONE;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${number(minutes / 1440, 1)} d`;
}

/** @type {Intl.DateTimeFormatOptions} */
const CLOCK = { hour: '2-digit', minute: '2-digit' };

/**
 * A time by the factory's clock, without the date when that is today.
 * @param {Time|null|undefined} time
 */
export function moment(time) {
  if (time == null) return NONE;
  const [then, now] = [wallTime(time), wallTime(Date.now())];
  if (then.slice(0, 10) === now.slice(0, 10)) return clockTime(time);
  const year = then.slice(0, 4) === now.slice(0, 4) ? undefined : 'numeric';
  return new Date(time).toLocaleString(locale, { day: 'numeric', month: 'short', year, ...CLOCK, timeZone: zone() });
}

/**
 * Hour and minute by the factory's clock.
 * @param {Time} time
 */
export const clockTime = (time) => new Date(time).toLocaleTimeString(locale, { ...CLOCK, timeZone: zone() });

/**
 * Day and month by the factory's clock.
 * @param {Time} time
 */
export const date = (time) => new Date(time).toLocaleDateString(locale, { day: 'numeric', month: 'short', timeZone: zone() });

/**
 * A printed file's name for people: without the ending that all of them have. The full one belongs into a title.
 * @param {string} name
 * @param {number} [most]  letters
 */
export const fileName = (name, most) => shorten(name.replace(/(?<=.)\.(gcode\.3mf|b?gcode|gco|gx|ufp|g)$/i, ''), most);

/**
 * A long name cut in its middle, because names of prints differ at their ends.
 * @param {string} name
 * @param {number} [most]  letters
 */
export function shorten(name, most = 44) {
  const letters = [...name];
  if (letters.length <= most) return name;
  const tail = Math.floor(most * 0.4);
  return `${letters.slice(0, most - tail - 1).join('')}…${letters.slice(-tail).join('')}`;
}
