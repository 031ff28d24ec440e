// How well the energy of a print is known, in words.

import { percent } from './format.js';
import { t } from './texts.js';

/** @import { EnergyQuality } from './types.d.ts' */
/** @typedef {{kwh: number|null, energyQuality: EnergyQuality|null}} Print */

const ALL = 99.95; // a coverage that is shown as 100 %

/**
 * Short marks next to the figure; none when all is well.
 * @param {Print} print
 */
export function qualityMarks({ kwh, energyQuality: quality }) {
  if (kwh === null || !quality) return [];
  const { coverage_pct: coverage } = quality;
  return [
    quality.provisional ? t('quality.provisional') : null,
    coverage !== null && coverage < ALL ? t('quality.covered', { share: percent(Math.floor(coverage)) }) : null,
    quality.estimated_end ? t('quality.estimatedEnd') : null,
    quality.jumps ? t('quality.jumps') : null,
  ].filter((mark) => mark !== null);
}

/**
 * The same as sentences that explain; at least one.
 * @param {Print} print
 */
export function qualitySentences({ kwh, energyQuality: quality }) {
  if (quality?.method === 'none') return [t('quality.noMeter')];
  if (kwh === null || !quality) return [t('quality.unknown')];
  const { coverage_pct: coverage } = quality;
  return [
    t(quality.method === 'counter' ? 'quality.counter' : 'quality.integrated'),
    coverage === null ? null : t(coverage < ALL ? 'quality.gaps' : 'quality.whole', { share: percent(Math.floor(coverage)) }),
    quality.provisional ? t('quality.provisional.why') : null,
    quality.estimated_end ? t('quality.estimatedEnd.why') : null,
    quality.resets ? t('quality.resets.why') : null,
    quality.jumps ? t('quality.jumps.why') : null,
  ].filter((text) => text !== null);
}
