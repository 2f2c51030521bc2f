/**
 * The device numbers of the files, as /sys and stat(2) tell them. Majors that Linux has no fixed number for
 * are from those that it gives out (Documentation/admin-guide/devices.txt: 384 to 511, downwards), and so are
 * the minors of `misc` (from 256 on).
 */
import { deviceNumber } from '../linux/mount-tables.js';

/** Majors: of device files, work queues, groups and vhost-vdpa. */
export const VFIO_DEVICE_MAJOR = 511;
export const DSA_MAJOR = 510;
const VFIO_GROUP_MAJOR = 509;
export const VHOST_VDPA_MAJOR = 508;
const MISC_MAJOR = 10;

/** Those with a driver of their own, of which there is one each. */
export const VFIO_CONTAINER = deviceNumber(MISC_MAJOR, 196);
export const IOMMU = deviceNumber(MISC_MAJOR, 256);
export const IOASID = deviceNumber(MISC_MAJOR, 257);

export const vfioDevice = (minor: number) => deviceNumber(VFIO_DEVICE_MAJOR, minor);
export const workQueue = (minor: number) => deviceNumber(DSA_MAJOR, minor);
export const vfioGroup = (minor: number) => deviceNumber(VFIO_GROUP_MAJOR, minor);
export const vhostVdpa = (minor: number) => deviceNumber(VHOST_VDPA_MAJOR, minor);
