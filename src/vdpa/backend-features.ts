/** Backend features of vhost (linux/vhost_types.h, VHOST_BACKEND_F_*): what the file itself can do. */
import { type ErrnoName, hex, refuse } from '../linux/errno.js';

export const Backend = {
  IOTLB_MSG_V2: 1n << 1n,
  IOTLB_BATCH: 1n << 2n,
  IOTLB_ASID: 1n << 3n,
  SUSPEND: 1n << 4n,
  RESUME: 1n << 5n,
  ENABLE_AFTER_DRIVER_OK: 1n << 6n,
  DESC_ASID: 1n << 7n,
  IOTLB_PERSIST: 1n << 8n,
} as const;

/** All but address spaces of descriptors alone. */
export const BACKEND_FEATURES =
  Backend.IOTLB_MSG_V2 |
  Backend.IOTLB_BATCH |
  Backend.IOTLB_ASID |
  Backend.SUSPEND |
  Backend.RESUME |
  Backend.ENABLE_AFTER_DRIVER_OK |
  Backend.IOTLB_PERSIST;

/** @throws Refusal EOPNOTSUPP a bit that there is not; EINVAL DESC_ASID without IOTLB_ASID. */
export function checkBackendFeatures(features: bigint): void {
  const unknown = features & ~(BACKEND_FEATURES | Backend.DESC_ASID);
  const alone = (features & Backend.DESC_ASID) !== 0n && (features & Backend.IOTLB_ASID) === 0n;
  const errno: ErrnoName = unknown === 0n && alone ? 'EINVAL' : 'EOPNOTSUPP';
  if ((features & ~BACKEND_FEATURES) !== 0n)
    refuse(errno, `backend features ${hex(features)} have bits beyond ${hex(BACKEND_FEATURES)}`);
}
