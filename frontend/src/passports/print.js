// One ended print in a dialog: the passport of what was made. It is in the address (?job=…), so a link opens it.

import { requestJson, sentence } from '../common/api.js';
import { breakable, byId, h, setText } from '../common/dom.js';
import { NONE, duration, fileName, grams, moment } from '../common/format.js';
import { appLink, onState, pageState, setState } from '../common/pagestate.js';
import { qualitySentences } from '../common/quality.js';
import { resultBadge } from '../common/status.js';
import { t } from '../common/texts.js';
import { accountFigures, jobSection, pairs, partsSection, picture, printSeconds, section } from './sections.js';

/** @import { JobPassport } from '../common/types.d.ts' */
/** @import { Preview } from './preview.js' */

let preview = /** @type {Preview|null} */ (null);

/**
 * Opens the dialog of a print.
 * @param {string} jobId
 */
export function openPrint(jobId) {
  setState({ job: jobId });
  show();
}

async function show() {
  const id = pageState().get('job');
  const dialog = byId('print');
  if (id === null) return dialog.close();
  endPreview();
  setText(byId('print-title'), t('print.loading'));
  byId('print-body').replaceChildren();
  if (!dialog.open) dialog.showModal();
  try {
    /** @type {JobPassport} */
    const print = await requestJson(`/api/jobs/${encodeURIComponent(id)}`);
    if (pageState().get('job') === id) draw(print);
  } catch (error) {
    setText(byId('print-title'), t('print.failed'));
    byId('print-body').replaceChildren(h('p', { class: 'notice', 'data-tone': 'bad', text: sentence(error) }));
  }
}

function endPreview() {
  preview?.destroy();
  preview = null;
}

/** @param {JobPassport} print */
async function draw(print) {
  const name = print.filename ?? t('card.noName');
  byId('print-title').replaceChildren(...breakable(fileName(name, 90)));
  byId('print-title').title = name;
  const stage = h('div', { class: 'preview', hidden: print.previewUrl === null });
  byId('print-body').replaceChildren(
    h('p', { class: 'print-who' }, print.previewUrl === null ? picture(print.thumbnailUrl) : null,
      h('span', {}, resultBadge(print.status),
        h('span', { class: 'below', text: [print.printerName, print.statusReason].filter(Boolean).join(' · ') }))),
    h('dl', { class: 'figures' }, ...accountFigures(print)),
    stage,
    h('div', { class: 'print-sections' },
      facts(print), jobSection(print.job_details), partsSection(print.perPartAnalysis, 'detail.parts'),
      section('quality.title', h('ul', { class: 'sentences' }, ...qualitySentences(print).map((text) => h('li', { text }))))),
    analysisLink(print));
  if (print.previewUrl === null) return;
  const { printPreview } = await import('./preview.js');
  if (stage.isConnected) preview = printPreview(stage, print.previewUrl, { progress: null, picture: print.thumbnailUrl });
}

/** @param {JobPassport} print */
function facts(print) {
  return section('print.facts', pairs([
    ['print.started', moment(print.startedAt)], ['col.ended', moment(print.completedAt)], ['col.duration', duration(printSeconds(print))],
    ...(print.pausedSeconds >= 1 ? [/** @type {[string, string]} */ (['print.paused', duration(print.pausedSeconds)])] : []),
    ['col.material', print.material ?? NONE], ['print.filament', grams(print.filamentGrams).join(' ')],
  ]));
}

/**
 * The way to the analysis of its time; '' while it runs.
 * @param {JobPassport} print
 */
function analysisLink({ deviceId, startedAt, completedAt }) {
  if (completedAt === null) return '';
  const range = new URLSearchParams({ device: deviceId, range: 'span', from: startedAt, to: completedAt });
  return h('p', {}, h('a', { href: appLink(`analysis?${range}`), text: t('print.analyse') }));
}

/** Follows the address from now on. */
export function followPrint() {
  byId('print').addEventListener('close', () => {
    endPreview();
    setState({ job: null });
  });
  onState(show);
  if (pageState().get('job') !== null) show();
}
