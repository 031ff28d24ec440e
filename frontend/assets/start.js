// The start page: the fleet as a table, kept current by polling the summary with its ETag.
// Everything that comes from outside is set as text, never as markup.

const POLL_MS = 5000;
const SLOWEST_POLL_MS = 30000;
const TIMEOUT_MS = 10000;
const HEALTH_EVERY_MS = 30000;
const FEW_PRINTS = 12;
const SILENT_S = 60; // a younger status says itself that the printer is off
const SUMMARY_URL = '/api/dpp_summary' + window.location.search; // ?scenario=busy_fleet works here, too

const TONES = {
  Printing: 'good', Heating: 'warm', Paused: 'warm', Attention: 'bad', Error: 'bad', Offline: 'quiet', Unknown: 'quiet',
  Idle: 'quiet', Cooling: 'cool', Completed: 'good',
};
const RESULTS = { done: ['Done', 'good'], cancelled: ['Cancelled', 'warm'], error: ['Failed', 'bad'], unknown: ['Unknown', 'quiet'] };
const PARTS = { database: 'Database', ingest: 'Meters', printers: 'Printers', nodered: 'Node-RED', broker: 'Broker' };
const PART_TONES = { ok: 'good', waiting: 'quiet', stale: 'warm', down: 'bad', unknown: 'quiet' };
const URGENT_TIPS = new Set(['error', 'attention', 'heating_long', 'idle_power', 'hot_bed_idle']);

const byId = (id) => document.getElementById(id);

// Numbers and units

const NONE = '–';
const format = (digits) => {
  const numbers = new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return (value) => numbers.format(value);
};
const whole = format(0);
const tenth = format(1);
const hundredth = format(2);
const thousandth = format(3);

const watts = (value) => (value === null ? [NONE] : value >= 10000 ? [tenth(value / 1000), 'kW'] : [whole(value), 'W']);
const kwh = (value) => (value === null ? [NONE] : [(value < 10 ? thousandth : tenth)(value), 'kWh']);
const co2 = (grams) => (grams === null ? [NONE] : grams >= 1000 ? [hundredth(grams / 1000), 'kg'] : [whole(grams), 'g']);
const money = (value, currency) => {
  if (value === null) return [NONE];
  if (!currency) return [hundredth(value)];
  return [new Intl.NumberFormat(undefined, { style: 'currency', currency, maximumFractionDigits: value < 1 ? 3 : 2 }).format(value)];
};

