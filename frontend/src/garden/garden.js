// The fleet as a garden, for a wall: every printer a plant that grows with its work and wilts when it takes more than needed.

import { byId, h, setFigure, setText } from '../common/dom.js';
import { byName, fleetFigures } from '../common/fleet.js';
import { kwh, moment, percent, watts } from '../common/format.js';
import { icon } from '../common/icons.js';
import { appLink, pageState } from '../common/pagestate.js';
import { connectionNotice, poll, summaryUrl } from '../common/poll.js';
import { TONES } from '../common/status.js';
import { fillTexts, t, word } from '../common/texts.js';
import { plantView } from '../plants/view.js';

/** @type {Map<string, ReturnType<typeof bed>>} */
const beds = new Map();

function bed(first) {
  const plant = plantView();
  const power = h('strong', { class: 'power' });
  const status = h('span', { class: 'status' });
  const name = h('a', { class: 'name', href: appLink(`passports?device=${encodeURIComponent(first.deviceId)}`) });
  const day = h('span', { class: 'soft' });
  const health = h('span', { class: 'soft health' });
  const element = h('li', { 'data-device': first.deviceId }, plant.element, h('div', { class: 'shelf' }, name, status, h('div', { class: 'line' }, power, day, health)));
  return {
    element,
    update(printer) {
      element.dataset.status = printer.currentStatus;
      plant.update(printer);
      setText(name, printer.friendlyName);
      name.title = printer.friendlyName;
      setText(status, `${word('status', printer.currentStatus)}${printer.jobProgressPercent === null ? '' : ` ${percent(printer.jobProgressPercent)}`}`);
      status.dataset.tone = TONES[printer.currentStatus] ?? 'quiet';
      setFigure(power, watts(printer.powerWatts));
      setText(day, printer.kwhLast24h === null ? '' : t('garden.day', { energy: kwh(printer.kwhLast24h).join(' ') }));
      setText(health, printer.plantHealth === null ? '' : t('garden.health', { health: printer.plantHealth }));
    },
  };
}

const NARROWEST_REM = 10.5;
const LOWEST_REM = 14.5; // as the style sheet has it
const SHELF_REM = 7;

/** As many plants beside each other as make them largest; when not all fit on the screen, as many as still can be read. */
function arrange() {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const { clientWidth: width, clientHeight: height } = byId('beds');
  let best = { columns: 2, size: 0 };
  for (let columns = 2; columns <= Math.max(2, Math.min(beds.size, Math.floor(width / (NARROWEST_REM * rem)))); columns += 1) {
    const rows = Math.ceil(beds.size / columns);
    const row = shown(height) / rows;
    // Where all must be scrolled through anyway, the more beside each other the better.
    const size = row < LOWEST_REM * rem ? columns / 1000 : Math.min(width / columns, row - SHELF_REM * rem);
    if (size > best.size) best = { columns, size };
  }
  byId('beds').style.setProperty('--columns', String(best.columns));
}
/** The height that there is without scrolling. */
const shown = (height) => Math.min(height, innerHeight - byId('beds').offsetTop);
addEventListener('resize', arrange);

fillTexts();
const label = h('span');
byId('full').append(icon('expand'), label);
const showFull = () => setText(label, t(document.fullscreenElement ? 'garden.leave' : 'garden.full'));
addEventListener('fullscreenchange', showFull);
showFull();
byId('full').hidden = !document.fullscreenEnabled;
byId('full').onclick = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());

poll(summaryUrl(pageState()), (/** @type {any} */ summary) => {
  const printers = summary.printers.toSorted(byName);
  byId('none').hidden = printers.length > 0;
  byId('totals').hidden = printers.length === 0;
  byId('totals').replaceChildren(...fleetFigures(printers));
  const ids = new Set(printers.map((printer) => printer.deviceId));
  for (const [id, found] of beds) {
    if (ids.has(id)) continue;
    found.element.remove();
    beds.delete(id);
  }
  printers.forEach((printer, nth) => {
    const known = beds.get(printer.deviceId) ?? bed(printer);
    known.update(printer);
    beds.set(printer.deviceId, known);
    if (byId('beds').children[nth] !== known.element) byId('beds').insertBefore(known.element, byId('beds').children[nth] ?? null);
  });
  arrange();
}, connectionNotice(byId('notice'), t, moment));
