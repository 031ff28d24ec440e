'use strict';
// Downloads from real HTTP servers to a real disk, and the bookkeeping of what is tried when.
const test = require('node:test');
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { download, fileUrl } = require('./download');
const { createEnrichment } = require('.');

const CONTENT = crypto.randomBytes(300_000);
const LIMITS = { maxBytes: 1 << 20, idleMs: 500, totalMs: 5000 };
const hashOf = (data) => crypto.createHash('sha256').update(data).digest('hex');

async function setup(t, answer) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'enrichment-'));
  const requests = [];
  const server = http.createServer((request, response) => {
    requests.push({ url: request.url, headers: request.headers });
    answer(request, response, requests.length);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  const device = { device_id: 'P', source: 'octoprint', api_ip: `127.0.0.1:${server.address().port}`, api_key: 'sesame' };
  const transfer = { path: path.join(folder, 'part'), validator: null };
  return { folder, device, transfer, requests, get: (more = {}, limits = {}) => download({ ...device, ...more }, '/file.gcode', transfer, { ...LIMITS, ...limits }) };
}

const refused = (kind, retry, words) => (error) => {
  assert.deepEqual([error.kind, error.retry], [kind, retry]);
  assert.match(error.message, words);
  // What is stored with the print must not tell where the printer is.
  assert.doesNotMatch(error.message, /127\.0\.0\.1|sesame/);
  return true;
};

test('a file is fetched with the key and kept under the hash of its content', async (t) => {
  const { folder, device, requests } = await setup(t, (_request, response) => response.end(CONTENT));
  const enrichment = createEnrichment(path.join(folder, 'gcode'));
  const job = { job_id: '../../x', filename: 'Gehäuse "1".gcode', download_ref: '/a%20b.gcode', device };
  assert.deepEqual(enrichment.due([job]), [job]);
  const { file } = await enrichment.fetchFile(job, { megabytes: 1, minutes: 1 });
  assert.equal(path.basename(file.path), hashOf(CONTENT));
  assert.deepEqual(fs.readFileSync(file.path), CONTENT);
  assert.equal(requests[0].headers['x-api-key'], 'sesame');
  assert.equal(requests[0].url, '/a%20b.gcode');
  assert.deepEqual(fs.readdirSync(path.join(folder, 'gcode', 'incoming')), []);
  fs.writeFileSync(file.thumbnail_path, 'png');
  const row = enrichment.analysed(job, file, { ok: true, analysis: { file: { name: file.hash }, raw_settings: { a: 1 }, layers: { count: 2, z_mm: [1, 2] }, job_details: { object_name: file.hash },
    objects: [{ name: 'cube', copy: 0, material_share: 0.12345, energy_share: 0.5 }], settings: { nozzle_diameter_mm: 0.4 }, filament: { tools: [{ type: 'PLA' }] } } });
  assert.equal(row.thumbnail_url, `/files/gcode/${file.hash}.png`);
  assert.equal(row.preview_url, null);
  assert.deepEqual([row.material, row.nozzle_diameter, row.parts[0].share_percent], ['PLA', 0.4, 12.35]);
  assert.deepEqual(row.analysis.layers, { count: 2 });
  assert.equal(row.analysis.raw_settings, undefined);
  assert.equal(row.analysis.job_details.object_name, 'Gehäuse "1"');
  assert.equal(enrichment.running, 0);
});

test('PrusaLink: digest when it asks for it, its key when it is the legacy form', async (t) => {
  const digest = await setup(t, (request, response) => {
    if (request.headers.authorization?.startsWith('Digest username="maker"')) return response.end(CONTENT);
    response.writeHead(401, { 'www-authenticate': 'Digest realm="Printer API", nonce="abc", qop="auth"' }).end();
  });
  assert.equal((await digest.get({ source: 'prusalink' })).bytes, CONTENT.length);
  assert.equal(digest.requests[0].headers['x-api-key'], undefined);
  const legacy = await setup(t, (request, response) => response.writeHead(request.headers['x-api-key'] === 'sesame' ? 200 : 401).end(CONTENT));
  assert.equal((await legacy.get({ source: 'prusalink' })).bytes, CONTENT.length);
});

test('a download that broke off goes on where it was, and begins anew when the file has changed', async (t) => {
  let tag = '"one"';
  const { get, transfer, requests } = await setup(t, (request, response, count) => {
    const from = request.headers['if-range'] === tag ? Number(/\d+/.exec(request.headers.range)[0]) : 0;
    const headers = { etag: tag, 'content-length': CONTENT.length - from, ...(from > 0 ? { 'content-range': `bytes ${from}-${CONTENT.length - 1}/${CONTENT.length}` } : {}) };
    response.writeHead(from > 0 ? 206 : 200, headers);
    if (count % 2 === 0) return response.end(CONTENT.subarray(from));
    response.write(CONTENT.subarray(from, from + 100_000), () => setTimeout(() => response.destroy(), 50));
  });
  await assert.rejects(get(), refused('unreachable', true, /could not be reached/));
  assert.deepEqual(await get(), { bytes: CONTENT.length, resumed: true });
  assert.match(requests[1].headers.range, /^bytes=\d{3,}-$/);
  assert.deepEqual(fs.readFileSync(transfer.path), CONTENT);
  fs.rmSync(transfer.path);
  await assert.rejects(get());
  tag = '"two"';
  assert.deepEqual(await get(), { bytes: CONTENT.length, resumed: false });
  assert.deepEqual(fs.readFileSync(transfer.path), CONTENT);
});

test('a part that does not fit the file any more is thrown away', async (t) => {
  const { get, transfer } = await setup(t, (request, response) => (request.headers.range ? response.writeHead(416).end() : response.end(CONTENT)));
  fs.writeFileSync(transfer.path, CONTENT);
  transfer.validator = '"old"';
  await assert.rejects(get(), refused('http', true, /could not deliver/));
  assert.deepEqual(await get(), { bytes: CONTENT.length, resumed: false });
});

test('size, silence, refusals and foreign addresses are answered with a sentence', async (t) => {
  const answers = {
    403: ['auth', false, /correct api_key/], 404: ['http', false, /no longer has the file/], 302: ['http', false, /does not deliver/],
    503: ['http', true, /could not deliver/], 429: ['http', true, /could not deliver/],
  };
  let status = 200;
  let body = CONTENT;
  const { get, device } = await setup(t, (_request, response) => {
    if (body === null) return;
    response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:1/' } : {});
    response.write(body);
    response.end();
  });
  await assert.rejects(get({}, { maxBytes: 100_000 }), refused('payload', false, /larger than the limit/));
  for (const [code, expected] of Object.entries(answers)) {
    status = Number(code);
    await assert.rejects(get(), refused(...expected));
  }
  body = null;
  await assert.rejects(get({}, { idleMs: 100 }), refused('timeout', true, /in time/));
  for (const reference of ['http://elsewhere/file', '//elsewhere/file', 'file:///etc/passwd', 'ftp:x']) {
    assert.throws(() => fileUrl(device, reference), /another host|no address/, reference);
  }
  assert.equal(fileUrl({ api_ip: 'host/octo' }, '/downloads/a').href, 'http://host/octo/downloads/a');
});

test('a few at once, one of a printer, with growing pauses, and then a sentence', async (t) => {
  const { folder } = await setup(t, () => {});
  let now = 0;
  const busy = Object.assign(new Error('The printer is busy.'), { retry: true });
  const enrichment = createEnrichment(path.join(folder, 'gcode'), { now: () => now, retryMs: [10, 100], fetch: async () => { throw busy; } });
  const jobs = ['a', 'b', 'c', 'd'].map((job_id, i) => ({ job_id, download_ref: '/f', device: { device_id: `P${i % 3}`, source: 'moonraker' } }));
  assert.deepEqual(enrichment.due(jobs).map(({ job_id }) => job_id), ['a', 'b']);
  assert.deepEqual(enrichment.due(jobs), []);
  assert.deepEqual(await enrichment.fetchFile(jobs[1], {}), {});
  assert.deepEqual(enrichment.due([jobs[3], jobs[1], jobs[2]]).map(({ job_id }) => job_id), ['c'], 'd shares its printer with a, b waits');
  assert.deepEqual(await enrichment.fetchFile(jobs[2], {}), {});
  for (const [at, outcome] of [[10, {}], [110, { row: { job_id: 'b', status: 'The printer is busy.' } }]]) {
    now = at;
    assert.deepEqual(enrichment.due([jobs[1]]), [jobs[1]]);
    assert.deepEqual(await enrichment.fetchFile(jobs[1], {}), outcome);
  }
  assert.deepEqual(enrichment.due([jobs[1]]), [], 'its row is on its way');
  const nameless = { job_id: 'e', download_ref: null, device: { device_id: 'P9', source: 'simplyprint' } };
  assert.match((await enrichment.fetchFile(nameless, {})).row.status, /SimplyPrint does not hand out/);
});

test('old files go by age, more than fits goes by size, public ones by theirs', async (t) => {
  const { folder } = await setup(t, () => {});
  const enrichment = createEnrichment(path.join(folder, 'gcode'));
  await enrichment.clean({ days: 1, megabytes: 1, publicMegabytes: 1 });
  const put = (kind, name, megabytes, days) => {
    const file = path.join(folder, 'gcode', kind, name);
    fs.writeFileSync(file, Buffer.alloc(megabytes * 2 ** 20));
    fs.utimesSync(file, Date.now() / 1000 - days * 86400, Date.now() / 1000 - days * 86400);
  };
  for (const [name, days] of [['new', 0], ['second', 1], ['third', 2], ['old', 40]]) put('files', name, 1, days);
  for (const [name, days] of [['a.png', 0], ['b.png', 400], ['c.png', 500]]) put('public', name, 1, days);
  put('incoming', 'left.part', 1, 2);
  const { removed, urls } = await enrichment.clean({ days: 30, megabytes: 2, publicMegabytes: 2 });
  assert.equal(removed, 4);
  assert.deepEqual(urls, ['/files/gcode/c.png']);
  assert.deepEqual(fs.readdirSync(path.join(folder, 'gcode', 'files')).sort(), ['new', 'second']);
});
