/** Where device files are meant to differ from real vfio-pci, each with its reason. */
import type { Explained } from '../compare.js';

export const explained: readonly Explained[] = [];
