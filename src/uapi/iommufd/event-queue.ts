/**
 * The files of event queues: what a user reads the events of a queue from, and polls.
 *
 * As in Linux a read takes as many whole events as there is room for and never waits: 0 when there is
 * nothing. While its file is open a queue cannot be destroyed, and the context lives.
 */

import { type OpenFile, READABLE, WRITABLE } from '../../file/open-file.js';
import { releasing } from '../../file/work.js';
import type { IommufdContext } from '../../iommufd/context.js';
import type { IommufdObject } from '../../iommufd/objects.js';
import { DeviceFile, type FileOperations } from '../device-file.js';

interface Events {
  readonly next: object | undefined;
  readonly arrivals: number;
}

/** The file of a queue and its events, with its `read` and `write`; offsets mean nothing to them. */
export function eventFile(
  context: IommufdContext,
  queue: IommufdObject,
  events: Events,
  operations: Pick<FileOperations, 'called' | 'read' | 'write' | 'reads' | 'writes'>,
): OpenFile {
  const writable = operations.write === undefined ? 0 : WRITABLE;
  context.hold();
  queue.hold();
  return new DeviceFile(queue, new Map(), {
    ...operations,
    stream: {
      ready: () => writable | (events.next === undefined ? 0 : READABLE),
      arrivals: () => events.arrivals,
    },
    release: () => releasing([() => queue.drop(), () => context.drop()]),
  });
}
