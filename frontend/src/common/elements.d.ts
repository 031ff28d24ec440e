// What byId() finds: the elements of the pages that are more than an HTMLElement. elements.test.js compares this list with the pages.
// `device` is a dialog on one page and a <select> on another, so they look for it themselves.

export interface Elements {
  // index.html
  frame: HTMLIFrameElement;
  keys: HTMLDialogElement;
  'keys-enabled': HTMLInputElement;
  more: HTMLDialogElement;
  profile: HTMLButtonElement;
  profiles: HTMLDialogElement;
  theme: HTMLButtonElement;

  // dpp_page.html
  csv: HTMLButtonElement;
  filter: HTMLSelectElement;
  next: HTMLButtonElement;
  'page-back': HTMLButtonElement;
  'page-on': HTMLButtonElement;
  period: HTMLSelectElement;
  previous: HTMLButtonElement;
  print: HTMLDialogElement;
  'prints-search': HTMLInputElement;
  search: HTMLInputElement;
  share: HTMLDialogElement;
  'share-link': HTMLInputElement;
  sort: HTMLSelectElement;

  // devices.html
  ask: HTMLDialogElement;
  'device-form': HTMLFormElement;
  login: HTMLDialogElement;
  'login-button': HTMLButtonElement;
  'login-form': HTMLFormElement;
  password: HTMLInputElement;
  user: HTMLInputElement;

  // analysis/analysis_page.html
  chart: HTMLCanvasElement;
  from: HTMLInputElement;
  request: HTMLFormElement;
  to: HTMLInputElement;
}
