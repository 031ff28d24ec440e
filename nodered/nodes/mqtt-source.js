'use strict';
// Messages from the broker to the flow, none lost and few at a time.
//
// A message is in the journal before the broker gets its acknowledgement. Batches of messages go to the flow. Once a
// second a barrier is set behind the last batch: when the flow has settled and every postgres node says that what it
// received is safe, the journal may forget what lies before the barrier. After a kill, what the journal still has is
// emitted again with the arrival times of then, so that the database sees the same rows.

/** @import { IPublishPacket, MqttClient } from 'mqtt' */
/** @import { Message } from '../lib/types' */
/** @import { Entry } from './journal' */

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
// A broker numbers messages in a circle of 65,535; at most RECEIVE_MAXIMUM of them await its reading of our
// acknowledgement.
const REPEAT_WINDOW = 2 * RECEIVE_MAXIMUM;
const HELD_RETRY_MS = 50;
const MARKER_RETRY_MS = 30000;
const SETTLE_MS = 250;
const SETTLE_TURNS = 20;

/**
 * @typedef {'ok' | 'waiting' | 'error'} Level
 * @typedef {Message & {seq: number}} Journalled  seq: its number in the journal
 * @typedef {IPublishPacket & {payload: Buffer}} Packet  what the broker delivers is always bytes
 * @typedef {() => void} Acknowledge
 */

/** The messages of one `mqtt-ingest` node. */
class MqttSource {
  /**
   * @param {object} options
   * @param {string} options.clientId  fixed: the broker keeps the session under this name
   * @param {string[]} options.topics
   * @param {string} options.folder  of the journal
   * @param {number} options.batchMessages
   * @param {number} options.batchMs
   * @param {number} options.barrierMs
   * @param {(batch: Journalled[]) => void} options.emit
   * @param {() => boolean} options.congested  true: hold the acknowledgements
   * @param {() => Promise<unknown>} options.flushed  resolves when all that was emitted is safe
   * @param {(level: Level, text: string) => void} options.state
   * @throws {Error} when the journal can't be read
   */
  constructor({ clientId, topics, folder, batchMessages, batchMs, barrierMs, emit, congested, flushed, state }) {
    this.clientId = clientId;
    this.topics = topics;
    this.folder = folder;
    this.batchMessages = batchMessages;
    this.batchMs = batchMs;
    this.barrierMs = barrierMs;
    this.emit = emit;
    this.congested = congested;
    this.flushed = flushed;
    this.state = state;
    this.marker = `enms/ingest/${clientId}/marker`;
    this.markerToken = '';
    this.journal = new Journal(folder, { keepRecords: REPEAT_WINDOW });
    this.record = Buffer.allocUnsafe(64 << 10);
    // By MQTT message id: what was journalled last under it, to know a message that the broker delivers again.
    this.seqOfId = new Float64Array(MESSAGE_IDS);
    this.checksumOfId = new Uint32Array(MESSAGE_IDS);
    /** @type {Journalled[]} */
    this.batch = [];
    this.emittedSeq = this.journal.checkpointed;
    this.lastArrival = 0;
    this.received = 0;
    this.backlog = true;
    this.connected = false;
    /** @type {string | null} */
    this.problem = null;
    this.closing = false;
    this.holding = false;
    /** @type {{packet: Packet, done: Acknowledge} | null}  whose acknowledgement is kept back */
    this.held = null;
    /** @type {MqttClient | null} */
    this.client = null;
    this.giveUp = () => {};
    /** @type {Promise<void> | null}  the barrier that is being passed */
    this.barrier = null;
    /** @type {NodeJS.Timeout | undefined} */
    this.batchTimer = undefined;
    /** @type {NodeJS.Timeout | undefined} */
    this.barrierTimer = undefined;
    /** @type {NodeJS.Timeout | undefined} */
    this.markerTimer = undefined;
    /** @type {NodeJS.Timeout | undefined} */
    this.heldTimer = undefined;
  }

