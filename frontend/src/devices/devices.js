// Devices and meters: see all, and as the operator add, change, test and assign them.

import { ApiError, request, requestJson } from '../common/api.js';
import { byId, h, redraw, setText } from '../common/dom.js';
import { moment, number, watts } from '../common/format.js';
import { icon } from '../common/icons.js';
import { onState, pageState, setState } from '../common/pagestate.js';
import { connectionNotice, poll } from '../common/poll.js';
import { fillTexts, t, word } from '../common/texts.js';
import { deviceFields, inLabels } from './form.js';

const REJECTS_EVERY_MS = 15_000;
const TEST_MS = 20_000;
const TYPING_MS = 900; // so long after the last key the connection is tested
const STATE_TONES = { printing: 'good', heating: 'warm', paused: 'warm', attention: 'bad', error: 'bad', idle: 'quiet', ready: 'quiet', finished: 'good', offline: 'quiet' };

let session = /** @type {{user: string|null, csrf_token?: string}} */ ({ user: null });
/** @type {any[]} */
let devices = [];
/** @type {any[]} */
let meters = [];
/** What to do after the login. @type {(() => void)|null} */
let afterLogin = null;

// Requests as the operator

async function change(method, path, body, timeoutMs) {
  try {
    const answer = await request(path, { method, body, timeoutMs, headers: session.csrf_token ? { 'X-CSRF-Token': session.csrf_token } : {} });
    return await answer.json().catch(() => null);
  } catch (error) {
    // The session may have ended meanwhile.
    if (error instanceof ApiError && error.status === 401) {
      session = { user: null };
      showSession();
    }
    throw error;
  }
}

/** Runs `action` when logged in, otherwise after the login. */
function asOperator(action) {
  if (session.user !== null) return action();
  afterLogin = action;
  byId('login-error').hidden = true;
  byId('login').showModal();
}

function say(text, tone) {
  byId('notice').hidden = false;
  byId('notice').dataset.tone = tone;
  setText(byId('notice'), text);
}

// Session

function showSession() {
  const known = session.user !== null;
  setText(byId('who'), known ? t('devices.loggedIn', { user: session.user }) : '');
  byId('login-open').hidden = known;
  byId('logout').hidden = !known;
}

byId('login-open').onclick = () => asOperator(() => {});
byId('logout').onclick = async () => {
  await request('/api/logout', { method: 'POST', body: {} }).catch((error) => say(error.message, 'bad'));
  session = await requestJson('/api/session').catch(() => ({ user: null }));
  showSession();
};
byId('login-form').onsubmit = async (event) => {
  event.preventDefault();
  const button = byId('login-form').querySelector('.primary');
  button.disabled = true;
  try {
    session = await requestJson('/api/login', { method: 'POST', body: { user: byId('user').value, password: byId('password').value } });
    byId('login-form').reset();
    byId('login').close();
    showSession();
    afterLogin?.();
    afterLogin = null;
  } catch (error) {
    byId('login-error').hidden = false;
    setText(byId('login-error'), error.message);
  }
  button.disabled = false;
};
byId('login').addEventListener('close', () => { byId('password').value = ''; });

/** Asks before something that people notice. @returns {Promise<boolean>} */
function ask(words, action) {
  const dialog = byId('ask');
  setText(byId('ask-words'), words);
  setText(byId('ask-yes'), action);
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }));
}

// Lists. A list is drawn anew only when it changed, and not while somebody chooses in it.

function drawList(id, key, rows) {
  const body = byId(id);
  if (body.dataset.key === key || (body.contains(document.activeElement) && document.activeElement instanceof HTMLSelectElement)) return;
  body.dataset.key = key;
  redraw(body, rows(), 'data-row');
  byId(`${id}-wrap`).hidden = body.children.length === 0;
}

