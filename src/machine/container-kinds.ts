/**
 * What /dev/vfio/vfio may be: real type1, or an iommufd in its place. Alone in its file, for a command line
 * that has to name them before it knows whether it needs a machine.
 */
export const containerKinds = ['type1', 'iommufd'] as const;
export type ContainerKind = (typeof containerKinds)[number];
