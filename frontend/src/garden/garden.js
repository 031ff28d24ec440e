// The fleet as a garden, for a wall: every printer a plant that grows with its work and wilts when it takes more than needed.

import { byId, h, rem, setBadge, setFigure, setText } from '../common/dom.js';
import { byName, fleetFigures, passportLink } from '../common/fleet.js';
import { kwh, percent, watts } from '../common/format.js';
import { fillPage } from '../common/page.js';
import { pageState } from '../common/pagestate.js';
import { connectionNotice, poll, summaryUrl } from '../common/poll.js';
import { statusTone } from '../common/status.js';
import { t, word } from '../common/texts.js';
import { plantView } from '../plants/view.js';

/** @import { Printer, Summary } from '../common/types.d.ts' */

const NARROWEST_REM = 10.5;
const LOWEST_REM = 14.5; // as the style sheet has it
const SHELF_REM = 7;

/** deviceId → its bed. @type {Map<string, ReturnType<typeof bed>>} */
const beds = new Map();

/** @param {Printer} first */
function bed(first) {
  const plant = plantView();
  const power = h('strong', { class: 'power' });
  const status = h('span', { class: 'status' });
  const name = h('a', { class: 'name', href: passportLink(first) });
  const day = h('span', { class: 'soft' });
  const health = h('span', { class: 'soft health' });
  const element = h('li', { 'data-device': first.deviceId }, plant.element,
    h('div', { class: 'shelf' }, name, status, h('div', { class: 'line' }, power, day, health)));
  return {
    element,
    /** @param {Printer} printer */
    update(printer) {
      const progress = printer.jobProgressPercent === null ? '' : ` ${percent(printer.jobProgressPercent)}`;
      element.dataset.status = printer.currentStatus;
      plant.update(printer);
      setText(name, printer.friendlyName);
      name.title = printer.friendlyName;
      setBadge(status, `${word('status', printer.currentStatus)}${progress}`, statusTone(printer.currentStatus));
      setFigure(power, watts(printer.powerWatts));
      setText(day, printer.kwhLast24h === null ? '' : t('garden.day', { energy: kwh(printer.kwhLast24h).join(' ') }));
      setText(health, printer.plantHealth === null ? '' : t('garden.health', { health: printer.plantHealth }));
    },
  };
}

/** As many plants in a row as make them largest; when not all fit on the screen, as many as can still be read. */
function arrange() {
  const { clientWidth: width, clientHeight, offsetTop } = byId('beds');
  const height = Math.min(clientHeight, innerHeight - offsetTop); // without scrolling
  const unit = rem();
  const most = Math.max(2, Math.min(beds.size, Math.floor(width / (NARROWEST_REM * unit))));
  let best = { columns: 2, size: 0 };
  for (let columns = 2; columns <= most; columns += 1) {
    const row = height / Math.ceil(beds.size / columns);
    // Where people must scroll anyway, the more in a row the better.
    const size = row < LOWEST_REM * unit ? columns / 1000 : Math.min(width / columns, row - SHELF_REM * unit);
    if (size > best.size) best = { columns, size };
  }
  byId('beds').style.setProperty('--columns', String(best.columns));
}
addEventListener('resize', arrange);

/** @param {Printer[]} printers  in their order */
function show(printers) {
  const ids = new Set(printers.map((printer) => printer.deviceId));
  for (const [id, { element }] of beds) {
    if (ids.has(id)) continue;
    element.remove();
    beds.delete(id);
  }
  printers.forEach((printer, nth) => {
    const known = beds.get(printer.deviceId) ?? bed(printer);
    known.update(printer);
    beds.set(printer.deviceId, known);
    const there = byId('beds').children[nth];
    if (there !== known.element) byId('beds').insertBefore(known.element, there ?? null);
  });
  arrange();
}

fillPage();
const showFull = () => setText(byId('full-words'), t(document.fullscreenElement ? 'garden.leave' : 'garden.full'));
addEventListener('fullscreenchange', showFull);
showFull();
byId('full').hidden = !document.fullscreenEnabled;
byId('full').onclick = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());

poll(summaryUrl(pageState()), (/** @type {Summary} */ summary) => {
  const printers = summary.printers.toSorted(byName);
  byId('none').hidden = printers.length > 0;
  byId('totals').hidden = printers.length === 0;
  byId('totals').replaceChildren(...fleetFigures(printers));
  show(printers);
}, { tell: connectionNotice(byId('notice')) });
