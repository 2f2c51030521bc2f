/**
 * What a DSA can do, as its registers say, and what Linux makes of that. Source: specification (see
 * docs/dsa.md), 9.2.
 */
import { Register } from '../devices/dsa/registers.js';
import type { Hardware } from './hardware.js';

export interface Capabilities {
  readonly version: number;
  /** The registers as they are. */
  readonly gencap: bigint;
  readonly opcap: bigint;
  readonly wqs: number;
  /** Descriptors of all work queues together. */
  readonly wqSize: number;
  readonly engines: number;
  readonly groups: number;
  readonly readBuffers: number;
  readonly readBufferLimit: boolean;
  readonly progressLimit: boolean;
  /** Bytes, and descriptors of a batch. */
  readonly maxTransfer: number;
  readonly maxBatch: number;
  readonly configurable: boolean;
  readonly blockOnFault: boolean;
  /** Of each work queue: operations that it may do, its occupancy, ATS and PRS that can be turned off. */
  readonly operationConfig: boolean;
  readonly occupancy: boolean;
  readonly ats: boolean;
  readonly prs: boolean;
}

export function readCapabilities(hardware: Hardware): Capabilities {
  const gencap = hardware.getWide(Register.GENCAP);
  const [general, wq, modes] = [Register.GENCAP, Register.WQCAP, Register.WQCAP + 4].map((at) =>
    hardware.get(at),
  ) as [number, number, number];
  const group = hardware.get(Register.GRPCAP);
  const bit = (word: number, at: number) => ((word >>> at) & 1) === 1;
  return {
    version: hardware.get(Register.VERSION),
    gencap,
    opcap: hardware.getWide(Register.OPCAP),
    wqs: (wq >>> 16) & 0xff,
    wqSize: wq & 0xffff,
    engines: hardware.get(Register.ENGCAP) & 0xff,
    groups: group & 0xff,
    readBuffers: (group >>> 8) & 0xff,
    readBufferLimit: bit(group, 17),
    progressLimit: bit(group, 18),
    maxTransfer: 2 ** ((general >>> 16) & 0x1f),
    maxBatch: 2 ** ((general >>> 21) & 0xf),
    configurable: bit(general, 31),
    blockOnFault: bit(general, 0),
    operationConfig: bit(modes, 22),
    occupancy: bit(modes, 20),
    ats: bit(modes, 18),
    prs: bit(modes, 23),
  };
}
