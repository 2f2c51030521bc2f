/**
 * A DMA to or from many places at once. Where memory is reached by way of another process each access has a
 * price, however few bytes it is, so a port that knows how has them all in few accesses (DmaPort.move).
 */
import type { Ranges } from '../linux/ranges.js';
import type { DmaFault, DmaPort } from './device-model.js';

/** A port, or what a virtio device has of it, whose PASIDs are ASIDs. */
interface MovingPort {
  read(pasid: number, iova: number, target: Uint8Array, at: number, length: number): DmaFault | undefined;
  write(pasid: number, iova: number, source: Uint8Array, at: number, length: number): DmaFault | undefined;
  readonly move?: DmaPort['move'];
  readonly moveSome?: DmaPort['moveSome'];
}

/**
 * Fills buffer[at..) from all parts of `ranges`, one after the other, or writes it to them. @returns
 * undefined, or the fault, whose `done` counts the bytes of all parts before it.
 */
export function moveAll(
  port: MovingPort,
  pasid: number,
  ranges: Ranges,
  buffer: Uint8Array,
  at: number,
  write: boolean,
): DmaFault | undefined {
  const { count, addresses, lengths } = ranges;
  if (count > 1 && port.move !== undefined) return port.move(pasid, ranges, buffer, at, write);
  for (let part = 0, done = 0; part < count; done += lengths[part++]!) {
    const iova = addresses[part]!;
    const fault = write
      ? port.write(pasid, iova, buffer, at + done, lengths[part]!)
      : port.read(pasid, iova, buffer, at + done, lengths[part]!);
    if (fault !== undefined) return { ...fault, done: done + fault.done };
  }
  return undefined;
}

/**
 * As `moveAll`, of as many parts as come to the effort of a step. @returns the bytes moved, one at least; or
 * the fault.
 */
export function moveSome(
  port: MovingPort,
  pasid: number,
  ranges: Ranges,
  buffer: Uint8Array,
  at: number,
  write: boolean,
): number | DmaFault {
  return port.moveSome === undefined || ranges.count === 0
    ? (moveAll(port, pasid, ranges, buffer, at, write) ?? ranges.length)
    : port.moveSome(pasid, ranges, buffer, at, write);
}
