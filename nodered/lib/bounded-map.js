'use strict';
// A Map that forgets the entry written longest ago: outside names must not be able to fill the memory.

/**
 * @template Key
 * @template Value
 */
class BoundedMap {
  /** @type {Map<Key, Value>} */
  #map = new Map();

  /** @param {number} limit  entries at most */
  constructor(limit) {
    this.limit = limit;
  }

  get size() {
    return this.#map.size;
  }

  /**
   * @param {Key} key
   * @returns {Value | undefined}
   */
  get(key) {
    return this.#map.get(key);
  }

  /**
   * @param {Key} key
   * @returns {boolean} whether it was there
   */
  delete(key) {
    return this.#map.delete(key);
  }

  /**
   * An entry that is already known keeps its place as long as there is room: inserting it again each time would cost
   * the hot path.
   * @param {Key} key
   * @param {Value} value
   * @returns {this}
   */
  set(key, value) {
    if (!this.#map.has(key)) {
      if (this.#map.size >= this.limit) this.#deleteOldest();
    } else if (this.#map.size >= this.limit / 2) {
      this.#map.delete(key);
    }
    this.#map.set(key, value);
    return this;
  }

  #deleteOldest() {
    const [oldest] = this.#map.keys();
    this.#map.delete(oldest);
  }
}

// In this form the class is also known as a type.
module.exports.BoundedMap = BoundedMap;
