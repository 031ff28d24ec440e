'use strict';
// What goes between Node.js and a Python worker: a call's number, JSON, and binary arrays next to it. python_worker.py
// speaks the same.
//
//   4 bytes  number of the call        JSON   where an array belongs: {"\0array": [kind, first byte, bytes]}
//   4 bytes  bytes of the JSON         bytes  the arrays, one after the other, in this machine's byte order
//   4 bytes  bytes of the arrays

const HEADER_BYTES = 12;
const ARRAY = '\0array';
/**
 * What numpy calls the numbers of a typed array; a Buffer is bytes.
 * @type {Record<string, {name: string, new (buffer: ArrayBuffer): ArrayBufferView}>}
 */
const TYPED = {
  int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array,
  int64: BigInt64Array, uint64: BigUint64Array, float32: Float32Array, float64: Float64Array,
};
/** @type {Record<string, string>}  for example `Int8Array` → `int8` */
const KINDS = Object.fromEntries(Object.entries(TYPED).map(([kind, Type]) => [Type.name, kind]));

/**
 * By its name: a function node makes its arrays in a realm of its own.
 * @param {ArrayBufferView & {[Symbol.toStringTag]?: string}} view
 */
const kindOf = (view) => (Buffer.isBuffer(view) ? 'bytes' : KINDS[view[Symbol.toStringTag] ?? ''] ?? 'bytes');

/**
 * One frame. A typed array or Buffer travels in binary when it is the value, or is in an object in it at any depth;
 * lists may be long and are not searched.
 * @param {number} id  number of the call
 * @param {unknown} value
 * @returns {Buffer}
 * @throws {Error} when the value has no JSON: a circle, nested too deeply, a BigInt
 */
function pack(id, value) {
  /** @type {Buffer[]} */
  const arrays = [];
  let bytes = 0;
  /**
   * @param {any} item
   * @returns {unknown} the item with its arrays taken out
   */
  const lifted = (item) => {
    if (ArrayBuffer.isView(item)) {
      arrays.push(Buffer.from(item.buffer, item.byteOffset, item.byteLength));
      bytes += item.byteLength;
      return { [ARRAY]: [kindOf(item), bytes - item.byteLength, item.byteLength] };
    }
    if (item === null || typeof item !== 'object' || Array.isArray(item)) return item;
    if (typeof item.toJSON === 'function') return item;
    return Object.fromEntries(Object.entries(item).map(([key, inner]) => [key, lifted(inner)]));
  };
  const json = Buffer.from(JSON.stringify(lifted(value)));
  const header = Buffer.alloc(HEADER_BYTES);
  [id, json.length, bytes].forEach((number, place) => header.writeUInt32BE(number, 4 * place));
  return Buffer.concat([header, json, ...arrays]);
}

/**
 * @param {string} json
 * @param {Buffer} arrays
 */
function unpack(json, arrays) {
  if (arrays.length === 0) return JSON.parse(json);
  return JSON.parse(json, (_, value) => {
    if (!value?.[ARRAY]) return value;
    const [kind, first, size] = value[ARRAY];
    // A copy: its numbers begin where they may lie, and it does not keep the whole frame alive.
    const copy = new Uint8Array(arrays.subarray(first, first + size));
    return kind === 'bytes' ? Buffer.from(copy.buffer) : new TYPED[kind](copy.buffer);
  });
}

/** Puts frames together from the pieces in which they arrive. */
class FrameReader {
  /** @type {Buffer[]} */
  #pieces = [];
  #bytes = 0;
  #wanted = HEADER_BYTES;

  /**
   * The frames that this piece completes.
   * @param {Buffer} piece
   * @returns {Generator<{id: number, value: any}, void, void>}
   * @throws {Error} when it is no frame
   */
  * push(piece) {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    while (this.#bytes >= this.#wanted) {
      const data = Buffer.concat(this.#pieces);
      const jsonEnd = HEADER_BYTES + data.readUInt32BE(4);
      const end = jsonEnd + data.readUInt32BE(8);
      const complete = data.length >= end;
      this.#pieces = [complete ? data.subarray(end) : data];
      this.#bytes = this.#pieces[0].length;
      this.#wanted = complete ? HEADER_BYTES : end;
      if (complete) {
        const value = unpack(data.toString('utf8', HEADER_BYTES, jsonEnd), data.subarray(jsonEnd, end));
        yield { id: data.readUInt32BE(0), value };
      }
    }
  }
}

// In this form the class is also known as a type.
module.exports.FrameReader = FrameReader;
module.exports.pack = pack;
