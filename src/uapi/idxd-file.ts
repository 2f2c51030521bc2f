/**
 * The files of work queues, /dev/dsa/wqD.Q: what is written to them are descriptors (struct dsa_hw_desc,
 * <linux/idxd.h>), and what is mapped is their portal. There are no ioctls.
 */
import { READABLE } from '../file/open-file.js';
import type { WqClient } from '../idxd/client.js';
import type { IdxdDevice } from '../idxd/device.js';
import { hex, refuse } from '../linux/errno.js';
import type { FileOperations } from './device-file.js';
import { DescriptorStruct } from './idxd.js';

/** What `client`, of a work queue of `device`, does. */
export function wqOperations(device: IdxdDevice, client: WqClient): FileOperations {
  return {
    stream: {
      ready: () => ((device.errors.words[0]! & 1n) === 1n ? READABLE : 0),
      arrivals: () => device.errors.seen,
    },
    writes: DescriptorStruct,
    write: (_offset, source, caller) => client.write(caller, source),
    mapping: {
      check: (caller, _offset, length) => client.checkMapping(caller, length),
      pages: () => [],
      memory: (offset) => refuse('EFAULT', `byte ${hex(offset)} of a portal is no memory`),
      // Portals are write-only: nothing answers a load.
      read: (_offset, target) => target.fill(0xff).length,
      // Less than 64 bytes at once is nothing to a portal.
      write: (_caller, _offset, source) => client.ignore(source.length),
      write64: (caller, offset, source) => client.store(caller, offset, source),
    },
    uses: (call) => (call === 'release' ? [device, client] : [client]),
    flush: () => client.flush(),
    release: () => device.close(client),
  };
}
