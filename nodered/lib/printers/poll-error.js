'use strict';

/** @import { PollErrorKind } from '../types' */

/** Why a poll brought no status. */
class PollError extends Error {
  /**
   * @param {PollErrorKind} kind
   * @param {string} message  a sentence with the remedy, fit for the operator (no credentials in it)
   * @param {{status?: number, retry?: boolean}} [more]  status: of HTTP; retry: whether it may help to ask again later
   */
  constructor(kind, message, { status, retry } = {}) {
    super(message);
    this.name = 'PollError';
    this.kind = kind;
    this.status = status;
    this.retry = retry;
  }
}

// In this form the class is also known as a type.
module.exports.PollError = PollError;
