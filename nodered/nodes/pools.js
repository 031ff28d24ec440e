'use strict';
// One connection pool per database role, shared by all postgres nodes and made from the environment.

const { Pool } = require('pg');

const ROLES = {
  ingest: { user: 'enms_ingest', passwordVariable: 'ENMS_DB_INGEST_PASSWORD' },
  api: { user: 'enms_api', passwordVariable: 'ENMS_DB_API_PASSWORD' },
};
const pools = new Map();

/** Connection settings of a role. @throws when the environment lacks the database's address */
function connectionSettings(role, environment = process.env) {
  const known = ROLES[role];
  if (!known) throw new Error(`unknown database role "${role}"; use ${Object.keys(ROLES).join(' or ')}`);
  return {
    host: environment.ENMS_DB_HOST || '127.0.0.1',
    port: Number(environment.ENMS_DB_PORT || 5432),
    database: environment.ENMS_DB_NAME || 'enms',
    user: known.user,
    password: environment[known.passwordVariable],
  };
}

/**
 * The pool of a role and time-out; call release() when the node closes.
 * @param {{role: string, timeoutMs: number, onError: (error: Error) => void}} options
 */
function acquirePool({ role, timeoutMs, onError }) {
  const key = `${role} ${timeoutMs}`;
  let entry = pools.get(key);
  if (!entry) {
    const pool = new Pool({
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
    entry = { pool, users: 0 };
    // Without a listener a lost idle connection would end the process.
    pool.on('error', (error) => onError(error));
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

/** Do the statements of all pools reach the database? Resolves to null or to the reason why not. */
async function databaseProblem() {
  const first = pools.values().next().value;
  if (!first) return 'no postgres node is running';
  try {
    await first.pool.query('SELECT 1');
    return null;
  } catch (error) {
    return error.message;
  }
}

module.exports = { acquirePool, connectionSettings, databaseProblem };
