'use strict';
// From a print to what its G-code tells: which file is fetched when, how often it is tried, and what is kept of an analysis.

const fsp = require('node:fs/promises');
const path = require('node:path');
const { BoundedMap } = require('../bounded-map');
const { download } = require('./download');
const { GcodeStore } = require('./store');

const DEFAULTS = { atOnce: 2, retryMs: [15_000, 60_000, 300_000], now: Date.now, fetch: download };
const REMEMBERED = 5000;
// The result may still be on its way to the database when the list of prints is read again.
const SETTLE_MS = 15_000;
const NO_REFERENCE = {
  simplyprint: 'SimplyPrint does not hand out the file of a print.',
  none: 'This machine has no source of files.',
};

/** @param {string} folder  where files, pictures and previews are kept */
function createEnrichment(folder, options = {}) {
  const { atOnce, retryMs, now, fetch } = { ...DEFAULTS, ...options };
  const store = new GcodeStore(folder);
  // job_id → {tries, nextAt, transfer}; lives as long as the process, after a restart a file is simply fetched anew.
  const tried = new BoundedMap(REMEMBERED);
  // job_id → device_id of what is being fetched or analysed.
  const running = new Map();

  /** Those of the prints whose turn it is, now claimed: a few at once, and one of a printer. */
  function due(jobs) {
    const busy = new Set(running.values());
    const chosen = [];
    for (const job of jobs) {
      if (running.size >= atOnce) break;
      const { device_id } = job.device;
      if (running.has(job.job_id) || busy.has(device_id) || (tried.get(job.job_id)?.nextAt ?? 0) > now()) continue;
      busy.add(device_id);
      running.set(job.job_id, device_id);
      chosen.push(job);
    }
    return chosen;
  }

  /**
   * Fetches a claimed print's file; never rejects.
   * @returns {Promise<{file?: object, row?: object}>} a file to analyse, a row for record_gcode, or neither: it is tried again later
   */
  async function fetchFile(job, { megabytes, minutes }) {
    if (!job.download_ref) return { row: failed(job, NO_REFERENCE[job.device.source] ?? 'The printer names no file that could be fetched.') };
    const entry = tried.get(job.job_id) ?? { tries: 0, transfer: { path: store.incoming(job.job_id), validator: null } };
    try {
      await fetch(job.device, job.download_ref, entry.transfer, { maxBytes: megabytes * 2 ** 20, totalMs: minutes * 60_000 });
      return { file: await store.keep(entry.transfer.path) };
    } catch (error) {
      const wait = error.retry ? retryMs[entry.tries] : undefined;
      if (wait !== undefined) {
        tried.set(job.job_id, { ...entry, tries: entry.tries + 1, nextAt: now() + wait });
        running.delete(job.job_id);
        return {};
      }
      await fsp.rm(entry.transfer.path, { force: true }).catch(() => {});
      return { row: failed(job, error.retry === undefined ? `The file could not be kept (${error.code ?? error.name}).` : error.message) };
    }
  }

  /** The row for record_gcode when there is nothing to store but why. */
  function failed(job, sentence) {
    settle(job);
    return { job_id: job.job_id, status: sentence };
  }

  function settle(job) {
    running.delete(job.job_id);
    tried.set(job.job_id, { tries: 0, nextAt: now() + SETTLE_MS, transfer: { path: store.incoming(job.job_id), validator: null } });
  }

  /** The row for record_gcode from what gcode.worker:analyze_file answered about the file. */
  function analysed(job, file, answer) {
    if (!answer.ok) return failed(job, answer.error.replace(`'${path.basename(file.path)}'`, 'The file'));
    settle(job);
    return { job_id: job.job_id, status: 'done', ...rowOf(answer.analysis, job.filename, file.hash), thumbnail_url: store.url(file.thumbnail_path), preview_url: store.url(file.preview_path) };
  }

  return { due, fetchFile, analysed, failed, clean: (limits) => store.clean(limits, now()), get running() { return running.size; } };
}

/** What of an analysis is stored with a print. */
function rowOf(analysis, filename, hash) {
  // The lists per layer are in the preview, and the raw settings are as long as the slicer likes.
  const { raw_settings: _raw, layers, job_details: details = {}, ...kept } = analysis;
  const { objects = [], settings = {}, filament = {} } = analysis;
  // A file without named objects is called by its name, which on our disk is its hash.
  const object_name = details.object_name === hash ? filename?.replace(/\.[^.]*$/, '') ?? null : details.object_name ?? null;
  return {
    analysis: { ...kept, job_details: { ...details, object_name }, file: { ...kept.file, name: filename ?? null, sha256: hash }, layers: { count: layers?.count ?? null } },
    parts: objects.length > 0 ? objects.map(part) : null,
    material: text(filament.tools?.[0]?.type ?? settings.filament_type),
    nozzle_diameter: settings.nozzle_diameter_mm ?? null,
    filament_diameter: filament.tools?.[0]?.diameter_mm ?? null,
  };
}

const text = (value) => (typeof value === 'string' && value !== '' ? value.slice(0, 40) : null);

/** A part on the plate: shares of the material and of the estimated energy, as the passport shows them. */
function part({ name, copy, filament_mm, filament_g, material_share, time_s, energy_share, layers }) {
  const share_percent = typeof material_share === 'number' ? Math.round(material_share * 10_000) / 100 : null;
  return { name, copy, share_percent, filament_mm, filament_g, time_s, energy_share, layers };
}

module.exports = { createEnrichment, rowOf };
