/**
 * The order of our accesses to memory that another processor looks at.
 *
 * A ring is shared with a driver that runs at the same time. What one side publishes (an index, a flag) must
 * not be seen before what it stands for, and whoever has published must see what the other side has written
 * since before it decides to stay silent (virtio 1.3 §2.7.13, §2.7.13.4.1). DMA ends in plain copies, which
 * promise neither.
 */
const cell = new Int32Array(new SharedArrayBuffer(4));

/** All our accesses before it happen before all those after it: an atomic exchange is a full barrier. */
export function fence(): void {
  Atomics.exchange(cell, 0, 0);
}
