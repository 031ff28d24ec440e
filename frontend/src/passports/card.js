// One passport: the front tells how it is, the back why. It exists only while its place is on the screen.

import { breakable, figure, h, setFigure, setText } from '../common/dom.js';
import { NONE, co2, duration, fileName, kwh, moment, money, percent, temperature, watts } from '../common/format.js';
import { icon } from '../common/icons.js';
import { RESULT_TONES, TIP_TONES, TONES } from '../common/status.js';
import { t, word } from '../common/texts.js';
import { plantView } from '../plants/view.js';
import { detailsView } from './details.js';
import { progressRing } from './ring.js';

const SILENT_S = 60; // a younger status says itself that the printer is off

/**
 * @param {any} printer  one element of the summary's printers
 * @param {{flipped: boolean, onFlip: (flipped: boolean) => void, onShare: () => void}} hooks
 * @returns {{element: HTMLElement, update: (printer: any) => void, flip: (flipped: boolean) => void, destroy: () => void}}
 */
export function passportCard(printer, { flipped, onFlip, onShare }) {
  const name = printer.friendlyName;
  const title = h('h2', { text: name, title: name });
  const model = h('p', { class: 'soft small model' });
  const status = h('p', { class: 'status' });
  const seen = h('p', { class: 'soft small seen' });
  const ring = progressRing(name);
  const plant = plantView();
  const power = h('dd');
  const day = h('dd');
  const file = h('p', { class: 'file' });
  const done = h('strong', { class: 'done' });
  const left = h('span', { class: 'soft' });
  const result = h('span', { class: 'status' });
  const job = figure(t('card.thisPrint'), [NONE]);
  const cost = figure(t('card.cost'), [NONE]);
  const carbon = figure(t('card.co2'), [NONE]);
  const nozzle = heat('nozzle', t('card.nozzle'));
  const bed = heat('bed', t('card.bed'));
  const tip = h('span');
  const advice = h('p', { class: 'tip' }, icon('tip'), tip);
  const share = h('button', { type: 'button', class: 'plain icon', 'aria-label': t('card.share', { name }), onclick: onShare }, icon('share'));
  const turn = h('button', { type: 'button', class: 'turn', 'aria-label': t('card.detailsOf', { name }), onclick: () => onFlip(true) }, icon('turn'), t('card.details'));

  const front = h('div', { class: 'face front card' },
    h('header', {}, h('div', { class: 'names' }, title, model), h('div', { class: 'state' }, status, seen)),
    h('div', { class: 'lead' },
      h('div', { class: 'ring-box' }, ring.element, plant.element),
      h('dl', { class: 'now' },
        h('div', { class: 'figure hero', 'data-field': 'powerWatts' }, h('dt', { text: t('card.now') }), power),
        h('div', { class: 'figure', 'data-field': 'kwhLast24h' }, h('dt', { text: t('card.day') }), day))),
    h('div', { class: 'print' }, file, h('p', { class: 'progress-line' }, done, result, left)),
    h('dl', { class: 'costs' }, job, cost, carbon),
    h('dl', { class: 'heats' }, nozzle.element, bed.element),
    advice,
    h('footer', {}, share, turn));

  const details = detailsView(printer);
  const back = h('div', { class: 'face back card' },
    h('header', {}, h('h2', { text: name, title: name }),
      h('button', { type: 'button', class: 'turn', 'aria-label': t('card.backOf', { name }), onclick: () => onFlip(false) }, icon('turn'), t('card.back'))),
    details.element);
  const inner = h('div', { class: 'turning' }, front, back);
  const element = h('article', { class: 'passport', 'aria-label': name, 'data-device': printer.deviceId }, inner);

  function flip(to) {
    element.dataset.flipped = String(to);
    front.inert = to;
    back.inert = !to;
    details.show(to);
  }

  function update(next) {
    const tone = TONES[next.currentStatus] ?? 'quiet';
    const offline = next.currentStatus === 'Offline';
    element.dataset.status = next.currentStatus;
    setText(title, next.friendlyName);
    setText(model, [next.model, next.location].filter(Boolean).join(' · '));
    setText(status, word('status', next.currentStatus));
    status.dataset.tone = tone;
    setText(seen, !offline ? '' : next.statusAgeSeconds === null ? t('card.never') : next.statusAgeSeconds > SILENT_S ? t('card.seen', { age: duration(next.statusAgeSeconds) }) : '');
    ring.update(next.jobProgressPercent, tone);
    plant.update(next);
    setFigure(power, watts(next.powerWatts));
    setFigure(day, kwh(next.kwhLast24h));

    const running = next.jobFilename !== null || next.detailed_analysis_data !== null;
    const last = running ? null : next.history[0] ?? null;
    const printed = running ? next.jobFilename ?? t('card.noName') : last ? last.filename ?? t('card.noName') : t('card.noPrints');
    if (file.title !== printed) file.replaceChildren(...breakable(fileName(printed, 60)));
    file.title = printed;
    file.classList.toggle('past', !running);
    setText(done, next.jobProgressPercent === null ? '' : percent(next.jobProgressPercent));
    done.hidden = next.jobProgressPercent === null;
    setText(result, last ? word('result', last.status) : '');
    result.hidden = last === null;
    if (last) result.dataset.tone = RESULT_TONES[last.status] ?? 'quiet';
    setText(left, last ? moment(last.end_time) : next.jobTimeLeftSeconds === null ? '' : t('card.left', { time: duration(next.jobTimeLeftSeconds) }));

    const analysis = next.detailed_analysis_data;
    setText(job.firstChild, t(running ? 'card.thisPrint' : 'card.lastPrint'));
    job.dataset.field = running ? 'jobKwhConsumed' : 'lastJobKwh';
    setFigure(job.lastChild, kwh(running ? next.jobKwhConsumed : next.lastJobKwh));
    setFigure(cost.lastChild, money(running ? analysis?.cost : next.lastJobCost, running ? analysis?.currency : next.lastJobCurrency));
    setFigure(carbon.lastChild, co2(running ? analysis?.co2_g : next.lastJobCo2Grams));
    nozzle.update(next.currentNozzleTemp, next.targetNozzleTemp);
    bed.update(next.currentBedTemp, next.targetBedTemp);

    setText(tip, next.tipText);
    advice.dataset.tone = TIP_TONES[next.tips[0].id] ?? 'quiet';
    details.update(next);
  }

  update(printer);
  flip(flipped);
  return { element, update, flip, destroy: details.destroy };
}

/** A temperature with a bar up to its target. */
function heat(kind, name) {
  const value = h('dd');
  const bar = h('meter', { min: 0, max: 1, 'aria-hidden': 'true' });
  return {
    element: h('div', { class: 'heat' }, icon(kind), h('dt', { text: name }), value, bar),
    update(actual, target) {
      setText(value, temperature(actual, target));
      bar.hidden = actual === null || !target;
      if (target) bar.value = Math.min(1, (actual ?? 0) / target);
    },
  };
}
