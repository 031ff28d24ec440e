// A plant on a page: the picture follows the printer, a changed one grows into place.

import { h } from '../common/dom.js';
import { t, word } from '../common/texts.js';
import { plantSvg } from './plant.js';
import './plant.css';

/** @import { Printer } from '../common/types.d.ts' */

/**
 * A new plant; `update` shows that of a printer.
 * @returns {{element: HTMLElement, update: (printer: Printer) => void}}
 */
export function plantView() {
  const element = h('div', { class: 'plant', role: 'img' });
  let shown = '';
  return {
    element,
    update(printer) {
      const key = `${printer.plant_type} ${printer.plantStage} ${printer.plantHealth}`;
      element.dataset.moving = String(printer.isPrintingNow);
      if (key === shown) return;
      shown = key;
      // Text of our own generator: it contains nothing but numbers.
      element.innerHTML = plantSvg(printer.plant_type, printer.plantStage, printer.plantHealth);
      element.firstElementChild?.setAttribute('preserveAspectRatio', 'xMidYMax'); // it stands on the ground
      element.setAttribute('aria-label', plantWords(printer));
    },
  };
}

/** @param {Printer} printer */
function plantWords(printer) {
  const health = printer.plantHealth === null ? '' : t('card.health', { health: printer.plantHealth });
  return t('card.plant', { species: word('species', printer.plant_type), stage: printer.plantStage, stages: printer.plantStages, health });
}
