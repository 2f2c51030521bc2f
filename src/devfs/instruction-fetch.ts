/**
 * InstructionFetch: the instruction that a stopped thread stands at, out of its memory. Those that were
 * decoded are remembered by where they stood, and hold as long as the same bytes are there.
 */
import { Refusal } from '../linux/errno.js';
import { type Registers, Word } from '../linux/ptrace.js';
import { decode, type Instruction, MOST_BYTES } from './instruction.js';
import type { ProcessCaller } from './process-caller.js';
import type { TracedProcess } from './traced-process.js';

const PAGE = 4096;
/** The selector of 64-bit code. */
const CODE_64 = 0x33;
/** Instructions that are remembered. */
const MOST_KNOWN = 4096;

interface Known {
  readonly bytes: Uint8Array;
  readonly instruction: Instruction;
}

export class InstructionFetch {
  readonly #caller: ProcessCaller;
  readonly #registers: Registers;
  readonly #code = new Uint8Array(128);
  readonly #known = new Map<number, Known>();

  /** `caller` is the thread whose `registers` are loaded. */
  constructor(caller: ProcessCaller, registers: Registers) {
    this.#caller = caller;
    this.#registers = registers;
  }

  /**
   * The instruction that thread `tid`, whose registers are loaded, has stopped at; undefined when it is not
   * known. @throws Refusal EFAULT, ESRCH.
   */
  instruction(tid: number, process: TracedProcess): Instruction | undefined {
    if ((this.#registers.words[Word.CS]! & 0xffff) !== CODE_64) return undefined;
    const at = this.#registers.wide(Word.RIP);
    const known = this.#known.get(at);
    if (known !== undefined && process.has(tid, at, known.bytes)) return known.instruction;
    const length = this.#readCode(at);
    const instruction = decode(this.#code.slice(0, length));
    // Of what is none, nobody knows how many bytes make it so.
    if (instruction === undefined) return undefined;
    if (this.#known.size >= MOST_KNOWN) this.#known.clear();
    this.#known.set(at, { bytes: this.#code.slice(0, instruction.length), instruction });
    return instruction;
  }

  /** The same; undefined, too, when its memory cannot be read. */
  readable(tid: number, process: TracedProcess): Instruction | undefined {
    try {
      return this.instruction(tid, process);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return undefined;
    }
  }

  /**
   * Reads the instruction at `at`, which may end where memory does. @returns the bytes read. @throws Refusal
   * EFAULT, ESRCH.
   */
  #readCode(at: number): number {
    try {
      this.#caller.readMemory(at, this.#code.subarray(0, MOST_BYTES));
      return MOST_BYTES;
    } catch (error) {
      const inPage = PAGE - (at % PAGE);
      if (!(error instanceof Refusal) || inPage >= MOST_BYTES) throw error;
      this.#caller.readMemory(at, this.#code.subarray(0, inPage));
      return inPage;
    }
  }
}
