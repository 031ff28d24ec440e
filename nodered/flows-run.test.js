'use strict';
// The committed flows in a whole Node-RED over a migrated database and a real broker: the Devices API, readings, an
// edit as a diff.
const test = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const mqtt = require('mqtt');
const { Journal, HEADER_BYTES } = require('./nodes/journal');
const { until, editor, temporaryDatabase, startBroker, startNodeRed, NODERED, PYTHON } = require('./nodes/testing');
const { temporaryFolder } = require('./lib/testing');

const REPOSITORY = path.join(NODERED, '..');
/** @type {Record<string, string>} */
const BASIC = { authorization: `Basic ${Buffer.from('operator:test').toString('base64')}` };
const PLUG = { id: 0, apower: 100.5, voltage: 230, aenergy: { total: 1000.5 } };
const THREE_PHASES = { id: 0, total_act_power: 300, a_act_power: 100, b_act_power: 250, c_act_power: -50, c_voltage: 231 };
const TASMOTA = { Time: '2025-02-12T22:47:39', ENERGY: { Total: 0.904, Power: 122, ReactivePower: 33 } };
/** Messages of all families, and one that is no reading. */
const MESSAGES = {
  'plug-1/status/switch:0': JSON.stringify(PLUG),
  'hall/em/status/em:0': JSON.stringify(THREE_PHASES),
  'shellies/old/relay/0/power': '60.5',
  'tele/tas/SENSOR': JSON.stringify(TASMOTA),
  'esp32/hub/max6675/temperature_c': '45.5',
  'esp32/hub/mpu6050/accel/x': '1.5',
  'esp32/hub/mpu6050/accel/y': '1.5',
  'esp32/hub/mpu6050/accel/z': '1.5',
  'esp32/hub/mpu6050/gyro/x': '0.5',
  'esp32/hub/mpu6050/gyro/y': '0.5',
  'esp32/hub/mpu6050/gyro/z': '0.5',
  'esp32/hub/dht22/temperature_c': '21.5',
  'esp32/hub/dht22/humidity': '44',
  'plug-2/status/switch:0': 'garbage',
};
const TABLES = [
  'max6675_temperature_data', 'mpu6050_accelerometer_data', 'mpu6050_gyroscope_data', 'environment_data',
  'smartplug_data', 'ingest_rejects',
];

/** What Node-RED 0.1.0 left on disk when it could not reach the database: rows for the columns of its statement. */
async function spoolOf010(stateDir) {
  const row = {
    meter_id: 'spooled/switch:0', protocol: 'shelly_gen2', energy_type: 'electricity', arrived: new Date().toISOString(),
    device_time: null, backlog: false, power_watts: 5, energy_total_wh: 77.5, voltage: null, current_amps: null,
    power_factor: null, frequency_hz: null, plug_temp_c: null, topic: 'spooled/status/switch:0',
  };
  const node = JSON.parse(fs.readFileSync(path.join(NODERED, 'flows', '020-ingest-shelly-mqtt.json'), 'utf8'))
    .find(({ name }) => name === 'ingest_readings');
  const spool = new Journal(path.join(stateDir, 'nodered', 'spool', node.id));
  spool.append(Buffer.concat([Buffer.alloc(HEADER_BYTES), Buffer.from(JSON.stringify([row]))]));
  await spool.sync();
  spool.close();
}

