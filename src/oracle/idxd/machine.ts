/**
 * The device of both machines is one model. In the guest Linux's own idxd drives it, behind a virtual IOMMU
 * whose tables QEMU hands to an iommufd of ours; here our driver does.
 */
import { fileURLToPath } from 'node:url';
import { Machine } from '../../machine/machine.js';
import type { GuestMachine } from '../guest.js';

export const WQS = 2;
export const ENGINES = 2;
export const GROUPS = 2;
/** Descriptors of all work queues together. */
export const SIZE = 32;
const SHAPE = `wqs=${WQS},engines=${ENGINES},groups=${GROUPS},size=${SIZE}`;

/** `--device` arguments of our side. */
export const makeDevices = (): Promise<readonly string[]> => Promise.resolve([`dsa,idxd=1,${SHAPE}`]);

/** Who may write what the driver has not looked at is asked for as on hardware of version 1.0. */
export const options: readonly string[] = ['--strict'];

/** The same in this process. */
export const oracleMachine = async (): Promise<Machine> =>
  Machine.create({ devices: await makeDevices(), strict: true });

const bin = fileURLToPath(new URL('../../../bin/ioasid', import.meta.url));
const OPEN = 'exec 20<>/dev/iommu 21<>/dev/vfio/devices/vfio0; exec "$@"';
const IOMMU = [
  'intel-iommu,scalable-mode=on,fsts=on,svm=on,pasid-bits=20',
  'device-iotlb=on,intremap=on,caching-mode=on',
].join();

export const guestMachine: GuestMachine = {
  under: [
    ...[process.execPath, bin, 'run', '--device', `dsa,portal=split,${SHAPE}`],
    ...['--', 'bash', '-c', OPEN, 'launch'],
  ],
  arguments: [
    // With five levels of page tables the kernel's IOMMU driver has no shared virtual addressing here.
    ...['-machine', 'q35,accel=tcg', '-cpu', 'max,-la57', '-device', IOMMU],
    ...['-object', 'iommufd,id=iommufd,fd=20', '-device', 'vfio-pci,id=dsa,fd=21,iommufd=iommufd'],
  ],
  commandLine: ['intel_iommu=on,sm_on', 'setcpuid=movdir64b,enqcmd'],
};
