/**
 * Wires: what joins two devices of a machine, or one and the world outside, by name: a network cable, a
 * serial line. A wire has two ends; what one sends, the other receives, in order.
 *
 * Each end keeps the frames that it has not taken yet in a ring of bytes of fixed size: when that is full,
 * what comes is lost, as on a real network. Nobody is called: an end that has frames says so.
 */
import { WatchedLog } from '../iommu/event-log.js';
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
    if (this.#peer?.isUp === true) this.#peer.arrive(frame, length, note);
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

  /** The other end has sent frame[0..length), which is lost where there is no room for it. */
  protected arrive(frame: Uint8Array, length: number, note: number): void {
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

/** Something that has happened at an end of the world outside. */
export interface LinkEvent {
  /** Its number among those ends, from 0. */
  readonly link: number;
  /**
   * Somebody is there now, or nobody; a frame came from there, was taken there, or all were dropped; a frame
   * of the device's arrived there.
   */
  readonly what: 'up' | 'down' | 'in' | 'taken' | 'dropped' | 'out';
  /** Of a frame that came or arrived. */
  readonly note?: number;
  readonly bytes?: Uint8Array;
}

/** The end of a wire for the world outside: what comes from there, and goes there, is logged. */
export class OutsideEnd extends WireEnd {
  /** Of the link. */
  readonly name: string;
  readonly #number: number;
  readonly #log: WatchedLog<LinkEvent>;
  /** Times that it has come or gone. */
  turns = 0;

  /** Made by Wires.outside. @internal */
  constructor(name: string, number: number, log: WatchedLog<LinkEvent>) {
    super();
    this.name = name;
    this.#number = number;
    this.#log = log;
    super.isUp = false;
  }

  override get isUp(): boolean {
    return super.isUp;
  }

  override set isUp(value: boolean) {
    if (value === super.isUp) return;
    this.turns++;
    this.#note(value ? 'up' : 'down');
    super.isUp = value;
  }

  override send(frame: Uint8Array, length = frame.length, note = 0): void {
    this.#noteFrame('in', frame, length, note);
    super.send(frame, length, note);
  }

  override shift(): void {
    this.#note('taken');
    super.shift();
  }

  override clear(): void {
    if (this.waiting) this.#note('dropped');
    super.clear();
  }

  protected override arrive(frame: Uint8Array, length: number, note: number): void {
    this.#noteFrame('out', frame, length, note);
    super.arrive(frame, length, note);
  }

  #note(what: LinkEvent['what']): void {
    if (this.#log.on) this.#log.record({ link: this.#number, what });
  }

  #noteFrame(what: 'in' | 'out', frame: Uint8Array, length: number, note: number): void {
    if (!this.#log.on) return;
    const bytes = new Uint8Array(frame.subarray(0, length));
    this.#log.record({ link: this.#number, what, note, bytes });
  }
}

/** Events that are kept for who looks at them. */
const KEPT = 1 << 14;

/** The links of a machine, by name. */
export class Wires {
  /** What happens at the ends of the world outside, while somebody looks. @internal */
  readonly log = new WatchedLog<LinkEvent>(KEPT);
  /** Those ends, in the order in which they were asked for. @internal */
  readonly outsides: OutsideEnd[] = [];
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
  outside(name: string): OutsideEnd {
    const devices = this.#ends.get(name)?.length ?? 0;
    if (devices !== 1)
      refuse('EINVAL', `${devices} devices have link "${name}", and a link to the outside is for one`);
    const end = new OutsideEnd(name, this.outsides.length, this.log);
    this.outsides.push(end);
    return this.#add(name, end);
  }

  #add<T extends WireEnd>(name: string, end: T): T {
    const ends = [...(this.#ends.get(name) ?? []), end];
    if (ends.length === 2) WireEnd.join(ends[0]!, end);
    this.#ends.set(name, ends);
    return end;
  }
}
