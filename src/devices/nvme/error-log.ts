/**
 * The error information log (NVM Express Base 2.0 §5.16.1.2): what has gone wrong last, as the entries that a
 * driver reads, the newest first.
 */
export const ERROR_ENTRY_BYTES = 64;
export const ERROR_ENTRIES = 64;

/** What an error is about that no command has caused, or no place in it. */
export const NO_COMMAND = 0xffff;
const NO_PLACE = 0xffff;

export class ErrorLog {
  /** Errors since the controller was made. */
  count = 0;
  readonly #bytes = new Uint8Array(ERROR_ENTRIES * ERROR_ENTRY_BYTES);

  /** Remembers an error. @param statusField without the phase; 0 where there is no completion. */
  add(sqId: number, commandId: number, statusField: number, nsid: number, block: number): void {
    this.count++;
    this.#bytes.copyWithin(ERROR_ENTRY_BYTES, 0, (ERROR_ENTRIES - 1) * ERROR_ENTRY_BYTES);
    this.#bytes.fill(0, 0, ERROR_ENTRY_BYTES);
    const view = new DataView(this.#bytes.buffer);
    view.setUint32(0, this.count, true);
    view.setUint16(8, sqId, true);
    view.setUint16(10, commandId, true);
    view.setUint16(12, statusField << 1, true);
    view.setUint16(14, NO_PLACE, true);
    view.setBigUint64(16, BigInt(block), true);
    view.setUint32(24, nsid, true);
  }

  /** All entries; those that were never used are zeros. */
  page(): Uint8Array {
    return this.#bytes;
  }

  /** Errors are counted on, and those of the last driver are not the next one's to know. */
  reset(): void {
    this.#bytes.fill(0);
  }
}
