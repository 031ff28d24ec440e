'use strict';

/**
 * Why a poll brought no status. `kind` is one of
 *   timeout · unreachable · auth · http · payload · not_connected · config;
 * `message` is a sentence with the remedy, fit for the operator (no credentials in it).
 */
class PollError extends Error {
  constructor(kind, message) {
    super(message);
    this.name = 'PollError';
    this.kind = kind;
  }
}

module.exports = { PollError };
