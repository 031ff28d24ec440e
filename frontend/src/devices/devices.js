// Devices and meters: see all, and as the operator add, change, test and assign them.

import { ApiError, request, requestJson, sentence } from '../common/api.js';
import { badge, byId, h, redraw, setNotice, setText } from '../common/dom.js';
import { moment, number, watts } from '../common/format.js';
import { fillPage } from '../common/page.js';
import { onState, pageState, setState } from '../common/pagestate.js';
import { connectionNotice, poll } from '../common/poll.js';
import { t, word } from '../common/texts.js';
import { deviceFields, inLabels } from './form.js';

/** @import { Device, DeviceTest, Meter, Reject, Session } from '../common/types.d.ts' */

const REJECTS_EVERY_MS = 15_000;
const TEST_MS = 20_000;
const TYPING_MS = 900; // so long after the last key the connection is tested
/** All others are quiet. @type {Record<string, string>} */
const STATE_TONES = { printing: 'good', heating: 'warm', paused: 'warm', attention: 'bad', error: 'bad', finished: 'good' };

/** @type {Session} */
let session = { user: null };
/** @type {Device[]} */
let devices = [];
/** @type {Meter[]} */
let meters = [];
/** What to do after the login. @type {(() => void)|null} */
let afterLogin = null;

// Requests as the operator

/**
 * Changes something.
 * @template [T=unknown]
 * @param {string} method
 * @param {string} path
 * @param {object} body
 * @param {number} [timeoutMs]
 * @returns {Promise<T>} the answer
 */
async function change(method, path, body, timeoutMs) {
  try {
    return await requestJson(path, { method, body, timeoutMs, headers: session.csrf_token ? { 'X-CSRF-Token': session.csrf_token } : {} });
  } catch (error) {
    // The session may have ended meanwhile.
    if (error instanceof ApiError && error.status === 401) {
      session = { user: null };
      showSession();
    }
    throw error;
  }
}

/**
 * Runs `action` when logged in, otherwise after the login.
 * @param {() => void} action
 */
function asOperator(action) {
  if (session.user !== null) return action();
  afterLogin = action;
  setNotice(byId('login-error'), '');
  byId('login').showModal();
}

/**
 * @param {string} text
 * @param {'good'|'bad'} tone
 */
function say(text, tone) {
  byId('notice').dataset.tone = tone;
  setNotice(byId('notice'), text);
}

/**
 * Changes something, says how that went, and brings the lists up to date.
 * @param {Promise<unknown>} changing
 * @param {string} done  what to say when it is done
 */
async function act(changing, done) {
  try {
    await changing;
    say(done, 'good');
  } catch (error) {
    say(sentence(error), 'bad');
  }
  news();
}

// Session

function showSession() {
  const { user } = session;
  setText(byId('who'), user === null ? '' : t('devices.loggedIn', { user }));
  byId('login-open').hidden = user !== null;
  byId('logout').hidden = user === null;
}

async function askSession() {
  session = await requestJson('/api/session').catch(() => ({ user: null }));
  showSession();
}

byId('login-open').onclick = () => asOperator(() => {});
byId('logout').onclick = async () => {
  await request('/api/logout', { method: 'POST', body: {} }).catch((error) => say(sentence(error), 'bad'));
  await askSession();
};
byId('login-form').onsubmit = async (event) => {
  event.preventDefault();
  byId('login-button').disabled = true;
  try {
    session = await requestJson('/api/login', { method: 'POST', body: { user: byId('user').value, password: byId('password').value } });
    byId('login-form').reset();
    byId('login').close();
    showSession();
    afterLogin?.();
    afterLogin = null;
  } catch (error) {
    setNotice(byId('login-error'), sentence(error));
  }
  byId('login-button').disabled = false;
};
byId('login').addEventListener('close', () => { byId('password').value = ''; });

/**
 * Asks before something that people notice.
 * @param {string} words
 * @param {string} action  on the button
 * @returns {Promise<boolean>} the answer was yes
 */
function ask(words, action) {
  const dialog = byId('ask');
  setText(byId('ask-words'), words);
  setText(byId('ask-yes'), action);
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }));
}

// Lists. A list is drawn again only when it changed, and not while somebody chooses in it.

/**
 * @param {'devices'|'meters'|'rejects'} id
 * @param {string} key  changes with what is shown
 * @param {() => HTMLElement[]} rows
 */
