/** Links to the world outside: what came from there comes again, and nobody is there. */
import type { Machine } from '../machine/machine.js';
import { Ask, type Asked } from '../trace/input.js';
import type { RecordedOutside } from '../trace/raw.js';
import type { Answers } from './answers.js';
import { CannotReplay } from './cannot-replay.js';

/** More than a link has room for. */
const MOST_FRAME = 1 << 20;

/** Joins the links of `machine` to ends outside, as they were. @throws Refusal no device has one. */
export function joinLinks({ wires }: Machine, { links }: RecordedOutside): void {
  for (const { name, turns } of links) {
    const end = wires.outside(name);
    for (let n = 0; n < turns; n++) end.isUp = !end.isUp;
  }
}

/** Something happens at a link. @throws CannotReplay there is no such link. */
export function happenAtLink({ wires }: Machine, { what, of, answer, bytes }: Asked, answers: Answers): void {
  const [link, note, length = 0] = of;
  const end = wires.outsides[link!];
  if (end === undefined)
    throw new CannotReplay(`the recording has something of link ${link}, which is not there`);
  if (what === Ask.LINK_UP) end.isUp = answer[0] === 1;
  else if (what === Ask.LINK_IN) {
    if (bytes?.length !== length) answers.missContent();
    end.send(frameOf(length, bytes), length, note);
  } else if (answer[0] === 0) end.clear();
  else if (end.waiting) end.shift();
}

/** A frame of `length` bytes, with those that are known. @throws CannotReplay no frame is so long. */
function frameOf(length: number, bytes: Uint8Array | undefined): Uint8Array {
  if (bytes?.length === length) return bytes;
  if (!(length >= 0 && length <= MOST_FRAME))
    throw new CannotReplay(`the recording has a frame of ${length} bytes`);
  return new Uint8Array(length);
}
