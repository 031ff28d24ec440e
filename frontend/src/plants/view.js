// A plant on a page: the picture follows the printer, a changed one grows into place.

import { h } from '../common/dom.js';
import { t, word } from '../common/texts.js';
import { plantSvg } from './plant.js';
import './plant.css';

/** @returns {{element: HTMLElement, update: (printer: any) => void}} */
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
      // Text of our own generator: it holds nothing but numbers.
      element.innerHTML = plantSvg(printer.plant_type, printer.plantStage, printer.plantHealth);
      element.firstElementChild?.setAttribute('preserveAspectRatio', 'xMidYMax'); // it stands on the ground
      element.setAttribute('aria-label', plantWords(printer));
    },
  };
}

export function plantWords(printer) {
  const health = printer.plantHealth === null ? '' : t('card.health', { health: printer.plantHealth });
  return t('card.plant', { species: word('species', printer.plant_type), stage: printer.plantStage, stages: printer.plantStages, health });
}
