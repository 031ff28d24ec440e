'use strict';
// Downloads from real HTTP servers to a real disk, and the bookkeeping of what is tried when.
/** @import { Transfer } from '../types' */

const test = require('node:test');
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { download, fileUrl } = require('./download');
const { createEnrichment } = require('.');
const { serve, temporaryFolder } = require('../testing');

const CONTENT = crypto.randomBytes(300_000);
const LIMITS = { maxBytes: 1 << 20, idleMs: 500, totalMs: 5000 };
const NO_LIMITS = { megabytes: 1, minutes: 1 };
const hashOf = (data) => crypto.createHash('sha256').update(data).digest('hex');

/** A printer that answers with `answer(request, response, number of the request)`, and a folder for what comes. */
async function setup(t, answer) {
  const folder = temporaryFolder(t, 'enrichment');
  /** @type {{url: string | undefined, headers: Record<string, any>}[]} */
  const requests = [];
  const host = await serve(t, (request, response) => {
    requests.push({ url: request.url, headers: request.headers });
    answer(request, response, requests.length);
  });
  const device = { device_id: 'P', source: 'octoprint', api_ip: host, api_key: 'sesame' };
  /** @type {Transfer} */
  const transfer = { path: path.join(folder, 'part'), validator: null };
  const get = (more = {}, limits = {}) =>
    download({ ...device, ...more }, '/file.gcode', transfer, { ...LIMITS, ...limits });
  return { folder, device, transfer, requests, get };
}

const refused = (kind, retry, words) => (error) => {
  assert.deepEqual([error.kind, error.retry], [kind, retry]);
  assert.match(error.message, words);
  // What is stored with the print must not say where the printer is.
  assert.doesNotMatch(error.message, /127\.0\.0\.1|sesame/);
  return true;
};

test('a file is fetched with the key and kept under the hash of its content', async (t) => {
  const { folder, device, requests } = await setup(t, (_request, response) => response.end(CONTENT));
  const enrichment = createEnrichment(path.join(folder, 'gcode'));
  const job = { job_id: '../../x', filename: 'Gehäuse "1".gcode', download_ref: '/a%20b.gcode', device };
  assert.deepEqual(enrichment.due([job]), [job]);
  const { file } = await enrichment.fetchFile(job, NO_LIMITS);
  assert.ok(file);
  assert.equal(path.basename(file.path), hashOf(CONTENT));
  assert.deepEqual(fs.readFileSync(file.path), CONTENT);
  assert.equal(requests[0].headers['x-api-key'], 'sesame');
  assert.equal(requests[0].url, '/a%20b.gcode');
  assert.deepEqual(fs.readdirSync(path.join(folder, 'gcode', 'incoming')), []);
  fs.writeFileSync(file.thumbnail_path, 'png');
  const analysis = {
    file: { name: file.hash }, raw_settings: { a: 1 }, layers: { count: 2, z_mm: [1, 2] },
    job_details: { object_name: file.hash },
    objects: [{ name: 'cube', copy: 0, material_share: 0.12345, energy_share: 0.5 }],
    settings: { nozzle_diameter_mm: 0.4 },
    filament: { tools: [{ type: 'PLA' }] },
  };
  const row = enrichment.analysed(job, file, { ok: true, analysis });
  assert.equal(row.thumbnail_url, `/files/gcode/${file.hash}.png`);
  assert.equal(row.preview_url, null);
  assert.deepEqual([row.material, row.nozzle_diameter, row.parts?.[0].share_percent], ['PLA', 0.4, 12.35]);
  assert.deepEqual(row.analysis?.layers, { count: 2 });
  assert.equal(row.analysis?.raw_settings, undefined);
  assert.equal(row.analysis?.job_details.object_name, 'Gehäuse "1"');
  assert.equal(enrichment.running, 0);
});

test('PrusaLink: digest when it asks for it, its key when it is the legacy form', async (t) => {
  const digest = await setup(t, (request, response) => {
    if (request.headers.authorization?.startsWith('Digest username="maker"')) return response.end(CONTENT);
    response.writeHead(401, { 'www-authenticate': 'Digest realm="Printer API", nonce="abc", qop="auth"' }).end();
  });
  assert.equal((await digest.get({ source: 'prusalink' })).bytes, CONTENT.length);
  assert.equal(digest.requests[0].headers['x-api-key'], undefined);
  const legacy = await setup(t, (request, response) => {
    response.writeHead(request.headers['x-api-key'] === 'sesame' ? 200 : 401).end(CONTENT);
  });
  assert.equal((await legacy.get({ source: 'prusalink' })).bytes, CONTENT.length);
});

