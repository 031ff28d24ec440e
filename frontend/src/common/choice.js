/**
 * A word that comes from outside, when it is an allowed one, otherwise `fallback`.
 * @template {string} Allowed
 * @template {string|null} Fallback
 * @param {string|null} word
 * @param {readonly Allowed[]} allowed
 * @param {Fallback} fallback
 * @returns {Allowed|Fallback}
 */
export const oneOf = (word, allowed, fallback) => allowed.find((one) => one === word) ?? fallback;
