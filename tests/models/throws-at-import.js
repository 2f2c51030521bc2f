// A module that runs into an error when it is imported.
export const first = undefined.nothing;
export default () => ({});