function drawList(id, key, rows) {
  const body = byId(id);
  if (body.dataset.key === key || (body.contains(document.activeElement) && document.activeElement instanceof HTMLSelectElement)) return;
  body.dataset.key = key;
  redraw(body, rows(), 'data-row');
  byId(`${id}-wrap`).hidden = body.children.length === 0;
}

/** @param {Device} device */
function deviceRow(device) {
  const name = device.friendly_name;
  const action = (/** @type {string} */ what, /** @type {() => void} */ run) => h('button', {
    type: 'button', 'data-action': what, 'aria-label': t(`devices.${what}Of`, { name }), text: t(`devices.${what}`),
    onclick: () => asOperator(run),
  });
  const plug = device.meters.map((meter) => meter.meter_id).join(', ');
  return h('tr', { 'data-row': device.device_id, 'data-device': device.device_id, 'data-active': String(device.is_active) },
    h('th', { scope: 'row', class: 'wide' }, name, below([device.device_id, device.device_model, device.location].filter(Boolean).join(' · '))),
    h('td', {}, stateBadge(device), device.last_error ? h('span', { class: 'below fault', text: device.last_error }) : null),
    h('td', { 'data-label': t('devices.col.source') }, word('source', device.source), below(device.api_ip ?? '')),
    h('td', { 'data-label': t('devices.col.meters') }, plug || h('span', { class: 'soft', text: device.shelly_id ?? t('devices.noPlug') }),
      device.power_watts === null ? null : below(watts(device.power_watts).join(' '))),
    h('td', { 'data-label': t('devices.col.seen'), text: seen(device) }),
    h('td', { class: 'wide' }, h('div', { class: 'actions' },
      action('test', () => openDevice(device, { testNow: true })), action('edit', () => openDevice(device)),
      device.is_active ? action('deactivate', () => setActive(device, false)) : action('activate', () => setActive(device, true)))));
}

const below = (/** @type {string} */ text) => h('span', { class: 'below', text });

const seen = (/** @type {Device|Meter} */ { last_seen: at }) => (at === null ? t('devices.never') : moment(at));

/** @param {Device} device */
function stateBadge({ is_active: active, state, state_text: title }) {
  const made = active && state !== null
    ? badge(word('state', state), STATE_TONES[state] ?? 'quiet')
    : badge(t(active ? 'devices.never' : 'devices.inactive'), 'quiet');
  if (title !== null) made.title = title;
  return made;
}

/**
 * @param {Device} device
 * @param {boolean} active
 */
async function setActive({ device_id: id, friendly_name: name }, active) {
  if (!active && !await ask(t('devices.deactivateAsk', { name }), t('devices.deactivate'))) return;
  act(change('PATCH', `/api/devices/${encodeURIComponent(id)}`, { is_active: active }), t('devices.saved', { name }));
}

/** @param {Meter} meter */
function meterRow(meter) {
  const id = meter.meter_id;
  const choice = h('select', { 'aria-label': t('devices.assignOf', { meter: id }) }, h('option', { value: '', text: t('devices.choose') }),
    ...devices.map((device) => h('option', { value: device.device_id, text: device.friendly_name })));
  const assign = () => {
    if (choice.value === '') return choice.focus();
    const done = t('devices.assigned', { meter: id, name: choice.selectedOptions[0].textContent });
    act(change('POST', '/api/meters/assign', { meterId: id, deviceId: choice.value, role: 'main' }), done);
  };
  return h('tr', { 'data-row': id, 'data-meter': id },
    h('th', { scope: 'row', class: 'wide' }, id, below(meter.protocol)),
    h('td', { class: 'number', 'data-label': t('devices.meterPower'), text: watts(meter.power_watts).join(' ') }),
    h('td', { 'data-label': t('devices.col.seen'), text: seen(meter) }),
    h('td', { class: 'wide' }, h('div', { class: 'actions' }, choice,
      h('button', { type: 'button', text: t('devices.assign'), onclick: () => asOperator(assign) }),
      h('button', { type: 'button', text: t('devices.newWith'), onclick: () => asOperator(() => openDevice(null, { plug: id })) }))));
}

/** @param {Reject} reject */
function rejectRow(reject) {
  return h('tr', {},
    h('th', { scope: 'row', text: moment(reject.lastAt) }),
    h('td', { class: 'wide' }, reject.source, below(reject.topic)),
    h('td', { class: 'wide', text: reject.reason }),
    h('td', { class: 'number', 'data-label': t('devices.count'), text: number(reject.count) }));
}

