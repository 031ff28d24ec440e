// The back of a passport: phases, projection, comparison with the printer's own past, the job, its parts, history, tips.

import { breakable, h } from '../common/dom.js';
import { NONE, co2, difference, duration, fileName, kwh, moment, money, number } from '../common/format.js';
import { RESULT_TONES } from '../common/status.js';
import { t, word } from '../common/texts.js';
import { appLink } from '../common/pagestate.js';
import { savingWords } from './saving.js';
import { jobSection, partsSection, picture, section, words } from './sections.js';

/** @returns {{element: HTMLElement, update: (printer: any) => void, show: (visible: boolean) => void, destroy: () => void}} */
export function detailsView(first) {
  const stage = h('div', { class: 'preview', hidden: true });
  const body = h('div'); // drawn anew with each change; what can be focused stands beside it
  const analyse = h('p', {}, h('a', { href: appLink(`analysis?device=${encodeURIComponent(first.deviceId)}&range=24h`), text: t('detail.analyse') }));
  const element = h('div', { class: 'details', tabindex: 0, role: 'region', 'aria-label': t('card.detailsOf', { name: first.friendlyName }) }, stage, body, analyse);
  let printer = first;
  let drawn = '';
  let visible = false;
  let preview = /** @type {ReturnType<typeof import('./preview.js').printPreview>|null} */ (null);
  let wanted = null; // the address of the preview that is shown, or is being loaded

  function draw() {
    if (!visible) return;
    const { statusAgeSeconds, powerWatts, ...lasting } = printer;
    const key = JSON.stringify(lasting);
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
      progress: printer.jobProgressPercent, picture: printer.thumbnailUrl, bed: printer.bedWidth && printer.bedDepth ? [printer.bedWidth, printer.bedDepth] : null,
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

function sections(printer) {
  const analysis = printer.detailed_analysis_data;
  return [
    ...(analysis ? [phases(analysis), projection(analysis), comparison(analysis)] : [h('p', { class: 'soft', text: t('detail.noJob') })]),
    jobSection(printer.job_details), partsSection(printer.history[0]?.per_part_analysis, 'detail.lastParts'), history(printer), tips(printer),
  ].filter((section) => section !== null);
}

function phases({ phases: found }) {
  if (!found || found.length === 0) return section('detail.phases', h('p', { class: 'soft', text: t('detail.phasesNone') }));
  const measured = found.some((phase) => phase.energy_kwh);
  const weight = (phase) => (measured ? phase.energy_kwh ?? 0 : phase.seconds);
  const bar = h('div', { class: 'stacked', 'aria-hidden': 'true' }, ...found.filter((phase) => weight(phase) > 0).map((phase) => {
    const part = h('span', { 'data-phase': phase.phase });
    part.style.flexGrow = String(weight(phase) * 1000); // a sum below 1 would not fill the bar
    return part;
  }));
  return section('detail.phases', bar, h('table', { class: 'plain-table' }, h('tbody', {}, ...found.map((phase) => h('tr', {},
    h('th', { scope: 'row' }, h('span', { class: 'swatch', 'data-phase': phase.phase }), word('phase', phase.phase)),
    h('td', { class: 'number', text: duration(phase.seconds) }),
    h('td', { class: 'number', text: words(kwh(phase.energy_kwh)) }))))));
}

function projection(analysis) {
  if (analysis.projected_total_kwh === null) return section('detail.projection', h('p', { class: 'soft', text: t('detail.projectionNone') }));
  const { currency } = analysis;
  const row = (name, energy, cost, carbon) => h('tr', {}, h('th', { scope: 'row', text: t(name) }), ...[kwh(energy), money(cost, currency), co2(carbon)].map((shown) => h('td', { class: 'number', text: words(shown) })));
  return section('detail.projection', h('table', { class: 'plain-table' }, h('tbody', {},
    row('detail.soFar', analysis.energy_kwh, analysis.cost, analysis.co2_g),
    row('detail.expected', analysis.projected_total_kwh, analysis.projected_cost, analysis.projected_co2_g))));
}

function comparison({ comparison: found }) {
  if (!found.jobs) return section('detail.compare', h('p', { class: 'soft', text: t('detail.compareNone') }));
  const measure = (name, value, usual, change, unit, digits) => {
    const tone = change === null ? 'quiet' : change > 15 ? 'bad' : change > 5 ? 'warm' : 'good';
    return h('div', { class: 'measure' },
      h('span', { text: t(name) }), h('strong', { class: 'status', 'data-tone': tone, text: difference(change) }),
      h('span', { class: 'number', text: value === null ? NONE : `${number(value, digits)} ${unit}` }),
      h('span', { class: 'soft small', text: t('detail.usual', { value: usual === null ? NONE : `${number(usual, digits)} ${unit}` }) }));
  };
  return section('detail.compare',
    measure('detail.perHour', found.kwh_per_hour, found.usual_kwh_per_hour, found.kwh_per_hour_difference_percent, 'kWh', 3),
    measure('detail.perGram', perGram(found.kwh_per_g), perGram(found.usual_kwh_per_g), found.kwh_per_g_difference_percent, 'Wh', 2),
    h('p', { class: 'soft small', text: t('detail.ofJobs', { jobs: found.jobs }) }));
}

const perGram = (value) => (value === null ? null : value * 1000);

function history({ history: past }) {
  if (past.length === 0) return section('detail.history', h('p', { class: 'soft', text: t('detail.historyNone') }));
  return section('detail.history', h('ul', { class: 'past' }, ...past.map((print) => h('li', {},
    picture(print.thumbnail_url),
    h('div', {}, h('span', { class: 'name', title: print.filename }, ...breakable(print.filename === null ? t('card.noName') : fileName(print.filename, 40))),
      h('span', { class: 'small soft' }, h('span', { class: 'status', 'data-tone': RESULT_TONES[print.status] ?? 'quiet', text: word('result', print.status) }), ` ${moment(print.end_time)}`)),
    h('strong', { class: 'number', text: words(kwh(print.session_energy_wh === null ? null : print.session_energy_wh / 1000)) })))));
}

function tips({ tips: all }) {
  if (all.length < 2) return null;
  return section('detail.tips', h('ol', { class: 'tips' }, ...all.map((tip) => h('li', {}, tip.text, ' ', h('strong', { class: 'saving', text: savingWords(tip) })))));
}
