// The fleet at a glance: what it draws, who prints, what needs a hand, how the parts of the system are.

import { breakable, byId, h, redraw } from '../common/dom.js';
import { byName, fleetFigures } from '../common/fleet.js';
import { co2, duration, fileName, kwh, moment, money, percent, temperature, watts } from '../common/format.js';
import { icon } from '../common/icons.js';
import { appLink, pageState } from '../common/pagestate.js';
import { connectionNotice, poll, summaryUrl } from '../common/poll.js';
import { RESULT_TONES, TIP_TONES, TONES, needsLook } from '../common/status.js';
import { fillTexts, t, word } from '../common/texts.js';

const RECENT = 6;
const SLOW_MS = 15_000;
const PARTS = ['database', 'ingest', 'printers', 'nodered', 'broker'];
const PART_TONES = { ok: 'good', waiting: 'quiet', stale: 'warm', down: 'bad', unknown: 'quiet' };
const scripted = pageState().has('scenario'); // a made-up fleet, which the system's parts know nothing of
/** Alarms that the printers' own tips tell as well. */
const TOLD_BY_TIPS = new Set(['printer_error', 'printer_attention']);

function fleetRow(printer) {
  const analysis = printer.detailed_analysis_data;
  const heat = (kind, actual, target) => (actual === null ? null : h('span', { class: 'heat' }, icon(kind), h('span', { class: 'unseen', text: `${t(`card.${kind}`)} ` }), temperature(actual, target)));
  const running = printer.jobFilename !== null || analysis !== null;
  const name = printer.jobFilename ?? t('card.noName');
  return h('tr', { 'data-device': printer.deviceId, 'data-status': printer.currentStatus },
    h('th', { scope: 'row', class: 'who' }, h('a', { href: appLink(`passports?device=${encodeURIComponent(printer.deviceId)}`), title: printer.friendlyName, text: printer.friendlyName }), h('span', { class: 'below', text: printer.model ?? '' })),
    h('td', {}, h('span', { class: 'status', 'data-tone': TONES[printer.currentStatus] ?? 'quiet', text: word('status', printer.currentStatus) }), h('span', { class: 'below heats' }, heat('nozzle', printer.currentNozzleTemp, printer.targetNozzleTemp), heat('bed', printer.currentBedTemp, printer.targetBedTemp))),
    h('td', { class: 'number', 'data-label': t('col.power'), 'data-field': 'powerWatts' }, ...shown(watts(printer.powerWatts))),
    running ? h('td', { class: 'wide job', title: name }, ...breakable(fileName(name, 60)),
      printer.jobProgressPercent === null ? null : h('progress', { max: 100, value: printer.jobProgressPercent, 'aria-label': t('card.progressOf', { name: printer.friendlyName }) }),
      h('span', { class: 'below', text: [printer.jobProgressPercent === null ? '' : percent(printer.jobProgressPercent), printer.jobTimeLeftSeconds === null ? '' : t('card.left', { time: duration(printer.jobTimeLeftSeconds) })].filter(Boolean).join(', ') })) : h('td', { class: 'job' }),
    h('td', { class: 'number', 'data-label': t('col.thisPrint') }, ...shown(kwh(printer.jobKwhConsumed))),
    h('td', { class: 'number', 'data-label': t('col.day') }, ...shown(kwh(printer.kwhLast24h))));
}

/** @param {[string, string?]} figure */
const shown = ([value, unit]) => [value, unit ? h('span', { class: 'unit', text: unit }) : ''];

function recentPrint(print) {
  return h('li', { 'data-job': print.jobId },
    h('div', {}, h(scripted ? 'span' : 'a', { class: 'name', href: scripted ? null : appLink(`prints?job=${print.jobId}`), title: print.filename }, ...breakable(print.filename === null ? t('card.noName') : fileName(print.filename, 40))),
      h('span', { class: 'below' }, h('span', { class: 'status', 'data-tone': RESULT_TONES[print.status] ?? 'quiet', text: word('result', print.status) }), ` ${moment(print.completedAt)} · ${print.printerName}`)),
    h('div', { class: 'number' }, h('strong', { text: kwh(print.kwh).join(' ') }), h('span', { class: 'below', text: `${money(print.cost, print.currency)[0]} · ${co2(print.co2g).join(' ')}` })));
}

function showHealth(health) {
  byId('system').replaceChildren(...PARTS.map((part) => {
    const found = health.parts[part];
    const age = found.lastReadingAgeSeconds ?? found.lastStatusAgeSeconds ?? null;
    return h('li', {}, h('span', { text: t(`part.${part}`) }),
      h('span', { class: 'status', 'data-tone': PART_TONES[found.status] ?? 'quiet', text: word('part', found.status) }),
      h('span', { class: 'below', text: found.problem ?? (age === null ? '' : t('part.newest', { age: duration(age) })) }));
  }));
}

/** Printers that want somebody, by their most important tip. */
function showLooks(printers) {
  const found = printers.filter(needsLook).map((printer) => h('li', { 'data-device': printer.deviceId, 'data-tone': TIP_TONES[printer.tips[0].id] },
    h('a', { href: appLink(`passports?device=${encodeURIComponent(printer.deviceId)}`), text: printer.friendlyName }), h('span', { class: 'below', text: printer.tipText })));
  redraw(byId('looks'), found.length === 0 ? [h('li', { class: 'soft', text: t('overview.looksNone') })] : found, 'data-device');
}

/** What else is the matter: silent devices, meters, refused messages. */
function showAlarms(alarms) {
  const found = alarms.filter((alarm) => !TOLD_BY_TIPS.has(alarm.kind));
  byId('alarms-part').hidden = found.length === 0;
  byId('alarms').replaceChildren(...found.map((alarm) => h('li', { 'data-tone': 'warm' },
    h('span', { text: alarm.text }), alarm.since === null ? null : h('span', { class: 'below', text: t('alarm.since', { time: moment(alarm.since) }) }))));
}

fillTexts();
const silent = () => {}; // the summary's poll says that the server is away
poll(summaryUrl(pageState()), (/** @type {any} */ summary) => {
  const printers = summary.printers.toSorted(byName);
  byId('totals').hidden = printers.length === 0;
  byId('totals').replaceChildren(...fleetFigures(printers, 'hero'));
  byId('columns').hidden = false;
  redraw(byId('fleet-rows'), printers.map(fleetRow), 'data-device');
  byId('fleet').hidden = printers.length === 0;
  byId('none').hidden = printers.length > 0;
  redraw(byId('recent'), summary.globalHistory.length === 0 ? [h('li', { class: 'soft', text: t('overview.noRecent') })]
    : [...summary.globalHistory.slice(0, RECENT).map(recentPrint), h('li', { 'data-job': 'all' }, h('a', { href: appLink('prints'), text: t('overview.allPrints') }))], 'data-job');
  showLooks(printers);
}, connectionNotice(byId('notice'), t, moment));
byId('system-part').hidden = scripted;
if (!scripted) {
  poll('/api/health', showHealth, silent, { everyMs: SLOW_MS });
  poll('/api/alarms', (/** @type {any} */ { alarms }) => showAlarms(alarms), silent, { everyMs: SLOW_MS });
}
