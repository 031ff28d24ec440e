'use strict';
// Every client against a real HTTP server that behaves like the printer (or as badly as some do).
const test = require('node:test');
const assert = require('node:assert/strict');
const http = require('node:http');
const crypto = require('node:crypto');
const { once } = require('node:events');
const { poll, PollError } = require('.');

const NOW = Date.parse('2026-03-01T12:00:00.000Z');

/** A server for one test; `answers` maps "METHOD path" (without query) to a value (JSON) or a function (request, response, body). */
async function serve(t, answers) {
  const seen = [];
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push({ method: request.method, url: request.url, headers: request.headers, body });
    const answer = answers[`${request.method} ${request.url.split('?')[0]}`] ?? answers.any;
    if (answer === undefined) response.writeHead(404).end('{}');
    else if (typeof answer === 'function') answer(request, response, body);
    else response.writeHead(200, { 'content-type': 'application/json' }).end(typeof answer === 'string' ? answer : JSON.stringify(answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => { server.closeAllConnections(); server.close(); });
  return { host: `127.0.0.1:${server.address().port}`, seen };
}

const ask = (source, host, more = {}, options = {}) =>
  poll({ device_id: `${source}-test`, source, api_ip: host, api_key: 'secret', ...more }, { timeoutMs: 2000, now: () => NOW, ...options });
const kind = (wanted, sentence) => (error) => error instanceof PollError && error.kind === wanted && sentence.test(error.message) && !error.message.includes('secret');
const send = (response, value) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));

// --- PrusaLink -------------------------------------------------------------------------------------------------------------------

const STATUS = {
  storage: { path: '/usb/' }, job: { id: 297, progress: 42, time_remaining: 1800, time_printing: 1300 },
  printer: { state: 'PRINTING', temp_nozzle: 214.9, target_nozzle: 215, temp_bed: 59.8, target_bed: 60, axis_z: 12.4, flow: 100, speed: 110, fan_print: 5900 },
};
const JOB = { id: 297, state: 'PRINTING', progress: 42, time_printing: 1300, time_remaining: 1800,
  file: { name: 'BENCHY~1.GCO', display_name: 'benchy_long.gcode', path: '/usb', refs: { download: '/usb/BENCHY~1.GCO' } } };