function deviceRow(device) {
  const name = device.friendly_name;
  const action = (what, run, extra = '') => h('button', { type: 'button', class: extra, 'data-action': what, 'aria-label': t(`devices.${what}Of`, { name }), text: t(`devices.${what}`), onclick: () => asOperator(run) });
  const power = device.power_watts == null ? null : watts(device.power_watts).join(' ');
  return h('tr', { 'data-row': device.device_id, 'data-device': device.device_id, 'data-active': String(device.is_active) },
    h('th', { scope: 'row', class: 'wide' }, name, h('span', { class: 'below', text: [device.device_id, device.device_model, device.location].filter(Boolean).join(' · ') })),
    h('td', {}, h('span', { class: 'status', 'data-tone': device.is_active ? STATE_TONES[device.state] ?? 'quiet' : 'quiet', title: device.state_text, text: !device.is_active ? t('devices.inactive') : device.state === null ? t('devices.never') : word('state', device.state) }),
      device.last_error ? h('span', { class: 'below fault', text: device.last_error }) : null),
    h('td', { 'data-label': t('devices.col.source') }, word('source', device.source), h('span', { class: 'below', text: device.api_ip ?? '' })),
    h('td', { 'data-label': t('devices.col.meters') }, device.meters.length === 0 ? h('span', { class: 'soft', text: device.shelly_id ?? t('devices.noPlug') }) : device.meters.map((meter) => meter.meter_id).join(', '), power ? h('span', { class: 'below', text: power }) : null),
    h('td', { 'data-label': t('devices.col.seen'), text: device.last_seen ? moment(device.last_seen) : t('devices.never') }),
    h('td', { class: 'wide' }, h('div', { class: 'actions' },
      action('test', () => openDevice(device, true)), action('edit', () => openDevice(device)),
      device.is_active ? action('deactivate', () => setActive(device, false)) : action('activate', () => setActive(device, true)))));
}

async function setActive(device, active) {
  const name = device.friendly_name;
  if (!active && !await ask(t('devices.deactivateAsk', { name }), t('devices.deactivate'))) return;
  try {
    await change('PATCH', `/api/devices/${encodeURIComponent(device.device_id)}`, { is_active: active });
    say(t('devices.saved', { name }), 'good');
  } catch (error) {
    say(error.message, 'bad');
  }
  news();
}

function meterRow(meter) {
  const choice = h('select', { 'aria-label': t('devices.assignOf', { meter: meter.meter_id }) }, h('option', { value: '', text: t('devices.choose') }), ...devices.map((device) => h('option', { value: device.device_id, text: device.friendly_name })));
  const assign = async () => {
    if (choice.value === '') return choice.focus();
    try {
      await change('POST', '/api/meters/assign', { meterId: meter.meter_id, deviceId: choice.value, role: 'main' });
      say(t('devices.assigned', { meter: meter.meter_id, name: choice.selectedOptions[0].textContent }), 'good');
    } catch (error) {
      say(error.message, 'bad');
    }
    news();
  };
  return h('tr', { 'data-row': meter.meter_id, 'data-meter': meter.meter_id },
    h('th', { scope: 'row', class: 'wide' }, meter.meter_id, h('span', { class: 'below', text: meter.protocol })),
    h('td', { class: 'number', 'data-label': t('devices.meterPower'), text: watts(meter.power_watts).join(' ') }),
    h('td', { 'data-label': t('devices.col.seen'), text: meter.last_seen ? moment(meter.last_seen) : t('devices.never') }),
    h('td', { class: 'wide' }, h('div', { class: 'actions' }, choice, h('button', { type: 'button', text: t('devices.assign'), onclick: () => asOperator(assign) }),
      h('button', { type: 'button', text: t('devices.newWith'), onclick: () => asOperator(() => openDevice(null, false, meter.meter_id)) }))));
}

function rejectRow(reject) {
  return h('tr', {},
    h('th', { scope: 'row', text: moment(reject.lastAt) }), h('td', { class: 'wide' }, reject.source, h('span', { class: 'below', text: reject.topic })),
    h('td', { class: 'wide', text: reject.reason }), h('td', { class: 'number', 'data-label': t('devices.count'), text: number(reject.count) }));
}

function showDevices() {
  byId('devices-none').hidden = devices.length > 0;
  drawList('devices', JSON.stringify(devices), () => devices.map(deviceRow));
  const free = freeMeters();
  setText(byId('meters-words'), t(free.length ? 'devices.unassignedExplain' : 'devices.unassignedNone'));
  drawList('meters', JSON.stringify([free, devices.map((device) => [device.device_id, device.friendly_name])]), () => free.map(meterRow));
}

const freeMeters = () => meters.filter((meter) => meter.device_id === null);

