/**
 * ReplayedDisks: what the devices of a recorded machine had from outside of it: disks that answer as their
 * files did, and the random numbers that were drawn. There is no file.
 */
import type { Ended, Job, Medium } from '../devices/medium.js';
import type { Supply } from '../devices/outside.js';
import { jobNumbers } from '../trace/disk-asked.js';
import { Ask, type Asked } from '../trace/input.js';
import type { RecordedOutside } from '../trace/raw.js';
import type { Answers } from './answers.js';
import { CannotReplay } from './cannot-replay.js';

interface Begun {
  readonly job: Job;
  readonly ended: Ended;
}

class ReplayedMedium implements Medium {
  readonly path: string;
  readonly size: number;
  readonly writable: boolean;
  readonly #number: number;
  readonly #answers: Answers;
  /** Jobs that have not ended, by their numbers. */
  readonly #begun = new Map<number, Begun>();

  /** @param number of the disk. */
  constructor(
    { path, size }: { path: string; size: number },
    writable: boolean,
    number: number,
    answers: Answers,
  ) {
    this.path = path;
    this.size = size;
    this.writable = writable;
    this.#number = number;
    this.#answers = answers;
  }

  begin(job: Job, number: number, _mayNow: boolean, ended: Ended): boolean {
    const asked = this.#asked(Ask.DISK_START, job);
    if (asked?.answer[0] === 1) return true;
    this.#begun.set(number, { job, ended });
    return false;
  }

  run(job: Job): string | undefined {
    const asked = this.#asked(Ask.DISK_RUN, job);
    return asked === undefined ? 'the recording has no such job' : asked.text;
  }

  /** Job `number` ends as it did. @throws CannotReplay it was not begun. */
  end(number: number, asked: Asked): void {
    const begun = this.#begun.get(number);
    if (begun === undefined)
      throw new CannotReplay(`job ${number} of "${this.path}" ends in the recording, and was not begun`);
    this.#begun.delete(number);
    this.#fill(begun.job, asked);
    begun.ended(asked.text);
  }

  #asked(what: typeof Ask.DISK_START | typeof Ask.DISK_RUN, job: Job): Asked | undefined {
    const { kind, offset, length } = job;
    const asked = this.#answers.next(what, jobNumbers(this.#number, kind, offset, length));
    if (asked !== undefined) this.#fill(job, asked);
    return asked;
  }

  /** The bytes that were read. */
  #fill({ kind, buffer, length }: Job, { bytes }: Asked): void {
    if (kind !== 'read' || bytes === undefined) return;
    if (bytes.length < length) {
      this.#answers.missContent();
      buffer.fill(0, 0, length);
    }
    buffer.set(bytes.subarray(0, length));
  }
}

export class ReplayedDisks implements Supply {
  readonly #recorded: RecordedOutside;
  readonly #answers: Answers;
  readonly #media: ReplayedMedium[] = [];
  #drawn = 0;

  constructor(recorded: RecordedOutside, answers: Answers) {
    this.#recorded = recorded;
    this.#answers = answers;
  }

  /** @throws CannotReplay there was none. */
  medium(path: string, writable: boolean): Medium {
    const number = this.#media.length;
    const recorded = this.#recorded.disks[number];
    if (recorded === undefined) throw new CannotReplay(`the recording has no disk for "${path}"`);
    const medium = new ReplayedMedium(recorded, writable, number, this.#answers);
    this.#media.push(medium);
    return medium;
  }

  /** @throws CannotReplay there were none, or not so many. */
  random(length: number): Uint8Array {
    const bytes = Buffer.from(this.#recorded.random[this.#drawn++] ?? '', 'hex');
    if (bytes.length !== length)
      throw new CannotReplay(`the recording has not the ${length} random bytes that a device asks for`);
    return new Uint8Array(bytes);
  }

  /** A job ends. @throws CannotReplay there is none. */
  end(asked: Asked): void {
    const [disk, job] = asked.of;
    const medium = this.#media[disk!];
    if (medium === undefined)
      throw new CannotReplay(`the recording has a job of disk ${disk}, which is not there`);
    medium.end(job!, asked);
  }
}
