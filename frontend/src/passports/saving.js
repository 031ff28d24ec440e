import { money, number } from '../common/format.js';
import { t } from '../common/texts.js';

/** The tips whose text leaves their saving out, and what it is counted for. @type {Record<string, string>} */
const SAVED_BY = { heating_long: 'card.savesDay', above_usual: 'card.savesPrint', better_hour: 'card.savesPrint' };

/** What following a tip would save, where its text doesn't tell, or ''. @param {{id: string, saving: any}} tip */
export function savingWords({ id, saving }) {
  if (!saving || !Object.hasOwn(SAVED_BY, id)) return '';
  const amounts = [...(saving.kwhPerDay ? [`${number(saving.kwhPerDay, 2)} kWh`] : []), ...(saving.moneyPerDay ? money(saving.moneyPerDay, saving.currency) : [])];
  if (amounts.length === 0) return '';
  return t(SAVED_BY[id], { amounts: amounts.join(', ') });
}
