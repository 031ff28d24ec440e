'use strict';
// The state flags of OctoPrint, which PrusaLink's legacy API speaks too. The text beside them is free and is not used.

/** @param {object} flags  operational, printing, paused, pausing, resuming, cancelling, finishing, error, closedOrError, ready */
function fromFlags(flags) {
  const on = (name) => flags[name] === true;
  const known = (name) => (typeof flags[name] === 'boolean' ? flags[name] : null);
  return {
    state: state(on),
    is_operational: known('operational'),
    is_printing: known('printing'),
    is_paused: known('paused'),
    is_error: flags.error === undefined && flags.closedOrError === undefined ? null : on('error') || on('closedOrError'),
    is_busy: on('pausing') || on('resuming') || on('cancelling') || on('finishing') || on('busy'),
    is_sd_ready: known('sdReady'),
  };
}

function state(on) {
  if (on('error')) return 'error';
  if (on('paused')) return 'paused';
  // Until a change of state is complete the print is still there.
  if (on('printing') || on('pausing') || on('resuming') || on('cancelling') || on('finishing')) return 'printing';
  if (on('closedOrError')) return 'offline';
  return on('operational') || on('ready') ? 'idle' : 'unknown';
}

module.exports = { fromFlags };
