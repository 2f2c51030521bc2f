/** What ioasid's exit statuses mean: one table, which the manual page and `run --help` have. */
import { FAILED_ON } from './fail-on.js';
import { NOT_EXECUTABLE, NOT_FOUND, OUR_FAULT } from './launch-plan.js';

/** Of a command that does what it was asked for, and has found something. */
export const FOUND = 1;

/** Each status, and when it is that. */
export const exitStatuses: readonly (readonly [status: string, when: string])[] = [
  ['0', 'all went well; `run`: its command has ended with 0'],
  [
    String(FOUND),
    '`check`: the model has a fault, or cannot be loaded; `replay`: there is a difference; ' +
      '`doctor`: `run` cannot work here; `demo`: something was not as it must be',
  ],
  [
    String(FAILED_ON),
    '`run --fail-on`: its command has ended with 0, but a DMA faulted or a device had a note',
  ],
  [
    String(OUR_FAULT),
    'ioasid itself: wrong usage, a file that cannot be read, a device that cannot be made, ' +
      'a model that loops, or a fault of its own',
  ],
  [String(NOT_EXECUTABLE), '`run`: its command is there, but cannot be executed'],
  [String(NOT_FOUND), '`run`: its command is not there'],
  ['128+N', '`run`: its command was ended by signal N, and `run` by the same'],
  ['other', '`run`: that of its command'],
];
