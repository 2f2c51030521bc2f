/** Feature bits of rings and transport (virtio 1.3 §6), and the bits of the device status (§2.1). */

export const Feature = {
  INDIRECT_DESC: 1n << 28n,
  EVENT_IDX: 1n << 29n,
  VERSION_1: 1n << 32n,
  ACCESS_PLATFORM: 1n << 33n,
  RING_PACKED: 1n << 34n,
  IN_ORDER: 1n << 35n,
} as const;

/** What every device offers. */
export const COMMON_FEATURES =
  Feature.INDIRECT_DESC |
  Feature.EVENT_IDX |
  Feature.VERSION_1 |
  Feature.ACCESS_PLATFORM |
  Feature.RING_PACKED;

export const Status = {
  ACKNOWLEDGE: 0x01,
  DRIVER: 0x02,
  DRIVER_OK: 0x04,
  FEATURES_OK: 0x08,
  NEEDS_RESET: 0x40,
  FAILED: 0x80,
} as const;

/** Does `features` have that bit? */
export function has(features: bigint, bit: bigint): boolean {
  return (features & bit) !== 0n;
}
