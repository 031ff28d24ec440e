// What a status means to the eye: its tone, and how urgent it is.

import { badge } from './dom.js';
import { word } from './texts.js';

/** @import { Printer } from './types.d.ts' */

/** All others are quiet. @type {Record<string, string>} */
const TONES = { Printing: 'good', Completed: 'good', Heating: 'warm', Paused: 'warm', Attention: 'bad', Error: 'bad', Cooling: 'cool' };

/** @type {Record<string, string>} */
const RESULT_TONES = { done: 'good', cancelled: 'warm', error: 'bad', printing: 'good', paused: 'warm' };

/** Tips that need a person soon. @type {Record<string, string>} */
const TIP_TONES = { error: 'bad', attention: 'bad', heating_long: 'warm', idle_power: 'warm', hot_bed_idle: 'warm' };

const ORDER = ['Error', 'Attention', 'Paused', 'Printing', 'Heating', 'Completed', 'Cooling', 'Idle', 'Unknown', 'Offline'];

/** @param {string} status  of a printer */
export const statusTone = (status) => TONES[status] ?? 'quiet';

/** @param {string} status  of a print */
export const resultTone = (status) => RESULT_TONES[status] ?? 'quiet';

/** @param {Printer} printer  its most important tip counts */
export const tipTone = (printer) => TIP_TONES[printer.tips[0].id] ?? 'quiet';

/**
 * How a print ended.
 * @param {string} status
 */
export const resultBadge = (status) => badge(word('result', status), resultTone(status));

/**
 * 0 is the most urgent.
 * @param {Printer} printer
 */
export const urgency = (printer) => ORDER.indexOf(printer.currentStatus);

/**
 * Whether somebody should look at a printer: it waits, has failed, or wastes energy.
 * @param {Printer} printer
 */
export const needsLook = (printer) => Object.hasOwn(TIP_TONES, printer.tips[0].id);

/** The groups by which printers are filtered. @type {Record<string, (printer: Printer) => boolean>} */
export const GROUPS = {
  active: (printer) => ['Printing', 'Heating', 'Paused', 'Attention'].includes(printer.currentStatus),
  attention: needsLook,
  idle: (printer) => ['Idle', 'Cooling', 'Completed', 'Unknown'].includes(printer.currentStatus),
  offline: (printer) => printer.currentStatus === 'Offline',
};
