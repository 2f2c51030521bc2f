/**
 * The machine that is compared with User-Mode Linux: `/dev/iommu` with its test interface, two mediated
 * devices like those of `oracle/init.c`, and their groups over iommufd's container.
 */
import { fileURLToPath } from 'node:url';
import { Machine } from '../machine/machine.js';

const model = fileURLToPath(new URL('./models/mdpy.js', import.meta.url));
const options = {
  devices: [`${model},mdevs=2`],
  iommuTest: true,
  bindFirst: true,
  container: 'iommufd',
} as const;

export function oracleMachine(): Promise<Machine> {
  return Machine.create(options);
}
