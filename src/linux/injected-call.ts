/**
 * Injected calls: a stopped thread is made to do a system call, by an instruction for it that its memory has
 * (its vDSO, for one), and then stands where it stood.
 *
 * It is a single step, so signals wait. A system call that was interrupted by the stop goes on afterwards as
 * it would have: that is seen by the kernel in the registers, which are put back.
 */
import { refuse } from './errno.js';
import { Registers, SIGTRAP, step, Word } from './ptrace.js';

const ARGUMENTS = [Word.RDI, Word.RSI, Word.RDX, Word.R10, Word.R8, Word.R9] as const;
const before = new Registers();
const registers = new Registers();

/**
 * Thread `tid`, which is stopped, does system call `nr` with `args`, by the instruction at `instruction`.
 * @returns its result, or a negative errno. @throws Refusal ESRCH the thread is gone.
 */
export function injectedCall(tid: number, instruction: number, nr: number, args: readonly number[]): number {
  if (!before.load(tid)) refuse('ESRCH', `thread ${tid} is gone`);
  registers.words.set(before.words);
  registers.set(Word.RIP, instruction);
  registers.set(Word.RAX, nr);
  registers.set(Word.ORIG_RAX, -1);
  for (const [i, value] of args.entries()) registers.set(ARGUMENTS[i]!, value);
  registers.store(tid);
  const stopped = step(tid) === SIGTRAP && registers.load(tid);
  before.store(tid);
  return stopped ? registers.signed(Word.RAX) : refuse('ESRCH', `thread ${tid} does no system call`);
}
