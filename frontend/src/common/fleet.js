// What every view of the fleet shares: its order, its links, and the four figures above it.

import { figure } from './dom.js';
import { kwh, number, watts } from './format.js';
import { appLink } from './pagestate.js';
import { needsLook } from './status.js';
import { t } from './texts.js';

/** @import { Printer } from './types.d.ts' */

/**
 * The order of printers everywhere: 2 before 10.
 * @param {Printer} a
 * @param {Printer} b
 */
export const byName = (a, b) => a.friendlyName.localeCompare(b.friendlyName, undefined, { numeric: true });

/**
 * The address of a printer's passport.
 * @param {Printer} printer
 */
export const passportLink = ({ deviceId }) => appLink(`passports?device=${encodeURIComponent(deviceId)}`);

/**
 * Whether a print is under way; it may have no name, and be paused.
 * @param {Printer} printer
 */
export const hasPrint = ({ jobFilename, detailed_analysis_data: analysis }) => jobFilename !== null || analysis !== null;

/**
 * The figures of a fleet, for a `<dl>`.
 * @param {Printer[]} printers
 * @param {string} [extra]  classes
 */
export function fleetFigures(printers, extra = '') {
  const printing = printers.filter((printer) => printer.isPrintingNow).length;
  return [
    figure(t('total.power'), watts(sum(printers, 'powerWatts')), extra),
    figure(t('total.printing'), [number(printing), t('total.printingOf', { all: number(printers.length) })], extra),
    figure(t('total.energy'), kwh(sum(printers, 'kwhLast24h')), extra),
    figure(t('total.attention'), [number(printers.filter(needsLook).length)], extra),
  ];
}

/**
 * Null when nothing is known, otherwise a sum of what is known.
 * @param {Printer[]} printers
 * @param {'powerWatts'|'kwhLast24h'} field
 */
function sum(printers, field) {
  const known = printers.map((printer) => printer[field]).filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}
