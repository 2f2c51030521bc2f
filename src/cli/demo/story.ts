/**
 * The story: the rules of the model as eight steps, the same in every world. Each step says what it does,
 * what is refused and why, and checks what must be.
 */
import { accessAfter, handedOver, mdevsOfOneVm, noAccessBefore, numberIsNothing } from './access-steps.js';
import { type Cast, makeCast } from './cast.js';
import { eitherFirst, killed, revokeWhileRunning } from './lifetime-steps.js';
import type { Report } from './report.js';
import { Stage } from './stage.js';
import type { World } from './world.js';

type Step = (stage: Stage, cast: Cast) => Promise<void>;

/** In this order: each begins where the one before ended. */
export const storySteps: readonly (readonly [title: string, step: Step])[] = [
  ['No access before authorization', noAccessBefore],
  ['Access after, and only to what is mapped', accessAfter],
  ['The number of a PASID is worth nothing without its FD', numberIsNothing],
  ['An FD that is handed over is worth everything', handedOver],
  ['Two mdevs of one VM cannot reach each other', mdevsOfOneVm],
  ['Revoke during a running DMA', revokeWhileRunning],
  ['Either FD may be closed first', eitherFirst],
  ['The owner is killed', killed],
];

/** Milliseconds in which a server has long noticed that a file was closed. */
const PATIENCE = 10_000;

/** Tells it, and ends the world. @returns whether all was as it must be. */
export async function tell(world: World, report: Report, patience = PATIENCE): Promise<boolean> {
  const stage = new Stage(world, report, patience);
  try {
    await opening(stage);
    const cast = await makeCast(world);
    for (const [title, step] of storySteps) {
      report.step(title);
      await step(stage, cast);
    }
  } catch (error) {
    report.broken(error as Error);
  } finally {
    await world.close();
  }
  report.end();
  return report.failures === 0;
}

async function opening({ world, report }: Stage): Promise<void> {
  const { devices } = await world.state();
  const [whole, mdev] = devices;
  report.heading('ioasid demo: whoever holds the FD holds what is in it, and nobody else does');
  report.note(`server  ${world.server}`);
  report.note(`alice   ${world.alice.what}`);
  report.note(`bob     ${world.bob.what}`);
  report.note(`vfio0   DSA ${whole?.rid}; vfio1, vfio2: mdevs of DSA ${mdev?.rid}`);
}
