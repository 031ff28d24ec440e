'use strict';
// The `mqtt-ingest` node (readings in, none lost) and the `mqtt-publish` node (commands out), over the broker of the
// environment.

/** @import { FlowNode, MqttIngestConfig, MqttPublishConfig, Runtime } from './types' */
/** @import { Level } from './mqtt-source' */

const { MqttSource } = require('./mqtt-source');
const { connectBroker } = require('./broker');
const pipeline = require('./pipeline');
const health = require('./health');
const { stateFolder } = require('./state');

const STATUS_EVERY_MS = 2000;
/** @type {Record<Level, 'green' | 'yellow' | 'red'>} */
const FILL = { ok: 'green', waiting: 'yellow', error: 'red' };

/** What an mqtt-ingest node shows below itself. */
class IngestStatus {
  /** @type {Level} */
  #level = 'waiting';
  #text = 'starting';
  #counted = 0;
  #shown = '';

  /** @param {FlowNode} node */
  constructor(node) {
    this.node = node;
  }

  /**
   * @param {Level} level
   * @param {string} text
   */
  change(level, text) {
    if (level === 'error' && text !== this.#text) this.node.error(text);
    this.#level = level;
    this.#text = text;
  }

  /** @param {MqttSource} source */
  show({ received, backlog }) {
    const rate = Math.round((received - this.#counted) * 1000 / STATUS_EVERY_MS);
    const isOk = this.#level === 'ok';
    const text = isOk ? `${rate} messages/s${backlog ? ', backlog' : ''}` : this.#text;
    if (this.#shown === this.#level + text) return;
    this.#shown = this.#level + text;
    this.node.status({ fill: FILL[this.#level], shape: isOk ? 'dot' : 'ring', text });
  }

  /**
   * The messages so far are counted: the rate is of those that follow.
   * @param {MqttSource} source
   */
  count({ received }) {
    this.#counted = received;
  }
}

/**
 * @param {FlowNode} node
 * @param {MqttIngestConfig} config
 * @param {IngestStatus} status
 * @returns {MqttSource}
 * @throws {Error} when the journal can't be read
 */
function createSource(node, config, status) {
  const clientId = config.clientId || `enms-${node.id}`;
  const source = new MqttSource({
    clientId,
    topics: (config.topics || '').split(/[\s,]+/).filter(Boolean),
    folder: stateFolder('journal', clientId),
    batchMessages: Number(config.batchMessages) || 500,
    batchMs: Number(config.batchMs) || 100,
    barrierMs: 1000,
    emit: (batch) => node.send({ topic: clientId, payload: batch }),
    congested: pipeline.sinksCongested,
    flushed: pipeline.flushSinks,
    state: (level, text) => {
      status.change(level, text);
      status.show(source);
    },
  });
  return source;
}

/**
 * Registers both nodes.
 * @param {Runtime} RED
 */
module.exports = function register(RED) {
  /**
   * @this {FlowNode}
   * @param {MqttIngestConfig} config
   */
  function MqttIngestNode(config) {
    RED.nodes.createNode(this, config);
    const status = new IngestStatus(this);
    /** @type {MqttSource} */
    let source;
    try {
      source = createSource(this, config, status);
    } catch (error) {
      this.status({ fill: 'red', shape: 'ring', text: error.message });
      this.error(`journal: ${error.message}`);
      return;
    }
    health.addSource(source);
    const timer = setInterval(() => {
      status.show(source);
      status.count(source);
    }, STATUS_EVERY_MS);

    // Other nodes exist only after this turn: what is emitted before would be lost.
    const whenFlowsRun = () => source.start().catch((error) => this.error(`journal: ${error.message}`));
    RED.events.once('flows:started', whenFlowsRun);

    this.on('close', async (done) => {
      RED.events.off('flows:started', whenFlowsRun);
      clearInterval(timer);
      health.removeSource(source);
      await source.close();
      done();
    });
  }

  /**
   * @this {FlowNode}
   * @param {MqttPublishConfig} config
   */
  function MqttPublishNode(config) {
    RED.nodes.createNode(this, config);
    const client = connectBroker(`enms-publish-${this.id}-${process.pid}`, { persistent: false });
    client.on('error', (error) => this.status({ fill: 'red', shape: 'ring', text: error.message }));
    client.on('connect', () => this.status({ fill: 'green', shape: 'dot', text: 'connected' }));
    client.on('close', () => this.status({ fill: 'yellow', shape: 'ring', text: 'broker away, reconnecting' }));
    this.on('input', (msg, _send, done) => {
      const topic = config.topic || msg.topic;
      if (!topic) return done(new Error('no topic: set it on the node or in msg.topic'));
      if (!client.connected) return done(new Error('the broker is away: not published'));
      const payload = typeof msg.payload === 'object' ? JSON.stringify(msg.payload) : String(msg.payload);
      client.publish(topic, payload, { qos: 1 }, (error) => done(error ?? undefined));
    });
    this.on('close', (done) => { client.end(true, {}, () => done()); });
  }

  RED.nodes.registerType('mqtt-ingest', MqttIngestNode);
  RED.nodes.registerType('mqtt-publish', MqttPublishNode);
};
