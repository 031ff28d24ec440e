// The factory's clock: days begin and prints end by its zone, wherever the browser is.

import { requestJson } from './api.js';
import { t } from './texts.js';

/** @import { Factories } from './types.d.ts' */

/** @type {Intl.DateTimeFormatOptions} */
const WALL = {
  hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
};
const HOUR_MS = 3_600_000;

/** @type {string|undefined} IANA name; undefined: the browser's own */
let factoryZone;
/** @type {Intl.DateTimeFormat} */
let reader;
/** @type {Promise<void>|null} */
let asked = null;

/** Resolves when the zone is known. Asked once, and again after a failure. */
export function knowZone() {
  asked ??= requestJson('/api/factories').then((/** @type {Factories} */ { factories }) => setZone(factories.find((one) => one.isDefault)?.timezone), (error) => {
    asked = null;
    throw error;
  });
  return asked;
}

/** @param {string|undefined} name  IANA name */
export function setZone(name) {
  factoryZone = name;
  reader = new Intl.DateTimeFormat('en', { ...WALL, timeZone: name });
}
setZone(undefined);

/** The factory's zone (IANA name); undefined while it is not known. */
export const zone = () => factoryZone;

/** The factory's zone where the browser's clock shows another time, null where it needs no mention. */
export function foreignZone(now = Date.now()) {
  return factoryZone !== undefined && wallMs(now) !== now - (now % 1000) - new Date(now).getTimezoneOffset() * 60_000 ? factoryZone : null;
}

/** A sentence that names the factory's zone where that needs a mention, otherwise ''. */
export function zoneNote() {
  const foreign = foreignZone();
  return foreign === null ? '' : t('clock.zone', { zone: foreign });
}

/**
 * What the factory's clock shows at a time, as the same digits in UTC (ms, whole seconds).
 * @param {number} instant
 */
function wallMs(instant) {
  const found = Object.fromEntries(reader.formatToParts(instant).map(({ type, value }) => [type, Number(value)]));
  return Date.UTC(found.year, found.month - 1, found.day, found.hour, found.minute, found.second);
}

/**
 * What the factory's clock shows, "2026-01-31T14:05", as a datetime-local field needs it.
 * @param {number|string|Date} instant
 */
export const wallTime = (instant) => new Date(wallMs(new Date(instant).getTime())).toISOString().slice(0, 16);

/**
 * The time (ms) at which the factory's clock shows `wall`. What a change of the clock leaves out is read by the zone before it;
 * what comes twice is the first.
 * @param {string} wall  "2026-01-31T14:05"
 */
export function instantOf(wall) {
  const shown = Date.parse(`${wall}:00Z`);
  const offset = (/** @type {number} */ instant) => wallMs(instant) - instant;
  const before = shown - offset(shown - 24 * HOUR_MS);
  if (wallMs(before) === shown) return before;
  const after = shown - offset(shown + 24 * HOUR_MS);
  return wallMs(after) === shown ? after : before;
}

/** The time (ms) at which a day of the factory began: today, or that many days before. */
export function dayStart(daysAgo = 0, now = Date.now()) {
  const day = new Date(wallMs(now));
  day.setUTCDate(day.getUTCDate() - daysAgo);
  return instantOf(`${day.toISOString().slice(0, 10)}T00:00`);
}

/** The same for months. */
export function monthStart(monthsAgo = 0, now = Date.now()) {
  const day = new Date(wallMs(now));
  day.setUTCMonth(day.getUTCMonth() - monthsAgo, 1);
  return instantOf(`${day.toISOString().slice(0, 10)}T00:00`);
}
