/**
 * VtdTable: a nested table whose first stage is in the format of Intel VT-d ("Intel Virtualization Technology
 * for Directed I/O", revision 4.1: 3.6 First-Stage Translation, 9.7 First-Stage Paging Entries): four levels
 * of 512 entries, which are those of a page table of x86-64.
 *
 * Requests of devices are never privileged here, so each entry on the way must be one for users; SRE and WPE,
 * which are about privileged requests, change nothing. Entries are marked as accessed when a walk goes
 * through them, the last one as accessed, or as written too, only when nothing refuses the access any more.
 * The tables of the last level that walks have reached are remembered (a paging-structure cache), until an
 * invalidation that is not for leaves only.
 */
import { type Access, RIGHTS, WRITE } from './access.js';
import type { DirtyLog } from './dirty-log.js';
import type { PageTable } from './page-table.js';
import { TWO_32 } from './table-memory.js';
import { hexPair, type Tables, TwoStageTable } from './two-stage-table.js';

/**
 * Bits of an IOVA that four levels translate. The highest is the sign, so that half of them need more bits
 * than IOVAs here have.
 */
export const VTD_ADDRESS_WIDTH = 48;
/** The bits of an IOVA's high half that are below the sign. */
const BITS_HI = VTD_ADDRESS_WIDTH - 1 - 32;

/** An entry's low half. */
const PRESENT = 1 << 0;
const WRITABLE = 1 << 1;
const USER = 1 << 2;
const ACCESSED = 1 << 5;
const DIRTY = 1 << 6;
const LARGE = 1 << 7;
const EXTENDED_ACCESSED = 1 << 10;
/** Its high half: bits 32 to 47 of an address, and those up to 51, which addresses here do not have. */
const ADDRESS_HI = 0xffff;
const RESERVED_HI = 0xf0000;

const TOP = 4;
/** Bytes that an entry of level 1 (leaf) .. 4 (top) covers. */
const SPAN = [0, 2 ** 12, 2 ** 21, 2 ** 30, 2 ** 39] as const;
/** Bits of a leaf's low half that are below its address, and must be 0: bit 12 is a memory type. */
const RESERVED_LO = [0, 0, 0x001fe000, 0x3fffe000] as const;

/**
 * Tables of the last level that are remembered, and what of each, in words: the IOVA's halves above bit 21;
 * the table's address in the second stage; the rights of the entries on the way; and where it can be read,
 * as TwoStageTable.pageOf says.
 */
const REMEMBERED = 512;
const TAG_LO = 1;
const TABLE_HI = 2;
const TABLE_LO = 3;
const ABOVE = 4;
const MEMORY = 5;
const BYTE_HI = 6;
const BYTE_LO = 7;

export interface VtdFirstStage {
  /**
   * Bits of the addresses that it says to translate. Only tables of VTD_ADDRESS_WIDTH can be walked: of
   * others no device gets an entry.
   */
  readonly addressWidth: number;
  /** Address of the topmost table; bits 0 to 11 are ignored. */
  readonly root: number;
  /** EAFE: entries are also marked in their bit 10. */
  readonly extendedAccess: boolean;
}

export class VtdTable extends TwoStageTable {
  readonly addressWidth: number;
  /** Address of the topmost table in the second stage. */
  readonly topmost: number;
  /** The bits by which a walk marks an entry as accessed. */
  readonly accessed: number;
  readonly #rootHi: number;
  readonly #rootLo: number;
  // The page's own entry, as `walk` has left it: the halves of its address, and its low half.
  #leafAtHi = 0;
  #leafAtLo = 0;
  #leaf = 0;
  // The tables of the last level that are remembered.
  readonly #known = new Int32Array(8 * REMEMBERED).fill(-1);

  constructor(
    iommu: Tables,
    parent: PageTable,
    { root, addressWidth, extendedAccess }: VtdFirstStage,
    log?: DirtyLog,
  ) {
    super(iommu, parent, log);
    this.addressWidth = addressWidth;
    this.topmost = root - (root % 4096);
    this.#rootHi = Math.floor(root / TWO_32);
    this.#rootLo = root & ~0xfff;
    this.accessed = extendedAccess ? ACCESSED | EXTENDED_ACCESSED : ACCESSED;
  }