/** A digest check as printers do it; `options` says how this firmware's challenge looks. */
function digest(answer, { qop = true, algorithm = null, user = 'maker', password = 'secret', usesPerNonce = 100, log = [] } = {}) {
  let nonce = 'n0';
  let uses = 0;
  return (request, response) => {
    const hash = (text) => crypto.createHash(/sha-256/i.test(algorithm ?? '') ? 'sha256' : 'md5').update(text).digest('hex');
    const sent = Object.fromEntries([...(request.headers.authorization ?? '').matchAll(/(\w+)=(?:"([^"]*)"|([^\s,]+))/g)].map((m) => [m[1], m[2] ?? m[3]]));
    let stale = false;
    if (sent.nonce === nonce) {
      log.push(sent);
      let a1 = hash(`${user}:Printer API:${password}`);
      if (/-sess/i.test(algorithm ?? '')) a1 = hash(`${a1}:${nonce}:${sent.cnonce}`);
      const a2 = hash(`${request.method}:${request.url}`);
      const right = sent.response === hash(qop ? `${a1}:${nonce}:${sent.nc}:${sent.cnonce}:auth:${a2}` : `${a1}:${nonce}:${a2}`);
      uses += 1;
      stale = uses > usesPerNonce;
      if (right && !stale && (!qop || Number.parseInt(sent.nc, 16) === uses) && (algorithm !== null || sent.algorithm === undefined)) return answer(request, response);
    } else stale = sent.nonce !== undefined;
    nonce = crypto.randomBytes(4).toString('hex');
    uses = 0;
    const parts = ['realm="Printer API"', `nonce="${nonce}"`, ...(qop ? ['qop="auth"'] : []), ...(algorithm ? [`algorithm=${algorithm}`] : []), `stale="${stale}"`];
    return response.writeHead(401, { 'www-authenticate': `Digest ${parts.join(', ')}` }).end();
  };
}
const v1Server = (t, options, status = STATUS, job = JOB) => {
  const guard = digest((request, response) => {
    const value = request.url === '/api/v1/status' ? status : job;
    if (value === null) response.writeHead(204).end();
    else send(response, value);
  }, options);
  return serve(t, { 'GET /api/v1/status': guard, 'GET /api/v1/job': guard });
};

test('prusalink v1: every field of a printing printer', async (t) => {
  const { host } = await v1Server(t);
  const status = await ask('prusalink', host);
  assert.deepEqual(status, {
    device_id: 'prusalink-test', timestamp: '2026-03-01T12:00:00.000Z', state: 'printing', state_text: 'PRINTING', is_operational: true,
    is_printing: true, is_paused: false, is_error: false, is_busy: false, is_sd_ready: null, nozzle_temp_actual: 214.9, nozzle_temp_target: 215,
    bed_temp_actual: 59.8, bed_temp_target: 60, z_height_mm: 12.4, speed_multiplier_percent: 110, fan_rpm: 5900, material: null,
    filename: 'benchy_long.gcode', progress_percent: 42, time_left_seconds: 1800, source_job_id: '297', simplyprint_job_id: null, elapsed_seconds: 1300,
    filament_used_mm: null, filament_used_g: null, job_outcome: null, silence_means: null, recent_jobs: [], download_ref: '/usb/BENCHY~1.GCO', api: 'v1',
  });
});

for (const options of [{ qop: false }, { algorithm: 'MD5' }, { algorithm: 'MD5-sess' }, { algorithm: 'SHA-256' }, { algorithm: 'SHA-256-sess' }, { usesPerNonce: 1 }]) {
  test(`prusalink v1: digest ${JSON.stringify(options)}, with the nonce used again`, async (t) => {
    const log = [];
    const { host, seen } = await v1Server(t, { ...options, log });
    const device = { device_id: `digest-${JSON.stringify(options)}` };
    for (let n = 0; n < 3; n += 1) assert.equal((await ask('prusalink', host, device)).state, 'printing');
    if (options.usesPerNonce === undefined) assert.equal(seen.filter((request) => request.headers.authorization === undefined).length, 1, 'one challenge for six requests');
    if (options.qop === false) assert.ok(log.every((sent) => sent.algorithm === undefined && sent.qop === undefined && sent.nc === undefined));
  });
}

test('prusalink v1: user:password in api_key; a wrong password is an auth error without the password in it', async (t) => {
  const { host } = await v1Server(t, { user: 'ana', password: 'p:w"x' });
  assert.equal((await ask('prusalink', host, { api_key: 'ana:p:w"x' })).state, 'printing');
  await assert.rejects(ask('prusalink', host, { api_key: 'secret' }), kind('auth', /refused the credentials/));
});

test('prusalink v1: states, their outcomes, and attention beside a paused job', async (t) => {
  const state = async (printer, job, short = STATUS.job) => {
    const { host } = await v1Server(t, {}, { printer: { ...STATUS.printer, state: printer }, ...(short && { job: short }) }, job);
    const status = await ask('prusalink', host);
    return [status.state, status.job_outcome, status.is_paused, status.source_job_id];
  };
  assert.deepEqual(await state('IDLE', null, null), ['idle', null, false, null]);
  assert.deepEqual(await state('ATTENTION', { ...JOB, state: 'PAUSED' }), ['attention', null, true, '297']);
  assert.deepEqual(await state('FINISHED', { ...JOB, state: 'FINISHED' }), ['finished', 'done', false, '297']);
  assert.deepEqual(await state('STOPPED', { ...JOB, state: 'STOPPED' }), ['cancelled', 'cancelled', false, '297']);
  assert.deepEqual(await state('ERROR', null, null), ['error', null, false, null]);
  assert.deepEqual(await state('FINISHED', null, null), ['finished', null, false, null]);
});

test('prusalink v1: heating is printing or busy with a heater far below its target before anything is printed', async (t) => {
  const state = async (printer, job) => (await ask('prusalink', (await v1Server(t, {}, { printer: { ...STATUS.printer, ...printer }, ...(job && { job }) }, null)).host)).state;
  const begun = { id: 1, progress: 0, time_printing: 20 };
  assert.equal(await state({ temp_nozzle: 80 }, begun), 'heating');
  assert.equal(await state({ temp_nozzle: 80 }, { ...begun, progress: 30 }), 'printing');
  assert.equal(await state({ state: 'BUSY', temp_bed: 30 }, null), 'heating');
  assert.equal(await state({ state: 'BUSY' }, null), 'idle');
  assert.equal(await state({ state: 'BUSY' }, begun), 'printing');
});

const LEGACY = {
  'GET /api/printer': { telemetry: { material: 'PLA', 'temp-bed': 60, 'temp-nozzle': 215.1, 'z-height': 3.2, 'print-speed': 100 },
    temperature: { tool0: { actual: 215.1, target: 215 }, bed: { actual: 60, target: 60 } }, state: { text: 'Printing', flags: { operational: true, printing: true, paused: false, error: false } } },
  'GET /api/job': { state: 'Printing', job: { estimatedPrintTime: 3600, file: { name: 'A.GCO', display: 'a.gcode' } }, progress: { completion: 0.4, printTime: 600, printTimeLeft: 900 } },
};

test('prusalink: the legacy API where v1 is not there, decided once', async (t) => {
  const { host, seen } = await serve(t, LEGACY);
  const first = await ask('prusalink', host, { device_id: 'old' });
  assert.deepEqual([first.api, first.progress_percent, first.material, first.filename, first.elapsed_seconds, first.time_left_seconds], ['legacy', 40, 'PLA', 'a.gcode', 600, 900]);
  await ask('prusalink', host, { device_id: 'old' });
  assert.equal(seen.filter((request) => request.url.startsWith('/api/v1')).length, 1);
  assert.equal(seen.at(-1).headers['x-api-key'], 'secret');
});

test('prusalink: the legacy API where digest is refused but the key works', async (t) => {
  const { host } = await serve(t, { ...LEGACY, 'GET /api/v1/status': digest(() => {}, { password: 'other' }) });
  assert.equal((await ask('prusalink', host)).api, 'legacy');
});

test('prusalink legacy: at the end of a print the job is gone at once', async (t) => {
  const { host } = await serve(t, { 'GET /api/printer': { ...LEGACY['GET /api/printer'], state: { text: 'Operational', flags: { operational: true } } },
    'GET /api/job': { state: 'Operational', job: null, progress: null } });
  const status = await ask('prusalink', host);
  assert.deepEqual([status.state, status.filename, status.progress_percent, status.job_outcome], ['idle', null, null, null]);
});

// --- OctoPrint -------------------------------------------------------------------------------------------------------------------

const octo = (flags, progress, file = { name: 'a.gcode', path: 'dir/a b.gcode', origin: 'local' }) => ({
  'GET /api/printer': { temperature: { tool0: { actual: 200, target: 200 }, bed: { actual: 60, target: 60 } }, state: { text: 'free text', flags: { operational: true, ...flags } } },
  'GET /api/job': { job: { file, filament: { tool0: { length: 1000, volume: 2.4 } } }, progress, state: 'free text' },
});

test('octoprint: a print, its filament so far, and where its file is', async (t) => {
  const { host, seen } = await serve(t, octo({ printing: true }, { completion: 25, printTime: 300, printTimeLeft: 900 }));
  const status = await ask('octoprint', host);
  assert.deepEqual([status.state, status.progress_percent, status.elapsed_seconds, status.time_left_seconds, status.filament_used_mm, status.download_ref],
    ['printing', 25, 300, 900, 250, '/downloads/files/local/dir/a%20b.gcode']);
  assert.equal(seen[0].headers['x-api-key'], 'secret');
});

test('octoprint: flags decide, complete is done, a selected file without progress was cancelled', async (t) => {
  const state = async (...answers) => {
    const status = await ask('octoprint', (await serve(t, octo(...answers))).host);
    return [status.state, status.job_outcome, status.silence_means];
  };
  assert.deepEqual(await state({ paused: true }, { completion: 25 }), ['paused', null, null]);
  assert.deepEqual(await state({ cancelling: true }, { completion: 25 }), ['printing', null, null]);
  assert.deepEqual(await state({ ready: true }, { completion: 100, printTime: 10 }), ['finished', 'done', null]);
  assert.deepEqual(await state({ ready: true }, { completion: null }), ['idle', null, 'cancelled']);
  assert.deepEqual(await state({ ready: true }, {}, { name: null }), ['idle', null, null]);
  assert.deepEqual(await state({ error: true, closedOrError: true }, {}), ['error', null, null]);
});

test('octoprint: 409 and a closed port of its printer mean not connected; 403 is auth', async (t) => {
  const status = (code) => (request, response) => response.writeHead(code).end('{}');
  await assert.rejects(ask('octoprint', (await serve(t, { any: status(409) })).host), kind('not_connected', /press Connect/));
  await assert.rejects(ask('octoprint', (await serve(t, { any: status(403) })).host), kind('auth', /correct api_key/));
  await assert.rejects(ask('octoprint', (await serve(t, octo({ operational: false, closedOrError: true }, {}))).host), kind('not_connected', /Connect/));
});

// --- Moonraker -------------------------------------------------------------------------------------------------------------------

const moon = (stats, jobs = [{ job_id: '0000A7', filename: 'dir/part.gcode', status: 'in_progress' }]) => ({
  'GET /printer/objects/query': { result: { eventtime: 1, status: {
    print_stats: { filename: 'dir/part.gcode', total_duration: 700, print_duration: 600, filament_used: 1234.5, state: 'printing', message: '', ...stats },
    virtual_sdcard: { progress: 0.5 }, extruder: { temperature: 210, target: 210 }, heater_bed: { temperature: 60, target: 60 },
    gcode_move: { speed_factor: 1.1, gcode_position: [1, 2, 3.5, 4] } } } },
  'GET /server/history/list': { result: { count: 1, jobs } },
});

test('moonraker: a print with the id of the history', async (t) => {
  const status = await ask('moonraker', (await serve(t, moon({}))).host, { api_key: null });
  assert.deepEqual([status.state, status.source_job_id, status.filename, status.elapsed_seconds, status.time_left_seconds, status.filament_used_mm, status.z_height_mm,
    Math.round(status.speed_multiplier_percent), status.download_ref],
  ['printing', '0000A7', 'part.gcode', 700, 600, 1234.5, 3.5, 110, '/server/files/gcodes/dir/part.gcode']);
});

test('moonraker: ends, no history, and the outcome of a job that was reset', async (t) => {
  const state = async (...answers) => ask('moonraker', (await serve(t, moon(...answers))).host);
  assert.equal((await state({ state: 'complete' })).job_outcome, 'done');
  assert.equal((await state({ state: 'cancelled' })).job_outcome, 'cancelled');
  assert.deepEqual((await state({ state: 'standby', filename: '' }, [{ job_id: '1', filename: 'x', status: 'cancelled' }])).recent_jobs, [{ source_job_id: '1', outcome: 'cancelled' }]);
  const { 'GET /server/history/list': _, ...without } = moon({});
  assert.equal((await ask('moonraker', (await serve(t, without)).host)).source_job_id, null);
  await assert.rejects(ask('moonraker', (await serve(t, { any: (q, r) => r.writeHead(503).end('{}') })).host), kind('not_connected', /Klipper/));
});

// --- SimplyPrint -----------------------------------------------------------------------------------------------------------------

const spDevice = { simplyprint_id: '12', sp_company_id: '77', sp_api_key: 'secret', api_key: null };
const sp = (data, envelope = {}) => ({ 'POST /77/printers/Get': { status: true, message: null, data, ...envelope } });
const spPrinter = { id: 12, printer: { name: 'P', state: 'printing', online: true, temps: { ambient: 20, current: { tool: [210], bed: null }, target: { tool: [210], bed: null } } },
  filament: { 0: { type: { name: 'PETG' } } }, job: { id: 5, uid: 'abc', state: 'printing', file: 'x.gcode', percentage: 12, time: 3000 } };

test('simplyprint: object or array, no bed, the number of the printer in the body', async (t) => {
  const { host, seen } = await serve(t, sp(spPrinter));
  const status = await ask('simplyprint', host, spDevice);
  assert.deepEqual([status.state, status.source_job_id, status.simplyprint_job_id, status.bed_temp_actual, status.nozzle_temp_actual, status.material, status.time_left_seconds],
    ['printing', '5', 'abc', null, 210, 'PETG', 3000]);
  assert.deepEqual([seen[0].body, seen[0].headers['x-api-key']], ['{"pid":12}', 'secret']);
  const list = await serve(t, sp([{ ...spPrinter, id: 11, job: null }, spPrinter]));
  assert.equal((await ask('simplyprint', list.host, spDevice)).filename, 'x.gcode');
});

test('simplyprint: status=false is an error, offline is not connected, wrong settings say so', async (t) => {
  await assert.rejects(ask('simplyprint', (await serve(t, sp(null, { status: false, message: 'Invalid API key' }))).host, spDevice), kind('auth', /Invalid API key/));
  await assert.rejects(ask('simplyprint', (await serve(t, sp({ ...spPrinter, printer: { ...spPrinter.printer, online: false } }))).host, spDevice), kind('not_connected', /offline/));
  await assert.rejects(ask('simplyprint', 'x', { ...spDevice, simplyprint_id: 'me' }), kind('config', /number/));
});

test('simplyprint: how an ended print ended is asked for once the printer tells of another or of none', async (t) => {
  const openJob = { source_job_id: '5', simplyprint_job_id: 'abc' };
  const idle = { ...spPrinter, printer: { ...spPrinter.printer, state: 'operational' }, job: null };
  const recent = async (printer, job) => {
    const { host, seen } = await serve(t, { ...sp(printer), 'GET /77/jobs/GetDetails': { status: true, message: null, job } });
    const status = await ask('simplyprint', host, spDevice, { openJob });
    return [status.recent_jobs, seen.slice(1).map(({ url }) => url)];
  };
  const details = ['/77/jobs/GetDetails?id=abc'];
  assert.deepEqual(await recent(spPrinter, {}), [[], []]);
  assert.deepEqual(await recent(idle, { id: 5, uid: 'abc', state: 'cancelled' }), [[{ source_job_id: '5', outcome: 'cancelled' }], details]);
  assert.deepEqual(await recent({ ...spPrinter, job: { ...spPrinter.job, id: 6, uid: 'abd' } }, { state: 'finished' }), [[{ source_job_id: '5', outcome: 'done' }], details]);
  assert.deepEqual(await recent(idle, { state: 'ongoing' }), [[], details]);
  assert.deepEqual(await recent(idle, 'gone'), [[], details]);
});

// --- Every client ----------------------------------------------------------------------------------------------------------------

for (const source of ['prusalink', 'octoprint', 'moonraker', 'simplyprint']) {
  const tell = (host, options) => ask(source, host, source === 'simplyprint' ? spDevice : {}, options);

  test(`${source}: garbage, huge answers, redirects and faults are errors with a remedy`, async (t) => {
    for (const garbage of ['', 'null', '[]', '{}', '"x"', '{"printer":null}', '<html>', '{"result":{"status":{"print_stats":7}}}', '{"data":[null]}']) {
      await assert.rejects(tell((await serve(t, { any: garbage })).host).then((status) => {
        if (status.state === 'unknown') throw new PollError('payload', 'an unknown state is as good as none');
      }), (error) => error instanceof PollError && !/undefined|Cannot read/.test(error.message), garbage);
    }
    await assert.rejects(tell((await serve(t, { any: (q, r) => r.writeHead(200).end('x'.repeat(3_000_000)) })).host), kind('payload', /more than 2 MB/));
    const other = await serve(t, {});
    await assert.rejects(tell((await serve(t, { any: (q, r) => r.writeHead(302, { location: `http://${other.host}/` }).end() })).host), kind('http', /redirect/));
    assert.equal(other.seen.length, 0, 'the credentials went nowhere else');
    await assert.rejects(tell((await serve(t, { any: (q, r) => r.writeHead(500).end() })).host), kind('http', /answered 500/));
  });

  test(`${source}: a hung printer, one that hangs in the body, and none at all`, async (t) => {
    await assert.rejects(tell((await serve(t, { any: () => {} })).host, { timeoutMs: 150 }), kind('timeout', /did not answer in time/));
    await assert.rejects(tell((await serve(t, { any: (q, r) => { r.writeHead(200); r.write('{'); } })).host, { timeoutMs: 150 }), kind('timeout', /in time/));
    const { host } = await new Promise((resolve) => {
      const server = http.createServer().listen(0, '127.0.0.1', () => { const port = server.address().port; server.close(() => resolve({ host: `127.0.0.1:${port}` })); });
    });
    await assert.rejects(tell(host), kind('unreachable', /nothing listens there/));
  });
}

test('a kept connection that the printer has closed is not a failure', async (t) => {
  const answers = octo({}, {});
  const flaky = http.createServer((request, response) => {
    if (request.socket.used) return request.socket.destroy();
    request.socket.used = true;
    return send(response, answers[`GET ${request.url.split('?')[0]}`]);
  });
  flaky.listen(0, '127.0.0.1');
  await once(flaky, 'listening');
  t.after(() => { flaky.closeAllConnections(); flaky.close(); });
  for (let n = 0; n < 3; n += 1) assert.equal((await ask('octoprint', `127.0.0.1:${flaky.address().port}`)).state, 'idle');
});

test('a wrong address is said before anything is sent', async () => {
  await assert.rejects(ask('octoprint', ''), kind('config', /has no address/));
  await assert.rejects(ask('octoprint', 'http://user:secret@host'), kind('config', /must not hold a password/));
  await assert.rejects(ask('teleprinter', 'x'), kind('config', /not polled/));
});
