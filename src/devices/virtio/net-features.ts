/** Feature bits of network devices that this one offers (virtio 1.3 §5.1.3). */
export const NetFeature = {
  MTU: 1n << 3n,
  MAC: 1n << 5n,
  MRG_RXBUF: 1n << 15n,
  STATUS: 1n << 16n,
  CTRL_VQ: 1n << 17n,
  CTRL_RX: 1n << 18n,
  CTRL_RX_EXTRA: 1n << 20n,
  MQ: 1n << 22n,
  CTRL_MAC_ADDR: 1n << 23n,
} as const;
