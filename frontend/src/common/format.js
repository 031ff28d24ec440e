// Figures for people: each function gives [value, unit] or a text; null is "–", never 0.

import { wallTime, zone } from './clock.js';

export const NONE = '–';
const locale = undefined; // the browser's own

const numbers = new Map();

/** A number with exactly so many digits after the point. */
export function number(value, digits = 0) {
  if (value === null || value === undefined) return NONE;
  if (!numbers.has(digits)) numbers.set(digits, new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: 'negative' }));
  return numbers.get(digits).format(value).replace('-', '−');
}

/** @param {number|null|undefined} value W @returns {[string, string?]} */
export const watts = (value) => (value == null ? [NONE] : Math.abs(value) >= 10_000 ? [number(value / 1000, 1), 'kW'] : [number(value, Math.abs(value) < 10 ? 1 : 0), 'W']);

/** @param {number|null|undefined} value kWh @returns {[string, string?]} */
export const kwh = (value) => (value == null ? [NONE] : [number(value, Math.abs(value) < 10 ? 3 : Math.abs(value) < 1000 ? 1 : 0), 'kWh']);

/** @param {number|null|undefined} grams g CO2 @returns {[string, string?]} */
export const co2 = (grams) => (grams == null ? [NONE] : grams >= 1000 ? [number(grams / 1000, 2), 'kg'] : [number(grams, grams < 10 ? 1 : 0), 'g']);

/** @param {number|null|undefined} value g @returns {[string, string?]} */
export const grams = (value) => (value == null ? [NONE] : value >= 1000 ? [number(value / 1000, 2), 'kg'] : [number(value, value < 10 ? 1 : 0), 'g']);

/** @param {number|null|undefined} value @param {string|null} [currency] ISO 4217 @returns {[string]} */
export function money(value, currency) {
  if (value == null) return [NONE];
  if (!currency) return [number(value, 2)];
  // Less than a unit is told to a tenth of a cent: a print often costs no more.
  const digits = value !== 0 && Math.abs(value) < 1 ? 3 : 2;
  return [new Intl.NumberFormat(locale, { style: 'currency', currency, minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value)];
}

/** @param {number|null|undefined} value % */
export const percent = (value, digits = 0) => (value == null ? NONE : `${number(value, digits)} %`);

/** @param {number|null|undefined} value % @returns {string} with its sign */
export const difference = (value) => (value == null ? NONE : `${value > 0 ? '+' : value < 0 ? '−' : '±'}${number(Math.abs(value), 0)} %`);

/** "215 / 215 °C", or only the actual one when nothing is asked for. */
export function temperature(actual, target) {
  if (actual == null) return NONE;
  return target ? `${number(actual)}\u202f/\u202f${number(target)}\u00a0°C` : `${number(actual)}\u00a0°C`;
}

/** @param {number|null|undefined} seconds @returns {string} */
export function duration(seconds) {
  if (seconds == null || seconds < 0) return NONE;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${number(minutes / 1440, 1)} d`;
}

const CLOCK = /** @type {const} */ ({ hour: '2-digit', minute: '2-digit' });

/** A moment by the factory's clock, without the date when it is today there. @param {string|number|Date|null|undefined} iso */
export function moment(iso) {
  if (iso == null) return NONE;
  const [then, now] = [wallTime(iso), wallTime(Date.now())];
  if (then.slice(0, 10) === now.slice(0, 10)) return clockTime(iso);
  const year = then.slice(0, 4) === now.slice(0, 4) ? undefined : 'numeric';
  return new Date(iso).toLocaleString(locale, { day: 'numeric', month: 'short', year, ...CLOCK, timeZone: zone() });
}

/** Hour and minute by the factory's clock. */
export const clockTime = (iso) => new Date(iso).toLocaleTimeString(locale, { ...CLOCK, timeZone: zone() });

/** Day and month by the factory's clock. */
export const date = (iso) => new Date(iso).toLocaleDateString(locale, { day: 'numeric', month: 'short', timeZone: zone() });

/** A printed file's name for people: without the ending that all of them have. The full one belongs into a title. */
export const fileName = (name, most) => shorten(name.replace(/(?<=.)\.(b?gcode|gco|g)$/i, ''), most);

/** A long name cut in its middle, because names of prints differ at their ends. */
export function shorten(name, most = 44) {
  const letters = [...name];
  if (letters.length <= most) return name;
  const tail = Math.floor(most * 0.4);
  return `${letters.slice(0, most - tail - 1).join('')}…${letters.slice(-tail).join('')}`;
}
