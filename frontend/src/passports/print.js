// One ended print in a dialog: the passport of what was made. It is in the address (?job=…), so a link opens it.

import { requestJson } from '../common/api.js';
import { breakable, byId, figure, h, setText } from '../common/dom.js';
import { NONE, co2, duration, fileName, grams, kwh, moment, money } from '../common/format.js';
import { icon } from '../common/icons.js';
import { appLink, onState, pageState, setState } from '../common/pagestate.js';
import { qualitySentences } from '../common/quality.js';
import { RESULT_TONES } from '../common/status.js';
import { t, word } from '../common/texts.js';
import { jobSection, pairs, partsSection, picture, section, words } from './sections.js';

let preview = /** @type {ReturnType<typeof import('./preview.js').printPreview>|null} */ (null);

export function openPrint(jobId) {
  setState({ job: jobId });
  show();
}

async function show() {
  const id = pageState().get('job');
  const dialog = byId('print');
  if (id === null) return dialog.close();
  preview?.destroy();
  preview = null;
  setText(byId('print-title'), t('print.loading'));
  byId('print-body').replaceChildren();
  if (!dialog.open) dialog.showModal();
  try {
    const print = await requestJson(`/api/jobs/${encodeURIComponent(id)}`);
    if (pageState().get('job') !== id) return;
    draw(print);
  } catch (error) {
    setText(byId('print-title'), t('print.failed'));
    byId('print-body').replaceChildren(h('p', { class: 'notice', 'data-tone': 'bad', text: error.message }));
  }
}

async function draw(print) {
  const name = print.filename ?? t('card.noName');
  const seconds = print.completedAt ? (Date.parse(print.completedAt) - Date.parse(print.startedAt)) / 1000 : null;
  byId('print-title').replaceChildren(...breakable(fileName(name, 90)));
  byId('print-title').title = name;
  const stage = h('div', { class: 'preview', hidden: print.previewUrl === null });
  byId('print-body').replaceChildren(
    h('p', { class: 'print-who' }, print.previewUrl === null ? picture(print.thumbnailUrl) : null,
      h('span', {}, h('span', { class: 'status', 'data-tone': RESULT_TONES[print.status] ?? 'quiet', text: word('result', print.status) }),
        h('span', { class: 'below', text: [print.printerName, print.statusReason].filter(Boolean).join(' · ') }))),
    h('dl', { class: 'figures' }, figure(t('col.energy'), kwh(print.kwh), 'hero'), figure(t('col.cost'), money(print.cost, print.currency), 'hero'), figure(t('col.co2'), co2(print.co2g), 'hero')),
    stage,
    h('div', { class: 'print-sections' }, ...[
      section('print.facts', pairs(/** @type {[string, string][]} */ ([
        ['print.started', moment(print.startedAt)], ['col.ended', moment(print.completedAt)], ['col.duration', duration(seconds)],
        print.pausedSeconds >= 1 ? ['print.paused', duration(print.pausedSeconds)] : null,
        ['col.material', print.material ?? NONE], ['print.filament', words(grams(print.filamentGrams))],
      ].filter((row) => row !== null)))),
      jobSection(print.job_details), partsSection(print.perPartAnalysis, 'detail.parts'),
      section('quality.title', h('ul', { class: 'sentences' }, ...qualitySentences(print).map((sentence) => h('li', { text: sentence })))),
    ].filter((one) => one !== null)),
    print.completedAt === null ? '' : h('p', {}, h('a', {
      href: appLink(`analysis?${new URLSearchParams({ device: print.deviceId, range: 'span', from: print.startedAt, to: print.completedAt })}`), text: t('print.analyse'),
    })));
  if (print.previewUrl === null) return;
  const { printPreview } = await import('./preview.js');
  if (stage.isConnected) preview = printPreview(stage, print.previewUrl, { progress: null, picture: print.thumbnailUrl });
}

/** Follows the address from now on. */
export function followPrint() {
  byId('print-close').append(icon('close'));
  byId('print-close').onclick = () => byId('print').close();
  byId('print').addEventListener('close', () => {
    preview?.destroy();
    preview = null;
    setState({ job: null });
  });
  onState(show);
  if (pageState().get('job') !== null) show();
}
