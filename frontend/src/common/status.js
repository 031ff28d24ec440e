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

/** Tips that want a person soon: the tone in which they are told. @type {Record<string, string>} */
export const TIP_TONES = { error: 'bad', attention: 'bad', heating_long: 'warm', idle_power: 'warm', hot_bed_idle: 'warm' };

/** Whether somebody should look at a printer: it waits, has failed, or wastes energy. */
export const needsLook = (printer) => Object.hasOwn(TIP_TONES, printer.tips[0].id);

/** Groups of the filter. */
export const GROUPS = {
  active: (printer) => ['Printing', 'Heating', 'Paused', 'Attention'].includes(printer.currentStatus),
  attention: needsLook,
  idle: (printer) => ['Idle', 'Cooling', 'Completed', 'Unknown'].includes(printer.currentStatus),
  offline: (printer) => printer.currentStatus === 'Offline',
};
