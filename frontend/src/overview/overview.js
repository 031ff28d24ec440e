// The fleet at a glance: what it draws, who prints, what needs a hand, how the parts of the system are.

import { badge, breakable, byId, figureParts, h, redraw } from '../common/dom.js';
import { byName, fleetFigures, hasPrint, passportLink } from '../common/fleet.js';
import { duration, fileName, grams, kwh, moment, money, percent, temperature, watts } from '../common/format.js';
import { icon } from '../common/icons.js';
import { fillPage } from '../common/page.js';
import { appLink, pageState } from '../common/pagestate.js';
import { connectionNotice, poll, summaryUrl } from '../common/poll.js';
import { needsLook, resultBadge, statusTone, tipTone } from '../common/status.js';
import { t, word } from '../common/texts.js';

/** @import { Alarm, Health, HealthPartName, HistoryEntry, Printer, Summary } from '../common/types.d.ts' */

const RECENT = 6;
const SLOW_MS = 15_000;
/** @type {HealthPartName[]} */
const PARTS = ['database', 'ingest', 'printers', 'nodered', 'broker'];
/** All others are quiet. @type {Record<string, string>} */
const PART_TONES = { ok: 'good', stale: 'warm', down: 'bad' };
const scripted = pageState().has('scenario'); // a made-up fleet, about which the system's parts know nothing
/** Alarms that the printers' own tips report as well. */
const TOLD_BY_TIPS = new Set(['printer_error', 'printer_attention']);

/** @param {Printer} printer */
function fleetRow(printer) {
  return h('tr', { 'data-device': printer.deviceId, 'data-status': printer.currentStatus },
    h('th', { scope: 'row', class: 'who' },
      h('a', { href: passportLink(printer), title: printer.friendlyName, text: printer.friendlyName }),
      h('span', { class: 'below', text: printer.model ?? '' })),
    h('td', {}, badge(word('status', printer.currentStatus), statusTone(printer.currentStatus)),
      h('span', { class: 'below heats' },
        heat('nozzle', printer.currentNozzleTemp, printer.targetNozzleTemp), heat('bed', printer.currentBedTemp, printer.targetBedTemp))),
    h('td', { class: 'number', 'data-label': t('col.power'), 'data-field': 'powerWatts' }, ...figureParts(watts(printer.powerWatts))),
    hasPrint(printer) ? jobCell(printer) : h('td', { class: 'job' }),
    h('td', { class: 'number', 'data-label': t('col.thisPrint') }, ...figureParts(kwh(printer.jobKwhConsumed))),
    h('td', { class: 'number', 'data-label': t('col.day') }, ...figureParts(kwh(printer.kwhLast24h))));
}

/**
 * @param {'nozzle'|'bed'} kind
 * @param {number|null} actual
 * @param {number|null} target
 */
function heat(kind, actual, target) {
  if (actual === null) return null;
  return h('span', { class: 'heat' }, icon(kind), h('span', { class: 'unseen', text: `${t(`card.${kind}`)} ` }), temperature(actual, target));
}

/** @param {Printer} printer */
function jobCell({ friendlyName, jobFilename, jobProgressPercent: progress, jobTimeLeftSeconds: left }) {
  const name = jobFilename ?? t('card.noName');
  const words = [progress === null ? '' : percent(progress), left === null ? '' : t('card.left', { time: duration(left) })];
  return h('td', { class: 'wide job', title: name }, ...breakable(fileName(name, 60)),
    progress === null ? null : h('progress', { max: 100, value: progress, 'aria-label': t('card.progressOf', { name: friendlyName }) }),
    h('span', { class: 'below', text: words.filter(Boolean).join(', ') }));
}

/** @param {HistoryEntry} print */
function recentPrint(print) {
  const link = { class: 'name', href: scripted ? null : appLink(`prints?job=${print.jobId}`), title: print.filename };
  return h('li', { 'data-job': print.jobId },
    h('div', {},
      h(scripted ? 'span' : 'a', link, ...breakable(fileName(print.filename ?? t('card.noName'), 40))),
      h('span', { class: 'below' }, resultBadge(print.status), ` ${moment(print.completedAt)} · ${print.printerName}`)),
    h('div', { class: 'number' }, h('strong', { text: kwh(print.kwh).join(' ') }),
      h('span', { class: 'below', text: `${money(print.cost, print.currency)[0]} · ${grams(print.co2g).join(' ')}` })));
}

/** @param {HistoryEntry[]} prints */
function recentPrints(prints) {
  if (prints.length === 0) return [nothing('overview.noRecent')];
  const all = h('a', { href: appLink('prints'), text: t('overview.allPrints') });
  return [...prints.slice(0, RECENT).map(recentPrint), h('li', { 'data-job': 'all' }, all)];
}

/** @param {Summary} summary */
function showSummary({ printers: found, globalHistory }) {
  const printers = found.toSorted(byName);
  byId('totals').hidden = printers.length === 0;
  byId('totals').replaceChildren(...fleetFigures(printers, 'hero'));
  byId('columns').hidden = false;
  redraw(byId('fleet-rows'), printers.map(fleetRow), 'data-device');
  byId('fleet').hidden = printers.length === 0;
  byId('none').hidden = printers.length > 0;
  redraw(byId('recent'), recentPrints(globalHistory), 'data-job');
  showLooks(printers);
}

/** @param {string} key  of the text */
const nothing = (key) => h('li', { class: 'soft', text: t(key) });

/**
 * Printers that need somebody, with their most important tip.
 * @param {Printer[]} printers
 */
function showLooks(printers) {
  const found = printers.filter(needsLook).map((printer) => h('li', { 'data-device': printer.deviceId, 'data-tone': tipTone(printer) },
    h('a', { href: passportLink(printer), text: printer.friendlyName }), h('span', { class: 'below', text: printer.tipText })));
  redraw(byId('looks'), found.length === 0 ? [nothing('overview.looksNone')] : found, 'data-device');
}

/**
 * What else is the matter: silent devices, meters, refused messages.
 * @param {{alarms: Alarm[]}} answer
 */
function showAlarms({ alarms }) {
  const found = alarms.filter((alarm) => !TOLD_BY_TIPS.has(alarm.kind));
  byId('alarms-part').hidden = found.length === 0;
  byId('alarms').replaceChildren(...found.map(({ text, since }) => h('li', { 'data-tone': 'warm' },
    h('span', { text }), since === null ? null : h('span', { class: 'below', text: t('alarm.since', { time: moment(since) }) }))));
}

/** @param {Health} health */
function showHealth({ parts }) {
  byId('system').replaceChildren(...PARTS.map((name) => {
    const { status, problem, lastReadingAgeSeconds, lastStatusAgeSeconds } = parts[name];
    const age = lastReadingAgeSeconds ?? lastStatusAgeSeconds ?? null;
    return h('li', {}, h('span', { text: t(`part.${name}`) }), badge(word('part', status), PART_TONES[status] ?? 'quiet'),
      h('span', { class: 'below', text: problem ?? (age === null ? '' : t('part.newest', { age: duration(age) })) }));
  }));
}

fillPage();
poll(summaryUrl(pageState()), showSummary, { tell: connectionNotice(byId('notice')) });
byId('system-part').hidden = scripted;
if (!scripted) {
  poll('/api/health', showHealth, { everyMs: SLOW_MS });
  poll('/api/alarms', showAlarms, { everyMs: SLOW_MS });
}
