/**
 * Wires: what joins two devices of a machine, or one and the world outside, by name: a network cable, a
 * serial line. A wire has two ends; what one sends, the other receives, in order.
 *
 * Each end keeps the frames that it has not taken yet in a ring of bytes of fixed size: when that is full,
 * what comes is lost, as on a real network. Nobody is called: an end that has frames says so.
 */
import { refuse } from '../linux/errno.js';
import type { Link } from './device-model.js';

/** Bytes that wait at one end. */
const RING_BYTES = 1 << 20;
/** Before each frame: its length, and a number that its sender chose. */
const HEADER_BYTES = 8;

/** One end of a wire, as a device has it. */
export class WireEnd implements Link {
  /** Frames that were lost because nobody took them in time. */
  lost = 0;
  /** Times that what is at the other end has come or gone. */
  changes = 0;
  readonly #ring = new Uint8Array(RING_BYTES);
  readonly #header = new Uint32Array(2);
  readonly #headerBytes = new Uint8Array(this.#header.buffer);
  #head = 0;
  #waiting = 0;
  #peer: WireEnd | undefined;
  #isUp = true;

  /** Joins two ends; an end may be joined to itself. */
  static join(one: WireEnd, other: WireEnd): void {
    one.#peer = other;
    other.#peer = one;
  }

  /** Are there frames to take? */
  get waiting(): boolean {
    return this.#waiting > 0;
  }

  /** Is somebody at the other end? */
  get joined(): boolean {
    return this.#peer?.isUp === true;
  }

  /** Whether this end leads anywhere: that of the world outside does not at all times. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** Counted as a change by the other end. */
  set isUp(value: boolean) {
    if (value === this.#isUp) return;
    this.#isUp = value;
    if (this.#peer !== undefined) this.#peer.changes++;
  }

  /** The longest frame that the other end has room for; 0 where nobody is there. */
  get room(): number {
    return this.#peer?.isUp === true ? Math.max(0, RING_BYTES - HEADER_BYTES - this.#peer.#waiting) : 0;
  }

  /** Sends frame[0..length) with a number for the receiver. Without anybody at the other end it is lost. */
  send(frame: Uint8Array, length = frame.length, note = 0): void {
    if (this.#peer?.isUp === true) this.#peer.#arrive(frame, length, note);
    else this.lost++;
  }

  /** The length of the next frame; 0 when there is none. */
  get next(): number {
    if (this.#waiting === 0) return 0;
    this.#copyOut(0, this.#headerBytes, HEADER_BYTES);
    return this.#header[0]!;
  }

  /** The number that came with the next frame. */
  get note(): number {
    this.#copyOut(0, this.#headerBytes, HEADER_BYTES);
    return this.#header[1]!;
  }

  receive(): Uint8Array | undefined {
    if (this.#waiting === 0) return undefined;
    const frame = new Uint8Array(this.next);
    this.peek(frame, frame.length);
    this.shift();
    return frame;
  }

  /** Copies the first `length` bytes of the next frame to target[to..), and leaves it there. */
  peek(target: Uint8Array, length: number, to = 0): void {
    this.#copyOut(HEADER_BYTES, target, length, to);
  }

  /** Drops the next frame. */
  shift(): void {
    const bytes = HEADER_BYTES + this.next;
    this.#head = (this.#head + bytes) % RING_BYTES;
    this.#waiting -= bytes;
  }

  /** Drops all. */
  clear(): void {
    this.#head = this.#waiting = 0;
  }

  #arrive(frame: Uint8Array, length: number, note: number): void {
    if (this.#waiting + HEADER_BYTES + length > RING_BYTES) {
      this.lost++;
      return;
    }
    this.#header[0] = length;
    this.#header[1] = note;
    this.#copyIn(this.#waiting, this.#headerBytes, HEADER_BYTES);
    this.#copyIn(this.#waiting + HEADER_BYTES, frame, length);
    this.#waiting += HEADER_BYTES + length;
  }

  /** Copies source[0..length) behind the first `offset` bytes that wait. */
  #copyIn(offset: number, source: Uint8Array, length: number): void {
    const at = (this.#head + offset) % RING_BYTES;
    const first = Math.min(length, RING_BYTES - at);
    this.#ring.set(source.subarray(0, first), at);
    if (first < length) this.#ring.set(source.subarray(first, length), 0);
  }

  #copyOut(offset: number, target: Uint8Array, length: number, to = 0): void {
    const at = (this.#head + offset) % RING_BYTES;
    const first = Math.min(length, RING_BYTES - at);
    target.set(this.#ring.subarray(at, at + first), to);
    if (first < length) target.set(this.#ring.subarray(0, length - first), to + first);
  }
}

/** The links of a machine, by name. */
export class Wires {
  readonly #ends = new Map<string, WireEnd[]>();

  /** As DeviceHost.link. */
  link(name: string | undefined): WireEnd {
    return name === undefined ? this.loop() : this.end(name);
  }

  /** An end that is joined to itself. */
  loop(): WireEnd {
    const end = new WireEnd();
    WireEnd.join(end, end);
    return end;
  }

  /** The next end of the wire called `name`. @throws Refusal EBUSY both are taken. */
  end(name: string): WireEnd {
    if (this.#ends.get(name)?.length === 2)
      refuse('EBUSY', `two devices have link "${name}" already, and a wire has two ends`);
    return this.#add(name, new WireEnd());
  }

  /**
   * The other end of the wire called `name`, for the world outside, which is not there yet. @throws Refusal
   * EINVAL no device has this link, or two have it already.
   */
  outside(name: string): WireEnd {
    const devices = this.#ends.get(name)?.length ?? 0;
    if (devices !== 1)
      refuse('EINVAL', `${devices} devices have link "${name}", and a link to the outside is for one`);
    const end = new WireEnd();
    end.isUp = false;
    return this.#add(name, end);
  }

  #add(name: string, end: WireEnd): WireEnd {
    const ends = [...(this.#ends.get(name) ?? []), end];
    if (ends.length === 2) WireEnd.join(ends[0]!, end);
    this.#ends.set(name, ends);
    return end;
  }
}
