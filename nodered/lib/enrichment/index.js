'use strict';
// From a print to what its G-code tells: which file is fetched when, how often it is tried, and what is kept of an
// analysis.

/** @import { Analysed, EnrichmentJob, GcodeRow, Said, StoredFile, Transfer } from '../types' */

const fsp = require('node:fs/promises');
const path = require('node:path');
const { BoundedMap } = require('../bounded-map');
const { download } = require('./download');
const { GcodeStore } = require('./store');

const DEFAULTS = { atOnce: 2, retryMs: [15_000, 60_000, 300_000], now: Date.now, fetch: download };
const REMEMBERED = 5000;
// The result may still be on its way to the database when the list of prints is read again.
const SETTLE_MS = 15_000;
/** @type {Record<string, string>} */
const NO_REFERENCE = {
  simplyprint: 'SimplyPrint does not hand out the file of a print.',
  none: 'This machine has no source of files.',
};

/**
 * @typedef {{tries: number, nextAt: number, transfer: Transfer}} Tried  nextAt: milliseconds since 1970
 *
 * @typedef {object} Enrichment  see the functions below
 * @property {(jobs: EnrichmentJob[]) => EnrichmentJob[]} due
 * @property {(job: EnrichmentJob, limits: Limits) => Promise<Fetched>} fetchFile
 * @property {(job: EnrichmentJob, file: StoredFile, answer: Analysed) => GcodeRow} analysed
 * @property {(job: EnrichmentJob, sentence: string) => GcodeRow} failed
 * @property {GcodeStore['clean']} clean
 * @property {number} running  how many prints are being fetched or analysed
 *
 * @typedef {{megabytes: number, minutes: number}} Limits  of a download
 * @typedef {{file?: StoredFile, row?: GcodeRow}} Fetched  a file to analyse, a row for record_gcode, or neither
 */

/**
 * The enrichment of prints, for the flow Historical Enrichment.
 * @param {string} folder  where files, pictures and previews are kept
 * @param {Partial<typeof DEFAULTS>} [options]
 * @returns {Enrichment}
 */
function createEnrichment(folder, options = {}) {
  const { atOnce, retryMs, now, fetch } = { ...DEFAULTS, ...options };
  const store = new GcodeStore(folder);
  /** @type {BoundedMap<string, Tried>}  by job_id; after a restart a file is simply fetched again */
  const tried = new BoundedMap(REMEMBERED);
  /** @type {Map<string, string>}  job_id → device_id of what is being fetched or analysed */
  const running = new Map();

  /**
   * @param {EnrichmentJob} job
   * @param {number} nextAt
   * @returns {Tried}
   */
  function untried(job, nextAt) {
    return { tries: 0, nextAt, transfer: { path: store.incoming(job.job_id), validator: null } };
  }

  /**
   * Those of the prints whose turn it is, now claimed: a few at once, and one of a printer.
   * @param {EnrichmentJob[]} jobs
   * @returns {EnrichmentJob[]}
   */
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
   * @param {EnrichmentJob} job
   * @param {Limits} limits
   * @returns {Promise<Fetched>} neither file nor row: it is tried again later
   */
  async function fetchFile(job, { megabytes, minutes }) {
    if (!job.download_ref) {
      const sentence = NO_REFERENCE[job.device.source] ?? 'The printer names no file that could be fetched.';
      return { row: failed(job, sentence) };
    }
    const entry = tried.get(job.job_id) ?? untried(job, 0);
    const limits = { maxBytes: megabytes * 2 ** 20, totalMs: minutes * 60_000 };
    try {
      await fetch(job.device, job.download_ref, entry.transfer, limits);
      return { file: await store.keep(entry.transfer.path) };
    } catch (error) {
      const wait = error.retry ? retryMs[entry.tries] : undefined;
      if (wait !== undefined) {
        tried.set(job.job_id, { ...entry, tries: entry.tries + 1, nextAt: now() + wait });
        running.delete(job.job_id);
        return {};
      }
      await fsp.rm(entry.transfer.path, { force: true }).catch(() => {});
      const isOurs = error.retry === undefined;
      return { row: failed(job, isOurs ? `The file could not be kept (${error.code ?? error.name}).` : error.message) };
    }
  }

  /**
   * The row for record_gcode when there is nothing to store but why.
   * @param {EnrichmentJob} job
   * @param {string} sentence
   * @returns {GcodeRow}
   */
  function failed(job, sentence) {
    settle(job);
    return { job_id: job.job_id, status: sentence };
  }

  /** @param {EnrichmentJob} job */
  function settle(job) {
    running.delete(job.job_id);
    tried.set(job.job_id, untried(job, now() + SETTLE_MS));
  }

  /**
   * The row for record_gcode from what gcode.worker:analyze_file returned about the file.
   * @param {EnrichmentJob} job
   * @param {StoredFile} file
   * @param {Analysed} answer
   * @returns {GcodeRow}
   */
  function analysed(job, file, answer) {
    if (!answer.ok) return failed(job, answer.error.replace(`'${path.basename(file.path)}'`, 'The file'));
    settle(job);
    return {
      job_id: job.job_id,
      status: 'done',
      ...rowOf(answer.analysis, job.filename, file.hash),
      thumbnail_url: store.url(file.thumbnail_path),
      preview_url: store.url(file.preview_path),
    };
  }

  return {
    due,
    fetchFile,
    analysed,
    failed,
    clean: (limits) => store.clean(limits, now()),
    get running() { return running.size; },
  };
}

/**
 * What of an analysis is stored with a print.
 * @param {Said} analysis
 * @param {string | null | undefined} filename
 * @param {string} hash  of the file
 */
function rowOf(analysis, filename, hash) {
  const { layers, job_details: details = {}, objects = [], settings = {}, filament = {} } = analysis;
  // The lists per layer are in the preview, and the raw settings are as long as the slicer likes.
  const kept = { ...analysis };
  delete kept.raw_settings;
  // A file without named objects is called by its name, which on our disk is its hash.
  const named = details.object_name === hash ? filename?.replace(/\.[^.]*$/, '') : details.object_name;
  return {
    analysis: {
      ...kept,
      job_details: { ...details, object_name: named ?? null },
      file: { ...kept.file, name: filename ?? null, sha256: hash },
      layers: { count: layers?.count ?? null },
    },
    parts: objects.length > 0 ? objects.map(part) : null,
    material: text(filament.tools?.[0]?.type ?? settings.filament_type),
    nozzle_diameter: settings.nozzle_diameter_mm ?? null,
    filament_diameter: filament.tools?.[0]?.diameter_mm ?? null,
  };
}

/** @param {unknown} value */
const text = (value) => (typeof value === 'string' && value !== '' ? value.slice(0, 40) : null);

/**
 * A part on the plate: shares of the material and of the estimated energy, as the passport shows them.
 * @param {Said} object
 */
function part({ name, copy, filament_mm, filament_g, material_share, time_s, energy_share, layers }) {
  const share_percent = typeof material_share === 'number' ? Math.round(material_share * 10_000) / 100 : null;
  return { name, copy, share_percent, filament_mm, filament_g, time_s, energy_share, layers };
}

module.exports = { createEnrichment };
