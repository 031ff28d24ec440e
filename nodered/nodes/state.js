'use strict';
// Where the custom nodes keep what must outlive the process: one folder per node below the state folder.

const path = require('node:path');

/**
 * Folder for a node's own files.
 * @param {string} kind  what is kept: `journal`, `spool`
 * @param {string} name  must be the node's own and stay the same over restarts: a node id, an MQTT client id
 * @returns {string} path; the folder may not exist yet
 */
function stateFolder(kind, name) {
  const base = process.env.ENMS_STATE_DIR || path.join(process.env.ENMS_RUN_DIR || '.run', 'state');
  const slug = name.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'unnamed';
  return path.join(base, 'nodered', kind, slug);
}

module.exports = { stateFolder };