function showDevices() {
  byId('devices-none').hidden = devices.length > 0;
  drawList('devices', JSON.stringify(devices), () => devices.map(deviceRow));
  const free = freeMeters();
  setText(byId('meters-words'), t(free.length ? 'devices.unassignedExplain' : 'devices.unassignedNone'));
  drawList('meters', JSON.stringify([free, devices.map((device) => [device.device_id, device.friendly_name])]), () => free.map(meterRow));
}

const freeMeters = () => meters.filter((meter) => meter.device_id === null);

/** @param {{rejects: Reject[]}} answer */
function showRejects({ rejects }) {
  setText(byId('rejects-words'), t(rejects.length ? 'devices.rejectsExplain' : 'devices.rejectsNone'));
  drawList('rejects', JSON.stringify(rejects), () => rejects.map(rejectRow));
}

// The form

/**
 * @param {Device|null} device  null: a new one
 * @param {{testNow?: boolean, plug?: string}} [options]  plug: of a new one
 */
function openDevice(device, { testNow = false, plug } = {}) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('device'));
  const fields = deviceFields(byId('fields'), device, freeMeters().map((meter) => meter.meter_id));
  if (plug !== undefined) fields.input('shelly_id').value = plug;
  setText(byId('device-title'), device ? t('form.edit', { name: device.friendly_name }) : t('form.add'));
  setText(byId('test-words'), device ? '' : t('form.testLive'));
  byId('result').replaceChildren();
  fail('');
  dialog.showModal();
  if (!device) fields.input('friendly_name').focus();

  let newest = 0; // of several tests the last one counts
  let typed = /** @type {ReturnType<typeof setTimeout>|undefined} */ (undefined);
  async function test() {
    clearTimeout(typed);
    newest += 1;
    const own = newest;
    fail('');
    byId('result').replaceChildren(h('p', { class: 'soft', text: t('devices.testing') }));
    // A stored key never leaves the server: what wasn't changed is tested as it is stored.
    const stored = device && Object.keys(fields.changes()).length === 0;
    try {
      /** @type {DeviceTest} */
      const answer = await change('POST', '/api/devices/test', stored ? { deviceId: device.device_id } : fields.body(), TEST_MS);
      if (own === newest) byId('result').replaceChildren(...testResult(answer));
    } catch (error) {
      if (own !== newest) return;
      byId('result').replaceChildren(...(device && !stored ? [h('p', { class: 'hint', text: t('form.retype') })] : []));
      fail(sentence(error));
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
  dialog.onclose = () => clearTimeout(typed);
  byId('device-form').onsubmit = async (event) => {
    event.preventDefault();
    fail('');
    try {
      if (device) await change('PATCH', `/api/devices/${encodeURIComponent(device.device_id)}`, fields.changes());
      else await change('POST', '/api/devices', fields.body());
      dialog.close();
      say(t('devices.saved', { name: fields.input('friendly_name').value }), 'good');
      news();
    } catch (error) {
      fail(sentence(error));
    }
  };
  if (testNow) byId('test').click();
}

/** @param {DeviceTest} answer */
function testResult({ printer, ok, plug, plugOk }) {
  return [resultLine('devices.printerSays', printer, ok ? 'good' : 'bad'), resultLine('devices.plugSays', plug, plugOk ? 'good' : 'warm')];
}

/**
 * @param {string} key  of the name
 * @param {string} text
 * @param {'good'|'warm'|'bad'} tone
 */
function resultLine(key, text, tone) {
  return h('p', { class: 'notice', 'data-tone': tone }, h('strong', { text: t(key) }), h('span', { text: inLabels(text) }));
}

/** @param {string} text  '' when all is well */
function fail(text) {
  setNotice(byId('device-error'), inLabels(text));
}

byId('add').onclick = () => asOperator(() => openDevice(null));

function followLink() {
  if (pageState().get('add') === null) return;
  setState({ add: null });
  byId('add').click();
}
onState(followLink);

fillPage();
await askSession();
const polls = [
  poll('/api/devices', (/** @type {Device[]} */ found) => {
    devices = found;
    showDevices();
  }, { tell: connectionNotice(byId('away')) }),
  poll('/api/meters', (/** @type {Meter[]} */ found) => {
    meters = found;
    showDevices();
  }),
  poll('/api/rejects?limit=50', showRejects, { everyMs: REJECTS_EVERY_MS }),
];
function news() {
  for (const now of polls) now();
}
followLink();
