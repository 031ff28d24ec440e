// Reads the preview file that gcode/preview.py writes (docs/gcode.md, "Preview format"), in the browser and in Node.

const VERSION = 1;
const MAX_HEADER = 1 << 20;

/**
 * @typedef {object} Header  what the file says of itself in JSON, as far as it is read here
 * @property {number} layers
 * @property {number} groups
 * @property {string[]} features  their names
 * @property {[number, number]} origin  where the first line begins, in quanta
 * @property {number} quantum_mm
 */

/**
 * @typedef {object} Layer
 * @property {number} z  mm
 * @property {number} height  mm
 * @property {number} seconds  how long it takes
 * @property {number} start  when it begins, s after the start of the first layer
 */

/**
 * @typedef {object} Group  lines of one feature in one layer
 * @property {number} layer
 * @property {number} feature  a number of `features`
 * @property {Float32Array[]} lines  each x0, y0, x1, y1, … in mm, on the layer's z
 */

/** @typedef {{header: Header, features: string[], layers: Layer[], groups: Group[]}} Model */

/**
 * Decodes a preview.
 * @param {ArrayBuffer|Uint8Array<ArrayBuffer>} data  the whole file
 * @returns {Model}
 * @throws {Error} a sentence when the data are no preview of this version or are damaged
 */
export function readPreview(data) {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || String.fromCharCode(...bytes.subarray(0, 4)) !== 'EGPV') throw new Error('This is not a preview file.');
  if (view.getUint16(4, true) !== VERSION) throw new Error(`The preview has version ${view.getUint16(4, true)}; version ${VERSION} can be read.`);
  const headerSize = view.getUint32(8, true);
  if (headerSize > MAX_HEADER || 12 + headerSize > bytes.length) throw new Error('The preview ends within its header.');
  /** @type {Header} */
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(12, 12 + headerSize)));
  const tables = 12 + headerSize;
  const body = tables + header.layers * 12 + header.groups * 16;
  if (!(body <= bytes.length)) throw new Error('The preview ends within its tables.');

  /** @type {Layer[]} */
  const layers = [];
  let start = 0;
  for (let i = 0; i < header.layers; i += 1) {
    const entry = tables + i * 12;
    const seconds = view.getFloat32(entry + 8, true);
    layers.push({ z: view.getFloat32(entry, true), height: view.getFloat32(entry + 4, true), seconds, start });
    start += seconds;
  }

  let at = body;
  const number = () => {
    let value = 0;
    let factor = 1;
    for (;;) {
      if (at >= bytes.length) throw new Error('The preview ends within a line.');
      const byte = bytes[at];
      at += 1;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  };
  const signed = () => {
    const value = number();
    return value % 2 ? -(value + 1) / 2 : value / 2;
  };
  let [x, y] = header.origin;
  /** @type {Group[]} */
  const groups = [];
  for (let g = 0; g < header.groups; g += 1) {
    const entry = tables + header.layers * 12 + g * 16;
    const lines = [];
    for (let n = view.getUint32(entry + 8, true); n > 0; n -= 1) {
      const count = number();
      if (count > bytes.length - at) throw new Error('The preview ends within a line.');
      const line = new Float32Array(2 * count);
      for (let p = 0; p < count; p += 1) {
        x += signed();
        y += signed();
        line[2 * p] = x * header.quantum_mm;
        line[2 * p + 1] = y * header.quantum_mm;
      }
      lines.push(line);
    }
    groups.push({ layer: view.getUint32(entry, true), feature: view.getUint32(entry + 4, true), lines });
  }
  return { header, features: header.features, layers, groups };
}
