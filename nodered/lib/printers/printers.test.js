'use strict';
// Every client against a real HTTP server that behaves like the printer (or as badly as some do).
const test = require('node:test');
const assert = require('node:assert/strict');
const http = require('node:http');
const crypto = require('node:crypto');
const { poll, PollError } = require('.');
const { listen, serve: serveHttp } = require('../testing');

const NOW = Date.parse('2026-03-01T12:00:00.000Z');
const JSON_HEAD = { 'content-type': 'application/json' };
const pathOf = (request) => request.url.split('?')[0];

/**
 * A server for one test; `answers` maps "METHOD path" (without query) to a value (JSON) or a function (request,
 * response, body).
 * @returns {Promise<{host: string, seen: {method: string, url: string, headers: any, body: string}[]}>}
 */
async function serve(t, answers) {
  const seen = [];
  const host = await serveHttp(t, async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push({ method: request.method, url: request.url, headers: request.headers, body });
    const answer = answers[`${request.method} ${pathOf(request)}`] ?? answers.any;
    if (answer === undefined) response.writeHead(404).end('{}');
    else if (typeof answer === 'function') answer(request, response, body);
    else send(response, answer);
  });
  return { host, seen };
}
const hostOf = async (t, answers) => (await serve(t, answers)).host;

const send = (response, value) =>
  response.writeHead(200, JSON_HEAD).end(typeof value === 'string' ? value : JSON.stringify(value));
const ends = (code, more = {}) => (request, response) => response.writeHead(code, more).end('{}');

const ask = (source, host, more = {}, options = {}) => {
  const device = { device_id: `${source}-test`, source, api_ip: host, api_key: 'secret', ...more };
  return poll(device, { timeoutMs: 2000, now: () => NOW, ...options });
};
const kind = (wanted, sentence) => (error) => {
  const isRight = error instanceof PollError && error.kind === wanted && sentence.test(error.message);
  return isRight && !error.message.includes('secret');
};

// --- PrusaLink -------------------------------------------------------------------------------------------------------

const PRINTER = {
  state: 'PRINTING', temp_nozzle: 214.9, target_nozzle: 215, temp_bed: 59.8, target_bed: 60, axis_z: 12.4, flow: 100,
  speed: 110,
  fan_print: 5900,
};
const SHORT = { id: 297, progress: 42, time_remaining: 1800, time_printing: 1300 };
const STATUS = { storage: { path: '/usb/' }, job: SHORT, printer: PRINTER };
const JOB = {
  id: 297, state: 'PRINTING', progress: 42, time_printing: 1300, time_remaining: 1800,
  file: {
    name: 'BENCHY~1.GCO', display_name: 'benchy_long.gcode', path: '/usb', refs: { download: '/usb/BENCHY~1.GCO' },
  },
};
const DIGEST = {
  qop: true, algorithm: '', user: 'maker', password: 'secret', usesPerNonce: 100,
  log: /** @type {Record<string, string>[]} */ ([]),
};

/**
 * What a request sends in its Authorization header.
 * @returns {Record<string, any>}
 */
function sentDigest({ headers: { authorization = '' } }) {
  const fields = authorization.matchAll(/(\w+)=(?:"([^"]*)"|([^\s,]+))/g);
  return Object.fromEntries([...fields].map((match) => [match[1], match[2] ?? match[3]]));
}

/** The response that the digest rules ask for. */
function rightResponse({ method, url }, sent, { qop, algorithm, user, password }) {
  const { nonce, cnonce, nc } = sent;
  const hash = (text) => crypto.createHash(/sha-256/i.test(algorithm) ? 'sha256' : 'md5').update(text).digest('hex');
  const secret = hash(`${user}:Printer API:${password}`);
  const a1 = /-sess/i.test(algorithm) ? hash(`${secret}:${nonce}:${cnonce}`) : secret;
  const a2 = hash(`${method}:${url}`);
  return hash(qop ? `${a1}:${nonce}:${nc}:${cnonce}:auth:${a2}` : `${a1}:${nonce}:${a2}`);
}

