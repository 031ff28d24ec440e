// The four figures that stand above every view of the fleet.

import { figure } from './dom.js';
import { kwh, number, watts } from './format.js';
import { t } from './texts.js';

const URGENT_TIPS = new Set(['error', 'attention', 'heating_long', 'idle_power', 'hot_bed_idle']);

export function fleetFigures(printers, extra = '') {
  return [
    figure(t('total.power'), watts(sum(printers, 'powerWatts')), extra),
    figure(t('total.printing'), [number(printers.filter((printer) => printer.isPrintingNow).length), t('total.printingOf', { all: number(printers.length) })], extra),
    figure(t('total.energy'), kwh(sum(printers, 'kwhLast24h')), extra),
    figure(t('total.attention'), [number(printers.filter((printer) => URGENT_TIPS.has(printer.tips[0].id)).length)], extra),
  ];
}

/** Null when nothing is known; a sum of what is known otherwise. */
function sum(printers, field) {
  const known = printers.map((printer) => printer[field]).filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}
