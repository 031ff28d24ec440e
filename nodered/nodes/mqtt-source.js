'use strict';
// Messages from the broker to the flow, none lost and few at a time.
//
// A message is in the journal before the broker gets its acknowledgement. Batches of messages go to the flow. Once a second a
// barrier is set behind the last batch: when the flow has settled and every postgres node says that what it received is safe,
// the journal may forget what lies before the barrier. After a kill, what the journal still holds is emitted again with the
// arrival times of then, so that the database sees the same rows.

const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');
const { Journal, HEADER_BYTES } = require('./journal');
const { connectBroker, RECEIVE_MAXIMUM } = require('./broker');

const BODY = HEADER_BYTES;
const ARRIVED_AT = BODY;
const FLAGS_AT = BODY + 8;
const MESSAGE_ID_AT = BODY + 9;
const TOPIC_LENGTH_AT = BODY + 11;
const TOPIC_AT = BODY + 13;
const FLAG_BACKLOG = 1;
const MESSAGE_IDS = 65536;
// A broker numbers messages in a circle of 65,535; at most RECEIVE_MAXIMUM of them await its reading of our acknowledgement.
const REPEAT_WINDOW = 2 * RECEIVE_MAXIMUM;
const HELD_RETRY_MS = 50;
const MARKER_RETRY_MS = 30000;
const SETTLE_MS = 250;
const SETTLE_TURNS = 20;

class MqttSource {
  /**
   * @param {object} options
   * @param {string} options.clientId  fixed: the broker keeps the session under this name
   * @param {string[]} options.topics
   * @param {string} options.folder  of the journal
   * @param {number} options.batchMessages
   * @param {number} options.batchMs
   * @param {number} options.barrierMs
   * @param {(batch: object[]) => void} options.emit  batch of {topic, payload, arrived (ISO 8601, up to µs), backlog, seq}
   * @param {() => boolean} options.congested  true: hold the acknowledgements
   * @param {() => Promise} options.flushed  resolves when all that was emitted is safe
   * @param {(level: 'ok'|'waiting'|'error', text: string) => void} options.state
   */
  constructor(options) {
    Object.assign(this, options);
    this.marker = `enms/ingest/${this.clientId}/marker`;
    this.journal = new Journal(this.folder, { keepRecords: REPEAT_WINDOW });
    this.record = Buffer.allocUnsafe(64 << 10);
    // By MQTT message id: what was journalled last under it, to know a message that the broker delivers again.
    this.seqOfId = new Float64Array(MESSAGE_IDS);
    this.checksumOfId = new Uint32Array(MESSAGE_IDS);
    this.batch = [];
    this.emittedSeq = this.journal.checkpointed;
    this.lastArrival = 0;
    this.received = 0;
    this.backlog = true;
    this.connected = false;
    this.problem = null;
  }