/** A digest check as printers do it; `options` says how this firmware's challenge looks. */
function digest(answer, options = {}) {
  const rules = { ...DIGEST, ...options };
  const { qop, algorithm, usesPerNonce, log } = rules;
  let nonce = 'n0';
  let uses = 0;
  return (request, response) => {
    const sent = sentDigest(request);
    const isKnown = sent.nonce === nonce;
    if (isKnown) {
      log.push(sent);
      uses += 1;
      const counted = !qop || Number.parseInt(sent.nc, 16) === uses;
      // MD5 is what its absence means: this firmware refuses an algorithm that it did not name.
      const named = algorithm !== '' || sent.algorithm === undefined;
      const right = sent.response === rightResponse(request, sent, rules);
      if (right && uses <= usesPerNonce && counted && named) return answer(request, response);
    }
    const stale = isKnown ? uses > usesPerNonce : sent.nonce !== undefined;
    nonce = crypto.randomBytes(4).toString('hex');
    uses = 0;
    const parts = ['realm="Printer API"', `nonce="${nonce}"`, `stale="${stale}"`];
    if (qop) parts.push('qop="auth"');
    if (algorithm) parts.push(`algorithm=${algorithm}`);
    return response.writeHead(401, { 'www-authenticate': `Digest ${parts.join(', ')}` }).end();
  };
}

/**
 * A PrusaLink with the v1 API.
 * @param {import('node:test').TestContext} t
 * @param {{status?: object, job?: object | null, [rule: string]: any}} [given]  without a job it answers 204; rules as
 *   DIGEST
 */
function v1Server(t, { status = STATUS, job = JOB, ...rules } = {}) {
  const guard = digest((request, response) => {
    const value = request.url === '/api/v1/status' ? status : job;
    if (value === null) response.writeHead(204).end();
    else send(response, value);
  }, rules);
  return serve(t, { 'GET /api/v1/status': guard, 'GET /api/v1/job': guard });
}

test('prusalink v1: every field of a printing printer', async (t) => {
  const { host } = await v1Server(t);
  const status = await ask('prusalink', host);
  assert.deepEqual(status, {
    device_id: 'prusalink-test', timestamp: '2026-03-01T12:00:00.000Z', state: 'printing', state_text: 'PRINTING',
    is_operational: true, is_printing: true, is_paused: false, is_error: false, is_busy: false, is_sd_ready: null,
    nozzle_temp_actual: 214.9, nozzle_temp_target: 215, bed_temp_actual: 59.8, bed_temp_target: 60, z_height_mm: 12.4,
    speed_multiplier_percent: 110, fan_rpm: 5900, material: null, filename: 'benchy_long.gcode', progress_percent: 42,
    time_left_seconds: 1800, source_job_id: '297', simplyprint_job_id: null, elapsed_seconds: 1300,
    filament_used_mm: null, filament_used_g: null, job_outcome: null, silence_means: null, recent_jobs: [],
    download_ref: '/usb/BENCHY~1.GCO', api: 'v1',
  });
});

const FIRMWARES = [
  { qop: false }, { algorithm: 'MD5' }, { algorithm: 'MD5-sess' }, { algorithm: 'SHA-256' },
  { algorithm: 'SHA-256-sess' },
  { usesPerNonce: 1 },
];
for (const options of FIRMWARES) {
  test(`prusalink v1: digest ${JSON.stringify(options)}, with the nonce used again`, async (t) => {
    /** @type {Record<string, string>[]} */
    const log = [];
    const { host, seen } = await v1Server(t, { ...options, log });
    const device = { device_id: `digest-${JSON.stringify(options)}` };
    for (let n = 0; n < 3; n += 1) assert.equal((await ask('prusalink', host, device)).state, 'printing');
    const challenged = seen.filter((request) => request.headers.authorization === undefined).length;
    if (options.usesPerNonce === undefined) assert.equal(challenged, 1, 'one challenge for six requests');
    if (options.qop !== false) return;
    assert.ok(log.every((sent) => sent.algorithm === undefined && sent.qop === undefined && sent.nc === undefined));
  });
}

