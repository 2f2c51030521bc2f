/**
 * World: where the story takes place. Two VMs, the devices that the story needs, and what the server knows.
 *
 * vfio0 is a whole DSA, so that the IOMMU alone decides what it reaches; vfio1 and vfio2 are mdevs of
 * another, and share a requester id.
 */
import type { MachineSnapshot } from '../../machine/snapshot.js';
import type { Vm } from './vm.js';

/** The `--device` arguments of the server. */
export const storyDevices = ['dsa,ready=1', 'dsa,mdevs=2'];

export interface World {
  /** Who serves the files: one line. */
  readonly server: string;
  readonly alice: Vm;
  readonly bob: Vm;
  /** What `ioasid ls --json` shows of this server. Devices get on with their work meanwhile. */
  state(): Promise<MachineSnapshot>;
  /** Ends the VMs. */
  close(): Promise<void>;
}
