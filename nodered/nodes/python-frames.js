'use strict';
// What goes between Node.js and a Python worker: a call's number, JSON, and binary arrays beside it. python_worker.py speaks the same.
//
//   4 bytes  number of the call        JSON   where an array belongs: {"\0array": [kind, first byte, bytes]}
//   4 bytes  bytes of the JSON         bytes  the arrays, one after the other, in this machine's byte order
//   4 bytes  bytes of the arrays

const HEADER_BYTES = 12;
const ARRAY = '\0array';
/** A typed array and what numpy calls its numbers; a Buffer is bytes. */
const KINDS = {
  Int8Array: 'int8', Uint8Array: 'uint8', Int16Array: 'int16', Uint16Array: 'uint16', Int32Array: 'int32', Uint32Array: 'uint32',
  BigInt64Array: 'int64', BigUint64Array: 'uint64', Float32Array: 'float32', Float64Array: 'float64',
};
const TYPED = Object.fromEntries(Object.entries(KINDS).map(([name, kind]) => [kind, globalThis[name]]));

/** By its name: a function node makes its arrays in a realm of its own. */
const kindOf = (view) => (Buffer.isBuffer(view) ? 'bytes' : KINDS[view[Symbol.toStringTag]] ?? 'bytes');

/**
 * One frame. A typed array or Buffer travels in binary when it is the value, or stands in an object in it at any depth; lists may be
 * long and are not searched.
 * @throws when the value has no JSON: a circle, nested too deeply, a BigInt
 */
function pack(id, value) {
  const arrays = [];
  let bytes = 0;
  const lifted = (item) => {
    if (ArrayBuffer.isView(item)) {
      arrays.push(Buffer.from(item.buffer, item.byteOffset, item.byteLength));
      bytes += item.byteLength;
      return { [ARRAY]: [kindOf(item), bytes - item.byteLength, item.byteLength] };
    }
    if (item === null || typeof item !== 'object' || Array.isArray(item) || typeof item.toJSON === 'function') return item;
    return Object.fromEntries(Object.entries(item).map(([key, inner]) => [key, lifted(inner)]));
  };
  const json = Buffer.from(JSON.stringify(lifted(value)));
  const header = Buffer.alloc(HEADER_BYTES);
  [id, json.length, bytes].forEach((number, place) => header.writeUInt32BE(number, 4 * place));
  return Buffer.concat([header, json, ...arrays]);
}

function unpack(json, arrays) {
  if (arrays.length === 0) return JSON.parse(json);
  return JSON.parse(json, (_, value) => {
    if (!value?.[ARRAY]) return value;
    const [kind, first, size] = value[ARRAY];
    // A copy: its numbers begin where they may lie, and it does not keep the whole frame alive.
    const copy = Uint8Array.prototype.slice.call(arrays, first, first + size);
    return kind === 'bytes' ? Buffer.from(copy.buffer) : new TYPED[kind](copy.buffer);
  });
}

/** Puts frames together from the pieces in which they arrive. */
class FrameReader {
  #pieces = [];
  #bytes = 0;
  #wanted = HEADER_BYTES;

  /** The frames that this piece completes, each as {id, value}. @throws when it is no frame */
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
      if (complete) yield { id: data.readUInt32BE(0), value: unpack(data.toString('utf8', HEADER_BYTES, jsonEnd), data.subarray(jsonEnd, end)) };
    }
  }
}

module.exports = { pack, FrameReader };
