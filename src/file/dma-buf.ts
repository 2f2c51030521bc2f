/**
 * DmaBuf: what is behind a file that has memory for devices alone (Linux's dma-buf), which an IOAS takes by
 * IOAS_MAP_FILE. Whoever exported it can take its memory back.
 */
import type { MemoryRange } from './open-file.js';

export abstract class DmaBuf {
  /**
   * [start, start+length) of it, for DMA. @throws Refusal ENODEV while it is taken back; EINVAL past the end;
   * EOPNOTSUPP when it is not one range.
   */
  abstract take(start: number, length: number): MemoryRange;
}