  protected walk(hi: number, lo: number, access: Access): boolean {
    const place = placeOf(hi, lo);
    if (this.#known[place] === hi && this.#known[place | TAG_LO] === lo >>> 21)
      return this.#walkLast(place, lo, access);
    return this.#walkAll(hi, lo, access);
  }

  /** The walk from the topmost table on. */
  #walkAll(hi: number, lo: number, access: Access): boolean {
    if (hi >>> BITS_HI !== 0)
      return this.refuse(`bits ${VTD_ADDRESS_WIDTH - 1} to 63 of the iova are not all zeros`);
    let tableHi = this.#rootHi;
    let tableLo = this.#rootLo;
    let rights: Access = RIGHTS;
    for (let level = TOP; ; level--) {
      const at = tableLo | (8 * indexOf(hi, lo, level));
      if (!this.readEntry(tableHi, at) || !this.#usable(tableHi, at, level)) return false;
      const low = this.entry[0]!;
      const high = this.entry[1]!;
      if ((low & WRITABLE) === 0) rights &= ~WRITE;
      if (level === 1 || (low & LARGE) !== 0) return this.#found(tableHi, at, level, rights, access);
      if (!this.#mark(tableHi, at, this.accessed)) return false;
      tableHi = high & ADDRESS_HI;
      tableLo = low & ~0xfff;
      if (level === 2) this.#remember(hi, lo, tableHi, tableLo, rights);
    }
  }

  /** The end of a walk, whose table of the last level is known at `place`. */
  #walkLast(place: number, lo: number, access: Access): boolean {
    const known = this.#known;
    const index = (lo >>> 9) & 0xff8;
    const tableHi = known[place | TABLE_HI]!;
    const at = known[place | TABLE_LO]! | index;
    const memory = known[place | MEMORY]!;
    const read =
      memory >= 0 && this.readEntryIn(memory, known[place | BYTE_HI]!, known[place | BYTE_LO]! + index);
    if (!read && !this.readEntry(tableHi, at)) return false;
    if (!this.#usable(tableHi, at, 1)) return false;
    const above = known[place | ABOVE]!;
    return this.#found(tableHi, at, 1, (this.entry[0]! & WRITABLE) === 0 ? above & ~WRITE : above, access);
  }

  protected use(access: Access): Access {
    const write = (access & WRITE) !== 0;
    // `entry` is still the page's own: only the second stage was asked since.
    if (!this.#mark(this.#leafAtHi, this.#leafAtLo, write ? this.accessed | DIRTY : this.accessed)) return 0;
    // Kept without the right to write while the entry does not say that the page was written: the first write
    // must come here.
    return this.#leaf & DIRTY || write ? this.rights : this.rights & ~WRITE;
  }

  protected forgetTables(): void {
    this.#known.fill(-1);
  }

  /** May a walk use `entry`, which was read at (hi, lo)? */
  #usable(hi: number, lo: number, level: number): boolean {
    const low = this.entry[0]!;
    if ((low & PRESENT) === 0) return this.refuse(`${entryName(hi, lo, level)} is not present`);
    if (this.#reserved(low, level)) return this.refuse(`${entryName(hi, lo, level)} has a reserved bit set`);
    if ((low & USER) === 0) return this.refuse(`${entryName(hi, lo, level)} is for privileged requests only`);
    return true;
  }

  #reserved(low: number, level: number): boolean {
    if ((this.entry[1]! & RESERVED_HI) !== 0) return true;
    if (level === 1 || (low & LARGE) === 0) return false;
    return level === TOP || (low & RESERVED_LO[level]!) !== 0;
  }

  /** `entry`, at (hi, lo), is that of the page. */
  #found(hi: number, lo: number, level: number, rights: Access, access: Access): boolean {
    if ((rights & access) !== access)
      return this.refuse(
        `the first stage does not give the right to write, as ${entryName(hi, lo, level)} shows`,
      );
    const size = SPAN[level]!;
    this.pageHi = this.entry[1]! & ADDRESS_HI;
    this.pageLo = this.entry[0]! & -size;
    this.size = size;
    this.rights = rights;
    this.#leafAtHi = hi;
    this.#leafAtLo = lo;
    this.#leaf = this.entry[0]!;
    return true;
  }

  /** Sets `bits` of `entry`, in memory too, where they are not set. */
  #mark(hi: number, lo: number, bits: number): boolean {
    const missing = bits & ~this.entry[0]!;
    this.entry[0]! |= missing;
    if (missing & 0xff && !this.writeEntry(hi, lo, 0)) return false;
    return (missing & 0xff00) === 0 || this.writeEntry(hi, lo, 1);
  }

  #remember(hi: number, lo: number, tableHi: number, tableLo: number, rights: Access): void {
    const known = this.#known;
    const place = placeOf(hi, lo);
    known[place] = hi;
    known[place | TAG_LO] = lo >>> 21;
    known[place | TABLE_HI] = tableHi;
    known[place | TABLE_LO] = tableLo;
    known[place | ABOVE] = rights;
    known[place | MEMORY] = this.pageOf(tableHi, tableLo);
    known[place | BYTE_HI] = this.byteHi;
    known[place | BYTE_LO] = this.byteLo;
  }
}

/** Where the table of the last level for IOVA (hi, lo) is remembered. */
function placeOf(hi: number, lo: number): number {
  return ((hi ^ (lo >>> 21)) & (REMEMBERED - 1)) << 3;
}

/** Which entry of a table of `level` is for IOVA (hi, lo). */
function indexOf(hi: number, lo: number, level: number): number {
  if (level === 1) return (lo >>> 12) & 511;
  if (level === 2) return (lo >>> 21) & 511;
  return level === 3 ? ((hi & 127) << 2) | (lo >>> 30) : (hi >>> 7) & 511;
}

function entryName(hi: number, lo: number, level: number): string {
  return `the entry at ${hexPair(hi, lo)}, of level ${level} of the first stage,`;
}
