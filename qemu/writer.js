// A device whose requests carry a PASID: register 0 takes it, register 8 an IOVA, to which the device writes
// 256 bytes as guest.h has them in `from`.
const bytes = Uint8Array.from({ length: 256 }, (_, n) => n * 7 + 1);

export default function createWriter(host) {
  let pasid = 0;
  return {
    pci: {
      vendorId: 0x1234,
      deviceId: 0x4e12,
      classCode: 0x088000,
      bars: [{ index: 0, size: 4096 }],
      pasidBits: 20,
    },
    readBar(_bar, _offset, target) {
      target.fill(0);
    },
    writeBar(_bar, offset, source) {
      if (source.length !== 4) return;
      const value = Buffer.from(source).readUInt32LE();
      if (offset === 0 && host.dma.admits(value)) pasid = value;
      if (offset === 8) host.dma.write(pasid, value, bytes);
    },
    reset() {
      pasid = 0;
    },
  };
}
