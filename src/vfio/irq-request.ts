/** SET_IRQS, decoded, and the interrupt indices that it names. */

/** Interrupt indices of a PCI device (`<linux/vfio.h>`, VFIO_PCI_*_IRQ_INDEX). */
export const INTX = 0;
export const MSI = 1;
export const MSIX = 2;
export const ERR = 3;
export const REQ = 4;
export const NUM_IRQS = 5;

/**
 * What SET_IRQS carries: nothing, a flag a vector, or a descriptor of an eventfd a vector (negative: none).
 */
export type IrqData =
  | { readonly kind: 'none' }
  | { readonly kind: 'bool'; readonly bools: Uint8Array }
  | { readonly kind: 'eventfd'; readonly fds: Int32Array };

/** One SET_IRQS: vectors [start, start + count) of `index`, which has as many. */
export interface IrqRequest {
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly action: 'mask' | 'unmask' | 'trigger';
  readonly data: IrqData;
}

/** Does it take everything away that its kind of interrupt has? */
export function disables({ action, count, data }: IrqRequest): boolean {
  return action === 'trigger' && count === 0 && data.kind === 'none';
}
