/** A machine with one DSA in the hands of Linux's driver, and what a program writes to its work queues. */
import { InProcess } from '../client/in-process.js';
import type { ProcessMemoryBlock } from '../client/transport.js';
import { Flag } from '../devices/dsa/descriptor.js';
import { Machine } from '../machine/machine.js';
import { CompletionStruct, DescriptorStruct } from '../uapi/idxd.js';

const COMPLETES = Flag.COMPLETION_ADDRESS_VALID | Flag.REQUEST_COMPLETION;
export const DESCRIPTOR_BYTES = DescriptorStruct.size;

/** `options` as behind `--device dsa,idxd=1`: `,ready=1`. */
export async function idxdScene(options: string) {
  const machine = await Machine.create({ devices: [`dsa,idxd=1${options}`] });
  const [device] = machine.idxd;
  return { machine, device: device!, process: new InProcess(machine) };
}

/** Memory of a process with room for a completion record, and for data behind it. */
export function workspace(process: InProcess, length = 0x4000): ProcessMemoryBlock {
  return process.allocate(length);
}

/** The bytes of a descriptor. Addresses are the program's own. */
export function descriptor(fields: {
  readonly opcode: number;
  readonly completion: number;
  readonly source?: number;
  readonly destination?: number;
  readonly size?: number;
  readonly flags?: number;
  readonly pasid?: number;
}): Uint8Array {
  const { opcode, completion, source = 0, destination = 0, size = 0, flags = 0, pasid = 0 } = fields;
  return DescriptorStruct.encode({
    pasid,
    flags: opcode * 2 ** 24 + COMPLETES + flags,
    completion_addr: completion,
    src_addr: source,
    dst_addr: destination,
    xfer_size: size,
    int_handle: 0,
    reserved: 0,
    op_specific: new Uint8Array(24),
  });
}

/** The status in the completion record at the beginning of `memory`. */
export function statusIn({ bytes }: ProcessMemoryBlock): number {
  return CompletionStruct.decode(bytes).status;
}
