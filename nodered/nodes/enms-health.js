'use strict';
// The `enms-health` node, GET /api/nodered/health for the launcher and the container's health check, and GET
// /api/nodered/metrics for Prometheus.

/** @import { FlowNode, Runtime } from './types' */

const health = require('./health');
const { registry } = require('./metrics');

/**
 * Registers the node and the two addresses.
 * @param {Runtime} RED
 */
module.exports = function register(RED) {
  health.watch(RED);
  RED.httpNode.get('/nodered/health', async (_request, response) => {
    const answer = await health.health();
    response.status(answer.ok ? 200 : 503).json(answer);
  });
  RED.httpNode.get('/nodered/metrics', async (_request, response) => {
    response.set('Content-Type', registry.contentType).set('Cache-Control', 'no-store').send(await registry.metrics());
  });

  /**
   * @this {FlowNode}
   * @param {object} config
   */
  function HealthNode(config) {
    RED.nodes.createNode(this, config);
    this.on('input', async (msg, send, done) => {
      msg.payload = await health.health();
      const { ok, mqtt, database, spool, event_loop_p99_ms: lag } = msg.payload;
      this.status(ok
        ? { fill: 'green', shape: 'dot', text: `ok, ${spool.spooled_rows} rows on disk, loop p99 ${lag} ms` }
        : { fill: 'red', shape: 'ring', text: `broker ${mqtt}; database ${database}`.slice(0, 60) });
      send([ok ? msg : null, ok ? null : msg]);
      done();
    });
  }
  RED.nodes.registerType('enms-health', HealthNode);
};
