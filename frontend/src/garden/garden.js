// The fleet as a garden, for a wall: every printer a plant that grows with its work and wilts when it takes more than needed.

import { byId, h, setFigure, setText } from '../common/dom.js';
import { fleetFigures } from '../common/fleet.js';
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
  const more = h('span', { class: 'soft small' });
  const element = h('li', { 'data-device': first.deviceId }, plant.element, h('div', { class: 'shelf' }, name, h('div', { class: 'line' }, status, power), more));
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
      setText(more, [kwh(printer.kwhLast24h).join(' '), printer.plantHealth === null ? null : t('garden.health', { health: printer.plantHealth })].filter(Boolean).join(' · '));
    },
  };
}

const WIDEST_REM = 13.5;

/** Shelves of equal length: as many plants beside each other as fit, evened out over the rows. */
function arrange() {
  const most = Math.max(2, Math.floor(byId('beds').clientWidth / (WIDEST_REM * parseFloat(getComputedStyle(document.documentElement).fontSize))));
  const rows = Math.ceil(beds.size / most);
  byId('beds').style.setProperty('--columns', String(Math.max(2, Math.ceil(beds.size / Math.max(1, rows)))));
}
addEventListener('resize', arrange);

fillTexts();
byId('full').append(icon('expand'), t('garden.full'));
byId('full').hidden = !document.fullscreenEnabled;
byId('full').onclick = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());

poll(summaryUrl(pageState()), (/** @type {any} */ { printers }) => {
  byId('none').hidden = printers.length > 0;
  byId('totals').replaceChildren(...fleetFigures(printers));
  const ids = new Set(printers.map((printer) => printer.deviceId));
  for (const [id, found] of beds) {
    if (ids.has(id)) continue;
    found.element.remove();
    beds.delete(id);
  }
  for (const printer of printers) {
    const known = beds.get(printer.deviceId) ?? bed(printer);
    known.update(printer);
    if (!beds.has(printer.deviceId)) {
      beds.set(printer.deviceId, known);
      byId('beds').append(known.element);
    }
  }
  arrange();
}, connectionNotice(byId('notice'), t, moment));
