// One passport: the front shows how it is, the back why. It exists only while its place is on the screen.

import { breakable, h, setBadge, setFigure, setText } from '../common/dom.js';
import { hasPrint } from '../common/fleet.js';
import { duration, fileName, grams, kwh, moment, money, percent, temperature, watts } from '../common/format.js';
import { icon } from '../common/icons.js';
import { resultTone, statusTone, tipTone } from '../common/status.js';
import { t, word } from '../common/texts.js';
import { plantView } from '../plants/view.js';
import { detailsView } from './details.js';
import { progressRing } from './ring.js';

/** @import { Printer } from '../common/types.d.ts' */

/**
 * @typedef {object} Card
 * @property {HTMLElement} element
 * @property {(printer: Printer) => void} update
 * @property {(flipped: boolean) => void} flip
 * @property {() => void} destroy
 */

const SILENT_S = 60; // a younger status says itself that the printer is off

/**
 * A new card of a printer.
 * @param {Printer} printer
 * @param {{flipped: boolean, onFlip: (flipped: boolean) => void, onShare: () => void}} hooks
 * @returns {Card}
 */
export function passportCard(printer, { flipped, onFlip, onShare }) {
  const name = printer.friendlyName;
  const title = h('h2', { text: name, title: name });
  const model = h('p', { class: 'soft small model' });
  const status = h('p', { class: 'status' });
  const seen = h('p', { class: 'soft small seen' });
  const ring = progressRing(name);
  const plant = plantView();
  const power = named('card.now', { class: 'figure hero', 'data-field': 'powerWatts' });
  const day = named('card.day', { class: 'figure', 'data-field': 'kwhLast24h' });
  const print = printLine();
  const costs = costFigures();
  const nozzle = heat('nozzle', t('card.nozzle'));
  const bed = heat('bed', t('card.bed'));
  const tip = h('span');
  const advice = h('p', { class: 'tip' }, icon('tip'), tip);
  const share = h('button', { type: 'button', class: 'plain icon', 'aria-label': t('card.share', { name }), onclick: onShare }, icon('share'));
  const details = detailsView(printer);

  const front = h('div', { class: 'face front card' },
    h('header', {}, h('div', { class: 'names' }, title, model), h('div', { class: 'state' }, status, seen)),
    h('div', { class: 'lead' },
      h('div', { class: 'ring-box' }, ring.element, plant.element),
      h('dl', { class: 'now' }, power.element, day.element)),
    print.element,
    costs.element,
    h('dl', { class: 'heats' }, nozzle.element, bed.element),
    advice,
    h('footer', {}, share, turn('card.details', t('card.detailsOf', { name }), () => onFlip(true))));
  const back = h('div', { class: 'face back card' },
    h('header', {}, h('h2', { text: name, title: name }), turn('card.back', t('card.backOf', { name }), () => onFlip(false))),
    details.element);
  const element = h('article', { class: 'passport', 'aria-label': name, 'data-device': printer.deviceId },
    h('div', { class: 'turning' }, front, back));

  /** @param {boolean} to */
  function flip(to) {
    element.dataset.flipped = String(to);
    front.inert = to;
    back.inert = !to;
    details.show(to);
  }

  /** @param {Printer} next */
  function update(next) {
    const tone = statusTone(next.currentStatus);
    element.dataset.status = next.currentStatus;
    setText(title, next.friendlyName);
    setText(model, [next.model, next.location].filter(Boolean).join(' · '));
    setBadge(status, word('status', next.currentStatus), tone);
    setText(seen, lastSeen(next));
    ring.update(next.jobProgressPercent, tone);
    plant.update(next);
    setFigure(power.value, watts(next.powerWatts));
    setFigure(day.value, kwh(next.kwhLast24h));
    print.update(next);
    costs.update(next);
    nozzle.update(next.currentNozzleTemp, next.targetNozzleTemp);
    bed.update(next.currentBedTemp, next.targetBedTemp);
    setText(tip, next.tipText);
    advice.dataset.tone = tipTone(next);
    details.update(next);
  }

  update(printer);
  flip(flipped);
  return { element, update, flip, destroy: details.destroy };
}

