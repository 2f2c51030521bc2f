/** The processor is left to others for once, sched_yield(2): at once, when nobody waits for this one. */
import { libc } from './ffi.js';

export function yieldProcessor(): void {
  libc().sched_yield();
}