test('prusalink v1: user:password in api_key; a wrong password is an error without it', async (t) => {
  const { host } = await v1Server(t, { user: 'ana', password: 'p:w"x' });
  assert.equal((await ask('prusalink', host, { api_key: 'ana:p:w"x' })).state, 'printing');
  await assert.rejects(ask('prusalink', host, { api_key: 'secret' }), kind('auth', /refused the credentials/));
});

test('prusalink v1: states, their outcomes, and attention during a paused job', async (t) => {
  const state = async (printer, jobState = '') => {
    const status = { printer: { ...PRINTER, state: printer }, ...(jobState && { job: SHORT }) };
    const { host } = await v1Server(t, { status, job: jobState ? { ...JOB, state: jobState } : null });
    const found = await ask('prusalink', host);
    return [found.state, found.job_outcome, found.is_paused, found.source_job_id];
  };
  assert.deepEqual(await state('IDLE'), ['idle', null, false, null]);
  assert.deepEqual(await state('ATTENTION', 'PAUSED'), ['attention', null, true, '297']);
  assert.deepEqual(await state('FINISHED', 'FINISHED'), ['finished', 'done', false, '297']);
  assert.deepEqual(await state('STOPPED', 'STOPPED'), ['cancelled', 'cancelled', false, '297']);
  assert.deepEqual(await state('ERROR'), ['error', null, false, null]);
  assert.deepEqual(await state('FINISHED'), ['finished', null, false, null]);
});

test('prusalink v1: heating is a heater far below its target before anything is printed', async (t) => {
  const state = async (printer, job) => {
    const { host } = await v1Server(t, { status: { printer: { ...PRINTER, ...printer }, job }, job: null });
    return (await ask('prusalink', host)).state;
  };
  const begun = { id: 1, progress: 0, time_printing: 20 };
  assert.equal(await state({ temp_nozzle: 80 }, begun), 'heating');
  assert.equal(await state({ temp_nozzle: 80 }, { ...begun, progress: 30 }), 'printing');
  assert.equal(await state({ state: 'BUSY', temp_bed: 30 }, undefined), 'heating');
  assert.equal(await state({ state: 'BUSY' }, undefined), 'idle');
  assert.equal(await state({ state: 'BUSY' }, begun), 'printing');
});

const LEGACY_TEMPERATURE = { tool0: { actual: 215.1, target: 215 }, bed: { actual: 60, target: 60 } };
const LEGACY = {
  'GET /api/printer': {
    telemetry: { material: 'PLA', 'temp-bed': 60, 'temp-nozzle': 215.1, 'z-height': 3.2, 'print-speed': 100 },
    temperature: LEGACY_TEMPERATURE,
    state: { text: 'Printing', flags: { operational: true, printing: true, paused: false, error: false } },
  },
  'GET /api/job': {
    state: 'Printing', job: { estimatedPrintTime: 3600, file: { name: 'A.GCO', display: 'a.gcode' } },
    progress: { completion: 0.4, printTime: 600, printTimeLeft: 900 },
  },
};

test('prusalink: the legacy API where v1 is not there, decided once', async (t) => {
  const { host, seen } = await serve(t, LEGACY);
  const first = await ask('prusalink', host, { device_id: 'old' });
  assert.deepEqual([first.api, first.material, first.filename], ['legacy', 'PLA', 'a.gcode']);
  assert.equal(first.progress_percent, 40);
  assert.deepEqual([first.elapsed_seconds, first.time_left_seconds], [600, 900]);
  await ask('prusalink', host, { device_id: 'old' });
  assert.equal(seen.filter((request) => request.url.startsWith('/api/v1')).length, 1);
  assert.equal(seen.at(-1)?.headers['x-api-key'], 'secret');
});