/**
 * A figure whose value is set later.
 * @param {string} key  of its name
 * @param {Record<string, string>} attributes
 */
function named(key, attributes) {
  const name = h('dt', { text: t(key) });
  const value = h('dd');
  return { element: h('div', attributes, name, value), name, value };
}

/**
 * The button that turns the card over.
 * @param {string} key  of its text
 * @param {string} label
 * @param {() => void} onclick
 */
function turn(key, label, onclick) {
  return h('button', { type: 'button', class: 'turn', 'aria-label': label, onclick }, icon('turn'), t(key));
}

/**
 * When a silent printer was seen; '' for another.
 * @param {Printer} printer
 */
function lastSeen({ currentStatus, statusAgeSeconds: age }) {
  if (currentStatus !== 'Offline') return '';
  if (age === null) return t('card.never');
  return age > SILENT_S ? t('card.seen', { age: duration(age) }) : '';
}

/** The running print, or the last one. */
function printLine() {
  const file = h('p', { class: 'file' });
  const done = h('strong', { class: 'done' });
  const result = h('span', { class: 'status' });
  const left = h('span', { class: 'soft' });
  return {
    element: h('div', { class: 'print' }, file, h('p', { class: 'progress-line' }, done, result, left)),
    /** @param {Printer} printer */
    update(printer) {
      const { jobFilename, jobProgressPercent: progress, jobTimeLeftSeconds: seconds } = printer;
      const running = hasPrint(printer);
      const last = running ? null : printer.history.at(0) ?? null;
      const name = (running ? jobFilename : last ? last.filename : t('card.noPrints')) ?? t('card.noName');
      if (file.title !== name) file.replaceChildren(...breakable(fileName(name, 60)));
      file.title = name;
      file.classList.toggle('past', !running);
      setText(done, progress === null ? '' : percent(progress));
      done.hidden = progress === null;
      result.hidden = last === null;
      if (last) setBadge(result, word('result', last.status), resultTone(last.status));
      setText(left, last ? moment(last.end_time) : seconds === null ? '' : t('card.left', { time: duration(seconds) }));
    },
  };
}

/** Energy, cost and CO2 of the running print, or of the last one. */
function costFigures() {
  const energy = named('card.thisPrint', { class: 'figure' });
  const cost = named('card.cost', { class: 'figure' });
  const carbon = named('card.co2', { class: 'figure' });
  return {
    element: h('dl', { class: 'costs' }, energy.element, cost.element, carbon.element),
    /** @param {Printer} printer */
    update(printer) {
      const running = hasPrint(printer);
      const analysis = printer.detailed_analysis_data;
      setText(energy.name, t(running ? 'card.thisPrint' : 'card.lastPrint'));
      energy.element.dataset.field = running ? 'jobKwhConsumed' : 'lastJobKwh';
      setFigure(energy.value, kwh(running ? printer.jobKwhConsumed : printer.lastJobKwh));
      setFigure(cost.value, running ? money(analysis?.cost, analysis?.currency) : money(printer.lastJobCost, printer.lastJobCurrency));
      setFigure(carbon.value, grams(running ? analysis?.co2_g : printer.lastJobCo2Grams));
    },
  };
}

/**
 * A temperature with a bar up to its target.
 * @param {'nozzle'|'bed'} kind
 * @param {string} name
 */
function heat(kind, name) {
  const value = h('dd');
  const bar = h('meter', { min: 0, max: 1, 'aria-hidden': 'true' });
  return {
    element: h('div', { class: 'heat' }, icon(kind), h('dt', { text: name }), value, bar),
    /**
     * @param {number|null} actual
     * @param {number|null} target
     */
    update(actual, target) {
      setText(value, temperature(actual, target));
      bar.hidden = actual === null || !target;
      if (target) bar.value = Math.min(1, (actual ?? 0) / target);
    },
  };
}
