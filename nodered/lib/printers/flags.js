'use strict';
// The state flags of OctoPrint, which PrusaLink's legacy API speaks too. The text next to them is free and is not used.

/** @import { PrinterState, PrinterStatus, Said } from '../types' */

/**
 * @typedef {'is_operational' | 'is_printing' | 'is_paused' | 'is_error' | 'is_busy' | 'is_sd_ready'} Flag
 * @typedef {Pick<PrinterStatus, 'state' | Flag>} Flags
 */

/**
 * What the flags say about the printer.
 * @param {Said} flags  operational, printing, paused, pausing, resuming, cancelling, finishing, error, closedOrError,
 *   ready
 * @returns {Flags}
 */
function fromFlags(flags) {
  /** @param {string} name */
  const on = (name) => flags[name] === true;
  /** @param {string} name */
  const known = (name) => (typeof flags[name] === 'boolean' ? flags[name] : null);
  const tellsErrors = flags.error !== undefined || flags.closedOrError !== undefined;
  return {
    state: state(on),
    is_operational: known('operational'),
    is_printing: known('printing'),
    is_paused: known('paused'),
    is_error: tellsErrors ? on('error') || on('closedOrError') : null,
    is_busy: on('pausing') || on('resuming') || on('cancelling') || on('finishing') || on('busy'),
    is_sd_ready: known('sdReady'),
  };
}

/**
 * @param {(name: string) => boolean} on
 * @returns {PrinterState}
 */
function state(on) {
  if (on('error')) return 'error';
  if (on('paused')) return 'paused';
  // Until a change of state is complete the print is still there.
  if (on('printing') || on('pausing') || on('resuming') || on('cancelling') || on('finishing')) return 'printing';
  if (on('closedOrError')) return 'offline';
  return on('operational') || on('ready') ? 'idle' : 'unknown';
}

module.exports = { fromFlags };