function showRejects({ rejects }) {
  setText(byId('rejects-words'), t(rejects.length ? 'devices.rejectsExplain' : 'devices.rejectsNone'));
  drawList('rejects', JSON.stringify(rejects), () => rejects.map(rejectRow));
}

// The form

/**
 * @param {any} device  null: a new one
 * @param {boolean} [testNow]
 * @param {string|null} [plug]
 */
function openDevice(device, testNow = false, plug = null) {
  const fields = deviceFields(byId('fields'), device, freeMeters().map((meter) => meter.meter_id));
  if (plug !== null) byId('field-shelly_id').value = plug;
  setText(byId('device-title'), device ? t('form.edit', { name: device.friendly_name }) : t('form.add'));
  setText(byId('test-words'), device ? '' : t('form.testLive'));
  byId('result').replaceChildren();
  byId('device-error').hidden = true;
  byId('device').showModal();
  if (!device) byId('field-friendly_name').focus();

  let newest = 0; // of several tests the last one counts
  let typed;
  async function test() {
    clearTimeout(typed);
    newest += 1;
    const own = newest;
    byId('device-error').hidden = true;
    byId('result').replaceChildren(h('p', { class: 'soft', text: t('devices.testing') }));
    // A stored key never leaves the server: what wasn't changed is tested as it is stored.
    const stored = device && Object.keys(fields.changes()).length === 0;
    try {
      const answer = await change('POST', '/api/devices/test', stored ? { deviceId: device.device_id } : fields.body(), TEST_MS);
      if (own !== newest) return;
      const line = (name, text, tone) => h('p', { class: 'notice', 'data-tone': tone }, h('strong', { text: t(name) }), h('span', { text: inLabels(text) }));
      byId('result').replaceChildren(line('devices.printerSays', answer.printer, answer.ok ? 'good' : 'bad'), line('devices.plugSays', answer.plug, answer.plugOk ? 'good' : 'warm'));
    } catch (error) {
      if (own !== newest) return;
      byId('result').replaceChildren(...(device && !stored ? [h('p', { class: 'hint', text: t('form.retype') })] : []));
      fail(error);
    }
  }
  byId('test').onclick = async () => {
    await test();
    byId('result').scrollIntoView({ block: 'nearest' });
  };
  // As soon as everything is there, the connection is tested while the form is filled in.
  byId('device-form').oninput = () => {
    clearTimeout(typed);
    newest += 1;
    byId('result').replaceChildren();
    if (fields.testable()) typed = setTimeout(test, TYPING_MS);
  };
  byId('device').onclose = () => clearTimeout(typed);
  byId('device-form').onsubmit = async (event) => {
    event.preventDefault();
    byId('device-error').hidden = true;
    try {
      if (device) await change('PATCH', `/api/devices/${encodeURIComponent(device.device_id)}`, fields.changes());
      else await change('POST', '/api/devices', fields.body());
      byId('device').close();
      say(t('devices.saved', { name: byId('field-friendly_name').value }), 'good');
      news();
    } catch (error) {
      fail(error);
    }
  };
  if (testNow) byId('test').click();
}

function fail(error) {
  byId('device-error').hidden = false;
  setText(byId('device-error'), inLabels(error.message));
}

byId('add').onclick = () => asOperator(() => openDevice(null));
for (const button of document.querySelectorAll('[data-close]')) {
  button.append(icon('close'));
  button.addEventListener('click', () => button.closest('dialog')?.close());
}

async function followLink() {
  if (pageState().get('add') === null) return;
  setState({ add: null });
  byId('add').click();
}
onState(followLink);

fillTexts();
session = await requestJson('/api/session').catch(() => ({ user: null }));
showSession();
const away = connectionNotice(byId('away'), t, moment);
const silent = () => {}; // the first poll says that the server is away
const polls = [
  poll('/api/devices', (/** @type {any} */ found) => {
    devices = found;
    showDevices();
  }, away),
  poll('/api/meters', (/** @type {any} */ found) => {
    meters = found;
    showDevices();
  }, silent),
  poll('/api/rejects?limit=50', showRejects, silent, { everyMs: REJECTS_EVERY_MS }),
];
function news() {
  for (const one of polls) one.now();
}
followLink();
