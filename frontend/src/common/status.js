// What a status means to the eye: its tone, and how urgent it is.

/** @type {Record<string, string>} */
export const TONES = {
  Printing: 'good', Completed: 'good', Heating: 'warm', Paused: 'warm', Attention: 'bad', Error: 'bad', Cooling: 'cool', Idle: 'quiet', Offline: 'quiet', Unknown: 'quiet',
};
/** @type {Record<string, string>} */
export const RESULT_TONES = { done: 'good', cancelled: 'warm', error: 'bad', unknown: 'quiet', printing: 'good', paused: 'warm' };

const ORDER = ['Error', 'Attention', 'Paused', 'Printing', 'Heating', 'Completed', 'Cooling', 'Idle', 'Unknown', 'Offline'];

/** 0 is the most urgent. */
export const urgency = (status) => ORDER.indexOf(status);

/** Groups of the filter. */
export const GROUPS = {
  active: (printer) => ['Printing', 'Heating', 'Paused'].includes(printer.currentStatus),
  attention: (printer) => ['Error', 'Attention', 'Offline'].includes(printer.currentStatus),
  idle: (printer) => ['Idle', 'Cooling', 'Completed', 'Unknown'].includes(printer.currentStatus),
};
