/**
 * TurnOrder: whether devices work, and calls go on in slices, in a turn of the loop.
 *
 * Both take up to some milliseconds, so nothing of it is done where requests wait (`hurried`), but that
 * devices begin what they have been given. And where memory of programs has let devices wait
 * (linux/access-cost.ts), calls do not go on in the same turn.
 *
 * Invariant: of two turns that are not hurried, one lets calls go on, however late the memory of devices is.
 */
import { keptByAccesses } from '../linux/access-cost.js';

export class TurnOrder {
  /** Have devices more to do, as they said last? */
  more = false;
  #late = false;

  /** A turn begins: `step` does the work of devices, and says whether there is more, unless it is to wait. */
  begin(hurried: boolean, step: () => boolean): void {
    if (this.#late) this.#late = hurried;
    else if (!hurried || !this.more) {
      const kept = keptByAccesses();
      this.more = step();
      this.#late = keptByAccesses() !== kept;
    }
  }

  /** May calls go on in this turn? */
  callsGoOn(hurried: boolean): boolean {
    return !hurried && !this.#late;
  }
}