  /** Replay what an earlier process left behind, then connect. */
  async start() {
    const { checkpointed, lastSeq } = this.journal;
    for (const record of this.journal.readAfter(Math.min(checkpointed, lastSeq - REPEAT_WINDOW))) {
      while (this.congested() && !this.closing) await delay(HELD_RETRY_MS);
      if (this.closing) return;
      const { messageId, checksum, message } = decode(record);
      this.#remember(messageId, message.seq, checksum);
      if (message.seq <= checkpointed) continue;
      this.#take(message);
      if (this.batch.length >= this.batchMessages) {
        this.#emitBatch();
        await new Promise(setImmediate);
      }
    }
    this.#emitBatch();
    this.barrierTimer = setTimeout(() => this.#barrier(), this.barrierMs);
    this.#connect();
  }

  async close() {
    this.closing = true;
    clearTimeout(this.batchTimer);
    clearTimeout(this.barrierTimer);
    clearTimeout(this.markerTimer);
    clearTimeout(this.heldTimer);
    // Without a DISCONNECT handshake to wait for: the session stays with the broker either way.
    if (this.client) await new Promise((resolve) => this.client.end(true, {}, resolve));
    this.giveUp?.();
    await this.barrier;
    this.journal.close();
  }

  /** Messages that the journal still holds because no barrier has passed them. */
  get unsafe() { return this.journal.pending; }

  #connect() {
    this.client = connectBroker(this.clientId, { persistent: true });
    this.client.handleMessage = (packet, done) => this.#receive(packet, done);
    this.client.on('connect', () => this.#subscribe());
    this.client.on('close', () => {
      this.connected = false;
      this.held = null;
      clearTimeout(this.heldTimer);
      clearTimeout(this.markerTimer);
      if (!this.closing) this.state('waiting', this.problem || 'broker away, reconnecting');
    });
    this.client.on('error', (error) => {
      this.problem = error.message;
      this.state('error', error.message);
    });
    this.state('waiting', 'connecting');
  }

  #subscribe() {
    // Until our own marker comes back, what arrives was queued while we were away.
    this.backlog = true;
    this.problem = null;
    this.client.subscribe([...this.topics, this.marker], { qos: 1 }, (error, granted) => {
      const refused = granted?.filter(({ qos }) => qos >= 128).map(({ topic }) => topic) ?? [];
      if (error || refused.length > 0) {
        if (this.closing || !this.client.connected) return;
        this.problem = `subscription refused: ${refused.join(', ') || error.message}`;
        this.state('error', this.problem);
        return;
      }
      this.connected = true;
      this.state('ok', 'connected');
      this.#forgetOldTopics();
      this.#publishMarker();
    });
  }

