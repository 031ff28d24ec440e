// What every view of the fleet shares: its order, and the four figures above it.

import { figure } from './dom.js';
import { kwh, number, watts } from './format.js';
import { needsLook } from './status.js';
import { t } from './texts.js';

/** The order of printers everywhere: 2 before 10. */
export const byName = (a, b) => a.friendlyName.localeCompare(b.friendlyName, undefined, { numeric: true });

export function fleetFigures(printers, extra = '') {
  return [
    figure(t('total.power'), watts(sum(printers, 'powerWatts')), extra),
    figure(t('total.printing'), [number(printers.filter((printer) => printer.isPrintingNow).length), t('total.printingOf', { all: number(printers.length) })], extra),
    figure(t('total.energy'), kwh(sum(printers, 'kwhLast24h')), extra),
    figure(t('total.attention'), [number(printers.filter(needsLook).length)], extra),
  ];
}

/** Null when nothing is known; a sum of what is known otherwise. */
function sum(printers, field) {
  const known = printers.map((printer) => printer[field]).filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}
