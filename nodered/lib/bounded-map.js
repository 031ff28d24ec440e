'use strict';
// A Map that forgets the entry written longest ago: outside names must not be able to fill the memory.

class BoundedMap {
  #map = new Map();

  constructor(limit) {
    this.limit = limit;
  }

  get size() {
    return this.#map.size;
  }

  get(key) {
    return this.#map.get(key);
  }

  has(key) {
    return this.#map.has(key);
  }

  delete(key) {
    return this.#map.delete(key);
  }

  /** An entry that is already known keeps its place as long as there is room: re-inserting each time would cost the hot path. */
  set(key, value) {
    if (!this.#map.has(key)) {
      if (this.#map.size >= this.limit) this.#map.delete(this.#map.keys().next().value);
    } else if (this.#map.size >= this.limit / 2) {
      this.#map.delete(key);
    }
    this.#map.set(key, value);
    return this;
  }
}

module.exports = { BoundedMap };