function duration(seconds) {
  if (seconds === null || seconds < 0) return null;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.round(minutes / 1440)} days`;
}

function moment(iso) {
  const time = new Date(iso);
  const today = new Date().toDateString() === time.toDateString();
  const clock = { hour: '2-digit', minute: '2-digit' };
  return today ? time.toLocaleTimeString(undefined, clock) : time.toLocaleString(undefined, { day: 'numeric', month: 'short', ...clock });
}

// Elements

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null));
  return made;
}
const small = (words) => (words ? element('span', 'small', words) : null);
const unit = (name) => (name ? element('span', 'unit', name) : null);

function status(name, tone) {
  const made = element('span', 'status', name);
  made.dataset.tone = tone;
  return made;
}

function figure(label, [value, name], below) {
  const cell = element('td', 'number live', value, unit(name), small(below));
  cell.dataset.label = label;
  return cell;
}

function show(id, [value, name]) {
  byId(id).replaceChildren(...[value, unit(name)].filter((part) => part !== null));
}

// The fleet

function printerRow(printer) {
  const name = element('th', '', printer.friendlyName, small(printer.model));
  name.scope = 'row';
  const temperatures = printer.currentNozzleTemp === null ? null
    : [printer.currentNozzleTemp, printer.currentBedTemp].filter((value) => value !== null).map(whole).join(' / ') + ' °C';
  const silent = printer.currentStatus === 'Offline' && printer.statusAgeSeconds > SILENT_S
    ? `last seen ${duration(printer.statusAgeSeconds)} ago` : null;
  const analysis = printer.detailed_analysis_data;
  const projected = analysis?.projected_total_kwh ?? null;
  const row = element('tr', '', name,
    element('td', '', status(printer.currentStatus, TONES[printer.currentStatus] ?? 'quiet'), small(silent ?? temperatures)),
    figure('Power', watts(printer.powerWatts)),
    printCell(printer),
    figure('This print', kwh(printer.jobKwhConsumed), projected === null ? null : `of about ${kwh(projected).join(' ')}`),
    figure('24 h', kwh(printer.kwhLast24h)),
    element('td', 'tip', printer.tipText));
  if (printer.currentStatus === 'Offline') row.dataset.stale = '';
  return row;
}

function printCell(printer) {
  if (printer.jobFilename === null && printer.detailed_analysis_data === null) return element('td');
  const percent = printer.jobProgressPercent;
  const left = duration(printer.jobTimeLeftSeconds);
  const cell = element('td', 'live', printer.jobFilename ?? 'A print without a name');
  if (percent !== null) {
    const bar = element('progress');
    bar.max = 100;
    bar.value = percent;
    bar.setAttribute('aria-label', `Progress of ${printer.friendlyName}`);
    cell.append(bar, small(`${whole(percent)} %${left === null ? '' : `, ${left} left`}`));
  }
  return cell;
}

function sum(printers, field) {
  const known = printers.map((printer) => printer[field]).filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}

function showFleet(printers) {
  show('total-power', watts(sum(printers, 'powerWatts')));
  show('total-printing', [`${whole(printers.filter((printer) => printer.isPrintingNow).length)}`, `of ${whole(printers.length)}`]);
  show('total-energy', kwh(sum(printers, 'kwhLast24h')));
  show('total-attention', [whole(printers.filter((printer) => URGENT_TIPS.has(printer.tips[0].id)).length)]);
  byId('fleet-rows').replaceChildren(...printers.map(printerRow));
  byId('fleet-table').hidden = printers.length === 0;
  byId('fleet-empty').hidden = printers.length !== 0;
}

// Recent prints

let allPrints = false;

function printRow(print) {
  const ended = element('th', '', moment(print.completedAt));
  ended.scope = 'row';
  const [result, tone] = RESULTS[print.status] ?? [print.status, 'quiet'];
  return element('tr', '', ended,
    element('td', '', print.printerName),
    element('td', '', print.filename ?? 'A print without a name'),
    element('td', '', status(result, tone)),
    figure('Energy', kwh(print.kwh)),
    figure('Cost', money(print.cost, print.currency)),
    figure('CO₂', co2(print.co2g)));
}

function showPrints(prints) {
  const shown = allPrints ? prints : prints.slice(0, FEW_PRINTS);
  byId('prints-rows').replaceChildren(...shown.map(printRow));
  byId('prints-table').hidden = prints.length === 0;
  byId('prints-empty').hidden = prints.length !== 0;
  byId('prints-more').hidden = shown.length === prints.length;
  byId('prints-more').textContent = `Show all ${prints.length}`;
}

// The parts of the system

function showHealth(health) {
  byId('grafana').hidden = !health.grafana;
  byId('health').replaceChildren(...Object.entries(PARTS).map(([part, name]) => {
    const found = health.parts[part];
    const age = duration(found.lastReadingAgeSeconds ?? found.lastStatusAgeSeconds ?? null);
    const words = found.status + (age === null ? '' : `, newest ${age} ago`);
    return element('li', '', `${name}: `, status(words, PART_TONES[found.status] ?? 'quiet'));
  }));
}

async function pollHealth() {
  if (document.hidden) return;
  try {
    const answer = await fetch('/api/health', { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.headers.get('Content-Type')?.includes('json')) {
      const health = await answer.json();
      if (health.parts) showHealth(health);
    }
  } catch {
    // The summary's poll says that the server is away.
  }
}

// The poll

let tag = null;
let summary = null;
let lastGood = null; // ms, of the last answer, also of one that brought nothing new
let failures = 0;
let timer = null;

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const answer = await fetch(SUMMARY_URL, {
      cache: 'no-store', headers: tag === null ? {} : { 'If-None-Match': tag }, signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (answer.status !== 304) {
      const body = await answer.json().catch(() => null);
      if (!answer.ok || body === null) throw new Error(body?.error ?? `The server answers with status ${answer.status}.`);
      summary = body;
      tag = answer.headers.get('ETag');
      showFleet(summary.printers);
      showPrints(summary.globalHistory);
    }
    lastGood = Date.now();
    failures = 0;
    byId('notice').hidden = true;
  } catch (error) {
    failures += 1;
    const known = error.name === 'Error' ? error.message : 'The server does not answer.';
    byId('notice').textContent = `${known} Trying again by itself${lastGood === null ? '' : '; the figures below are from before'}.`;
    byId('notice').hidden = false;
  }
  showConnection();
  clearTimeout(timer);
  timer = setTimeout(poll, Math.min(SLOWEST_POLL_MS, POLL_MS * 2 ** Math.min(failures, 3)));
}

function showConnection() {
  const line = byId('connection');
  line.dataset.state = failures > 0 ? 'lost' : lastGood === null ? 'waiting' : 'live';
  line.textContent = failures === 0 ? (lastGood === null ? 'Connecting …' : 'Live')
    : lastGood === null ? 'No connection' : `No connection since ${moment(lastGood)}`;
}

byId('prints-more').addEventListener('click', () => {
  allPrints = true;
  showPrints(summary.globalHistory);
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) {
    poll();
    pollHealth();
  }
});
window.addEventListener('online', poll);

poll();
pollHealth();
setInterval(pollHealth, HEALTH_EVERY_MS);
