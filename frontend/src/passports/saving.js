import { money, number } from '../common/format.js';
import { t } from '../common/texts.js';

/** @import { Tip } from '../common/types.d.ts' */

/** The tips whose text leaves their saving out, and what it is counted for. @type {Record<string, string>} */
const SAVED_BY = { heating_long: 'card.savesDay', above_usual: 'card.savesPrint', better_hour: 'card.savesPrint' };

/**
 * What following a tip would save, where its own text doesn't say so; otherwise ''.
 * @param {Tip} tip
 */
export function savingWords({ id, saving }) {
  if (!saving || !Object.hasOwn(SAVED_BY, id)) return '';
  const amounts = [
    ...(saving.kwhPerDay ? [`${number(saving.kwhPerDay, 2)} kWh`] : []),
    ...(saving.moneyPerDay ? money(saving.moneyPerDay, saving.currency) : []),
  ];
  return amounts.length === 0 ? '' : t(SAVED_BY[id], { amounts: amounts.join(', ') });
}
