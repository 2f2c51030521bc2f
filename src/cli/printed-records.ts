/**
 * PrintedRecords: records as they are encoded, for those who print their events.
 *
 * Each is printed before the next is read: what is made of one is garbage then, and never grows old.
 */
import type { TraceEvent } from '../trace/event.js';
import type { DevicesOf } from '../trace/filter.js';
import { eventOf, type Raw, requestersIn } from '../trace/raw.js';
import { ByteReader } from '../trace/recording/bytes.js';
import { Decoder } from '../trace/recording/decoder.js';

/** Prints events, each as it is added, or when it is told to hand on what it has. */
export interface EventPrinter {
  /** @param devicesOf who has a requester id. */
  add(event: TraceEvent, devicesOf: DevicesOf): void;
  /** The last event, a call, comes once more. @returns false: it is to be added as any other. */
  again(): boolean;
  flush(): void;
  /** Nothing more comes. */
  end(): void;
}

export class PrintedRecords {
  readonly #printers: readonly EventPrinter[];
  readonly #decoder: Decoder;
  #devicesOf: DevicesOf | undefined;

  /** @param clean as of Decoder. */
  constructor(printers: readonly EventPrinter[], clean?: (text: string) => string) {
    this.#printers = printers;
    this.#decoder = new Decoder(clean);
  }

  /** Has the machine been told? Nothing is printed before. */
  get begun(): boolean {
    return this.#devicesOf !== undefined;
  }

  /** Prints whole records. @throws Refusal EINVAL a record is none. */
  add(records: Uint8Array): void {
    for (const from = new ByteReader(records); !from.ended; ) {
      const record = this.#decoder.next(from);
      if (record.kind === 'machine') this.#devicesOf = requestersIn([record]);
      else if (record.kind !== 'input' && this.#devicesOf !== undefined) this.#print(record, this.#devicesOf);
    }
  }

  flush(): void {
    for (const printer of this.#printers) printer.flush();
  }

  end(): void {
    for (const printer of this.#printers) printer.end();
  }

  #print(record: Raw, devicesOf: DevicesOf): void {
    let event: TraceEvent | undefined;
    for (const printer of this.#printers) {
      if (this.#decoder.again && printer.again()) continue;
      event ??= eventOf(record);
      printer.add(event, devicesOf);
    }
  }
}