async function setup(t) {
  const database = await temporaryDatabase(t, 'SELECT 1');
  const env = { ...process.env, ENMS_DATABASE_URL: database.url.href, ENMS_DB_INGEST_PASSWORD: '' };
  execFileSync(PYTHON, ['-m', 'database.migrate'], { cwd: REPOSITORY, stdio: 'ignore', env });
  const broker = await startBroker(t);
  const flowsDir = temporaryFolder(t, 'flows');
  fs.cpSync(path.join(NODERED, 'flows'), flowsDir, { recursive: true });
  const { name: databaseName, url: { port: databasePort } } = database;
  const stateDir = temporaryFolder(t, 'state');
  await spoolOf010(stateDir);
  const nodered = await startNodeRed(t, { flowsDir, stateDir, broker, databasePort, databaseName });
  await until('ready', async () => (await nodered.health())?.ok);
  const api = async (method, url, body, headers = BASIC) => {
    const response = await fetch(`http://127.0.0.1:${nodered.port}/api${url}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { status: response.status, body: await response.json(), cookie: response.headers.get('set-cookie') ?? '' };
  };
  const select = async (sql) => (await database.client.query(sql)).rows;
  return { select, broker, nodered, flowsDir, api };
}

test('the flows of the repository', { timeout: 120000 }, async (t) => {
  const { select, broker, nodered, flowsDir, api } = await setup(t);
  const device = {
    device_id: 'P-1', source: 'prusalink', api_ip: '127.0.0.1:9', api_key: 'not-to-be-seen', shelly_id: 'plug-1',
  };

  await t.test('rows that an older version spooled reach the database', async () => {
    const spooled = "SELECT power_watts, energy_total_wh FROM energy_data WHERE meter_id = 'spooled/switch:0'";
    await until('a row', async () => (await select(spooled)).length === 1);
    assert.deepEqual(await select(spooled), [{ power_watts: 5, energy_total_wh: 77.5 }]);
  });

  await t.test('nothing is changed without a login', async () => {
    for (const [method, url] of [
      ['POST', '/devices'], ['PATCH', '/devices/P-1'], ['DELETE', '/devices/P-1'], ['POST', '/meters/assign'],
      ['POST', '/devices/test'],
    ]) {
      const { status, body } = await api(method, url, {}, {});
      assert.equal(status, 401, `${method} ${url}`);
      assert.deepEqual(body, { error: 'Log in first.' });
    }
    assert.deepEqual((await api('GET', '/devices', undefined, {})).body, []);
  });

  await t.test('a device is added, changed and listed, and its key never shown', async () => {
    const added = await api('POST', '/devices', device);
    assert.equal(added.status, 201);
    assert.equal(added.body.has_api_key, true);
    assert.equal((await api('POST', '/devices', device)).status, 409);
    const changed = await api('PATCH', '/devices/P-1', { friendly_name: 'First', data_interval_seconds: 5 });
    assert.equal(changed.body.friendly_name, 'First');
    assert.equal((await api('PATCH', '/devices/P-1', { device_id: 'P-2' })).status, 400);
    assert.equal((await api('PATCH', '/devices/none', { notes: 'x' })).status, 404);
    const list = await api('GET', '/devices', undefined, {});
    assert.deepEqual(list.body.map(({ device_id }) => device_id), ['P-1']);
    assert.doesNotMatch(JSON.stringify([added.body, list.body]), /not-to-be-seen/);
  });

  await t.test('bad input gets a sentence, never an internal', async () => {
    const nameless = await api('POST', '/devices', { device_id: 'a b' });
    assert.match(nameless.body.error, /^device_id must be 1 to 64 letters/);
    assert.match((await api('POST', '/devices', '{')).body.error, /^The body is not valid JSON/);
    for (const url of ['/devices', '/analyze', '/login']) {
      const { status, body } = await api('POST', url, '['.repeat(100_000) + ']'.repeat(100_000));
      assert.deepEqual([status, body.error], [400, 'The body is nested deeper than 32 levels.'], url);
    }
    assert.match((await api('POST', '/meters/assign', { meterId: 'x' })).body.error, /^Send meterId, and deviceId/);
    const assign = await api('POST', '/meters/assign', { meterId: 'no such', deviceId: 'P-1' });
    assert.ok(assign.status >= 400 && assign.status < 500);
    assert.doesNotMatch(assign.body.error, /^error:|at \w+ \(/);
  });

  await t.test('a session needs its CSRF token', async () => {
    const login = await api('POST', '/login', { user: 'operator', password: 'test' }, {});
    assert.equal(login.status, 200);
    const cookie = { cookie: login.cookie.split(';')[0] };
    const token = { 'x-csrf-token': login.body.csrf_token };
    assert.equal((await api('GET', '/session', undefined, cookie)).body.user, 'operator');
    assert.equal((await api('PATCH', '/devices/P-1', { notes: 'x' }, cookie)).status, 403);
    assert.equal((await api('PATCH', '/devices/P-1', { notes: 'x' }, { ...cookie, ...token })).status, 200);
    assert.match((await api('POST', '/logout', {}, cookie)).cookie, /Max-Age=0/);
    assert.equal((await api('POST', '/login', { user: 'operator', password: 'wrong' }, {})).status, 401);
  });

  await t.test('readings of all families reach the database, and what is no reading is kept as a reject', async () => {
    const client = await mqtt.connectAsync({ host: '127.0.0.1', port: broker.port });
    for (const [topic, payload] of Object.entries(MESSAGES)) await client.publishAsync(topic, payload, { qos: 1 });
    await client.endAsync();
    const count = async (table) => Number((await select(`SELECT count(*) FROM ${table}`))[0].count);
    for (const table of TABLES) await until(table, async () => (await count(table)) >= 1);
    await until('energy_data', async () => (await count('energy_data')) === 5);
    const rows = await select("SELECT device_id, power_watts FROM energy_data WHERE meter_id = 'plug-1/switch:0'");
    assert.deepEqual(rows, [{ device_id: 'P-1', power_watts: 100.5 }]);
    const phases = await select('SELECT phase, power_watts, voltage FROM series.phase ORDER BY phase');
    assert.deepEqual(phases, [
      { phase: 1, power_watts: 100, voltage: null }, { phase: 2, power_watts: 250, voltage: null },
      { phase: 3, power_watts: -50, voltage: 231 },
    ]);
  });

  await t.test('kinds and sources are rows, a meter has one of four roles', async () => {
    const lathe = { device_id: 'L-1', device_type: 'lathe', source: 'opcua' };
    assert.match((await api('POST', '/devices', lathe)).body.error, /^(device_type lathe|source opcua) is not allowed: /);
    assert.match((await api('POST', '/devices/test', lathe)).body.error, /^source must be one of prusalink, .*, none\.$/);
    await select(`INSERT INTO device_kinds (device_kind, name) VALUES ('lathe', 'Lathe');
      INSERT INTO sources (source, name, polled) VALUES ('opcua', 'OPC UA', false)`);
    const added = await api('POST', '/devices', { ...lathe, data_interval_seconds: 1 });
    assert.deepEqual([added.status, added.body.device_type, added.body.source], [201, 'lathe', 'opcua']);
    assert.equal((await api('POST', '/devices/test', lathe)).body.ok, true);
    const assign = { meterId: 'hall/em/em:0', deviceId: 'L-1', role: 'dryer' };
    assert.equal((await api('POST', '/meters/assign', assign)).status, 200);
    const [device] = (await api('GET', '/devices')).body.filter(({ device_id }) => device_id === 'L-1');
    assert.deepEqual(device.meters, [{ meter_id: 'hall/em/em:0', role: 'dryer' }]);
    const [meter] = (await api('GET', '/meters')).body.filter(({ meter_id }) => meter_id === 'hall/em/em:0');
    assert.deepEqual([meter.role, meter.energy_type, meter.power_watts], ['dryer', 'electricity', 300]);
    const wrong = await api('POST', '/meters/assign', { ...assign, role: 'boss' });
    assert.deepEqual([wrong.status, /^role is main, dryer/.test(wrong.body.error)], [400, true]);
    assert.match((await api('PATCH', '/devices/P-1', { data_interval_seconds: 1 })).body.error, /polled/);
  });

  await t.test('a test of a device reports what printer and plug answer', async () => {
    const { status, body } = await api('POST', '/devices/test', { deviceId: 'P-1' });
    assert.equal(status, 200);
    assert.equal(body.ok, false);
    assert.match(body.printer, /cannot be reached/);
    assert.match(body.plug, /100\.5 W/);
    assert.equal((await api('POST', '/devices/test', { deviceId: 'none' })).status, 404);
  });

  await t.test('a printer that does not answer is polled, and its error shown', async () => {
    await until('a failed poll', async () => (await api('GET', '/devices')).body.find(({ device_id }) => device_id === 'P-1').last_error !== null, 30);
  });

  await t.test('moving one node in the editor changes two lines of one file', async () => {
    const { flows, deploy } = await editor(nodered);
    const node = flows.find(({ name }) => name === 'Shelly messages');
    node.x += 20;
    node.batchMs = 150;
    // The editor sends the nodes in an order of its own.
    const sent = [...flows.filter(({ z }) => !z), ...flows.filter(({ z }) => z).reverse()];
    assert.equal(await deploy('nodes', sent), 200);
    const changed = fs.readdirSync(flowsDir).flatMap((name) => {
      const before = fs.readFileSync(path.join(NODERED, 'flows', name), 'utf8').split('\n');
      const after = fs.readFileSync(path.join(flowsDir, name), 'utf8').split('\n');
      assert.equal(after.length, before.length, name);
      return after.filter((line, i) => line !== before[i]).map((line) => `${name}: ${line.trim()}`);
    });
    const file = '020-ingest-shelly-mqtt.json';
    assert.deepEqual(changed, [`${file}: "batchMs": 150,`, `${file}: "x": ${node.x},`]);
  });

  await t.test('a removed device is gone, and no error is left behind', async () => {
    const removed = await api('DELETE', '/devices/P-1');
    assert.equal(removed.status, 200);
    assert.doesNotMatch(nodered.log(), /\[error\]|not-to-be-seen/);
  });
});
