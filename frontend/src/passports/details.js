// The back of a passport: phases, projection, comparison with the printer's own past, the job, its parts, history, tips.

import { breakable, h } from '../common/dom.js';
import { NONE, difference, duration, fileName, grams, kwh, moment, money, number } from '../common/format.js';
import { appLink } from '../common/pagestate.js';
import { resultBadge } from '../common/status.js';
import { t, word } from '../common/texts.js';
import { savingWords } from './saving.js';
import { jobSection, partsSection, picture, section, table } from './sections.js';

/** @import { JobAnalysis, Printer } from '../common/types.d.ts' */
/** @import { Preview } from './preview.js' */

/**
 * A new back; what it shows is drawn while it is visible.
 * @param {Printer} first
 * @returns {{element: HTMLElement, update: (printer: Printer) => void, show: (visible: boolean) => void, destroy: () => void}}
 */
export function detailsView(first) {
  const stage = h('div', { class: 'preview', hidden: true });
  const body = h('div'); // drawn again with each change; what can be focused is outside of it
  const analyse = h('a', { href: appLink(`analysis?device=${encodeURIComponent(first.deviceId)}&range=24h`), text: t('detail.analyse') });
  const label = t('card.detailsOf', { name: first.friendlyName });
  const element = h('div', { class: 'details', tabindex: 0, role: 'region', 'aria-label': label }, stage, body, h('p', {}, analyse));
  let printer = first;
  let drawn = '';
  let visible = false;
  let preview = /** @type {Preview|null} */ (null);
  let wanted = /** @type {string|null} */ (null); // the address of the preview that is shown, or is being loaded

  function draw() {
    if (!visible) return;
    const key = JSON.stringify({ ...printer, statusAgeSeconds: null, powerWatts: null });
    if (key !== drawn) {
      drawn = key;
      body.replaceChildren(...sections(printer));
    }
    drawPreview();
  }

  async function drawPreview() {
    const url = visible ? printer.gcodePreviewUrl : null;
    if (url === wanted) return preview?.progress(printer.jobProgressPercent);
    wanted = url;
    preview?.destroy();
    preview = null;
    stage.hidden = url === null;
    if (url === null) return;
    const { printPreview } = await import('./preview.js');
    if (wanted !== url) return;
    preview = printPreview(stage, url, {
      progress: printer.jobProgressPercent,
      picture: printer.thumbnailUrl,
      bed: printer.bedWidth && printer.bedDepth ? [printer.bedWidth, printer.bedDepth] : null,
    });
  }

  return {
    element,
    update(next) {
      printer = next;
      draw();
    },
    show(now) {
      visible = now;
      draw();
      if (!now) drawPreview();
    },
    destroy() {
      visible = false;
      drawPreview();
    },
  };
}

/** @param {Printer} printer */
function sections(printer) {
  const analysis = printer.detailed_analysis_data;
  return [
    ...(analysis ? [phases(analysis), projection(analysis), comparison(analysis)] : [nothing('detail.noJob')]),
    jobSection(printer.job_details),
    partsSection(printer.history[0]?.per_part_analysis, 'detail.lastParts'),
    history(printer),
    tips(printer),
  ].filter((one) => one !== null);
}

/** @param {string} key  of the text */
const nothing = (key) => h('p', { class: 'soft', text: t(key) });

/** @param {JobAnalysis} analysis */
function phases({ phases: found }) {
  if (!found || found.length === 0) return section('detail.phases', nothing('detail.phasesNone'));
  const measured = found.some((phase) => phase.energy_kwh);
  const bar = h('div', { class: 'stacked', 'aria-hidden': 'true' });
  for (const { phase, seconds, energy_kwh: energy } of found) {
    const weight = measured ? energy ?? 0 : seconds;
    if (weight <= 0) continue;
    const part = h('span', { 'data-phase': phase });
    part.style.flexGrow = String(weight * 1000); // a sum below 1 would not fill the bar
    bar.append(part);
  }
  return section('detail.phases', bar, table(found.map(({ phase, seconds, energy_kwh: energy }) => [
    [h('span', { class: 'swatch', 'data-phase': phase }), word('phase', phase)], duration(seconds), kwh(energy).join(' '),
  ])));
}

/** @param {JobAnalysis} analysis */
function projection(analysis) {
  const { currency, projected_total_kwh: total } = analysis;
  if (total === null) return section('detail.projection', nothing('detail.projectionNone'));
  return section('detail.projection', table([
    [t('detail.soFar'), kwh(analysis.energy_kwh).join(' '), ...money(analysis.cost, currency), grams(analysis.co2_g).join(' ')],
    [t('detail.expected'), kwh(total).join(' '), ...money(analysis.projected_cost, currency), grams(analysis.projected_co2_g).join(' ')],
  ]));
}

/** @param {JobAnalysis} analysis */
function comparison({ comparison: found }) {
  if (!found.jobs) return section('detail.compare', nothing('detail.compareNone'));
  return section('detail.compare',
    measure('detail.perHour', (kwhPerHour) => `${number(kwhPerHour, 3)} kWh`,
      found.kwh_per_hour, found.usual_kwh_per_hour, found.kwh_per_hour_difference_percent),
    measure('detail.perGram', (kwhPerGram) => `${number(kwhPerGram * 1000, 2)} Wh`,
      found.kwh_per_g, found.usual_kwh_per_g, found.kwh_per_g_difference_percent),
    h('p', { class: 'soft small', text: t('detail.ofJobs', { jobs: found.jobs }) }));
}

/**
 * @param {string} key  of its name
 * @param {(value: number) => string} format
 * @param {number|null} value
 * @param {number|null} usual
 * @param {number|null} change  %
 */
function measure(key, format, value, usual, change) {
  const tone = change === null ? 'quiet' : change > 15 ? 'bad' : change > 5 ? 'warm' : 'good';
  return h('div', { class: 'measure' },
    h('span', { text: t(key) }), h('strong', { class: 'status', 'data-tone': tone, text: difference(change) }),
    h('span', { class: 'number', text: value === null ? NONE : format(value) }),
    h('span', { class: 'soft small', text: t('detail.usual', { value: usual === null ? NONE : format(usual) }) }));
}

/** @param {Printer} printer */
function history({ history: past }) {
  if (past.length === 0) return section('detail.history', nothing('detail.historyNone'));
  return section('detail.history', h('ul', { class: 'past' }, ...past.map((print) => h('li', {},
    picture(print.thumbnail_url),
    h('div', {},
      h('span', { class: 'name', title: print.filename }, ...breakable(fileName(print.filename ?? t('card.noName'), 40))),
      h('span', { class: 'small soft' }, resultBadge(print.status), ` ${moment(print.end_time)}`)),
    h('strong', { class: 'number', text: kwh(print.session_energy_wh === null ? null : print.session_energy_wh / 1000).join(' ') })))));
}

/** @param {Printer} printer */
function tips({ tips: all }) {
  if (all.length < 2) return null;
  return section('detail.tips', h('ol', { class: 'tips' }, ...all.map((tip) => h('li', {},
    tip.text, ' ', h('strong', { class: 'saving', text: savingWords(tip) })))));
}
