'use strict';
// One connection pool per database role and time-out, shared by all postgres nodes and made from the environment.

const { Pool } = require('pg');

/** @type {Record<string, {user: string, passwordVariable: string}>} */
const ROLES = {
  ingest: { user: 'enms_ingest', passwordVariable: 'ENMS_DB_INGEST_PASSWORD' },
  api: { user: 'enms_api', passwordVariable: 'ENMS_DB_API_PASSWORD' },
};
/** @type {Map<string, {pool: Pool, users: number}>} */
const pools = new Map();

/**
 * Connection settings of a role.
 * @param {string} role
 * @throws {Error} when there is no such role
 */
function connectionSettings(role) {
  const known = ROLES[role];
  if (!known) throw new Error(`unknown database role "${role}"; use ${Object.keys(ROLES).join(' or ')}`);
  const environment = process.env;
  return {
    host: environment.ENMS_DB_HOST || '127.0.0.1',
    port: Number(environment.ENMS_DB_PORT || 5432),
    database: environment.ENMS_DB_NAME || 'enms',
    user: known.user,
    password: environment[known.passwordVariable],
  };
}

/**
 * @param {string} role
 * @param {number} timeoutMs
 */
function createPool(role, timeoutMs) {
  return new Pool({
    ...connectionSettings(role),
    max: 4,
    connectionTimeoutMillis: 5000,
    idleTimeoutMillis: 60000,
    keepAlive: true,
    statement_timeout: timeoutMs,
    // The server's own time-out comes first; this one is for a server that has stopped answering at all.
    query_timeout: timeoutMs + 5000,
    application_name: 'enms-nodered',
    options: '-c jit=off -c timezone=UTC',
  });
}

/**
 * The pool of a role and time-out.
 * @param {{role: string, timeoutMs: number, onError: (error: Error) => void}} options  onError: told of lost idle
 *   connections
 * @returns {{pool: Pool, release: () => Promise<void>}} release: to be called when the node closes
 * @throws {Error} when there is no such role
 */
function acquirePool({ role, timeoutMs, onError }) {
  const key = `${role} ${timeoutMs}`;
  const entry = pools.get(key) ?? { pool: createPool(role, timeoutMs), users: 0 };
  if (entry.users === 0) {
    // Without a listener a lost idle connection would end the process.
    entry.pool.on('error', (error) => onError(error));
    pools.set(key, entry);
  }
  entry.users += 1;
  return {
    pool: entry.pool,
    release: async () => {
      entry.users -= 1;
      if (entry.users > 0) return;
      pools.delete(key);
      await entry.pool.end();
    },
  };
}

/**
 * Whether the statements of the pools reach the database.
 * @returns {Promise<string | null>} null when they do, or the reason why not
 */
async function databaseProblem() {
  const [first] = pools.values();
  if (!first) return 'no postgres node is running';
  try {
    await first.pool.query('SELECT 1');
    return null;
  } catch (error) {
    return error.message;
  }
}

module.exports = { acquirePool, databaseProblem };
