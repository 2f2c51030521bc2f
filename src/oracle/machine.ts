/** The machine that is compared with the kernel: `/dev/iommu` with its test interface, and nothing else. */
import { Machine } from '../machine/machine.js';

const options = { devices: [], iommuTest: true };

export function oracleMachine(): Promise<Machine> {
  return Machine.create(options);
}