test('prusalink: the legacy API where digest is refused but the key works', async (t) => {
  const { host } = await serve(t, { ...LEGACY, 'GET /api/v1/status': digest(() => {}, { password: 'other' }) });
  assert.equal((await ask('prusalink', host)).api, 'legacy');
});

test('prusalink legacy: at the end of a print the job is gone at once', async (t) => {
  const { host } = await serve(t, {
    'GET /api/printer': { ...LEGACY['GET /api/printer'], state: { text: 'Operational', flags: { operational: true } } },
    'GET /api/job': { state: 'Operational', job: null, progress: null },
  });
  const status = await ask('prusalink', host);
  assert.deepEqual([status.state, status.filename], ['idle', null]);
  assert.deepEqual([status.progress_percent, status.job_outcome], [null, null]);
});

// --- OctoPrint -------------------------------------------------------------------------------------------------------

/** @type {object} */
const OCTO_FILE = { name: 'a.gcode', path: 'dir/a b.gcode', origin: 'local' };
/** What OctoPrint answers with these flags, this progress and this file. */
const octo = (flags, progress, file = OCTO_FILE) => ({
  'GET /api/printer': {
    temperature: { tool0: { actual: 200, target: 200 }, bed: { actual: 60, target: 60 } },
    state: { text: 'free text', flags: { operational: true, ...flags } },
  },
  'GET /api/job': { job: { file, filament: { tool0: { length: 1000, volume: 2.4 } } }, progress, state: 'free text' },
});

test('octoprint: a print, its filament so far, and where its file is', async (t) => {
  const progress = { completion: 25, printTime: 300, printTimeLeft: 900 };
  const { host, seen } = await serve(t, octo({ printing: true }, progress));
  const status = await ask('octoprint', host);
  assert.deepEqual([status.state, status.progress_percent, status.elapsed_seconds], ['printing', 25, 300]);
  assert.deepEqual([status.time_left_seconds, status.filament_used_mm], [900, 250]);
  assert.equal(status.download_ref, '/downloads/files/local/dir/a%20b.gcode');
  assert.equal(seen[0].headers['x-api-key'], 'secret');
});

