/** Memory on devices, as their models have it and programs that map it. */

const PAGE = 4096;
const MOST = 2 ** 30;

/** `length` bytes of memory, zeros. @throws Error when `length` is no multiple of 4096 up to 1 GiB. */
export function deviceMemory(length: number): Uint8Array {
  if (!Number.isInteger(length) || length < PAGE || length > MOST || length % PAGE !== 0)
    throw new RangeError(`${length} bytes of memory are no multiple of ${PAGE} up to ${MOST}`);
  return new Uint8Array(length);
}
