import { money, number } from '../common/format.js';
import { t } from '../common/texts.js';

/** What following a tip would save, or ''. */
export function savingWords(saving) {
  if (!saving || !saving.kwhPerDay) return '';
  return saving.moneyPerDay ? t('card.savesMoney', { kwh: number(saving.kwhPerDay, 2), money: money(saving.moneyPerDay, saving.currency)[0] }) : t('card.saves', { kwh: number(saving.kwhPerDay, 2) });
}
