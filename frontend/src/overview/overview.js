// The fleet at a glance: what it draws, who prints, what needs a hand, how the parts of the system are.

import { byId, h } from '../common/dom.js';
import { fleetFigures } from '../common/fleet.js';
import { co2, duration, kwh, moment, money, percent, shorten, temperature, watts } from '../common/format.js';
import { appLink, pageState } from '../common/pagestate.js';
import { connectionNotice, poll, summaryUrl } from '../common/poll.js';
import { RESULT_TONES, TONES } from '../common/status.js';
import { fillTexts, t, word } from '../common/texts.js';

const RECENT = 6;
const SLOW_MS = 15_000;
const PARTS = ['database', 'ingest', 'printers', 'nodered', 'broker'];
const PART_TONES = { ok: 'good', waiting: 'quiet', stale: 'warm', down: 'bad', unknown: 'quiet' };

function fleetRow(printer) {
  const analysis = printer.detailed_analysis_data;
  const temperatures = [[printer.currentNozzleTemp, printer.targetNozzleTemp], [printer.currentBedTemp, printer.targetBedTemp]]
    .filter(([actual]) => actual !== null).map(([actual, target]) => temperature(actual, target)).join(', ');
  const running = printer.jobFilename !== null || analysis !== null;
  const file = printer.jobFilename ?? t('card.noName');
  return h('tr', { 'data-device': printer.deviceId, 'data-status': printer.currentStatus },
    h('th', { scope: 'row', class: 'who' }, h('a', { href: appLink(`passports?device=${encodeURIComponent(printer.deviceId)}`), text: printer.friendlyName }), h('span', { class: 'below', text: printer.model ?? '' })),
    h('td', {}, h('span', { class: 'status', 'data-tone': TONES[printer.currentStatus] ?? 'quiet', text: word('status', printer.currentStatus) }), h('span', { class: 'below', text: temperatures })),
    h('td', { class: 'number', 'data-label': t('col.power'), 'data-field': 'powerWatts' }, ...shown(watts(printer.powerWatts))),
    running ? h('td', { class: 'wide job', title: file }, shorten(file, 46),
      printer.jobProgressPercent === null ? null : h('progress', { max: 100, value: printer.jobProgressPercent, 'aria-label': t('card.progressOf', { name: printer.friendlyName }) }),
      h('span', { class: 'below', text: [printer.jobProgressPercent === null ? '' : percent(printer.jobProgressPercent), printer.jobTimeLeftSeconds === null ? '' : t('card.left', { time: duration(printer.jobTimeLeftSeconds) })].filter(Boolean).join(', ') })) : h('td', { class: 'job' }),
    h('td', { class: 'number', 'data-label': t('col.thisPrint') }, ...shown(kwh(printer.jobKwhConsumed))),
    h('td', { class: 'number', 'data-label': t('col.day') }, ...shown(kwh(printer.kwhLast24h))));
}

/** @param {[string, string?]} figure */
const shown = ([value, unit]) => [value, unit ? h('span', { class: 'unit', text: unit }) : ''];

function recentPrint(print) {
  return h('li', {},
    h('div', {}, h('span', { class: 'name', title: print.filename, text: print.filename === null ? t('card.noName') : shorten(print.filename, 36) }),
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

function showAlarms({ alarms }) {
  byId('alarms').replaceChildren(...(alarms.length === 0 ? [h('li', { class: 'soft', text: t('overview.alarmsNone') })] : alarms.map((alarm) => h('li', {},
    h('span', { text: alarm.text }), h('span', { class: 'below', text: [alarm.deviceName, alarm.since === null ? null : t('alarm.since', { time: moment(alarm.since) })].filter(Boolean).join(' · ') })))));
}

fillTexts();
const silent = () => {}; // the summary's poll says that the server is away
poll(summaryUrl(pageState()), (/** @type {any} */ { printers, globalHistory }) => {
  byId('totals').hidden = false;
  byId('columns').hidden = false;
  byId('totals').replaceChildren(...fleetFigures(printers, 'hero'));
  byId('fleet-rows').replaceChildren(...printers.map(fleetRow));
  byId('fleet').hidden = printers.length === 0;
  byId('none').hidden = printers.length > 0;
  byId('recent').replaceChildren(...(globalHistory.length === 0 ? [h('li', { class: 'soft', text: t('overview.noRecent') })]
    : [...globalHistory.slice(0, RECENT).map(recentPrint), h('li', {}, h('a', { href: appLink('prints'), text: t('overview.allPrints') }))]));
}, connectionNotice(byId('notice'), t, moment));
poll('/api/health', showHealth, silent, { everyMs: SLOW_MS });
poll('/api/alarms', showAlarms, silent, { everyMs: SLOW_MS });