  /** The broker keeps a persistent session's subscriptions: those that an operator took off the node must be ended. */
  #forgetOldTopics() {
    const file = path.join(this.folder, 'topics.json');
    const before = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : [];
    const gone = before.filter((topic) => !this.topics.includes(topic));
    if (gone.length > 0) this.client.unsubscribe(gone);
    if (gone.length > 0 || before.length !== this.topics.length) fs.writeFileSync(file, JSON.stringify(this.topics));
  }

  #publishMarker() {
    this.markerToken = `${process.pid}-${Date.now()}`;
    this.client.publish(this.marker, this.markerToken, { qos: 1 }, (error) => {
      if (!error || this.closing) return;
      // Not being allowed to mark must not turn live readings into backlog for ever.
      this.backlog = false;
      this.problem = `marker ${this.marker} refused: ${error.message}`;
      this.state('error', this.problem);
    });
    clearTimeout(this.markerTimer);
    this.markerTimer = setTimeout(() => { if (this.backlog && this.connected) this.#publishMarker(); }, MARKER_RETRY_MS);
  }

  #receive(packet, done) {
    if (packet.topic === this.marker) {
      if (String(packet.payload) === this.markerToken) this.backlog = false;
      return done();
    }
    if (this.closing) return;
    if (this.congested()) return this.#hold(packet, done, 'waiting', 'waiting for the database');
    const length = this.#encode(packet);
    const checksum = zlib.crc32(this.record.subarray(TOPIC_LENGTH_AT, length));
    if (packet.dup && this.#isRepeated(packet.messageId, checksum)) return done();
    const arrived = this.#arrival();
    // A retained message is as old as the broker's memory.
    const backlog = this.backlog || packet.retain;
    let seq;
    try {
      this.record.writeDoubleLE(arrived, ARRIVED_AT);
      this.record[FLAGS_AT] = backlog ? FLAG_BACKLOG : 0;
      seq = this.journal.append(this.record, length);
    } catch (error) {
      return this.#hold(packet, done, 'error', `journal: ${error.message}`);
    }
    if (this.holding) {
      this.holding = false;
      this.state('ok', 'connected');
    }
    this.received += 1;
    this.#remember(packet.messageId, seq, checksum);
    this.#take({ topic: packet.topic, payload: packet.payload.toString(), arrived: isoTime(arrived), backlog, seq });
    if (this.batch.length < this.batchMessages) return done();
    this.#emitBatch();
    // Let the flow work on it before the next: a full socket must not fill the memory.
    setImmediate(done);
  }

  /** Microseconds since 1970, never the same twice: two messages of one meter must not fall on the same moment. */
  #arrival() {
    this.lastArrival = Math.max(Date.now() * 1000, this.lastArrival + 1);
    return this.lastArrival;
  }

  /** Keep the acknowledgement back and try again; the broker keeps what follows. */
  #hold(packet, done, level, text) {
    const held = { packet, done };
    this.held = held;
    if (!this.holding) this.state(level, text);
    this.holding = true;
    // After a reconnect the broker sends the message again: then the held one is not ours any more.
    this.heldTimer = setTimeout(() => { if (this.held === held) this.#receive(packet, done); }, HELD_RETRY_MS);
  }

  #remember(messageId, seq, checksum) {
    if (!messageId) return;
    this.seqOfId[messageId] = seq;
    this.checksumOfId[messageId] = checksum;
  }

  /** Was this message journalled, and only its acknowledgement lost (with a killed process or a cut connection)? */
  #isRepeated(messageId, checksum) {
    const seq = this.seqOfId[messageId];
    return seq > 0 && seq > this.journal.lastSeq - REPEAT_WINDOW && this.checksumOfId[messageId] === checksum;
  }

  #encode({ topic, payload, messageId }) {
    const topicBytes = Buffer.byteLength(topic);
    const length = TOPIC_AT + topicBytes + payload.length;
    if (length > this.record.length) this.record = Buffer.allocUnsafe(length);
    const { record } = this;
    record.writeUInt16LE(messageId ?? 0, MESSAGE_ID_AT);
    record.writeUInt16LE(topicBytes, TOPIC_LENGTH_AT);
    record.write(topic, TOPIC_AT);
    payload.copy(record, TOPIC_AT + topicBytes);
    return length;
  }

  #take(message) {
    this.batch.push(message);
    this.batchTimer ??= setTimeout(() => this.#emitBatch(), this.batchMs);
  }

  #emitBatch() {
    clearTimeout(this.batchTimer);
    this.batchTimer = null;
    if (this.batch.length === 0) return;
    const batch = this.batch;
    this.batch = [];
    this.emittedSeq = batch[batch.length - 1].seq;
    this.emit(batch);
  }

  #barrier() {
    this.barrier = this.#passBarrier()
      .catch((error) => this.state('error', `journal: ${error.message}`))
      .finally(() => { if (!this.closing) this.barrierTimer = setTimeout(() => this.#barrier(), this.barrierMs); });
  }

  async #passBarrier() {
    const seq = this.emittedSeq;
    if (seq <= this.journal.checkpointed) return;
    await this.journal.sync();
    await delay(SETTLE_MS);
    for (let turn = 0; turn < SETTLE_TURNS; turn++) await new Promise(setImmediate);
    if (this.closing) return;
    // The end of this node need not wait for a database that is away.
    await new Promise((resolve, reject) => {
      this.giveUp = resolve;
      this.flushed().then(resolve, reject);
    });
    if (!this.closing) this.journal.checkpoint(seq);
  }
}

function decode({ seq, body }) {
  const at = (offset) => offset - HEADER_BYTES;
  const topicEnd = at(TOPIC_AT) + body.readUInt16LE(at(TOPIC_LENGTH_AT));
  return {
    messageId: body.readUInt16LE(at(MESSAGE_ID_AT)),
    checksum: zlib.crc32(body.subarray(at(TOPIC_LENGTH_AT))),
    message: {
      topic: body.toString('utf8', at(TOPIC_AT), topicEnd),
      payload: body.toString('utf8', topicEnd),
      arrived: isoTime(body.readDoubleLE(at(ARRIVED_AT))),
      backlog: (body[at(FLAGS_AT)] & FLAG_BACKLOG) !== 0,
      seq,
    },
  };
}

/** Microseconds since 1970 as ISO 8601 in UTC. */
function isoTime(microseconds) {
  const milliseconds = Math.floor(microseconds / 1000);
  const rest = microseconds - milliseconds * 1000;
  const text = new Date(milliseconds).toISOString();
  return rest === 0 ? text : `${text.slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
}

const delay = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

module.exports = { MqttSource };
