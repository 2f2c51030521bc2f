/** What most rules of the native ABI begin with. */
import { Ioasid } from '../client/ioasid.js';
import type { Transport } from '../client/transport.js';
import { Checksum } from './checksum.js';

/**
 * A process with the checksum device open, authorized for nothing, and a context with one PASID, in which
 * nothing is mapped.
 */
export function withChecksum(transport: Transport) {
  const checksum = new Checksum(transport);
  const ioasid = Ioasid.open(transport);
  return { checksum, ioasid, pasid: ioasid.alloc() };
}
