// The progress of a print as a ring around its plant.

import { s } from '../common/dom.js';
import { percent } from '../common/format.js';
import { t } from '../common/texts.js';

const CIRCLE = { cx: 50, cy: 50, r: 46, fill: 'none', 'stroke-width': 5 };

/**
 * A new ring; `update` shows a progress (%) in a tone.
 * @param {string} name  of the printer
 * @returns {{element: SVGElement, update: (value: number|null, tone: string) => void}}
 */
export function progressRing(name) {
  const track = s('circle', { class: 'ring-track', ...CIRCLE });
  const done = s('circle', {
    class: 'ring-done', ...CIRCLE, pathLength: 100, transform: 'rotate(-90 50 50)', 'stroke-linecap': 'round', 'stroke-dasharray': '0 100',
  });
  const element = s('svg', {
    class: 'ring', viewBox: '0 0 100 100', role: 'progressbar', 'aria-label': t('card.progressOf', { name }), 'aria-valuemin': 0,
    'aria-valuemax': 100,
  }, track, done);
  return {
    element,
    update(value, tone) {
      element.dataset.tone = tone;
      done.setAttribute('stroke-dasharray', `${value ?? 0} 100`);
      done.setAttribute('visibility', value ? 'visible' : 'hidden');
      if (value === null) element.removeAttribute('aria-valuenow');
      else element.setAttribute('aria-valuenow', String(Math.round(value)));
      element.setAttribute('aria-valuetext', value === null ? t('card.nothing') : t('card.progress', { percent: percent(value) }));
    },
  };
}
