/** The edu device, as a program uses it. */
import type { Transport } from '../client/transport.js';
import { VfioDeviceFile } from '../client/vfio-device.js';
import { setU64 } from '../uapi/struct.js';
import { eventually } from './rule.js';

/** Where edu has its buffer, and the commands of its DMA. */
const EDU_BUFFER = 0x40000;
const EDU_READ = 1;
const EDU_WRITE = 3;

/** The edu device: it moves up to 4 KiB between memory and its buffer. */
export class Edu {
  readonly device: VfioDeviceFile;

  constructor(transport: Transport) {
    this.device = VfioDeviceFile.open(transport, 'vfio3');
    this.device.enable();
  }

  /** From memory at `iova` into the buffer. */
  load(iova: number, length: number): void {
    this.#dma(iova, EDU_BUFFER, length, EDU_READ);
  }

  /** From the buffer to memory at `iova`. */
  store(iova: number, length: number): void {
    this.#dma(EDU_BUFFER, iova, length, EDU_WRITE);
  }

  close(): void {
    this.device.close();
  }

  #dma(source: number, destination: number, length: number, command: number): void {
    const registers = [
      [0x80, source],
      [0x88, destination],
      [0x90, length],
      [0x98, command],
    ] as const;
    for (const [register, value] of registers) {
      const bytes = new Uint8Array(8);
      setU64(bytes, 0, value);
      this.device.write(0, register, bytes);
    }
    eventually(() => (this.device.read32(0, 0x98) & 1) === 0, 'the end of the DMA');
  }
}
