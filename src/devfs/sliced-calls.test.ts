/**
 * Nobody can tell a call in slices from one that is done at once: the same calls, once in turns whose slices
 * end anywhere, and once each to its end in the order in which they came, have the same results and leave the
 * same mappings.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InProcess } from '../client/in-process.js';
import type { OpenFile } from '../file/open-file.js';
import { finished, isWork, type Work } from '../file/work.js';
import { Refusal } from '../linux/errno.js';
import { Machine } from '../machine/machine.js';
import { ioctlNumber, nativeIoctls } from '../uapi/ioasid.js';
import { getU32 } from '../uapi/struct.js';
import { usedBy } from './file-requests.js';
import { Turns } from './turns.js';

const PAGE = 4096;
/** Mappings that each PASID begins with: more than is done in one piece of work. */
const MAPPINGS = 150;
const CONTEXTS = 2;
const PASIDS = 2;

const call = fc.record({
  context: fc.nat(CONTEXTS - 1),
  name: fc.constantFrom('IOASID_COPY' as const, 'IOASID_UNMAP' as const, 'IOASID_GET_INFO' as const),
  pasids: fc.tuple(fc.nat(PASIDS - 1), fc.nat(PASIDS - 1)),
  at: fc.tuple(fc.nat(2 * MAPPINGS), fc.nat(2 * MAPPINGS)),
  pages: fc.integer({ min: 1, max: MAPPINGS }),
  /** Turns before it comes, and pieces of work in each of its slices. */
  turnsBefore: fc.nat(3),
  pieces: fc.integer({ min: 1, max: 3 }),
});
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

type Name = 'IOASID_ALLOC' | 'IOASID_MAP_FILE' | Call['name'];

/** A machine, and a process on it with contexts that have PASIDs with mappings. */
class Side {
  readonly machine: Machine;
  /** By the number of the call: its struct, or its errno. */
  readonly results: string[] = [];
  readonly #turns = new Turns();
  readonly #program: InProcess;
  /** Where structs are, for the check that they can be written. */
  readonly #arg: number;
  readonly #files: OpenFile[] = [];
  readonly #pasids: number[][] = [];

  constructor(machine: Machine) {
    this.machine = machine;
    this.#program = new InProcess(machine, { run: false });
    this.#arg = this.#program.allocate(PAGE).address;
    const { fd } = this.#program.createMemfd(PAGE);
    for (let n = 0; n < CONTEXTS; n++) {
      const file = machine.nodes.find(({ path }) => path === 'ioasid')!.open(this.#program);
      this.#files.push(file);
      this.#pasids.push([]);
      for (let m = 0; m < PASIDS; m++) {
        const data = this.#atOnce(file, 'IOASID_ALLOC', {});
        const pasid = getU32(data, nativeIoctls.IOASID_ALLOC.struct.at.pasid);
        this.#pasids[n]!.push(pasid);
        for (let page = 0; page < MAPPINGS; page++)
          this.#atOnce(file, 'IOASID_MAP_FILE', {
            flags: 7,
            pasid,
            fd,
            length: PAGE,
            iova: (page + 1) * PAGE,
          });
      }
    }
  }

  /** The call comes. `pieces` are done in each slice; infinitely many: it is done at once. */
  arrive(number: number, given: Call, pieces: number): void {
    const file = this.#files[given.context]!;
    const objects = usedBy(file, 'ioctl');
    const begin = () => this.#begin(number, file, objects, given, pieces);
    if (this.#turns.claimed(objects)) this.#turns.wait(objects, begin);
    else begin();
  }

  step(): boolean {
    return this.#turns.step();
  }

  /** What is mapped, without what only this machine knows. */
  get mappings(): unknown {
    const listed = this.machine.snapshot().contexts.flatMap(({ pasids }) => pasids);
    return listed.map(({ pasid, mappings }) => [pasid, mappings.map(({ iova, length }) => [iova, length])]);
  }

  #begin(number: number, file: OpenFile, objects: readonly object[], call: Call, pieces: number): void {
    const data = this.#struct(call);
    let work: Work<number> | undefined;
    const proceed = () => {
      try {
        const result =
          work ?? file.ioctl(this.#program, { cmd: ioctlNumber(call.name), arg: this.#arg, data });
        if (!isWork(result)) return this.#ended(number, data);
        work = result;
        for (let n = 0; n < pieces; n++) if (work.next().done) return this.#ended(number, data);
        return false;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        this.results[number] = error.message;
        return true;
      }
    };
    if (!proceed()) this.#turns.goOn(this, objects, proceed);
  }

  #ended(number: number, data: Uint8Array): true {
    this.results[number] = Buffer.from(data).toString('hex');
    return true;
  }

  #struct({ name, context, pasids: [to, from], at: [there, here], pages }: Call): Uint8Array {
    const [dst_pasid, src_pasid] = [this.#pasids[context]![to]!, this.#pasids[context]![from]!];
    const length = pages * PAGE;
    const [dst_iova, src_iova] = [(there + 1) * PAGE, (here + 1) * PAGE];
    const copy = { flags: 7, dst_pasid, src_pasid, length, dst_iova, src_iova };
    if (name === 'IOASID_COPY') return encoded(name, copy);
    return encoded(name, name === 'IOASID_UNMAP' ? { pasid: dst_pasid, iova: dst_iova, length } : {});
  }

  #atOnce(file: OpenFile, name: Name, given: Record<string, number>): Uint8Array {
    const data = encoded(name, given);
    finished(file.ioctl(this.#program, { cmd: ioctlNumber(name), arg: this.#arg, data }));
    return data;
  }
}

function encoded(name: Name, given: Record<string, number>): Uint8Array {
  const { struct } = nativeIoctls[name];
  return struct.encode({ size: struct.size, ...given });
}

test('calls in slices that end anywhere have the results of calls that are done at once', async () => {
  const arrivals = fc.array(call, { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(arrivals, async (calls) => {
      const [sliced, whole] = [
        new Side(await Machine.create({ devices: ['dsa'] })),
        new Side(await Machine.create({ devices: ['dsa'] })),
      ];
      for (const [number, each] of calls.entries()) {
        for (let turn = 0; turn < each.turnsBefore; turn++) sliced.step();
        sliced.arrive(number, each, each.pieces);
        whole.arrive(number, each, Number.POSITIVE_INFINITY);
      }
      while (sliced.step());
      assert.deepEqual(sliced.results, whole.results);
      assert.deepEqual(sliced.mappings, whole.mappings);
    }),
    { numRuns: 60 },
  );
});
