/** A copy of bytes [from, to), also of a Buffer, whose own `slice` is a view. */
export function copied(bytes: Uint8Array, from = 0, to = bytes.length): Uint8Array<ArrayBuffer> {
  return Uint8Array.prototype.slice.call(bytes, from, to) as Uint8Array<ArrayBuffer>;
}