test('a download that broke off continues where it was, and begins again when the file has changed', async (t) => {
  let tag = '"one"';
  const { get, transfer, requests } = await setup(t, (request, response, count) => {
    const { range = '', 'if-range': known } = request.headers;
    const from = known === tag ? Number(/\d+/.exec(range)?.[0]) : 0;
    const headers = { etag: tag, 'content-length': CONTENT.length - from };
    const rest = { ...headers, 'content-range': `bytes ${from}-${CONTENT.length - 1}/${CONTENT.length}` };
    response.writeHead(from > 0 ? 206 : 200, from > 0 ? rest : headers);
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
  const { get, transfer } = await setup(t, (request, response) => {
    if (request.headers.range) response.writeHead(416).end();
    else response.end(CONTENT);
  });
  fs.writeFileSync(transfer.path, CONTENT);
  transfer.validator = '"old"';
  await assert.rejects(get(), refused('http', true, /could not deliver/));
  assert.deepEqual(await get(), { bytes: CONTENT.length, resumed: false });
});

test('size, silence and refusals are reported with a sentence', async (t) => {
  let status = 200;
  let isSilent = false;
  const { get } = await setup(t, (_request, response) => {
    if (isSilent) return;
    response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:1/' } : {});
    response.write(CONTENT);
    response.end();
  });
  await assert.rejects(get({}, { maxBytes: 100_000 }), refused('payload', false, /larger than the limit/));
  for (const [code, kind, retry, words] of [
    [403, 'auth', false, /correct api_key/],
    [404, 'http', false, /no longer has the file/],
    [302, 'http', false, /does not deliver/],
    [503, 'http', true, /could not deliver/],
    [429, 'http', true, /could not deliver/],
  ]) {
    status = Number(code);
    await assert.rejects(get(), refused(kind, retry, words));
  }
  isSilent = true;
  await assert.rejects(get({}, { idleMs: 100 }), refused('timeout', true, /in time/));
});

test('a foreign address is not followed, and a device without an address is told so', async (t) => {
  const { device, folder } = await setup(t, () => {});
  for (const reference of ['http://elsewhere/file', '//elsewhere/file', 'file:///etc/passwd', 'ftp:x']) {
    assert.throws(() => fileUrl(device, reference), /another host|no address/, reference);
  }
  assert.equal(fileUrl({ ...device, api_ip: 'host/octo' }, '/downloads/a').href, 'http://host/octo/downloads/a');
  for (const api_ip of [null, 'secret host']) {
    const enrichment = createEnrichment(path.join(folder, 'gcode'));
    const job = { job_id: 'a', download_ref: '/f', device: { ...device, api_ip } };
    const { row } = await enrichment.fetchFile(job, NO_LIMITS);
    assert.equal(row?.status, 'The device has no usable address: correct api_ip.');
  }
});

test('a few at once, one of a printer, with growing pauses, and then a sentence', async (t) => {
  const { folder } = await setup(t, () => {});
  let now = 0;
  const busy = Object.assign(new Error('The printer is busy.'), { retry: true });
  const fetch = async () => { throw busy; };
  const enrichment = createEnrichment(path.join(folder, 'gcode'), { now: () => now, retryMs: [10, 100], fetch });
  const job = (job_id, device_id) => ({ job_id, download_ref: '/f', device: { device_id, source: 'moonraker' } });
  const [a, b, c, d] = [job('a', 'P0'), job('b', 'P1'), job('c', 'P2'), job('d', 'P0')];
  assert.deepEqual(enrichment.due([a, b, c, d]), [a, b]);
  assert.deepEqual(enrichment.due([a, b, c, d]), []);
  assert.deepEqual(await enrichment.fetchFile(b, NO_LIMITS), {});
  assert.deepEqual(enrichment.due([d, b, c]), [c], 'd shares its printer with a, b waits');
  assert.deepEqual(await enrichment.fetchFile(c, NO_LIMITS), {});
  now = 10;
  assert.deepEqual(enrichment.due([b]), [b]);
  assert.deepEqual(await enrichment.fetchFile(b, NO_LIMITS), {});
  now = 110;
  assert.deepEqual(enrichment.due([b]), [b]);
  assert.deepEqual(await enrichment.fetchFile(b, NO_LIMITS), { row: { job_id: 'b', status: 'The printer is busy.' } });
  assert.deepEqual(enrichment.due([b]), [], 'its row is on its way');
  const nameless = { job_id: 'e', download_ref: null, device: { device_id: 'P9', source: 'simplyprint' } };
  assert.match((await enrichment.fetchFile(nameless, NO_LIMITS)).row?.status ?? '', /SimplyPrint does not hand out/);
});

test('old files go by age, more than fits goes by size, public ones by theirs', async (t) => {
  const { folder } = await setup(t, () => {});
  const enrichment = createEnrichment(path.join(folder, 'gcode'));
  await enrichment.clean({ days: 1, megabytes: 1, publicMegabytes: 1 });
  const put = (kind, name, days) => {
    const file = path.join(folder, 'gcode', kind, name);
    const time = Date.now() / 1000 - days * 86400;
    fs.writeFileSync(file, Buffer.alloc(2 ** 20));
    fs.utimesSync(file, time, time);
  };
  put('files', 'new', 0);
  put('files', 'second', 1);
  put('files', 'third', 2);
  put('files', 'old', 40);
  put('public', 'a.png', 0);
  put('public', 'b.png', 400);
  put('public', 'c.png', 500);
  put('incoming', 'left.part', 2);
  const { removed, urls } = await enrichment.clean({ days: 30, megabytes: 2, publicMegabytes: 2 });
  assert.equal(removed, 4);
  assert.deepEqual(urls, ['/files/gcode/c.png']);
  assert.deepEqual(fs.readdirSync(path.join(folder, 'gcode', 'files')).sort(), ['new', 'second']);
});
