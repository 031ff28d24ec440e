// The factory's clock: days begin and prints end by its zone, wherever the browser is.

import { requestJson } from './api.js';

const WALL = /** @type {const} */ ({ hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' });
const HOUR_MS = 3_600_000;

/** @type {string|undefined} IANA name; undefined: the browser's own */
let factoryZone;
/** @type {Intl.DateTimeFormat} */
let reader;
/** @type {Promise<void>|null} */
let asked = null;

/** Resolves when the zone is known. Asked once, and again after a failure. */
export function knowZone() {
  asked ??= requestJson('/api/factories').then(({ factories }) => setZone(factories[0]?.timezone), (error) => {
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

export const zone = () => factoryZone;

/** The factory's zone where the browser's clock shows another time, null where it needs no mention. */
export function foreignZone(now = Date.now()) {
  return factoryZone !== undefined && wallMs(now) !== now - (now % 1000) - new Date(now).getTimezoneOffset() * 60_000 ? factoryZone : null;
}

/** What the factory's clock shows at an instant, as the same digits in UTC (ms, whole seconds). */
function wallMs(instant) {
  const found = Object.fromEntries(reader.formatToParts(instant).map(({ type, value }) => [type, Number(value)]));
  return Date.UTC(found.year, found.month - 1, found.day, found.hour, found.minute, found.second);
}

/** @param {number|string|Date} instant @returns {string} "2026-01-31T14:05", as a datetime-local field wants it */
export const wallTime = (instant) => new Date(wallMs(new Date(instant).getTime())).toISOString().slice(0, 16);

/**
 * The instant (ms) at which the factory's clock shows a time. A time that a change of the clock leaves out is read by the zone before it;
 * one that comes twice is the first.
 * @param {string} wall  "2026-01-31T14:05"
 */
export function instantOf(wall) {
  const shown = Date.parse(`${wall}:00Z`);
  const offset = (instant) => wallMs(instant) - instant;
  const before = shown - offset(shown - 24 * HOUR_MS);
  if (wallMs(before) === shown) return before;
  const after = shown - offset(shown + 24 * HOUR_MS);
  return wallMs(after) === shown ? after : before;
}

/** The instant at which a day of the factory began: today's, or so many days before. */
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
