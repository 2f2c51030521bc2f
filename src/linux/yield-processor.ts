/** The processor is left to others for once, sched_yield(2): at once, when nobody waits for this one. */
import { libc } from './ffi.js';

const SYS_sched_yield = process.arch === 'x64' ? 24 : 124;

export function yieldProcessor(): void {
  libc().syscall(SYS_sched_yield, 0, 0, 0);
}