  /**
   * Replays what an earlier process left behind, then connects.
   * @returns {Promise<void>}
   * @throws {Error} when the journal can't be read
   */
  async start() {
    const { checkpointed, lastSeq } = this.journal;
    for (const entry of this.journal.readAfter(Math.min(checkpointed, lastSeq - REPEAT_WINDOW))) {
      while (this.congested() && !this.closing) await delay(HELD_RETRY_MS);
      if (this.closing) return;
      const { messageId, checksum, message } = decode(entry);
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

  /**
   * Ends the connection. What is not safe yet stays in the journal.
   * @returns {Promise<void>}
   */
  async close() {
    this.closing = true;
    clearTimeout(this.batchTimer);
    clearTimeout(this.barrierTimer);
    clearTimeout(this.markerTimer);
    clearTimeout(this.heldTimer);
    const { client } = this;
    // Without a DISCONNECT handshake to wait for: the session stays with the broker either way.
    if (client) await new Promise((resolve) => { client.end(true, {}, () => resolve(null)); });
    this.giveUp();
    await this.barrier;
    this.journal.close();
  }

  /** Messages that the journal still has because no barrier has passed them. */
  get unsafe() { return this.journal.pending; }

  #connect() {
    const client = connectBroker(this.clientId, { persistent: true });
    this.client = client;
    client.handleMessage = (packet, done) => this.#receive(/** @type {Packet} */ (packet), done);
    client.on('connect', () => this.#subscribe(client));
    client.on('close', () => {
      this.connected = false;
      this.held = null;
      clearTimeout(this.heldTimer);
      clearTimeout(this.markerTimer);
      if (!this.closing) this.state('waiting', this.problem || 'broker away, reconnecting');
    });
    client.on('error', (error) => this.#complain(error.message));
    this.state('waiting', 'connecting');
  }

  /** @param {string} problem */
  #complain(problem) {
    this.problem = problem;
    this.state('error', problem);
  }

  /** @param {MqttClient} client */
  #subscribe(client) {
    // Until our own marker comes back, what arrives was queued while we were away.
    this.backlog = true;
    this.problem = null;
    client.subscribe([...this.topics, this.marker], { qos: 1 }, (error, granted) => {
      const refused = granted?.filter(({ qos }) => qos >= 128).map(({ topic }) => topic) ?? [];
      if (error || refused.length > 0) {
        if (this.closing || !client.connected) return;
        this.#complain(`subscription refused: ${refused.join(', ') || error?.message}`);
        return;
      }
      this.connected = true;
      this.state('ok', 'connected');
      this.#forgetOldTopics(client);
      this.#publishMarker(client);
    });
  }

  /**
   * The broker keeps a persistent session's subscriptions: those that an operator took off the node must be ended.
   * @param {MqttClient} client
   */
  #forgetOldTopics(client) {
    const file = path.join(this.folder, 'topics.json');
    /** @type {string[]} */
    const before = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : [];
    const gone = before.filter((topic) => !this.topics.includes(topic));
    if (gone.length > 0) client.unsubscribe(gone);
    if (gone.length > 0 || before.length !== this.topics.length) fs.writeFileSync(file, JSON.stringify(this.topics));
  }

  /** @param {MqttClient} client */
  #publishMarker(client) {
    this.markerToken = `${process.pid}-${Date.now()}`;
    client.publish(this.marker, this.markerToken, { qos: 1 }, (error) => {
      if (!error || this.closing) return;
      // Not being allowed to mark must not turn live readings into backlog for ever.
      this.backlog = false;
      this.#complain(`marker ${this.marker} refused: ${error.message}`);
    });
    clearTimeout(this.markerTimer);
    this.markerTimer = setTimeout(() => {
      if (this.backlog && this.connected) this.#publishMarker(client);
    }, MARKER_RETRY_MS);
  }

  /**
   * @param {Packet} packet
   * @param {Acknowledge} done
   */
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

  /** Microseconds since 1970, never the same twice: two messages of one meter must not have the same time. */
  #arrival() {
    this.lastArrival = Math.max(Date.now() * 1000, this.lastArrival + 1);
    return this.lastArrival;
  }

  /**
   * Keeps the acknowledgement back and tries again; the broker keeps what follows.
   * @param {Packet} packet
   * @param {Acknowledge} done
   * @param {Level} level
   * @param {string} text
   */
  #hold(packet, done, level, text) {
    const held = { packet, done };
    this.held = held;
    if (!this.holding) this.state(level, text);
    this.holding = true;
    // After a reconnect the broker sends the message again: then the held one is not ours any more.
    this.heldTimer = setTimeout(() => { if (this.held === held) this.#receive(packet, done); }, HELD_RETRY_MS);
  }

  /**
   * @param {number | undefined} messageId
   * @param {number} seq
   * @param {number} checksum
   */
  #remember(messageId, seq, checksum) {
    if (!messageId) return;
    this.seqOfId[messageId] = seq;
    this.checksumOfId[messageId] = checksum;
  }

  /**
   * Was this message journalled, and only its acknowledgement lost (with a killed process or a cut connection)?
   * @param {number | undefined} messageId
   * @param {number} checksum
   */
  #isRepeated(messageId, checksum) {
    if (!messageId) return false;
    const seq = this.seqOfId[messageId];
    return seq > 0 && seq > this.journal.lastSeq - REPEAT_WINDOW && this.checksumOfId[messageId] === checksum;
  }

  /**
   * Fills the record with a message, but for its arrival and flags.
   * @param {Packet} packet
   * @returns {number} bytes used
   */
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

  /** @param {Journalled} message */
  #take(message) {
    this.batch.push(message);
    this.batchTimer ??= setTimeout(() => this.#emitBatch(), this.batchMs);
  }

  #emitBatch() {
    clearTimeout(this.batchTimer);
    this.batchTimer = undefined;
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
      this.giveUp = () => resolve(null);
      this.flushed().then(resolve, reject);
    });
    if (!this.closing) this.journal.checkpoint(seq);
  }
}

/** @param {Entry} entry */
function decode({ seq, body }) {
  /** @param {number} offset  in the record that the journal was given */
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

/**
 * Microseconds since 1970 as ISO 8601 in UTC.
 * @param {number} microseconds
 */
function isoTime(microseconds) {
  const milliseconds = Math.floor(microseconds / 1000);
  const rest = microseconds - milliseconds * 1000;
  const text = new Date(milliseconds).toISOString();
  return rest === 0 ? text : `${text.slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
}

/**
 * @param {number} milliseconds
 * @returns {Promise<void>}
 */
const delay = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// In this form the class is also known as a type.
module.exports.MqttSource = MqttSource;
