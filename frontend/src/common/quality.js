// How well the energy of a print is known, in words.

import { percent } from './format.js';
import { t } from './texts.js';

const ALL = 99.95; // a coverage that is shown as 100 %

/**
 * @param {{kwh: number|null, energyQuality: any}} print
 * @returns {string[]} short marks that stand beside the figure; none when all is well
 */
export function qualityMarks({ kwh, energyQuality: quality }) {
  if (kwh === null || !quality) return [];
  return [
    quality.provisional ? t('quality.provisional') : null,
    quality.coverage_pct !== null && quality.coverage_pct < ALL ? t('quality.covered', { share: percent(Math.floor(quality.coverage_pct)) }) : null,
    quality.estimated_end ? t('quality.estimatedEnd') : null,
    quality.jumps ? t('quality.jumps') : null,
  ].filter((mark) => mark !== null);
}

/** The same as sentences that explain. @returns {string[]} at least one */
export function qualitySentences({ kwh, energyQuality: quality }) {
  if (kwh === null || !quality || quality.method === 'none') return [t(quality?.method === 'none' ? 'quality.noMeter' : 'quality.unknown')];
  return [
    t(quality.method === 'counter' ? 'quality.counter' : 'quality.integrated'),
    quality.coverage_pct === null ? null : t(quality.coverage_pct < ALL ? 'quality.gaps' : 'quality.whole', { share: percent(Math.floor(quality.coverage_pct)) }),
    quality.provisional ? t('quality.provisional.why') : null,
    quality.estimated_end ? t('quality.estimatedEnd.why') : null,
    quality.resets ? t('quality.resets.why') : null,
    quality.jumps ? t('quality.jumps.why') : null,
  ].filter((sentence) => sentence !== null);
}