test('octoprint: flags decide, complete is done, a selected file without progress was cancelled', async (t) => {
  const state = async (flags, progress, file) => {
    const status = await ask('octoprint', await hostOf(t, octo(flags, progress, file)));
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
  const asked = async (answers) => ask('octoprint', await hostOf(t, answers));
  await assert.rejects(asked({ any: ends(409) }), kind('not_connected', /press Connect/));
  await assert.rejects(asked({ any: ends(403) }), kind('auth', /correct api_key/));
  await assert.rejects(asked(octo({ operational: false, closedOrError: true }, {})), kind('not_connected', /Connect/));
});

// --- Moonraker -------------------------------------------------------------------------------------------------------

const moon = (stats, jobs = [{ job_id: '0000A7', filename: 'dir/part.gcode', status: 'in_progress' }]) => ({
  'GET /printer/objects/query': {
    result: {
      eventtime: 1,
      status: {
        print_stats: {
          filename: 'dir/part.gcode', total_duration: 700, print_duration: 600, filament_used: 1234.5,
          state: 'printing', message: '', ...stats,
        },
        virtual_sdcard: { progress: 0.5 }, extruder: { temperature: 210, target: 210 },
        heater_bed: { temperature: 60, target: 60 }, gcode_move: { speed_factor: 1.1, gcode_position: [1, 2, 3.5, 4] },
      },
    },
  },
  'GET /server/history/list': { result: { count: 1, jobs } },
});

test('moonraker: a print with the id of the history', async (t) => {
  const status = await ask('moonraker', await hostOf(t, moon({})), { api_key: null });
  assert.deepEqual([status.state, status.source_job_id, status.filename], ['printing', '0000A7', 'part.gcode']);
  assert.deepEqual([status.elapsed_seconds, status.time_left_seconds, status.filament_used_mm], [700, 600, 1234.5]);
  assert.deepEqual([status.z_height_mm, Math.round(Number(status.speed_multiplier_percent))], [3.5, 110]);
  assert.equal(status.download_ref, '/server/files/gcodes/dir/part.gcode');
});

test('moonraker: ends, no history, and the outcome of a job that was reset', async (t) => {
  const asked = async (answers) => ask('moonraker', await hostOf(t, answers));
  assert.equal((await asked(moon({ state: 'complete' }))).job_outcome, 'done');
  assert.equal((await asked(moon({ state: 'cancelled' }))).job_outcome, 'cancelled');
  const reset = moon({ state: 'standby', filename: '' }, [{ job_id: '1', filename: 'x', status: 'cancelled' }]);
  assert.deepEqual((await asked(reset)).recent_jobs, [{ source_job_id: '1', outcome: 'cancelled' }]);
  assert.equal((await asked({ ...moon({}), 'GET /server/history/list': ends(404) })).source_job_id, null);
  await assert.rejects(asked({ any: ends(503) }), kind('not_connected', /Klipper/));
});

// --- SimplyPrint -----------------------------------------------------------------------------------------------------

const spDevice = { simplyprint_id: '12', sp_company_id: '77', sp_api_key: 'secret', api_key: null };
const sp = (data, envelope = {}) => ({ 'POST /77/printers/Get': { status: true, message: null, data, ...envelope } });
const spPrinter = {
  id: 12,
  printer: {
    name: 'P', state: 'printing', online: true,
    temps: { ambient: 20, current: { tool: [210], bed: null }, target: { tool: [210], bed: null } },
  },
  filament: { 0: { type: { name: 'PETG' } } },
  job: { id: 5, uid: 'abc', state: 'printing', file: 'x.gcode', percentage: 12, time: 3000 },
};

test('simplyprint: object or array, no bed, the number of the printer in the body', async (t) => {
  const { host, seen } = await serve(t, sp(spPrinter));
  const status = await ask('simplyprint', host, spDevice);
  assert.deepEqual([status.state, status.source_job_id, status.simplyprint_job_id], ['printing', '5', 'abc']);
  assert.deepEqual([status.bed_temp_actual, status.nozzle_temp_actual], [null, 210]);
  assert.deepEqual([status.material, status.time_left_seconds], ['PETG', 3000]);
  assert.deepEqual([seen[0].body, seen[0].headers['x-api-key']], ['{"pid":12}', 'secret']);
  const list = await hostOf(t, sp([{ ...spPrinter, id: 11, job: null }, spPrinter]));
  assert.equal((await ask('simplyprint', list, spDevice)).filename, 'x.gcode');
});

test('simplyprint: status=false is an error, offline is not connected, wrong settings say so', async (t) => {
  const asked = async (answers) => ask('simplyprint', await hostOf(t, answers), spDevice);
  const refused = sp(null, { status: false, message: 'Invalid API key' });
  await assert.rejects(asked(refused), kind('auth', /Invalid API key/));
  const offline = { ...spPrinter, printer: { ...spPrinter.printer, online: false } };
  await assert.rejects(asked(sp(offline)), kind('not_connected', /offline/));
  await assert.rejects(ask('simplyprint', 'x', { ...spDevice, simplyprint_id: 'me' }), kind('config', /number/));
});

test('simplyprint: how an ended print ended is asked for once the printer speaks of another or of none', async (t) => {
  const openJob = { source_job_id: '5', simplyprint_job_id: 'abc' };
  const idle = { ...spPrinter, printer: { ...spPrinter.printer, state: 'operational' }, job: null };
  const recent = async (printer, job) => {
    const details = { status: true, message: null, job };
    const { host, seen } = await serve(t, { ...sp(printer), 'GET /77/jobs/GetDetails': details });
    const status = await ask('simplyprint', host, spDevice, { openJob });
    return [status.recent_jobs, seen.slice(1).map(({ url }) => url)];
  };
  const ended = (outcome) => [{ source_job_id: '5', outcome }];
  const asked = ['/77/jobs/GetDetails?id=abc'];
  const another = { ...spPrinter, job: { ...spPrinter.job, id: 6, uid: 'abd' } };
  assert.deepEqual(await recent(spPrinter, {}), [[], []]);
  assert.deepEqual(await recent(idle, { id: 5, uid: 'abc', state: 'cancelled' }), [ended('cancelled'), asked]);
  assert.deepEqual(await recent(another, { state: 'finished' }), [ended('done'), asked]);
  assert.deepEqual(await recent(idle, { state: 'ongoing' }), [[], asked]);
  assert.deepEqual(await recent(idle, 'gone'), [[], asked]);
});

// --- Every client ----------------------------------------------------------------------------------------------------

const GARBAGE = [
  '', 'null', '[]', '{}', '"x"', '{"printer":null}', '<html>', '{"result":{"status":{"print_stats":7}}}',
  '{"data":[null]}',
];

for (const source of ['prusalink', 'octoprint', 'moonraker', 'simplyprint']) {
  const asked = async (t, answer, options = {}) => {
    const host = await hostOf(t, { any: answer });
    return ask(source, host, source === 'simplyprint' ? spDevice : {}, options);
  };

  test(`${source}: garbage, huge answers, redirects and faults are errors with a remedy`, async (t) => {
    for (const garbage of GARBAGE) {
      const known = asked(t, garbage).then(({ state }) => {
        if (state === 'unknown') throw new PollError('payload', 'an unknown state is as good as none');
      });
      const isSentence = (error) => error instanceof PollError && !/undefined|Cannot read/.test(error.message);
      await assert.rejects(known, isSentence, garbage);
    }
    const huge = (request, response) => response.writeHead(200).end('x'.repeat(3_000_000));
    await assert.rejects(asked(t, huge), kind('payload', /more than 2 MB/));
    const other = await serve(t, {});
    await assert.rejects(asked(t, ends(302, { location: `http://${other.host}/` })), kind('http', /redirect/));
    assert.equal(other.seen.length, 0, 'the credentials went nowhere else');
    await assert.rejects(asked(t, ends(500)), kind('http', /answered 500/));
  });

  test(`${source}: a hung printer, one that hangs in the body, and none at all`, async (t) => {
    const soon = { timeoutMs: 150 };
    await assert.rejects(asked(t, () => {}, soon), kind('timeout', /did not answer in time/));
    const hangs = (request, response) => { response.writeHead(200).write('{'); };
    await assert.rejects(asked(t, hangs, soon), kind('timeout', /in time/));
    const gone = http.createServer();
    const port = await listen(gone);
    gone.close();
    const nobody = ask(source, `127.0.0.1:${port}`, source === 'simplyprint' ? spDevice : {});
    await assert.rejects(nobody, kind('unreachable', /nothing listens there/));
  });
}

test('a kept connection that the printer has closed is not a failure', async (t) => {
  const answers = octo({}, {});
  const used = new WeakSet();
  const host = await serveHttp(t, (request, response) => {
    if (used.has(request.socket)) return request.socket.destroy();
    used.add(request.socket);
    send(response, answers[`GET ${pathOf(request)}`]);
  });
  for (let n = 0; n < 3; n += 1) assert.equal((await ask('octoprint', host)).state, 'idle');
});

test('a wrong address is refused before anything is sent', async () => {
  await assert.rejects(ask('octoprint', ''), kind('config', /has no address/));
  await assert.rejects(ask('octoprint', 'http://user:secret@host'), kind('config', /must not hold a password/));
  await assert.rejects(ask('teleprinter', 'x'), kind('config', /not polled/));
});
