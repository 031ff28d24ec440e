'use strict';
// The `mqtt-ingest` node (readings in, none lost) and the `mqtt-publish` node (commands out), over the broker of the environment.

const { MqttSource } = require('./mqtt-source');
const { connectBroker } = require('./broker');
const pipeline = require('./pipeline');
const health = require('./health');
const { stateFolder } = require('./state');

const STATUS_EVERY_MS = 2000;
const FILL = { ok: 'green', waiting: 'yellow', error: 'red' };

module.exports = function register(RED) {
  function MqttIngestNode(config) {
    RED.nodes.createNode(this, config);
    const node = this;
    const topics = (config.topics || '').split(/[\s,]+/).filter(Boolean);
    const clientId = config.clientId || `enms-${node.id}`;
    let level = 'waiting';
    let text = 'starting';
    let source;
    try {
      source = new MqttSource({
        clientId,
        topics,
        folder: stateFolder('journal', clientId),
        batchMessages: Number(config.batchMessages) || 500,
        batchMs: Number(config.batchMs) || 100,
        barrierMs: 1000,
        emit: (batch) => node.send({ topic: clientId, payload: batch }),
        congested: pipeline.sinksCongested,
        flushed: pipeline.flushSinks,
        state: (newLevel, newText) => {
          if (newLevel === 'error' && newText !== text) node.error(newText);
          level = newLevel;
          text = newText;
          show();
        },
      });
    } catch (error) {
      node.status({ fill: 'red', shape: 'ring', text: error.message });
      node.error(`journal: ${error.message}`);
      return;
    }
    health.addSource(source);

    let counted = 0;
    let shown;
    const show = () => {
      const rate = Math.round((source.received - counted) * 1000 / STATUS_EVERY_MS);
      const details = level === 'ok' ? `${rate} messages/s${source.backlog ? ', backlog' : ''}` : text;
      if (shown === level + details) return;
      shown = level + details;
      node.status({ fill: FILL[level], shape: level === 'ok' ? 'dot' : 'ring', text: details });
    };
    const timer = setInterval(() => {
      show();
      counted = source.received;
    }, STATUS_EVERY_MS);

    // Other nodes exist only after this turn: what is emitted before would be lost.
    const whenFlowsRun = () => source.start().catch((error) => node.error(`journal: ${error.message}`));
    RED.events.once('flows:started', whenFlowsRun);

    node.on('close', async (done) => {
      RED.events.off('flows:started', whenFlowsRun);
      clearInterval(timer);
      health.removeSource(source);
      await source.close();
      done();
    });
  }

  function MqttPublishNode(config) {
    RED.nodes.createNode(this, config);
    const node = this;
    const client = connectBroker(`enms-publish-${node.id}-${process.pid}`, { persistent: false });
    client.on('error', (error) => node.status({ fill: 'red', shape: 'ring', text: error.message }));
    client.on('connect', () => node.status({ fill: 'green', shape: 'dot', text: 'connected' }));
    client.on('close', () => node.status({ fill: 'yellow', shape: 'ring', text: 'broker away, reconnecting' }));
    node.on('input', (msg, send, done) => {
      const topic = config.topic || msg.topic;
      if (!topic) return done(new Error('no topic: set it on the node or in msg.topic'));
      if (!client.connected) return done(new Error('the broker is away: not published'));
      const payload = typeof msg.payload === 'object' ? JSON.stringify(msg.payload) : String(msg.payload);
      client.publish(topic, payload, { qos: 1 }, (error) => done(error ?? undefined));
    });
    node.on('close', (done) => client.end(true, {}, () => done()));
  }

  RED.nodes.registerType('mqtt-ingest', MqttIngestNode);
  RED.nodes.registerType('mqtt-publish', MqttPublishNode);
};
