/**
 * Benchmark `nested`: one random IOVA, looked up through a first stage in guest memory and the second that it
 * is nested in, to the byte of the memory that it leads to, against a walk of both stages in C
 * (bench/nested.c), which has no IOTLB.
 *
 * Two mixes of queries: nine of ten go to 64 pages, as those of a device with rings and buffers do; and all
 * at random, where an IOTLB is of no use.
 */
import { Iommu, READ, WRITE } from '../iommu/iommu.js';
import { BufferMemory } from '../iommu/memory.js';
import { TWO_32 } from '../iommu/table-memory.js';
import { VTD_ADDRESS_WIDTH, VtdTable } from '../iommu/vtd-table.js';
import type { Row } from './row.js';
import { measured, PASID, prepare, sumOfOffsets } from './translate.js';
import { Random, Regions } from './workload.js';

const QUERIES = 1 << 20;
const PAGE = 4096;
const HOT = 64;
/** What is expected with 1,024 regions: where a tenth of the queries walks, and where nearly all do. */
const EXPECTED_HOT = 1.2;
const EXPECTED_RANDOM = 2.5;
/** Where the second stage has the data; tables are from 0 on. */
const DATA = 2 ** 40;
/** Present, writable, for users, accessed, dirty: as Linux's driver makes its entries. */
const FLAGS = 0x67;

export function nested(quick: boolean): Row[] {
  return (quick ? [16, 1024] : [16, 1024, 65_536]).flatMap((count) =>
    [HOT, 0].map((hot) => ({
      name: `nested, ${count} regions, ${hot > 0 ? 'nine of ten hot' : 'at random'}`,
      maxRatio: count !== 1024 ? undefined : hot > 0 ? EXPECTED_HOT : EXPECTED_RANDOM,
      rounds: 11,
      begin: (references) => {
        const queries = new Queries(new Guest(count), hot);
        return {
          pass: () => queries.pass(),
          reference: () => references.start('nested', count, QUERIES, hot),
        };
      },
    })),
  );
}

/** An IOMMU with a nested table that maps `count` regions to data addresses one after the other. */
class Guest {
  readonly iommu = new Iommu();
  readonly requester = this.iommu.requester('0000:6a:01.0');
  readonly random = new Random();
  readonly regions: Regions;
  /** The data's address of each region. */
  readonly start: Float64Array;
  readonly #memory: BufferMemory;
  readonly #words: Uint32Array;
  #used = PAGE;

  constructor(count: number) {
    this.regions = new Regions(count, this.random);
    const last = (this.regions.iova[count - 1]! + this.regions.length[count - 1]!) / PAGE;
    this.#memory = new BufferMemory(
      new Uint8Array((Math.floor(last / 512) + Math.floor(last / 262_144) + 16) * PAGE),
    );
    this.#words = new Uint32Array(this.#memory.bytes.buffer);
    this.start = this.#mapRegions();
    const parent = this.iommu.pageTable();
    const map = (address: number, length: number, memory: BufferMemory, offset: number) =>
      parent.map(
        BigInt(address),
        BigInt(length),
        this.iommu.memories.acquire(memory),
        BigInt(offset),
        READ | WRITE,
      );
    map(0, this.#used, this.#memory, 0);
    // The byte that an address leads to has the same number, so that both sides have the same sums.
    map(
      DATA,
      this.start[count - 1]! + this.regions.length[count - 1]! - DATA,
      new BufferMemory(new Uint8Array(0)),
      DATA,
    );
    this.requester.grant(
      PASID,
      new VtdTable(this.iommu, parent, { root: 0, addressWidth: VTD_ADDRESS_WIDTH, extendedAccess: false }),
    );
  }

  #mapRegions(): Float64Array {
    const start = new Float64Array(this.regions.count);
    let address = DATA;
    for (let i = 0; i < this.regions.count; i++) {
      start[i] = address;
      for (let offset = 0; offset < this.regions.length[i]!; offset += PAGE)
        this.#mapPage(this.regions.iova[i]! + offset, address + offset);
      address += this.regions.length[i]!;
    }
    return start;
  }

  #mapPage(iova: number, address: number): void {
    let table = 0;
    for (const span of [2 ** 39, 2 ** 30, 2 ** 21])
      table = this.#nextTable(table / 4 + 2 * (Math.floor(iova / span) % 512));
    this.#set(table / 4 + 2 * ((iova / PAGE) % 512), address);
  }

  #nextTable(word: number): number {
    if (this.#words[word] === 0) {
      this.#set(word, this.#used);
      this.#used += PAGE;
    }
    return this.#words[word]! - FLAGS;
  }

  #set(word: number, address: number): void {
    this.#words[word] = address + FLAGS;
    this.#words[word + 1] = Math.floor(address / TWO_32);
  }
}

/** Queries to a guest's regions, nine of ten to `hot` pages when that is not 0. */
class Queries {
  readonly #guest: Guest;
  readonly #hi = new Int32Array(QUERIES);
  readonly #lo = new Int32Array(QUERIES);
  #sum = 0;

  constructor(guest: Guest, hot: number) {
    this.#guest = guest;
    const { regions, start } = guest;
    // The reference begins anew for each mix.
    const random = new Random();
    new Regions(regions.count, random);
    const pages = Array.from({ length: hot }, () => {
      const at = random.next() % regions.count;
      return { at, offset: (random.next() % (regions.length[at]! / PAGE)) * PAGE };
    });
    for (let i = 0; i < QUERIES; i++) {
      let at: number;
      let offset: number;
      if (hot > 0 && random.next() % 10 !== 0) {
        const page = pages[random.next() % hot]!;
        at = page.at;
        offset = page.offset + (random.next() % PAGE);
      } else {
        at = random.next() % regions.count;
        offset = random.next() % regions.length[at]!;
      }
      const iova = regions.iova[at]! + offset;
      this.#hi[i] = Math.floor(iova / TWO_32);
      this.#lo[i] = iova >>> 0;
      this.#sum = (this.#sum + ((start[at]! + offset) >>> 0)) | 0;
    }
  }

  /** Nanoseconds of one lookup. */
  pass(): number {
    const { requester } = this.#guest;
    prepare(this.#hi, this.#lo);
    return measured(this.#sum, () => sumOfOffsets(requester));
  }
}
